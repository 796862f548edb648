"""How the fleet's connections are told to plan, on every PostgreSQL that we run on."""

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
