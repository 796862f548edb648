"""An HTTP/1.1 client that costs as little as Python allows, since it shares the cores with what it measures."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

Answer = Callable[[int, bytes], None]


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time. Call `send` again from the answer's callback."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._on_answer: Answer | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its base class.

    def send(self, request: bytes, on_answer: Answer) -> None:
        self._on_answer = on_answer
        assert self._transport is not None
        self._transport.write(request)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self.send(request, lambda status, body: None if answer.done() else answer.set_result((status, body)))
        return await answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length: ")
        length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        status, body = int(self._buffer[9:12]), self._buffer[end + 4 : end + 4 + length]
        self._buffer = b""
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(0, b"")


async def connect(url: str) -> Connection:
    where = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, where.hostname, where.port)
    return connection


def request(method: str, path: str, token: str, body: bytes | None = None) -> bytes:
    """The bytes of a request with a JSON body."""
    content = b"" if body is None else b"content-type: application/json\r\n"
    length = b"" if body is None else b"content-length: %d\r\n" % len(body)
    line = f"{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n".encode()
    return line + content + length + b"\r\n" + (body or b"")


class Tally:
    """Answers by status, and how long they took."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.began = self.ended = time.perf_counter()

    def add(self, status: int, since: float) -> None:
        self.ended = time.perf_counter()
        self.statuses[status] += 1
        self.seconds.append(self.ended - since)

    def summary(self) -> dict[str, object]:
        ordered = sorted(self.seconds) or [0.0]
        return {
            "answers": dict(self.statuses),
            "elapsed_s": self.ended - self.began,
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000,
        }


async def closed_loop(
    url: str, connections: int, source: Callable[[int], Callable[[int, bytes], bytes | None]], tally: Tally
) -> None:
    """`connections` clients that each send their next request as soon as the last is answered.

    `source(n)` gives client n's function from the last answer (status 0 for none) to its next request, None at the end.
    """
    opened = [await connect(url) for _ in range(connections)]
    done = asyncio.Event()
    running = connections

    def client(connection: Connection, following: Callable[[int, bytes], bytes | None]) -> None:
        since = 0.0

        def on_answer(status: int, body: bytes) -> None:
            tally.add(status, since)
            advance(status, body)

        def advance(status: int, body: bytes) -> None:
            nonlocal since, running
            upcoming = following(status, body)
            if upcoming is None or connection.lost:
                running -= 1
                if running == 0:
                    done.set()
                return
            since = time.perf_counter()
            connection.send(upcoming, on_answer)

        advance(0, b"")

    tally.began = time.perf_counter()
    for n, connection in enumerate(opened):
        client(connection, source(n))
    await done.wait()
    for connection in opened:
        connection.close()
