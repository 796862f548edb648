"""Databases to measure on: each is a copy of a seeded one, so that every run begins on the same fresh tables."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from app.db import migrate
from bench import machine, seeding
from bench.machine import Load

ONE_LANE, MIXED, SMALL, MILLION, BEHIND, WORKING, GREAT = (
    "one_lane", "mixed", "small", "million", "behind", "working", "great",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seed:
    nodes: int
    issues: int = 0
    lanes: int = 12
    ineligible: int = 0
    attempts: int = 0


SEEDS = {
    ONE_LANE: Seed(nodes=10_000, issues=60_000, lanes=1, attempts=64),
    MIXED: Seed(nodes=20_000, issues=60_000),
    SMALL: Seed(nodes=20_000, issues=3_000),
    MILLION: Seed(nodes=20_000, issues=1_000_000),
    BEHIND: Seed(nodes=20_000, issues=60_000, ineligible=100_000),
    WORKING: Seed(nodes=10_000, attempts=10_000),
    GREAT: Seed(nodes=60_000),
}


@dataclass(slots=True)
class Seeded:
    tokens: list[str]
    attempts: list[str]
    operator: str
    node_id: str
    lane: int | None


class Ground:
    def __init__(self, url: str) -> None:
        self.url = url
        self.postmaster = machine.postmaster(url)
        self._seeded: dict[str, Seeded] = {}
        asyncio.run(self._prepare())

    async def _prepare(self) -> None:
        await self._admin("CREATE DATABASE migrated")
        await migrate.upgrade(machine.at(self.url, "migrated"))

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute(statement, timeout=120)
        await connection.close()

    @contextmanager
    def fresh(self, name: str) -> Generator[tuple[str, Seeded]]:
        """The URL of a new copy of the seeded database `name`."""
        if name not in self._seeded:
            self._seeded[name] = asyncio.run(self._seed(name, SEEDS[name]))
        asyncio.run(self._admin(f"CREATE DATABASE run TEMPLATE {name} STRATEGY FILE_COPY"))
        try:
            yield machine.at(self.url, "run"), self._seeded[name]
        finally:
            asyncio.run(self._admin("DROP DATABASE run WITH (FORCE)"))

    @contextmanager
    def empty(self) -> Generator[str]:
        """The URL of a new database that has nothing in it."""
        asyncio.run(self._admin("CREATE DATABASE run"))
        try:
            yield machine.at(self.url, "run")
        finally:
            asyncio.run(self._admin("DROP DATABASE run WITH (FORCE)"))

    async def _seed(self, name: str, seed: Seed) -> Seeded:
        await self._admin(f"CREATE DATABASE {name} TEMPLATE migrated")
        connection = await asyncpg.connect(machine.at(self.url, name))
        fleet = await seeding.fleet(connection, seed.nodes)
        if seed.issues:
            await seeding.issues(connection, fleet.owner, seed.issues, seed.lanes)
        if seed.ineligible:
            await seeding.ineligible(connection, fleet.owner, seed.ineligible)
        attempts = await seeding.attempts(connection, fleet.owner, seed.attempts) if seed.attempts else []
        await connection.execute("CREATE SEQUENCE bench_seq CACHE 1000")
        await connection.execute("VACUUM (ANALYZE)", timeout=600)
        lane = await connection.fetchval("SELECT lane FROM issue WHERE status = 'pending' LIMIT 1")
        await connection.close()
        return Seeded(fleet.tokens, attempts, fleet.operator_token, str(fleet.node_ids[0]), lane)

    def http(self, name: str, job: dict[str, Any], **settings: str) -> Load:
        """A job of the load generator against one server process on a fresh copy of `name`."""
        with self.fresh(name) as (url, seeded), machine.server(url, **settings) as server:
            return self.load(server, seeded, job)

    def load(self, server: machine.Server, seeded: Seeded, job: dict[str, Any]) -> Load:
        full = {
            "url": server.url,
            "create_url": server.url,
            "tokens": seeded.tokens[job.pop("from_node", 0) :][: job.pop("nodes", None)],
            "attempts": seeded.attempts[: job.pop("attempts", None)],
            "operator": seeded.operator,
            **job,
        }
        return machine.load(full, {"server": server.pid, "database": self.postmaster})
