"""How long a large installation takes to upgrade, what a reader beside it feels, and what memory it costs.

    python bench/upgrade.py [--issues 100000] [--logs 1000000] [--database-url postgresql://…]

Makes a database of shape A beside the given one (default: an embedded server in a temporary folder), fills it, and
runs `nodeyard migrate` while a reader asks for an issue and its logs the way the older server did.
"""

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import asyncpg

from app.db import embedded, migrate
from app.db.authoring import scratch_database

PERSON = UUID(int=1)
ISSUES = """
INSERT INTO issue (id, title, description, repository_url, status, priority, owner_id, created_at, updated_at)
SELECT md5('issue' || n)::uuid, 'Issue ' || n, repeat('What is wrong, in some words. ', 20),
    'https://example.com/repository.git',
    (ARRAY['pending', 'processing', 'completed', 'failed', 'terminated'])[1 + n % 5], n % 10, $1,
    timestamp '2026-01-01' + n * interval '1 second', timestamp '2026-01-01'
FROM generate_series($2::int, $3::int) AS n"""
LOGS = """
INSERT INTO workflowlog (id, issue_id, step_name, status, command, output, duration_ms, created_at)
SELECT md5('log' || n)::uuid, md5('issue' || 1 + n % $1)::uuid, 'ai_coding', 'success', 'claude -p',
    repeat(md5(n::text), 12), n, timestamp '2026-01-01' + n * interval '1 second'
FROM generate_series($2::int, $3::int) AS n"""
CHUNK = 50_000


async def fill(url: str, issues: int, logs: int) -> None:
    await migrate.upgrade(url, "001_initial_schema")
    connection = await asyncpg.connect(url)
    await connection.execute(
        """INSERT INTO "user" VALUES ($1, 'a@example.com', 'x', NULL, true, true, now(), now())""", PERSON
    )
    for first in range(1, issues + 1, CHUNK):
        await connection.execute(ISSUES, PERSON, first, min(first + CHUNK - 1, issues))
    for first in range(1, logs + 1, CHUNK):
        await connection.execute(LOGS, issues, first, min(first + CHUNK - 1, logs))
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


class Reader:
    """Asks all the time, and remembers the longest wait and what the database was doing then."""

    def __init__(self, url: str, issues: int) -> None:
        self.url, self.issues = url, issues
        self.longest, self.during, self.count = 0.0, "", 0
        self.waits: list[float] = []

    async def read(self, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(self.url)
        number = 0
        while not stop.is_set():
            number = number % self.issues + 1
            begun = time.monotonic()
            await connection.fetch(f"SELECT id, title, status FROM issue WHERE id = md5('issue{number}')::uuid")
            await connection.fetch(f"SELECT id, output FROM workflowlog WHERE id = md5('log{number}')::uuid")
            waited = time.monotonic() - begun
            self.waits.append(waited)
            if waited > self.longest:
                self.longest = waited
                self.during = await connection.fetchval("SELECT max(version_num) FROM alembic_version")
            await asyncio.sleep(0.001)
        await connection.close()


async def measure(url: str, issues: int, logs: int) -> None:
    begun = time.monotonic()
    await fill(url, issues, logs)
    print(f"filled with {issues} issues and {logs} log entries in {time.monotonic() - begun:.1f} s", flush=True)
    stop, reader = asyncio.Event(), Reader(url, issues)
    reading = asyncio.create_task(reader.read(stop))
    await asyncio.sleep(0.5)
    begun = time.monotonic()
    migrating = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "nodeyard"), "migrate", env={**os.environ, "DATABASE_URL": url}
    )
    if await migrating.wait() != 0:
        raise SystemExit("The migration failed.")
    took = time.monotonic() - begun
    stop.set()
    await reading
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    waits = sorted(reader.waits)
    print(f"nodeyard migrate: {took:.1f} s, at most {memory} MiB of memory")
    print(
        f"a reader beside it: {len(waits)} reads, median {waits[len(waits) // 2] * 1000:.1f} ms,"
        f" 99.9 % below {waits[int(len(waits) * 0.999)] * 1000:.0f} ms,"
        f" longest stall {reader.longest * 1000:.0f} ms (after {reader.during})"
    )


async def run(server: str, issues: int, logs: int) -> None:
    async with scratch_database(server) as url:
        await measure(url, issues, logs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--issues", type=int, default=100_000)
    parser.add_argument("--logs", type=int, default=1_000_000)
    parser.add_argument("--database-url", default=os.environ.get("DATABASE_URL"))
    given = parser.parse_args()
    with ExitStack() as stack:
        server = given.database_url
        if server is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nodeyard-bench-"))
            Path(folder).chmod(0o755)
            server = stack.enter_context(embedded.running(Path(folder)))
        version = subprocess.run(["nproc"], capture_output=True, text=True, check=False).stdout.strip()
        print(f"{version} processors", flush=True)
        asyncio.run(run(server, given.issues, given.logs))


if __name__ == "__main__":
    main()
