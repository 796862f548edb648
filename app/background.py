"""The loops that tick. What a tick does stands in the domain, as functions that tests call; here is only the rhythm."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Self

import structlog

log = structlog.get_logger("nodeyard.background")
_CANCEL_AGAIN_S = 0.2
Tick = Callable[[], Awaitable[object]]


class Loops:
    """Runs each named tick every so many seconds until closed. A tick that fails is logged and tried again."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def every(self, seconds: float, name: str, tick: Tick) -> None:
        self._tasks.append(asyncio.create_task(_repeat(seconds, name, tick), name=f"loop {name}"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pending = set(self._tasks)
        while pending:
            for task in pending:
                task.cancel()
            # Once is not always enough: a wait whose event comes at that very moment may swallow a cancellation.
            pending = (await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S))[1]


async def _repeat(seconds: float, name: str, tick: Tick) -> None:
    while True:
        started = time.monotonic()
        try:
            await tick()
        except Exception as problem:  # noqa: BLE001 - A loop outlives any single failure, as a database that is away.
            log.warning("tick failed", loop=name, error=type(problem).__name__, detail=str(problem)[:500])
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - started)))
