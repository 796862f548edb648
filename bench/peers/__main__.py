"""make bench-peers: other queues on the same PostgreSQL, beside ours.

Compared is how many jobs that do nothing one process hands out and finishes in a second. Ours goes over HTTP, with
tokens, rules of eligibility and a rendered prompt, and each node starts what it claimed. So does Prefect's, without
tokens. The others are libraries that their workers call in-process, and neither authenticate nor match. So the figures
say what an order of magnitude is, not who is better. Each is the median of three runs on a fresh database.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import asyncpg

from bench import machine
from bench.__main__ import RESULTS
from bench.ground import MIXED, Ground
from bench.machine import Meter
from bench.peers import work_pool

QUEUES = Path(__file__).with_name("queues.py")
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Run:
    name: str
    how: str
    per_s: float
    process_us: float
    """CPU of the server, or of the worker, for one job."""
    database_us: float


def ours(ground: Ground, jobs: int) -> Run:
    job = {"kind": "cycles", "connections": CONNECTIONS, "until": jobs, "batches": 0}
    load = ground.http(MIXED, job)
    done = load.seen["cycles"]
    return Run(
        f"Nodeyard {version('nodeyard')}",
        f"HTTP: claim, start, finish; {CONNECTIONS} connections, one server process",
        done / load.seen["elapsed_s"],
        load.cpu["server"] / done * 1e6,
        load.cpu["database"] / done * 1e6,
    )


def theirs(ground: Ground, python: str, name: str, how: str, jobs: int) -> Run:
    with ground.empty() as url:
        meter = Meter({"database": ground.postmaster})
        meter.start()
        before = machine.children_cpu()
        done = subprocess.run([python, QUEUES, name, url, str(jobs)], capture_output=True, text=True, check=False)
        used = machine.children_cpu() - before
        meter.stop()
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    seen = json.loads(done.stdout.splitlines()[-1])
    count = seen["jobs"]
    # With what putting the jobs into the queue costs, which is little beside the rest.
    return Run(
        f"{name} {seen['version']}", how, count / seen["elapsed_s"], used / count * 1e6,
        meter.used["database"] / count * 1e6,
    )  # fmt: skip


def prefect(ground: Ground, program: str, jobs: int) -> Run:
    with ground.empty() as url:
        seen = work_pool.measure(program, url, ground.postmaster, jobs)
    how = f"HTTP: poll, pending, running, completed; {work_pool.SLOTS} slots, one server process"
    return Run(f"Prefect {seen.version}", how, seen.per_s, seen.server_us, seen.database_us)


def median_of(measure: Callable[[], Run], runs: int) -> Run:
    measured = sorted((measure() for _ in range(runs)), key=lambda run: run.per_s)
    return measured[statistics.median_low(range(runs))]


def queues(ground: Ground, asked: argparse.Namespace) -> list[Callable[[], Run]]:
    in_process, jobs = "in-process: fetch, run, finish;", asked.jobs
    found = [
        lambda: ours(ground, jobs),
        lambda: theirs(ground, asked.python, "pgqueuer", f"{in_process} batches of 64, one connection", jobs),
        lambda: theirs(ground, asked.python, "procrastinate", f"{in_process} 64 at once, 16 connections", jobs // 5),
    ]
    if asyncio.run(_settings(ground.url))["pg_trgm"]:
        return [*found, lambda: prefect(ground, asked.prefect, jobs // 20)]
    print("Prefect is left out: its tables need the extension pg_trgm, which this PostgreSQL has not.", file=sys.stderr)
    return found


async def _settings(url: str) -> dict[str, str | None]:
    """What the figures depend on, and the version of `pg_trgm` where the server has it."""
    connection = await asyncpg.connect(url)
    found: dict[str, str | None] = {
        name: await connection.fetchval(f"SHOW {name}") for name in ("server_version", *machine.PG_SETTINGS)
    }
    found["pg_trgm"] = await connection.fetchval(
        "SELECT default_version FROM pg_available_extensions WHERE name = 'pg_trgm'"
    )
    await connection.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="of the environment that has the other queues")
    parser.add_argument("prefect", help="its command, in an environment of its own")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--database", help="a superuser's URL of a PostgreSQL on this machine, made for this run")
    asked = parser.parse_args()
    with nullcontext(asked.database) if asked.database else machine.postgres() as url:
        ground = Ground(url)
        found = [median_of(measure, asked.runs) for measure in queues(ground, asked)]
        settings = asyncio.run(_settings(url))
    print("| queue | how | jobs/s | process, µs a job | database, µs a job |\n|---|---|---|---|---|")
    for run in found:
        print(f"| {run.name} | {run.how} | {run.per_s:.0f} | {run.process_us:.0f} | {run.database_us:.0f} |")
    now = datetime.now(UTC)
    document = {"at": now.isoformat(), "python": platform.python_version(), "postgres": settings,
                "runs": asked.runs, "rows": [asdict(run) for run in found]}  # fmt: skip
    path = RESULTS / f"peers-{now:%Y-%m-%dT%H%MZ}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(f"\nwritten to {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
