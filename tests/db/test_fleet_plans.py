"""How the fleet's connections are told to plan, on every PostgreSQL that we run on, and what they need not ask."""

from uuid import uuid4

import asyncpg

from app.db.engine import FLEET_PLANS, open_database, plan_alike


async def test_the_fleets_connections_plan_as_they_are_told(sql: asyncpg.Connection, database_url: str):
    known = {row["name"] for row in await sql.fetch("SELECT name FROM pg_settings")}
    db = await open_database(database_url)
    try:
        for name in known & FLEET_PLANS.keys():
            assert await db.fleet.fetchval("SELECT current_setting($1)", name) == FLEET_PLANS[name]
    finally:
        await db.close()


async def test_a_setting_that_an_older_server_does_not_know_is_left_out(sql: asyncpg.Connection):
    await plan_alike(sql, {"enable_what_is_to_come": "off", "enable_seqscan": "off"})
    assert await sql.fetchval("SHOW enable_seqscan") == "off"


async def test_what_an_array_is_made_of_is_asked_on_one_connection_alone(database_url: str):
    db = await open_database(database_url)
    asked: list[str] = []
    ids = [uuid4(), uuid4()]
    statement = "SELECT array_agg(id ORDER BY n) FROM unnest($1::uuid[], $2::int[]) AS who (id, n)"
    try:
        async with db.fleet.acquire() as first, db.fleet.acquire() as second:
            await first.fetchval(statement, ids, [1, 2])
            second.add_query_logger(lambda query: asked.append(query.query))
            assert await second.fetchval(statement, ids, [1, 2]) == ids
    finally:
        await db.close()
    assert statement in asked
    assert not [query for query in asked if "pg_type" in query]
