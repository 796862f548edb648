"""The node protocol as calls.

Every call may be sent again, so network errors, 429 and 5xx are repeated with jitter until `patience_s` is over;
another 4xx is raised at once as `Refused` or a child of it. A token that is no longer valid is renewed once per call.
"""

import asyncio
import gzip
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import httpx2
import msgspec
import structlog
from msgspec import Struct

from app.agent import jitter
from app.protocol import (
    Claim,
    Finish,
    Finished,
    Heartbeat,
    HeartbeatAnswer,
    LogAnswer,
    LogBatch,
    Offer,
    Offers,
    Register,
    Registered,
    Release,
    Secret,
    Started,
    Usage,
    UsageAnswer,
)

T = TypeVar("T")

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
_ANSWER_WITHIN_S = 30.0
_RETRY_AFTER_MAX_S = 300.0
_COMPRESS_ABOVE_BYTES = 8 * 1024

log = structlog.stdlib.get_logger(__name__)

_REGISTERED = msgspec.json.Decoder(Registered)
_HEARTBEAT_ANSWER = msgspec.json.Decoder(HeartbeatAnswer)
_OFFERS: msgspec.json.Decoder[Offers | None] = msgspec.json.Decoder(Offers | None)
_STARTED = msgspec.json.Decoder(Started)
_SECRET = msgspec.json.Decoder(Secret)
_LOG_ANSWER = msgspec.json.Decoder(LogAnswer)
_USAGE_ANSWER = msgspec.json.Decoder(UsageAnswer)
_FINISHED = msgspec.json.Decoder(Finished)
_ANYTHING = msgspec.json.Decoder()


class Refused(Exception):
    """The server understood and said no; sending the same again would not help."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code


class Unauthorized(Refused):
    """The token, or the registration key, is not valid."""


class StaleBoot(Refused):
    """Another process took the node's place."""


class NotTaking(Refused):
    """The node is paused or draining."""


class Superseded(Refused):
    """The attempt is no longer this node's to write to."""


class LogGap(Refused):
    def __init__(self, detail: str, next_seq: int) -> None:
        super().__init__(409, "log_gap", detail)
        self.next_seq = next_seq


class Unreachable(Exception):
    """No usable answer came: the network failed, or the server said 429 or 5xx."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _Problem(Struct):
    code: str = ""
    detail: str = ""
    next_seq: int | None = None


class Client:
    """The calls of one node. `renew` is asked for a fresh token when the server no longer knows the present one."""

    def __init__(self, server_url: str) -> None:
        self.token = ""
        self.renew: Callable[[str], Awaitable[None]] | None = None
        self._http = httpx2.AsyncClient(
            base_url=f"{server_url}/api/v1",
            timeout=httpx2.Timeout(_ANSWER_WITHIN_S, connect=10.0),
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=30.0),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def register(self, registration_key: str, body: Register, *, patience_s: float | None = None) -> Registered:
        async def once() -> Registered:
            return _decode(await self._send("POST", "/nodes/register", body, token=registration_key), _REGISTERED)

        return await patiently(once, patience_s)

    async def heartbeat(self, body: Heartbeat) -> HeartbeatAnswer:
        """Sent once: the next beat is the better repetition."""
        return await self._call("POST", "/nodes/heartbeat", body, _HEARTBEAT_ANSWER, patience_s=0)

    async def claim(self, body: Claim, *, wait_s: int, patience_s: float) -> list[Offer]:
        offers = await self._call(
            "POST", f"/nodes/claim?wait={wait_s}", body, _OFFERS, patience_s=patience_s, slow_s=wait_s
        )
        return offers.attempts if offers is not None else []

    async def deregister(self, *, patience_s: float) -> None:
        await self._call("POST", "/nodes/deregister", None, _ANYTHING, patience_s=patience_s)

    async def start(self, attempt_id: UUID, *, patience_s: float) -> None:
        await self._call("POST", f"/attempts/{attempt_id}/start", None, _STARTED, patience_s=patience_s)

    async def credential(self, attempt_id: UUID) -> Secret | None:
        """None when there is none to have."""
        try:
            return await self._call("GET", f"/attempts/{attempt_id}/credential", None, _SECRET)
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise

    async def logs(self, attempt_id: UUID, batch: LogBatch, *, patience_s: float | None = None) -> LogAnswer:
        return await self._call("POST", f"/attempts/{attempt_id}/logs", batch, _LOG_ANSWER, patience_s=patience_s)

    async def usage(self, attempt_id: UUID, usage: Usage, *, patience_s: float | None = None) -> UsageAnswer:
        return await self._call("PUT", f"/attempts/{attempt_id}/usage", usage, _USAGE_ANSWER, patience_s=patience_s)

    async def finish(self, attempt_id: UUID, body: Finish, *, patience_s: float | None = None) -> Finished:
        return await self._call("POST", f"/attempts/{attempt_id}/finish", body, _FINISHED, patience_s=patience_s)

    async def release(self, attempt_id: UUID, reason: str, *, patience_s: float) -> None:
        await self._call("POST", f"/attempts/{attempt_id}/release", Release(reason), _ANYTHING, patience_s=patience_s)

    async def _call(
        self,
        method: str,
        path: str,
        body: Struct | None,
        answer: msgspec.json.Decoder[T],
        *,
        patience_s: float | None = None,
        slow_s: float = 0,
    ) -> T:
        async def once() -> T:
            token = self.token
            try:
                return _decode(await self._send(method, path, body, token=token, slow_s=slow_s), answer)
            except Unauthorized:
                if self.renew is None:
                    raise
            await self.renew(token)
            try:
                return _decode(await self._send(method, path, body, token=self.token, slow_s=slow_s), answer)
            except Unauthorized as refusal:
                raise Unreachable("the server does not know the token that it has just given") from refusal

        return await patiently(once, patience_s)

    async def _send(self, method: str, path: str, body: Struct | None, *, token: str, slow_s: float = 0) -> bytes:
        content, headers = _encode(body)
        headers["Authorization"] = f"Bearer {token}"
        timeout = httpx2.Timeout(_ANSWER_WITHIN_S, connect=10.0, read=_ANSWER_WITHIN_S + slow_s)
        try:
            response = await self._http.request(method, path, content=content, headers=headers, timeout=timeout)
        except (httpx2.TransportError, httpx2.DecodingError) as problem:
            raise Unreachable(f"{type(problem).__name__}: {problem}") from problem
        if response.is_success:
            return response.content
        raise _failure(response, path)


async def patiently(send: Callable[[], Awaitable[T]], patience_s: float | None) -> T:
    """`send` until it answers, is refused, or `patience_s` have passed (None: for ever, 0: once).

    The pauses grow and are random between nothing and their limit, so that a fleet whose server comes back does not
    arrive all at once. Raises `Unreachable` when patience ends, and what else `send` raises.
    """
    give_up_at = math.inf if patience_s is None else time.monotonic() + patience_s
    limit_s = FIRST_WAIT_S
    while True:
        try:
            return await send()
        except Unreachable as problem:
            pause_s = problem.retry_after_s * jitter.between(1, 2) if problem.retry_after_s else 0.0
            pause_s = max(pause_s, jitter.between(0.05, limit_s))
            if time.monotonic() + pause_s >= give_up_at:
                raise
            log.debug("server_unreachable", reason=str(problem), pause_s=round(pause_s, 2))
        limit_s = min(limit_s * 2, LONGEST_WAIT_S)
        await asyncio.sleep(pause_s)


def _encode(body: Struct | None) -> tuple[bytes | None, dict[str, str]]:
    if body is None:
        return None, {}
    content = msgspec.json.encode(body)
    # The server unpacks the bodies of logs alone.
    if not isinstance(body, LogBatch) or len(content) <= _COMPRESS_ABOVE_BYTES:
        return content, {"Content-Type": "application/json"}
    return gzip.compress(content, compresslevel=1), {"Content-Type": "application/json", "Content-Encoding": "gzip"}


def _decode(content: bytes, answer: msgspec.json.Decoder[T]) -> T:
    try:
        return answer.decode(content or b"null")
    except msgspec.DecodeError as problem:
        # Something between us and the server answered in its place.
        raise Unreachable(f"an answer that is not the protocol's: {problem}") from problem


def _failure(response: httpx2.Response, path: str) -> Refused | Unreachable:
    status = response.status_code
    if status == 429 or status >= 500:
        return Unreachable(f"the server answered {status}", _retry_after_s(response))
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem("unexpected", "an answer that is not the protocol's")
    if status == 409 and problem.code == "log_gap":
        return LogGap(problem.detail, problem.next_seq or 0)
    kind = {401: Unauthorized}.get(status) or _CONFLICTS.get(problem.code, Refused)
    if status == 404 and path.startswith("/attempts/"):
        kind = Superseded
    return kind(status, problem.code, problem.detail)


_CONFLICTS: dict[str, type[Refused]] = {
    "stale_boot": StaleBoot,
    "node_draining": NotTaking,
    "node_paused": NotTaking,
    "attempt_superseded": Superseded,
    "attempt_cancelled": Superseded,
    "attempt_finished": Superseded,
}


def _retry_after_s(response: httpx2.Response) -> float | None:
    given = response.headers.get("Retry-After", "")
    return min(float(given), _RETRY_AFTER_MAX_S) if given.isascii() and given.isdecimal() else None
