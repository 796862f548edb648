"""Every figure of the table: what is compared with what, and how it is measured. Ratios are of interleaved pairs."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from bench import baselines, machine
from bench.baselines import Rate
from bench.ground import BEHIND, GREAT, MILLION, MIXED, ONE_LANE, SMALL, WORKING, Ground
from bench.machine import Load


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    value: float
    floor: float
    aim: float
    unit: str = "×"
    """× for a ratio."""
    less_is_better: bool = False
    detail: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Effort:
    pairs: int
    seconds: float


def claim_rate(load: Load) -> float:
    return load.seen["claimed"] / load.seen["elapsed_s"]


def request_rate(load: Load) -> float:
    return load.seen["answers"].get("200", 0) / load.seen["elapsed_s"]


def cpu_us(load: Load, per: float) -> dict[str, int]:
    return {name: round(seconds / per * 1e6) for name, seconds in load.cpu.items()}


def median(values: list[float]) -> float:
    return statistics.median(values)


def pgbench(ground: Ground, seed: str, script: str, clients: int, effort: Effort) -> Rate:
    with ground.fresh(seed) as (url, seeded):
        variables = {"lane": seeded.lane, "node": seeded.node_id, "nodes": 10_000}
        return baselines.run(url, script, clients, effort.seconds, **variables)


def claims_job(connections: int, until: int, at_most: int = 1) -> dict[str, Any]:
    return {"kind": "claims", "connections": connections, "max": at_most, "until": until}


def claims(ground: Ground, effort: Effort) -> Iterator[Row]:
    best: list[float] = []
    single: list[Rate] = []
    loads: dict[str, list[Load]] = {"64": [], "256": [], "max": []}
    for _ in range(effort.pairs):
        rates = [pgbench(ground, ONE_LANE, baselines.CLAIM, clients, effort) for clients in (4, 16, 64)]
        best.append(max(rate.per_s for rate in rates))
        single.append(rates[1])
        until = int(best[-1] * effort.seconds)
        loads["64"].append(ground.http(MIXED, claims_job(64, until)))
        loads["256"].append(ground.http(MIXED, claims_job(256, until)))
        loads["max"].append(ground.http(MIXED, claims_job(16, min(50_000, until * 2), 10)))

    def detail(which: str) -> dict[str, Any]:
        last = loads[which][-1]
        return {
            "pgbench_claims_per_s": [round(rate) for rate in best],
            "claims_per_s": [round(claim_rate(load)) for load in loads[which]],
            "cpu_us_per_claim": cpu_us(last, last.seen["claimed"]),
            "p99_ms": round(last.seen["p99_ms"], 1),
        }

    def ratio(which: str) -> float:
        return median([claim_rate(load) / rate for load, rate in zip(loads[which], best, strict=True)])

    yield Row("HTTP claims, 64 connections ÷ pgbench's best", ratio("64"), 0.5, 0.8, detail=detail("64"))
    yield Row("HTTP claims, 256 connections ÷ pgbench's best", ratio("256"), 0.6, 1.0, detail=detail("256"))
    yield Row("HTTP claims of 10 at once, 16 connections ÷ pgbench's best", ratio("max"), 2, 4, detail=detail("max"))
    database = median(
        [
            load.cpu["database"] / load.seen["claimed"] * 1e6 / r.database_us
            for load, r in zip(loads["64"], single, strict=True)
        ]
    )
    yield Row(
        "database CPU a claim, 64 connections ÷ pgbench with 16 clients", database, 0.5, 0.25, less_is_better=True,
        detail={"pgbench_us": [round(rate.database_us) for rate in single], **detail("64")},
    )  # fmt: skip


def depth(ground: Ground, effort: Effort) -> Iterator[Row]:
    pairs: dict[str, list[tuple[float, float]]] = {MILLION: [], BEHIND: []}
    for _ in range(effort.pairs):
        shallow = _cost(ground.http(SMALL, claims_job(64, 2000)))
        plain = _cost(ground.http(MIXED, claims_job(64, 4000)))
        pairs[MILLION].append((_cost(ground.http(MILLION, claims_job(64, 2000))), shallow))
        pairs[BEHIND].append((_cost(ground.http(BEHIND, claims_job(64, 4000))), plain))
    for seed, name, floor, aim in (
        (MILLION, "database CPU a claim at 10⁶ waiting ÷ at 10³", 1.3, 1.1),
        (BEHIND, "database CPU a claim, 10⁵ ineligible at the head ÷ without", 1.5, 1.1),
    ):
        value = median([cost / base for cost, base in pairs[seed]])
        detail = {"us": [[round(x * 1e6) for x in pair] for pair in pairs[seed]]}
        yield Row(name, value, floor, aim, less_is_better=True, detail=detail)


def _cost(load: Load) -> float:
    return load.cpu["database"] / load.seen["claimed"]


@contextmanager
def snapshot_held(url: str) -> Iterator[None]:
    """As a dump or a report does: a transaction that sees the tables as they were."""
    ready, done = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction(isolation="repeatable_read"):
            await connection.fetchval("SELECT count(*) FROM project")
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.05)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    ready.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.join()


def snapshot(ground: Ground, effort: Effort) -> Iterator[Row]:
    """10⁵ claims are made while the snapshot is held; then the rate is taken, as without them and without it."""
    with ground.fresh(MILLION) as (url, seeded), machine.server(url) as server:
        ground.load(server, seeded, claims_job(64, 4000))
        free = ground.load(server, seeded, claims_job(64, 6000))
        with snapshot_held(url):
            # By other nodes, whose slots they fill.
            ground.load(server, seeded, {**claims_job(64, 100_000, 10), "from_node": 6000})
            held = [ground.load(server, seeded, claims_job(64, 6000)) for _ in range(effort.pairs)]
    rates = [round(claim_rate(free)), *(round(claim_rate(load)) for load in held)]
    name = "claims/s with a snapshot held open and 10⁵ claims made ÷ without"
    yield Row(name, median(rates[1:]) / rates[0], 0.7, 0.95, detail={"claims_per_s": rates})


def beats(ground: Ground, effort: Effort) -> Iterator[Row]:
    ratios: list[float] = []
    loads: list[Load] = []
    for _ in range(effort.pairs):
        base = pgbench(ground, WORKING, baselines.BEAT, 16, effort)
        loads.append(ground.http(WORKING, {"kind": "beats", "connections": 64, "seconds": effort.seconds}))
        ratios.append(request_rate(loads[-1]) / base.per_s)
    detail = {
        "per_s": [round(request_rate(load)) for load in loads],
        "cpu_us": cpu_us(loads[-1], loads[-1].seen["answers"]["200"]),
    }
    yield Row("heartbeats/s that name an attempt ÷ pgbench's single UPDATE", median(ratios), 0.3, 0.7, detail=detail)


def logs(ground: Ground, effort: Effort) -> Iterator[Row]:
    ratios: dict[int, list[float]] = {10: [], 100: []}
    rates: dict[int, list[int]] = {10: [], 100: []}
    cpu: dict[int, dict[str, int]] = {}
    for _ in range(effort.pairs):
        base = pgbench(ground, WORKING, baselines.LOG, 16, effort)
        for entries, into in ratios.items():
            job = {"kind": "logs", "connections": 64, "attempts": 64, "seconds": effort.seconds, "entries": entries}
            load = ground.http(WORKING, job)
            per_s = request_rate(load) * entries
            cpu[entries] = cpu_us(load, load.seen["answers"]["200"])
            rates[entries].append(round(per_s))
            into.append(per_s / base.per_s)
    for entries, floor, aim in ((10, 2, 3), (100, 3, 5)):
        name = f"log entries/s, {entries} a request ÷ pgbench's single rows"
        yield Row(
            name,
            median(ratios[entries]),
            floor,
            aim,
            detail={"entries_per_s": rates[entries], "cpu_us_per_request": cpu[entries]},
        )


def cycles(ground: Ground, effort: Effort) -> Iterator[Row]:
    ratios: list[float] = []
    rates: list[list[int]] = []
    for _ in range(effort.pairs):
        base = pgbench(ground, ONE_LANE, baselines.cycle(), 16, effort).per_s
        until = max(200, int(base * effort.seconds))
        seen = ground.http(MIXED, {"kind": "cycles", "connections": 64, "until": until}).seen
        rates.append([round(seen["cycles"] / seen["elapsed_s"]), round(base)])
        ratios.append(seen["cycles"] / seen["elapsed_s"] / base)
    yield Row("whole cycles/s ÷ the bare statements by pgbench", median(ratios), 0.3, 0.8, detail={"per_s": rates})


def wake_ups(ground: Ground, effort: Effort) -> Iterator[Row]:
    job = {"kind": "wake_ups", "seconds": max(4, effort.seconds * 2), "settle_s": 2.0}
    idle = ground.http(WORKING, {**job, "nodes": 64, "rate": 20}).seen
    yield from _latency("created → in a waiting node's hand, idle", idle, (5, 20), (3, 10))
    many = ground.http(WORKING, {**job, "nodes": 5000, "rate": 50, "settle_s": 6.0}).seen
    yield from _latency("the same, 5 000 waiting", many, (10, 50), (3, 10))
    with ground.fresh(WORKING) as (url, seeded), machine.server(url) as one, machine.server(url) as other:
        seen = ground.load(one, seeded, {**job, "nodes": 64, "rate": 20, "create_url": other.url}).seen
    yield from _latency("the same, created on another process", seen, (15, 80), (5, 20))


def _latency(name: str, seen: dict[str, Any], floors: tuple[float, float], aims: tuple[float, float]) -> Iterator[Row]:
    for which, floor, aim in zip(("p50_ms", "p99_ms"), floors, aims, strict=True):
        value = seen.get(which, float("inf"))
        yield Row(f"{name}: {which[:3]}", value, floor, aim, "ms", less_is_better=True, detail=seen)


def fleets(ground: Ground, effort: Effort) -> Iterator[Row]:
    seconds = max(10, effort.seconds * 5)
    job = {"kind": "fleet", "beat_every_s": 15, "settle_s": 8.0, "seconds": seconds, "wait": True}
    with ground.fresh(WORKING) as (url, seeded), machine.server(url) as server:
        before = machine.resident_bytes(server.pid)
        full = {**job, "attempts": 200, "issues": 300, "bulk": 30, "log_requests": 1000}
        peak = _Peak(server.pid, after_s=10)
        seen = ground.load(server, seeded, full).seen
        per_node = (peak.stop() - before) / len(seeded.tokens) / 1024
    name = "10 000 waiting and beating, 300 claims/s, 10 000 log entries/s"
    yield Row(
        f"{name}: claim p99",
        seen["claims"].get("p99_ms", float("inf")),
        100,
        30,
        "ms",
        less_is_better=True,
        detail=seen,
    )
    yield Row(f"{name}: errors", seen["errors"] + seen["claims"]["lost"], 0, 0, "", less_is_better=True)
    yield Row("memory of a waiting node", per_node, 60, 35, "KiB", less_is_better=True)
    beating = {**job, "attempts": 1, "issues": 0, "bulk": 1, "log_requests": 0, "wait": False, "settle_s": 0.5}
    load = ground.http(GREAT, beating)
    cores = (load.cpu["server"] + load.cpu["database"]) / seconds
    seen = load.seen["beats"]
    yield Row("60 000 nodes beating every 15 s: p99", seen["p99_ms"], 50, 20, "ms", less_is_better=True, detail=seen)
    yield Row("60 000 nodes beating every 15 s: cores of server and database", cores, 1.6, 1.2, "", less_is_better=True)


class _Peak:
    """What the server holds once all nodes wait, and before the load begins."""

    def __init__(self, pid: int, after_s: float) -> None:
        self._bytes = 0
        self._timer = threading.Timer(after_s, self._look, [pid])
        self._timer.start()

    def _look(self, pid: int) -> None:
        self._bytes = machine.resident_bytes(pid)

    def stop(self) -> int:
        self._timer.join()
        return self._bytes


GROUPS: dict[str, Callable[[Ground, Effort], Iterator[Row]]] = {
    "claims": claims,
    "beats": beats,
    "logs": logs,
    "cycles": cycles,
    "wake-ups": wake_ups,
    "fleets": fleets,
    "depth": depth,
    "snapshot": snapshot,
}


def timed(name: str, ground: Ground, effort: Effort) -> tuple[list[Row], float]:
    began = time.monotonic()
    return list(GROUPS[name](ground, effort)), time.monotonic() - began
