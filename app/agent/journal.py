"""The log of one attempt, as it is written: masked, in steps, live."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog

from app.agent.output import Mask, Pieces
from app.agent.spool import Spool
from app.protocol import LogEntry, StepStatus

log = structlog.stdlib.get_logger(__name__)

_COMMAND_MAX = 2_000
_MESSAGE_MAX = 8_000
_FLUSH_EVERY_S = 0.5
OUTPUT_MAX_BYTES = 256 * 1024 * 1024
"""What a step may write. A tool that has gone mad would fill this disk, and then the server's."""


class Journal:
    def __init__(self, spool: Spool) -> None:
        self.mask = Mask()
        self._spool = spool
        self._order = asyncio.Lock()

    async def note(
        self,
        step: str,
        status: StepStatus,
        *,
        command: str | None = None,
        output: str | None = None,
        error: str | None = None,
        duration_ms: int | None = None,
    ) -> None:
        """Add an entry; `output` is already masked and of bounded size. Raises `OSError` when the disk is full."""
        entry = LogEntry(
            step,
            status,
            self.mask.text(command)[:_COMMAND_MAX] if command else None,
            output,
            self.mask.text(error)[:_MESSAGE_MAX] if error else None,
            duration_ms,
            datetime.now(UTC),
        )
        async with self._order:
            await asyncio.to_thread(self._spool.append, entry)
        self._spool.changed.set()

    @asynccontextmanager
    async def step(self, name: str, command: str | None = None) -> AsyncGenerator[None]:
        """A step that ends in `success`, or in `failed` with what went wrong."""
        began = time.monotonic()
        await self.note(name, StepStatus.RUNNING, command=command)
        try:
            yield
        except BaseException as problem:
            stopped = isinstance(problem, asyncio.CancelledError)
            error = "Stopped." if stopped else str(problem) or type(problem).__name__
            try:
                await self.note(name, StepStatus.FAILED, error=error, duration_ms=_since(began))
            except OSError as full:
                log.warning("log_entry_lost", reason=str(full))
            raise
        await self.note(name, StepStatus.SUCCESS, duration_ms=_since(began))

    async def said(self, step: str, command: str, output: bytes) -> None:
        """What a short command wrote."""
        pieces = Pieces(self.mask)
        for text in [*pieces.feed(output), *pieces.close()] or [None]:
            await self.note(step, StepStatus.RUNNING, command=command, output=text)

    @asynccontextmanager
    async def stream(self, step: str) -> AsyncGenerator["Stream"]:
        """Takes what a long command writes; entries go out while it writes, at least every half second."""
        stream = Stream(self, step)
        flushing = asyncio.create_task(stream.flush_now_and_then())
        try:
            yield stream
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
            with contextlib.suppress(OSError):
                await stream.close()


class Stream:
    def __init__(self, journal: Journal, step: str) -> None:
        self._journal = journal
        self._step = step
        self._pieces = Pieces(journal.mask)
        self._room_bytes = OUTPUT_MAX_BYTES

    @property
    def tail(self) -> str:
        return self._pieces.tail

    async def feed(self, block: bytes) -> None:
        """What comes after `OUTPUT_MAX_BYTES` is left out, which is said once; the tool goes on."""
        if self._room_bytes <= 0:
            return
        self._room_bytes -= len(block)
        for text in self._pieces.feed(block):
            await self._note(text)
        if self._room_bytes <= 0:
            await self._note(f"\n[what follows is left out: more than {OUTPUT_MAX_BYTES >> 20} MiB]\n")

    async def flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_EVERY_S)
            if text := self._pieces.take():
                # A full disk is the business of `feed`, which stops the tool.
                with contextlib.suppress(OSError):
                    await self._note(text)

    async def close(self) -> None:
        for text in self._pieces.close():
            await self._note(text)

    async def _note(self, text: str) -> None:
        await self._journal.note(self._step, StepStatus.RUNNING, output=text)


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
