"""A TCP proxy that loses, cuts and delays, by a seeded dice. It stands before the servers and before the database."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

_CHUNK = 65_536


@dataclass
class Weather:
    """Chances, per chunk of bytes or per connection, and the longest delay in seconds."""

    refuse: float = 0.0
    """A new connection is closed at once."""
    drop_request: float = 0.0
    """The connection breaks before these bytes reach the server."""
    cut_answer: float = 0.0
    """The server answered, so it has committed, and nobody hears it."""
    delay: float = 0.0
    delay_s: float = 0.5


class Proxy:
    """Listens on `port`; each connection goes to one of `ports`, another when that one refuses."""

    def __init__(self, ports: Sequence[int], dice: random.Random) -> None:
        self._ports = list(ports)
        self._dice = dice
        self.weather = Weather()
        self.done: Counter[str] = Counter()
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut_all()

    def cut_all(self) -> int:
        """Breaks every connection there is."""
        for writer in list(self._writers):
            writer.transport.abort()
        return len(self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._happens(self.weather.refuse, "refused connections"):
            writer.transport.abort()
            return
        upstream = await self._connect()
        if upstream is None:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream[1]}
        ways = [
            asyncio.create_task(self._carry(reader, upstream[1], "drop_request")),
            asyncio.create_task(self._carry(upstream[0], writer, "cut_answer")),
        ]
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for one in (writer, upstream[1]):
                self._writers.discard(one)
                one.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in self._dice.sample(self._ports, len(self._ports)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loss: str) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if self._happens(getattr(self.weather, loss), loss):
                    return
                if self._happens(self.weather.delay, "delays"):
                    await asyncio.sleep(self._dice.random() * self.weather.delay_s)
                writer.write(chunk)
                await writer.drain()

    def _happens(self, chance: float, what: str) -> bool:
        if chance and self._dice.random() < chance:
            self.done[what] += 1
            return True
        return False
