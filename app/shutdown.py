"""One event that long polls and streams watch, so that they end before the server waits for them to end.

granian runs a lifespan's shutdown only after every connection has closed, so an open poll would hold it. The event
is set by the signal itself; the server's own handler runs on (it listens on the wakeup descriptor, which stays).
"""

import asyncio
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def watching() -> Generator[asyncio.Event]:
    stopping = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    loop = asyncio.get_running_loop()
    former = {number: signal.getsignal(number) for number in _SIGNALS}

    def on_signal(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        own = former[signal.Signals(number)]
        if callable(own):
            own(number, frame)

    for number in _SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield stopping
    finally:
        stopping.set()
        for number, own in former.items():
            signal.signal(number, own)
