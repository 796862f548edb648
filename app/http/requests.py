"""What happens around every request: its id, its one log line, its content type."""

import itertools
import logging
import os
import re
import time
from collections.abc import Awaitable, Iterator
from typing import Any, cast

import structlog
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.errors import WrongContentType
from app.metering import Meter

log = structlog.get_logger("nodeyard.access")
_CLIENT_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_QUIET = {"/healthz", "/readyz", "/metrics"}


def header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return value
    return None


def _names() -> Iterator[str]:
    """Random once for the process: a random name for each request would cost several times more."""
    process = os.urandom(8).hex()
    return (f"{process}-{n}" for n in itertools.count(1))


def logged(next_app: ASGIApp, meter: Meter) -> ASGIApp:
    """Names the request (a client's own X-Request-ID is kept), answers with the name, logs one line and counts it.

    Stands around the whole application, since Litestar's middleware does not see a path that no route has.
    Neither bodies nor headers nor query strings are logged: they may hold secrets.
    """
    names = _names()

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if "method" not in scope:  # Neither a lifespan nor a web socket has one.
            await next_app(scope, receive, send)
            return
        given = header(scope, b"x-request-id")
        request_id = given.decode() if given and _CLIENT_ID.fullmatch(given) else next(names)
        scope["state"]["request_id"] = request_id
        started = time.perf_counter()
        status = 0

        def send_named(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            return send(message)

        try:
            await next_app(scope, receive, send_named)
        finally:
            seconds = time.perf_counter() - started
            route = cast("dict[str, str]", scope).get("path_template") or "none"
            meter.answered(scope["method"], route, status, seconds)
            if (status >= 500 or log.is_enabled_for(logging.DEBUG)) and scope["path"] not in _QUIET:
                _write_line(scope, status, request_id, seconds)

    return handle


def _write_line(scope: HTTPScope, status: int, request_id: str, seconds: float) -> None:
    fields: dict[str, Any] = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 1),
        "request_id": request_id,
    }
    if status >= 500:
        log.warning("request", **fields)
    else:
        log.debug("request", **fields)


class JsonOnly(ASGIMiddleware):
    """Refuses a body of any other type: a cross-site form can post text/plain, but not application/json."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope["type"] == "http" and scope["method"] in {"POST", "PUT", "PATCH"} and _has_body(scope):
            content_type = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
            if content_type != b"application/json":
                raise WrongContentType
        await next_app(scope, receive, send)


def _has_body(scope: HTTPScope) -> bool:
    length = header(scope, b"content-length")
    return header(scope, b"transfer-encoding") is not None or length not in {None, b"0"}
