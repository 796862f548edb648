"""The loops end when they are told to, also one that swallows a cancellation."""

import asyncio

from app.background import Loops


async def test_a_loop_that_swallows_one_cancellation_ends_all_the_same():
    running, swallowed = asyncio.Event(), 0

    async def stubborn() -> None:
        nonlocal swallowed
        running.set()
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            swallowed += 1
            if swallowed > 1:
                raise

    async with Loops() as loops:
        loops.every(0, "stubborn", stubborn)
        await running.wait()
    assert swallowed == 2
