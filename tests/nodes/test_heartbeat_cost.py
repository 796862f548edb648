"""Heartbeats are written in place, so that a fleet's table does not grow with every beat."""

import asyncio

import asyncpg
from speaking import MakeNode


async def test_heartbeats_are_heap_only_updates(sql: asyncpg.Connection, make_node: MakeNode):
    nodes = [await make_node(f"node-{n}") for n in range(20)]
    for _ in range(30):
        answers = await asyncio.gather(*(node.beat(disk_free_bytes=7) for node in nodes))
        assert {answer.status_code for answer in answers} == {200}
    # Registering writes what is indexed, heartbeats do not.
    in_place = (await _updates(sql, at_least=600))[1]
    assert in_place >= 0.99 * 600


async def _updates(sql: asyncpg.Connection, at_least: int) -> tuple[int, int]:
    """All updates and the heap-only ones. A connection that rests reports what it did after ten seconds."""
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        await sql.execute("SELECT pg_stat_clear_snapshot()")
        row = await sql.fetchrow("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'node'")
        assert row is not None
        if row[0] >= at_least:
            return row[0], row[1]
        assert asyncio.get_running_loop().time() < deadline, f"only {row[0]} updates were reported"
        await asyncio.sleep(0.5)
