"""Heartbeats and sweeps write many rows at once, beside others that hold some of them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest
from litestar import Litestar
from speaking import MakeNode, Queue, until_somebody_waits
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.issues import sweeps as issue_sweeps
from app.domain.issues.lifecycle import Ended
from app.domain.nodes import heartbeat, sweeps
from app.domain.nodes.heartbeat import Beat, Heard
from app.protocol import Heartbeat
from app.tokens import digest

HIGHER, LOWER = UUID(int=2), UUID(int=1)
LONG_AGO = timedelta(minutes=1)
Sweep = Callable[[AsyncSession], Awaitable[list[Ended]]]


@pytest.mark.parametrize("names", [False, True], ids=["left out", "named again"])
async def test_a_heartbeat_takes_attempts_in_the_order_of_those_who_store_their_logs(
    queue: Queue, make_node: MakeNode, names: bool
):
    """In another order each waited for the other, until PostgreSQL failed one of them a second later."""
    node = await make_node(max_slots=2)
    await queue.add()
    await queue.add()
    await node.claim(max=2)
    # The higher one first, as the table and its indexes have them.
    for attempt_id in (HIGHER, LOWER):
        await queue.sql.execute(
            """UPDATE attempt SET id = $1, missed = $2
               WHERE id = (SELECT id FROM attempt WHERE id NOT IN ($3, $4) LIMIT 1)""",
            attempt_id, int(names), HIGHER, LOWER,
        )  # fmt: skip
    lock = "SELECT FROM attempt WHERE id = $1 FOR NO KEY UPDATE"
    async with asyncio.timeout(10), queue.sql.transaction():
        await queue.sql.execute(lock, LOWER)
        beating = asyncio.create_task(node.beat(*((str(HIGHER), str(LOWER)) if names else ())))
        await until_somebody_waits(queue.sql)
        await queue.sql.execute(f"{lock} NOWAIT", HIGHER)
    assert (await beating).status_code == 200
    assert {row["missed"] for row in await queue.sql.fetch("SELECT missed FROM attempt")} == {int(not names)}


async def test_heartbeats_take_nodes_in_one_order(app: Litestar, queue: Queue, make_node: MakeNode):
    """Two servers may hear the same nodes at once: those whose first server did not answer in time."""
    nodes = {digest(node.token): node for node in [await make_node("one"), await make_node("two")]}
    lower, higher = sorted(nodes)
    lock = "SELECT FROM node WHERE token_hash = $1 FOR NO KEY UPDATE"
    for order in ((lower, higher), (higher, lower)):
        beats = [Beat(token_hash, Heartbeat(boot_id=nodes[token_hash].boot_id)) for token_hash in order]
        async with asyncio.timeout(10), queue.sql.transaction():
            await queue.sql.execute(lock, lower)
            beating = asyncio.create_task(heartbeat.flush(app.state.db, beats))
            await until_somebody_waits(queue.sql)
            await queue.sql.execute(f"{lock} NOWAIT", higher)
        assert {type(heard) for heard in await beating} == {Heard}


async def test_a_sweep_passes_over_nodes_that_somebody_holds(app: Litestar, queue: Queue, make_node: MakeNode):
    held, free = await make_node("held"), await make_node("free")
    await queue.sql.execute(
        "UPDATE node SET last_heartbeat = now() - interval '1 h', desired = 'paused', paused_until = now()"
    )
    async with asyncio.timeout(10), queue.sql.transaction():
        await queue.sql.execute("SELECT FROM node WHERE id = $1 FOR NO KEY UPDATE", UUID(held.id))
        async with app.state.db.sessions.begin() as session:
            assert await sweeps.end_pauses(session) == [UUID(free.id)]
            assert await sweeps.mark_offline(session, LONG_AGO) == [UUID(free.id)]
    async with app.state.db.sessions.begin() as session:
        assert await sweeps.end_pauses(session) == [UUID(held.id)]
        assert await sweeps.mark_offline(session, LONG_AGO) == [UUID(held.id)]


async def test_linking_nodes_waits_for_no_heartbeat(queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient):
    nodes = [(await make_node(name)).id for name in ("one", "two")]
    body = {"title": "theirs", "category": "claude-code", "pat": "a long enough secret", "node_ids": nodes}
    async with asyncio.timeout(10), queue.sql.transaction():
        await queue.sql.execute("SELECT FROM node FOR NO KEY UPDATE")
        made = await admin.post("/api/v1/credentials", json=body)
        changed = await admin.patch(f"/api/v1/credentials/{made.json()['id']}", json={"node_ids": nodes[1:]})
    assert (made.status_code, changed.json()["node_ids"]) == (201, nodes[1:])


@pytest.mark.parametrize(
    ("sweep", "ripe"),
    [
        (
            lambda session: issue_sweeps.lose_silent(session, LONG_AGO),
            "node SET last_heartbeat = now() - interval '1 h'",
        ),
        (issue_sweeps.lapse_offers, "attempt SET start_by = now() - interval '1 s'"),
        (
            lambda session: issue_sweeps.settle_cancels(session, LONG_AGO),
            "attempt SET cancel_requested_at = now() - interval '1 h'",
        ),
    ],
    ids=["silent", "not started", "cancelled"],
)
async def test_a_sweep_passes_over_attempts_that_somebody_holds(
    app: Litestar, queue: Queue, make_node: MakeNode, sweep: Sweep, ripe: str
):
    node = await make_node(max_slots=2)
    await queue.add()
    await queue.add()
    held, free = [UUID(offer["attempt_id"]) for offer in (await node.claim(max=2)).json()["attempts"]]
    await queue.sql.execute(f"UPDATE {ripe}")
    for rest, swept in ((held, free), (None, held)):
        async with asyncio.timeout(10), queue.sql.transaction():
            await queue.sql.execute("SELECT FROM attempt WHERE id = $1 FOR NO KEY UPDATE", rest)
            async with app.state.db.sessions.begin() as session:
                assert [ended.attempt_id for ended in await sweep(session)] == [swept]
