"""How tests speak to the server: as nobody, as a person, as a node."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
from litestar import Litestar

REGISTRATION_KEY = "registration-key-of-the-tests"
ADMIN = ("admin@example.com", "correct horse battery staple")


_WAITING = "FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def until_somebody_waits(sql: asyncpg.Connection) -> None:
    """For a row, a table or an advisory lock of the database."""
    while not await _fresh(sql, f"SELECT EXISTS (SELECT {_WAITING})"):
        await asyncio.sleep(0.01)


async def is_one_statement(sql: asyncpg.Connection) -> bool:
    """Whether who waits does so in a transaction that began with the statement."""
    return await _fresh(sql, f"SELECT xact_start = query_start {_WAITING}")


async def _fresh(sql: asyncpg.Connection, question: str) -> bool:
    await sql.execute("SELECT pg_stat_clear_snapshot()")  # Which a transaction would keep.
    return await sql.fetchval(question)


def client_of(app: Litestar, token: str | None = None) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://test", headers=headers, timeout=60
    )


class NodeClient:
    """A machine that speaks PROTOCOL. Every method gives the raw response."""

    def __init__(self, http: httpx2.AsyncClient, node_id: str, boot_id: str) -> None:
        self.http = http
        self.id = node_id
        self.boot_id = boot_id

    @property
    def token(self) -> str:
        return self.http.headers["Authorization"].removeprefix("Bearer ")

    def at(self, app: Litestar) -> "NodeClient":
        """The same machine, speaking to another server."""
        return NodeClient(client_of(app, self.token), self.id, self.boot_id)

    async def claim(self, *, wait: float = 0, **fields: Any) -> httpx2.Response:
        body = {"claim_id": str(uuid4()), "boot_id": self.boot_id, **fields}
        return await self.http.post("/api/v1/nodes/claim", params={"wait": wait}, json=body)

    async def take(self, **fields: Any) -> dict[str, Any]:
        """Claims one issue that must be there, and gives its offer."""
        answer = await self.claim(**fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["attempts"][0]

    async def beat(self, *attempt_ids: str, **fields: Any) -> httpx2.Response:
        held = [{"attempt_id": each, "state": "running"} for each in attempt_ids]
        body = {"boot_id": self.boot_id, "free_slots": 0, "attempts": held, **fields}
        return await self.http.post("/api/v1/nodes/heartbeat", json=body)

    async def start(self, attempt_id: str) -> httpx2.Response:
        return await self.http.post(f"/api/v1/attempts/{attempt_id}/start")

    async def log(self, attempt_id: str, first_seq: int, *outputs: str, **fields: Any) -> httpx2.Response:
        entries = [{"step_name": "ai_coding", "status": "running", "output": output, **fields} for output in outputs]
        return await self.http.post(
            f"/api/v1/attempts/{attempt_id}/logs", json={"first_seq": first_seq, "entries": entries}
        )

    async def finish(self, attempt_id: str, result: str = "succeeded", **fields: Any) -> httpx2.Response:
        body = {"result": result, "next_seq": 0, **fields}
        return await self.http.post(f"/api/v1/attempts/{attempt_id}/finish", json=body)

    async def release(self, attempt_id: str) -> httpx2.Response:
        return await self.http.post(f"/api/v1/attempts/{attempt_id}/release", json={"reason": "shutting down"})


MakeNode = Callable[..., Awaitable[NodeClient]]


class Queue:
    """Issues put into the queue behind the API's back, and looked at there."""

    def __init__(self, sql: asyncpg.Connection, owner_id: Any) -> None:
        self.sql = sql
        self.owner_id = owner_id

    async def add(self, title: str = "Fix it", **columns: Any) -> str:
        issue_id = uuid4()
        given = {"id": issue_id, "title": title, "owner_id": self.owner_id, "priority": 0, **columns}
        names, places = ", ".join(given), ", ".join(f"${n}" for n in range(1, len(given) + 1))
        await self.sql.execute(
            f"""INSERT INTO issue ({names}, rank, created_at)
                VALUES ({places}, {given["priority"]} * 86400.0 - extract(epoch FROM clock_timestamp()),
                        clock_timestamp())""",
            *given.values(),
        )
        return str(issue_id)

    async def issue(self, issue_id: str) -> asyncpg.Record:
        row = await self.sql.fetchrow("SELECT * FROM issue WHERE id = $1", issue_id)
        assert row is not None
        return row

    async def attempt(self, attempt_id: str) -> asyncpg.Record:
        row = await self.sql.fetchrow("SELECT * FROM attempt WHERE id = $1", attempt_id)
        assert row is not None
        return row
