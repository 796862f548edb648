"""What is let in, and for how long: a fair share for each node, bodies that arrive in time, nobody left waiting.

Stands around the whole application. While the database gives no sign of life, callers hear 503 at once: also those
whose request waits inside for a statement that no frozen database will ever answer. So do those whom a server that
stops can wait for no longer: for a row that somebody holds, or for the rest of a body.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable
from typing import Any, cast

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.db.outage import Pulse
from app.errors import AppError, InvalidInput, TooManyRequests, Unavailable
from app.http import problems
from app.http.requests import header

IN_FLIGHT_PER_NODE = 256
"""A node has at most a thousand slots, and each needs a request only now and then."""
BODY_WITHIN_S = 20.0
_LOOK_EVERY_S = 1.0
_NODE = b"bearer nyn_"
_LONG_POLL = "/nodes/claim"
_STOPS = "The server stops; send the request again."


class BodyTooSlow(AppError):
    status = 408
    code = "body_too_slow"
    detail = "The body did not arrive in time; send the request again."


class _Call:
    """One request under way. Whoever answers it first is heard; what comes later is dropped."""

    __slots__ = ("_is_ours", "_scope", "_send", "started")

    def __init__(self, scope: HTTPScope, send: Send) -> None:
        self._scope, self._send = scope, send
        self.started = False
        self._is_ours = False

    def send(self, message: Message) -> Awaitable[None]:
        if self._is_ours:
            return _dropped()
        self.started = True
        return self._send(message)

    async def refuse(self, error: AppError) -> None:
        if self.started:
            return
        self.started = self._is_ours = True
        await problems.send(self._scope, self._send, error)


async def _dropped() -> None: ...


class _Patience:
    """Ends whatever waits for a body longer than it may.

    One look around each second serves all: a timer for each body would cost more than to read it.
    """

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.TimerHandle | None = None

    async def receive(self, receive: Receive, deadline: float) -> Any:
        """The next message, by `deadline` of the loop's clock or a second later. Raises `BodyTooSlow`."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._until[task] = deadline
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)
        try:
            return await receive()
        except asyncio.CancelledError:
            if task in self._late and not task.uncancel():
                raise BodyTooSlow from None
            raise
        finally:
            del self._until[task]
            self._late.discard(task)

    def end(self, by: float = math.inf) -> None:
        """Ends the waits for bodies that were due `by` then."""
        for task, deadline in self._until.items():
            if deadline <= by and task not in self._late:
                self._late.add(task)
                task.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self.end(loop.time())
        self._looking = loop.call_later(_LOOK_EVERY_S, self._look) if self._until else None


class Admission:
    def __init__(self) -> None:
        self._patience = _Patience()
        self._pulse: Pulse | None = None
        self._calls: set[_Call] = set()
        self._polls: set[_Call] = set()
        self._is_closed = False
        self._in_flight: Counter[bytes] = Counter()
        self._refusals: set[asyncio.Task[None]] = set()

    def watch(self, pulse: Pulse) -> None:
        self._pulse = pulse
        pulse.when_lost(lambda: self._refuse(self._calls, Unavailable()))

    def close(self) -> None:
        """Answers everybody who waits, and whoever comes now, with 503: the server stops."""
        self._is_closed = True
        self._refuse(self._calls | self._polls, Unavailable(_STOPS))
        # A connection stays open until its body is here or nobody reads on.
        self._patience.end()

    def around(self, next_app: ASGIApp) -> ASGIApp:
        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not needs_database(scope["path"]):
                await next_app(scope, receive, send)
                return
            call = _Call(scope, send)
            if self._is_closed:
                await call.refuse(Unavailable(_STOPS))
                return
            if self._pulse is not None and self._pulse.is_lost:
                await call.refuse(Unavailable())
                return
            authorization = header(scope, b"authorization") or b""
            node = authorization if authorization[: len(_NODE)].lower() == _NODE else b""
            if node and self._in_flight[node] >= IN_FLIGHT_PER_NODE:
                await call.refuse(TooManyRequests("This node has too many requests under way; wait for answers."))
                return
            await self._let_in(next_app, scope, receive, call, node)

        return handle

    async def _let_in(self, next_app: ASGIApp, scope: HTTPScope, receive: Receive, call: _Call, node: bytes) -> None:
        # A long poll holds no connection, and waits for work, not for the database (see `Dispatch.let_go`).
        under_way = self._polls if scope["path"].endswith(_LONG_POLL) else self._calls
        under_way.add(call)
        if node:
            self._in_flight[node] += 1
        try:
            await next_app(scope, self._in_time(scope, receive), call.send)
        except AppError as error:
            # Of the body, where it was read in front of Litestar.
            await call.refuse(error)
        finally:
            under_way.discard(call)
            if node:
                self._in_flight[node] -= 1
                if not self._in_flight[node]:
                    del self._in_flight[node]

    def _in_time(self, scope: HTTPScope, receive: Receive) -> Receive:
        """The body must be here within `BODY_WITHIN_S`, or a slow sender would hold what the handler holds."""
        if scope["method"] in {"GET", "HEAD", "DELETE"}:
            return receive
        deadline = asyncio.get_running_loop().time() + BODY_WITHIN_S
        is_complete = False

        async def receive_in_time() -> Any:
            nonlocal is_complete
            if is_complete:
                return await receive()
            message = await self._patience.receive(receive, deadline)
            if message["type"] != "http.request":
                # Also what granian says of chunks that are none.
                raise InvalidInput("The body ended before it was complete.")
            is_complete = not message.get("more_body", False)
            return message

        return receive_in_time

    def _refuse(self, calls: set[_Call], error: AppError) -> None:
        for call in list(calls):
            task = asyncio.ensure_future(call.refuse(error))
            self._refusals.add(task)
            task.add_done_callback(self._refusals.discard)


def needs_database(path: str) -> bool:
    return path.startswith("/api/") or path == "/readyz"
