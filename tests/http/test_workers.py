"""Worker processes of a real server: how many connections each may hold, and that they count together."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.agent.harness import ServerProcess


@asynccontextmanager
async def serving(
    folder: Path, database_url: str, launcher: str = "", **settings: str
) -> AsyncGenerator[ServerProcess]:
    server = ServerProcess(folder, database_url, ("sh", "-c", f'{launcher} exec "$@"', "sh"), **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def open_files(pid: int) -> tuple[str, str]:
    """The soft and the hard limit."""
    found = re.search(r"Max open files +(\S+) +(\S+)", Path(f"/proc/{pid}/limits").read_text())
    assert found is not None
    return found[1], found[2]


async def test_a_worker_may_hold_as_many_connections_as_the_machine_allows(tmp_path: Path, database_url: str):
    async with serving(tmp_path, database_url, "ulimit -Sn 512;") as server:
        (worker,) = server.workers()
        soft, hard = open_files(worker)
        assert soft == hard != "512"
        assert "few connections" not in server.complaints


async def test_a_limit_that_is_too_low_for_a_fleet_is_said(tmp_path: Path, database_url: str):
    async with serving(tmp_path, database_url, "ulimit -n 2000;") as server:
        (worker,) = server.workers()
        assert open_files(worker) == ("2000", "2000")
        assert re.search(r"few connections.*at_most=2000", server.complaints)


async def test_a_scrape_of_any_worker_counts_what_all_answered(tmp_path: Path, database_url: str):
    async with serving(tmp_path, database_url, NODEYARD_WORKERS="2") as server:
        for _ in range(40):
            async with httpx2.AsyncClient() as stranger:
                assert (await stranger.get(f"{server.url}/api/v1/issues")).status_code == 401
        series = 'nodeyard_http_requests_total{method="GET",route="/api/v1/issues",status="401"} 40.0'
        for _ in range(20):
            async with httpx2.AsyncClient() as scraper:
                assert series in (await scraper.get(f"{server.url}/metrics")).text
