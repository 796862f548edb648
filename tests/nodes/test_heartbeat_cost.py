"""Heartbeats are written in place, so that a fleet's table does not grow with every beat."""

import asyncio

import asyncpg
from speaking import MakeNode


async def test_heartbeats_are_heap_only_updates(sql: asyncpg.Connection, make_node: MakeNode):
    """The best of some series: while any transaction writes, in whatever database of the server, former rows keep the
    room of new ones, and other tests hold transactions open for longer than a series takes.

    As in a fleet, those that beat together are not neighbours in the table.
    """
    nodes = [await make_node(f"node-{n}") for n in range(200)]
    # Registering writes what is indexed, heartbeats do not.
    updates, in_place, best = len(nodes), 0, 0.0
    deadline = asyncio.get_running_loop().time() + 120
    while asyncio.get_running_loop().time() < deadline:
        for n in range(30):
            answers = await asyncio.gather(*(node.beat(disk_free_bytes=7) for node in nodes[n % 10 :: 10]))
            assert {answer.status_code for answer in answers} == {200}
        updates += 600
        former, in_place = in_place, await _in_place(sql, updates)
        best = max(best, (in_place - former) / 600)
        if best >= 0.99:
            return
    raise AssertionError(f"at best {best:.3f} of the heartbeats were heap-only updates")


async def _in_place(sql: asyncpg.Connection, updates: int) -> int:
    """How many of so many updates were heap-only. A connection that rests reports what it did after ten seconds."""
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        await sql.execute("SELECT pg_stat_clear_snapshot()")
        row = await sql.fetchrow("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'node'")
        assert row is not None
        if row[0] >= updates:
            return row[1]
        assert asyncio.get_running_loop().time() < deadline, f"only {row[0]} updates were reported"
        await asyncio.sleep(0.5)
