"""The dashboard: one page for every address of the application, and its files."""

from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.status_codes import HTTP_304_NOT_MODIFIED

from app.deps import SESSION_COOKIE
from app.web import assets

# The page loads nothing from elsewhere, and no script or style that is not one of its files.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HARDENING = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PATHS = [
    "/",
    "/issues",
    "/issues/{name:str}",
    "/nodes",
    "/nodes/{name:str}",
    "/projects",
    "/repositories",
    "/prompts",
    "/credentials",
    "/users",
    "/audit",
    "/account",
]


@get(PATHS, include_in_schema=False, sync_to_thread=False)
def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Says whether a session cookie came along: without one the page shows the login and asks for nothing."""
    found = assets.load()
    session = b"maybe" if SESSION_COOKIE in request.cookies else b"none"
    tag = f'"{found.version}-{session.decode()}"'
    headers = {**_HARDENING, "Cache-Control": "no-cache", "ETag": tag, "Vary": "Cookie"}
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers, media_type="text/html")
    return Response(found.index.replace(b"{{session}}", session), headers=headers, media_type="text/html")


@get("/static/{version:str}/{path:path}", include_in_schema=False, sync_to_thread=False)
def static_file(request: Request[Any, Any, Any], version: FromPath[str], path: FromPath[str]) -> Response[bytes]:
    """Only the current version: an open page of an older one learns from the 404 that it must reload."""
    found = assets.load()
    asset = found.files.get(path.removeprefix("/")) if version == found.version else None
    if asset is None:
        raise NotFoundException
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.gzipped, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


@get("/favicon.ico", include_in_schema=False, sync_to_thread=False)
def favicon() -> Response[bytes]:
    """Browsers ask for it whatever the page says."""
    icon = assets.load().files["icon.svg"]
    return Response(icon.content, headers={"Cache-Control": "max-age=86400"}, media_type=icon.media_type)


handlers = [page, static_file, favicon]
