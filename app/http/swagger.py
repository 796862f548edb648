"""Swagger UI from our own files (swagger-ui-dist, Apache-2.0), so that the page asks nobody else for anything."""

from pathlib import Path

from litestar import Router
from litestar.datastructures import CacheControlHeader
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

VERSION = "5.35.0"
_PATH = f"/schema/assets/{VERSION}"


def page() -> SwaggerRenderPlugin:
    return SwaggerRenderPlugin(
        path="/swagger",
        js_url=f"{_PATH}/swagger-ui-bundle.js",
        css_url=f"{_PATH}/swagger-ui.css",
        standalone_preset_js_url=f"{_PATH}/swagger-ui-standalone-preset.js",
        favicon="",
    )


def router() -> Router:
    return create_static_files_router(
        path=_PATH,
        directories=[Path(__file__).parent / f"swagger-ui-{VERSION}"],
        name="swagger-ui",
        cache_control=CacheControlHeader(max_age=31_536_000, public=True, immutable=True),
        opt={"public": True},
    )
