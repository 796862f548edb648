"""Prefect's work pool, over its HTTP API: what its worker asks of it for flow runs that do nothing.

A worker polls the pool for as many scheduled runs as it has slots, and proposes for each that it is pending; the run
itself proposes that it is running, and that it has completed. The server has an environment of its own. It runs
without telemetry, without its page, and without the services that look for runs that are late or have failed.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench import machine
from bench.machine import Meter, Server

SLOTS = 64
_POOL = "bench"
_LONG_AGO = "2020-01-01T00:00:00Z"
_OFF = ("PREFECT_SERVER_ANALYTICS_ENABLED", "PREFECT_SERVER_UI_ENABLED", "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS")


@dataclass(frozen=True, slots=True)
class Seen:
    version: str
    per_s: float
    server_us: float
    """CPU for one job."""
    database_us: float


def measure(program: str, database_url: str, postmaster: int, jobs: int) -> Seen:
    """`program` is Prefect's command."""
    with _server(program, database_url) as server:
        return asyncio.run(_measured(server, postmaster, jobs))


@contextmanager
def _server(program: str, database_url: str) -> Generator[Server]:
    port = machine.free_port()
    with tempfile.TemporaryDirectory(prefix="nodeyard-prefect-") as home:
        environment = {
            **os.environ,
            "PREFECT_HOME": home,
            "PREFECT_API_DATABASE_CONNECTION_URL": database_url.replace("postgresql:", "postgresql+asyncpg:", 1),
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
            **dict.fromkeys(_OFF, "false"),
        }
        command = [program, "server", "start", "--no-services", "--keep-alive-timeout", "120", "--port", str(port)]
        with machine.served(command, environment, f"http://127.0.0.1:{port}/api", "/ready") as server:
            yield server


async def _measured(server: Server, postmaster: int, jobs: int) -> Seen:
    connector = aiohttp.TCPConnector(limit=SLOTS)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as http:
        worker = _Worker(http, server.url)
        await worker.schedule(jobs)
        meter = Meter({"server": server.pid, "database": postmaster})
        meter.start()
        began = time.perf_counter()
        done = await worker.work_until_none_is_left()
        elapsed_s = time.perf_counter() - began
        meter.stop()
        version = await worker.ask("GET", "/admin/version")
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} runs were finished.")
    return Seen(version, done / elapsed_s, meter.used["server"] / done * 1e6, meter.used["database"] / done * 1e6)


class _Worker:
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url = http, url

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        async with self._http.request(method, self._url + path, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def schedule(self, jobs: int) -> None:
        await self.ask("POST", "/work_pools/", {"name": _POOL, "type": "process"})
        flow = await self.ask("POST", "/flows/", {"name": "nothing"})
        scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": _LONG_AGO}}
        run = {"flow_id": flow["id"], "work_pool_name": _POOL, "state": scheduled}
        await asyncio.gather(*(self.ask("POST", "/flow_runs/", run) for _ in range(jobs)))

    async def work_until_none_is_left(self) -> int:
        """How many runs were accepted as completed."""
        done = 0
        while found := await self.ask("POST", f"/work_pools/{_POOL}/get_scheduled_flow_runs", {"limit": SLOTS}):
            done += sum(await asyncio.gather(*(self._run(each["flow_run"]["id"]) for each in found)))
        return done

    async def _run(self, run_id: str) -> bool:
        for state in ("PENDING", "RUNNING", "COMPLETED"):
            answer = await self.ask("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": state}})
            if answer["status"] != "ACCEPT":
                return False
        return True
