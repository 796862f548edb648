"""Counting nodes: what the counter says is what the table holds, whatever happened to the nodes."""

import asyncio

from app.domain.dashboard import tallies

COUNTED = "SELECT status, desired, count(*) FROM node GROUP BY 1, 2 ORDER BY 1, 2"
TALLIED = "SELECT status, desired, sum(n) FROM node_tally GROUP BY 1, 2 HAVING sum(n) <> 0 ORDER BY 1, 2"


async def test_the_counter_follows_every_change_of_a_node(admin, app, sql, make_node):
    nodes = [await make_node(f"node-{n}") for n in range(4)]
    await asyncio.gather(*(node.beat() for node in nodes))
    await admin.post(f"/api/v1/nodes/{nodes[0].id}/pause")
    await admin.post(f"/api/v1/nodes/{nodes[1].id}/drain")
    await admin.delete(f"/api/v1/nodes/{nodes[2].id}")
    await sql.execute("UPDATE node SET status = 'offline' WHERE id = $1", nodes[3].id)
    for _ in range(2):
        assert await sql.fetch(TALLIED) == await sql.fetch(COUNTED)
        for filters, total in (({}, 3), ({"status": "offline"}, 1), ({"status": "online", "desired": "paused"}, 1)):
            assert (await admin.get("/api/v1/nodes", params=filters)).json()["total"] == total
        counts = (await admin.get("/api/v1/dashboard/stats")).json()["nodes"]
        assert counts == {"online": 2, "offline": 1, "draining": 1, "paused": 1, "busy": 0, "total": 3}
        await sql.execute(
            "INSERT INTO node_tally SELECT owner_id, status, desired, 0 FROM node_tally, generate_series(1, 99)"
        )
        await tallies.add_up_once(app.state.db)
    assert await sql.fetchval("SELECT count(*) FROM node_tally") < 10


async def test_a_beat_counts_nothing(sql, make_node):
    node = await make_node()
    await node.beat()
    before = await sql.fetchval("SELECT count(*) FROM node_tally")
    for _ in range(5):
        await node.beat(disk_free_bytes=7)
    assert await sql.fetchval("SELECT count(*) FROM node_tally") == before
