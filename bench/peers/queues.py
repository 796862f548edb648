"""One other queue at work, in an environment of its own: fetches and finishes jobs that do nothing, until none is left.

Run as `queues.py NAME URL JOBS`; prints what it saw as JSON.
"""

import asyncio
import json
import sys
import time
from importlib.metadata import version

import asyncpg

CONCURRENCY = 64


async def procrastinate(url: str, jobs: int) -> tuple[int, float]:
    """One worker process that runs 64 jobs at once, on a pool of 16 connections."""
    from procrastinate import App, PsycopgConnector  # noqa: PLC0415 - Only the one that is asked for.

    done = 0
    app = App(connector=PsycopgConnector(conninfo=url, min_size=16, max_size=16))

    @app.task(name="work")
    async def work(n: int) -> None:
        nonlocal done
        done += 1

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for first in range(0, jobs, 1000):
            await work.batch_defer_async(*({"n": n} for n in range(first, min(first + 1000, jobs))))
        began = time.perf_counter()
        await app.run_worker_async(concurrency=CONCURRENCY, wait=False, install_signal_handlers=False)
        return done, time.perf_counter() - began


async def pgqueuer(url: str, jobs: int) -> tuple[int, float]:
    """One worker process, on one connection, that takes batches of 64: it writes what is finished together."""
    from pgqueuer import PgQueuer  # noqa: PLC0415
    from pgqueuer.db import AsyncpgDriver  # noqa: PLC0415
    from pgqueuer.types import QueueExecutionMode  # noqa: PLC0415

    done = 0
    queuer = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))
    await queuer.queries.install()

    @queuer.entrypoint("work")
    async def work(_job: object) -> None:
        nonlocal done
        done += 1

    for _ in range(0, jobs, 1000):
        await queuer.queries.enqueue(["work"] * 1000, [None] * 1000, [0] * 1000)
    began = time.perf_counter()
    await queuer.run(batch_size=CONCURRENCY, mode=QueueExecutionMode.drain)
    return done, time.perf_counter() - began


QUEUES = {"procrastinate": procrastinate, "pgqueuer": pgqueuer}


def main() -> None:
    name, url, jobs = sys.argv[1:]
    done, elapsed_s = asyncio.run(QUEUES[name](url, int(jobs)))
    print(json.dumps({"version": version(name), "jobs": done, "elapsed_s": elapsed_s}))


if __name__ == "__main__":
    main()
