"""What a server does before it serves, so that the first nodes wait no longer than those after them."""

from contextlib import AsyncExitStack

import asyncpg
from speaking import Queue

from app.db.connection import rehearse
from app.db.engine import FLEET_CONNECTIONS, open_database
from app.domain.issues import fleet
from app.domain.nodes import heartbeat

STATEMENTS = [*fleet.STATEMENTS, *heartbeat.STATEMENTS]


async def test_every_connection_of_the_fleet_has_rehearsed_and_changed_nothing(
    queue: Queue, database_url: str, sql: asyncpg.Connection
):
    await queue.add()
    before = await sql.fetch("SELECT xmin::text, * FROM issue")
    db = await open_database(database_url)
    try:
        await rehearse(db.fleet, STATEMENTS)
        async with AsyncExitStack() as taken:
            for _ in range(FLEET_CONNECTIONS):
                connection = await taken.enter_async_context(db.fleet.acquire())
                prepared = await connection.fetch("SELECT statement FROM pg_prepared_statements")
                assert {row["statement"] for row in prepared} >= set(STATEMENTS)
    finally:
        await db.close()
    assert await sql.fetch("SELECT xmin::text, * FROM issue") == before
