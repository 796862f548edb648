"""The calls that a fleet repeats thousands of times a second, answered in front of Litestar.

Its routing, injection and responses take several times longer than these calls themselves (docs/performance.md). It
has the same routes: they describe the calls in OpenAPI, and answer whatever is not just as a node sends it. So only
the plain case stands here; what cannot be read is handed on untouched, and what is refused gets the same problem.
"""

import math
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from litestar import Litestar
from litestar.types import (
    ASGIApp,
    HTTPReceiveMessage,
    HTTPRequestEvent,
    HTTPScope,
    Receive,
    Scope,
    Send,
    WebSocketReceiveMessage,
)

from app.domain.issues import log_body, node_api
from app.domain.issues.fleet import Fleet
from app.domain.issues.log_append import Append
from app.domain.issues.turns import End, Start
from app.domain.nodes.roll_call import RollCall
from app.errors import AppError
from app.http import problems
from app.protocol import BODY_MAX_BYTES, Claim, Finish, Heartbeat
from app.tokens import Prefix, digest

_BEARER = f"Bearer {Prefix.NODE}_".encode()
_WAIT = re.compile(rb"(?:wait=(\d{1,2}(?:\.\d{1,6})?))?")
_ATTEMPTS = "/api/v1/attempts/"
_ID_CHARS = 36
_decode_claim = msgspec.json.Decoder(Claim).decode
_decode_finish = msgspec.json.Decoder(Finish).decode
_decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
_encode = msgspec.json.Encoder().encode


class _Unreadable(Exception):
    """Litestar's route says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Call:
    path: str
    query: bytes
    token_hash: bytes
    encoding: str
    body: bytes
    receive: Receive


Answer = Coroutine[Any, Any, bytes | None]
"""The body of a 200, or None for a 204."""
Act = Callable[[Litestar, Call], Answer]
"""Raises `_Unreadable` at once for a call that is not as a node of ours sends it, and does nothing then."""


def _claim(app: Litestar, call: Call) -> Answer:
    wait = _WAIT.fullmatch(call.query)
    wait_s = float(wait[1] or 0) if wait else math.inf
    if wait_s > node_api.CLAIM_WAIT_MAX_S:
        raise _Unreadable
    fleet: Fleet = app.state.fleet
    return node_api.claimed(fleet, call.token_hash, _read(_decode_claim, call.body), wait_s, call.receive)


def _heartbeat(app: Litestar, call: Call) -> Answer:
    roll_call: RollCall = app.state.roll_call
    return _encoded(roll_call.hear(call.token_hash, _read(_decode_heartbeat, call.body)))


def _logs(app: Litestar, call: Call) -> Answer:
    fleet: Fleet = app.state.fleet
    append = Append(call.token_hash, _attempt_id(call), log_body.read(call.body, call.encoding))
    return _encoded(fleet.logs.submit(append))


def _start(app: Litestar, call: Call) -> Answer:
    fleet: Fleet = app.state.fleet
    return _encoded(fleet.turns.submit(Start(call.token_hash, _attempt_id(call))))


def _finish(app: Litestar, call: Call) -> Answer:
    fleet: Fleet = app.state.fleet
    return _encoded(fleet.turns.submit(End(call.token_hash, _attempt_id(call), _read(_decode_finish, call.body))))


def _attempt_id(call: Call) -> UUID:
    return _read(UUID, call.path[len(_ATTEMPTS) :][:_ID_CHARS])


Source = TypeVar("Source")
Read = TypeVar("Read")


def _read(decode: Callable[[Source], Read], source: Source) -> Read:
    try:
        return decode(source)
    except (msgspec.DecodeError, ValueError, RecursionError) as problem:
        raise _Unreadable from problem


async def _encoded(answering: Coroutine[Any, Any, object]) -> bytes:
    return _encode(await answering)


_ACTS: dict[str, Act] = {"/api/v1/nodes/claim": _claim, "/api/v1/nodes/heartbeat": _heartbeat}
_ACTS_OF_ATTEMPTS: dict[str, Act] = {"/logs": _logs, "/start": _start, "/finish": _finish}


def around(app: Litestar) -> ASGIApp:
    """The application, with the short way for these calls in front of it."""
    long_way = app.asgi_handler

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and (act := _act(scope["path"])):
            headers = _plain_headers(scope)
            if headers is not None:
                try:
                    body = await _body(receive)
                except AppError as error:
                    await problems.send(scope, send, error)
                    return
                call = Call(scope["path"], scope["query_string"], *headers, body, receive)
                scope["path_template"] = _template(scope["path"])
                if await _answered(act, app, call, scope, send):
                    return
                receive = _again(body, receive)
        await long_way(scope, receive, send)

    return handle


async def _answered(act: Act, app: Litestar, call: Call, scope: HTTPScope, send: Send) -> bool:
    """False, with nothing sent, for a call that cannot be read."""
    try:
        answer = await act(app, call)
    except _Unreadable:
        return False
    except Exception as error:  # noqa: BLE001 - As Litestar does: whatever fails becomes a problem document.
        await problems.send(scope, send, error)
    else:
        await _send(send, answer)
    return True


def _act(path: str) -> Act | None:
    if path.startswith(_ATTEMPTS):
        return _ACTS_OF_ATTEMPTS.get(path[len(_ATTEMPTS) + _ID_CHARS :])
    return _ACTS.get(path)


def _template(path: str) -> str:
    """As Litestar writes it, for the metrics."""
    return f"{_ATTEMPTS}{{attempt_id}}{path[len(_ATTEMPTS) + _ID_CHARS :]}" if path.startswith(_ATTEMPTS) else path


def _plain_headers(scope: HTTPScope) -> tuple[bytes, str] | None:
    """The hash of the node's token and the content encoding, of a bounded JSON body or of none."""
    headers = dict(scope["headers"])
    token = headers.get(b"authorization", b"")
    # Without either header there is no body (RFC 9112, section 6.3); HTTP/2 needs neither.
    has_none = b"transfer-encoding" not in headers and scope["http_version"] != "2"
    length = headers.get(b"content-length", b"0" if has_none else b"")
    if (
        token.startswith(_BEARER)
        and (length == b"0" or headers.get(b"content-type") == b"application/json")
        and length.isdigit()
        and int(length) <= BODY_MAX_BYTES
    ):
        return digest(token[len("Bearer ") :].decode("latin-1")), headers.get(b"content-encoding", b"").decode(
            "latin-1"
        )
    return None


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message["body"])
        if not message["more_body"]:
            break
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive` as it was before the body was read."""
    first: list[HTTPRequestEvent] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        return first.pop() if first else await receive()

    return receive_again


async def _send(send: Send, body: bytes | None) -> None:
    if body is None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
