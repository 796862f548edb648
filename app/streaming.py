"""Server-Sent Events (HTML standard, section 9.2)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated

import msgspec
from litestar.params import HeaderParameter
from litestar.response import Stream

LastEventId = Annotated[str | None, HeaderParameter(name="Last-Event-ID", max_length=255)]
KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": alive\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def event(name: str, data: object, identity: str | None = None) -> bytes:
    """`identity` comes back as Last-Event-ID when the client reconnects."""
    head = f"id: {identity}\n" if identity is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


def answer(events: Callable[[], AsyncIterator[bytes]]) -> Stream:
    return Stream(events(), media_type="text/event-stream", headers=_HEADERS)


class Wakening:
    """Wakes a stream: there is something to send, or it shall end. `in_doubt`: the person's rights may be fewer."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._something = asyncio.Event()
        self.in_doubt = False

    def wake(self) -> None:
        self._something.set()

    def doubt(self) -> None:
        self.in_doubt = True
        self._something.set()

    @property
    def is_over(self) -> bool:
        return self._stopping.is_set()

    async def wait(self) -> bool:
        """True when woken, False when nothing came for `KEEP_ALIVE_S`."""
        waits = [asyncio.create_task(self._something.wait()), asyncio.create_task(self._stopping.wait())]
        try:
            done, _ = await asyncio.wait(waits, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._something.clear()
        return bool(done)
