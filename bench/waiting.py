"""Loads that keep a whole fleet connected: nodes in long polls, heartbeats in time, work that comes meanwhile."""

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bench.http import Connection, Tally, connect, request

JSON = dict[str, Any]
WAIT_S = 60


class Poller:
    """A node that always waits for work, and notes when which issue came."""

    def __init__(self, connection: Connection, requests: Iterator[bytes], came: dict[str, float]) -> None:
        self._connection = connection
        self._requests = requests
        self._came = came
        self.refused = 0
        self._poll()

    def _poll(self) -> None:
        self._connection.send(next(self._requests), self._on_answer)

    def _on_answer(self, status: int, body: bytes) -> None:
        if status == 200:
            now = time.time()
            for attempt in json.loads(body)["attempts"]:
                self._came[attempt["issue"]["id"]] = now
        elif status != 204:
            self.refused += not self._connection.lost
        if not self._connection.lost:
            self._poll()


class Paced:
    """Sends `rate` requests a second over a few connections; a late start counts as part of the answer's time."""

    def __init__(self, connections: list[Connection], requests: Iterator[bytes], rate: float) -> None:
        self.tally = Tally()
        self._idle = deque(connections)
        self._late: deque[float] = deque()
        self._requests = requests
        self._rate = rate

    async def run(self, seconds: float) -> None:
        began = time.perf_counter()
        due = 0
        while (now := time.perf_counter()) < began + seconds:
            while began + due / self._rate <= now:
                self._late.append(began + due / self._rate)
                due += 1
            self._send()
            await asyncio.sleep(0.002)

    def _send(self) -> None:
        while self._late and self._idle:
            since, connection = self._late.popleft(), self._idle.popleft()
            connection.send(next(self._requests), lambda status, _, s=since, c=connection: self._done(status, s, c))

    def _done(self, status: int, since: float, connection: Connection) -> None:
        self.tally.add(status, since)
        self._idle.append(connection)
        self._send()


async def connect_all(url: str, count: int) -> list[Connection]:
    opened: list[Connection] = []
    while len(opened) < count:
        opened += await asyncio.gather(*(connect(url) for _ in range(min(200, count - len(opened)))))
    return opened


def polls(token: str) -> Iterator[bytes]:
    from bench.load import claim_request  # noqa: PLC0415 - `load` is the program, and imports this module.

    while True:
        yield claim_request(token, 1, WAIT_S)


def creations(token: str, at_once: int) -> Iterator[bytes]:
    for n in itertools.count():
        issues = [{"title": f"Issue {n}.{k}", "repository_url": "https://example.com/shop.git"} for k in range(at_once)]
        yield request("POST", "/api/v1/issues/bulk", token, json.dumps({"issues": issues}).encode())


class Creator:
    """Creates issues in bulks at a steady rate, and notes what the database says of when."""

    def __init__(self, connection: Connection, token: str, at_once: int) -> None:
        self._connection = connection
        self._requests = creations(token, at_once)
        self._at_once = at_once
        self.created: dict[str, float] = {}
        self.refused = 0

    async def run(self, rate: float, seconds: float) -> None:
        began = time.perf_counter()
        for n in range(int(rate * seconds / self._at_once)):
            await asyncio.sleep(began + n * self._at_once / rate - time.perf_counter())
            status, body = await self._connection.ask(next(self._requests))
            if status != 201:
                self.refused += 1
                continue
            for issue in json.loads(body)["items"]:
                self.created[issue["id"]] = datetime.fromisoformat(issue["created_at"]).timestamp()


def latencies(created: dict[str, float], came: dict[str, float]) -> JSON:
    """From `created_at`, which is when the creating transaction began, until the offer was in the node's hand."""
    seconds = sorted(came[each] - created[each] for each in created if each in came)
    if not seconds:
        return {"delivered": 0, "lost": len(created)}
    return {
        "delivered": len(seconds),
        "lost": len(created) - len(seconds),
        "p50_ms": seconds[len(seconds) // 2] * 1000,
        "p99_ms": seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)] * 1000,
    }


async def wake_ups(job: JSON) -> JSON:
    """Issues are created at `rate` a second, perhaps at another server, while the nodes of `tokens` wait."""
    came: dict[str, float] = {}
    connections = await connect_all(job["url"], len(job["tokens"]))
    pollers = [Poller(c, polls(token), came) for c, token in zip(connections, job["tokens"], strict=True)]
    await asyncio.sleep(job["settle_s"])
    creator = Creator(await connect(job["create_url"]), job["operator"], 1)
    await creator.run(job["rate"], job["seconds"])
    await asyncio.sleep(1)
    return {**latencies(creator.created, came), "errors": creator.refused + sum(p.refused for p in pollers)}


async def fleet(job: JSON) -> JSON:
    """Nodes that wait and beat; issues and log entries that go through meanwhile. Rates are per second."""
    came: dict[str, float] = {}
    url, tokens = job["url"], job["tokens"]
    waiting = await connect_all(url, len(tokens) if job["wait"] else 0)
    pollers = [Poller(c, polls(token), came) for c, token in zip(waiting, tokens, strict=False)]
    await asyncio.sleep(job["settle_s"])
    print(json.dumps({"waiting": len(waiting)}), flush=True)
    beat = itertools.cycle(
        [request("POST", "/api/v1/nodes/heartbeat", token, b'{"boot_id":"boot-1","free_slots":7}') for token in tokens]
    )
    beats = Paced(await connect_all(url, 64), beat, len(tokens) / job["beat_every_s"])
    creator = Creator(await connect(url), job["operator"], job["bulk"])
    log_requests = _logs(job)
    logs = Paced(await connect_all(url, len(job["attempts"])), log_requests, job["log_requests"] or 1)
    loads = [beats.run(job["seconds"])]
    if job["issues"]:
        loads.append(creator.run(job["issues"], job["seconds"]))
    if job["log_requests"]:
        loads.append(logs.run(job["seconds"]))
    await asyncio.gather(*loads)
    await asyncio.sleep(1)
    return {
        "beats": beats.tally.summary(),
        "logs": logs.tally.summary(),
        "claims": latencies(creator.created, came),
        "errors": creator.refused
        + sum(p.refused for p in pollers)
        + sum(n for tally in (beats.tally, logs.tally) for status, n in tally.statuses.items() if status != 200),
    }


def _logs(job: JSON) -> Iterator[bytes]:
    """Batches of ten entries, of each attempt in turn; an attempt's next batch comes long after its last."""
    from bench.load import log_batch  # noqa: PLC0415 - See `polls`.

    for first in itertools.count(0, 10):
        for token, attempt in zip(job["tokens"], job["attempts"], strict=False):
            yield request("POST", f"/api/v1/attempts/{attempt}/logs", token, log_batch(first, 10))
