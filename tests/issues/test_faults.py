"""What only shows when two things happen at once: each test drives the race itself instead of hoping for it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from litestar import Litestar
from msgspec.structs import replace
from speaking import MakeNode, NodeClient, Queue

from app.db.engine import Database, open_database
from app.domain.issues import claim
from app.domain.issues.claim import ClaimRequest
from app.domain.issues.heads import Heads
from app.errors import AppError
from app.settings import Settings
from app.tokens import digest
from app.upkeep import Upkeep


@pytest.fixture
async def others(app: Litestar, database_url: str) -> AsyncIterator[list[Database]]:
    """The databases of other server processes."""
    opened = [await open_database(database_url) for _ in range(4)]
    yield opened
    for one in opened:
        await one.close()


def asking(node: NodeClient, most: int = 1) -> ClaimRequest:
    return ClaimRequest(digest(node.token), uuid4(), node.boot_id, most)


async def claimed(db: Database, settings: Settings, request: ClaimRequest) -> int:
    (given,) = await claim.flush(db.fleet, settings, Heads(), [request])
    assert not isinstance(given, AppError), given
    return len(given.offers)


async def test_an_issue_that_somebody_locks_holds_up_no_claim(queue: Queue, make_node: MakeNode, database_url: str):
    node = await make_node(max_slots=5)
    head = await queue.add("head", priority=9)
    next_one = await queue.add("next")
    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM issue WHERE id = $1 FOR UPDATE", head)
        # Answered while the lock is held.
        assert (await node.take(wait=2))["issue"]["id"] == next_one
    await holder.close()


async def test_servers_that_claim_at_once_never_give_an_issue_twice(
    queue: Queue, make_node: MakeNode, others: list[Database], settings: Settings
):
    nodes = [await make_node(f"node-{n}", max_slots=100) for n in range(4)]
    for _ in range(10):
        for _ in range(8):
            await queue.add()
        taken = await asyncio.gather(
            *(claimed(db, settings, asking(node, 3)) for db, node in zip(others, nodes, strict=True))
        )
        while await claimed(others[0], settings, asking(nodes[0], 8)):
            pass
        assert sum(taken) <= 8
    live = await queue.sql.fetch("SELECT issue_id, count(*) FROM attempt GROUP BY 1 HAVING count(*) > 1")
    assert not live


async def test_servers_that_claim_for_one_node_at_once_respect_its_slots(
    queue: Queue, make_node: MakeNode, others: list[Database], settings: Settings
):
    for n in range(8):
        node = await make_node(f"node-{n}", max_slots=2)
        for _ in range(8):
            await queue.add()
        await asyncio.gather(*(claimed(db, settings, asking(node, 2)) for db in others))
        held = await queue.sql.fetchval("SELECT count(*) FROM attempt WHERE node_id = $1", node.id)
        assert held == 2


async def test_a_claim_under_way_while_its_machine_starts_anew_leaves_no_slot_taken_twice(
    queue: Queue, make_node: MakeNode, others: list[Database], settings: Settings, database_url: str
):
    node = await make_node(max_slots=1)
    for _ in range(2):
        await queue.add()

    async def start_anew() -> None:
        again = await make_node(max_slots=1, boot_id="boot-2")
        assert await claimed(others[1], settings, asking(again)) == 1

    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        # A claim reads this table behind its count of free slots; registering does not.
        await holder.execute("LOCK TABLE repository IN ACCESS EXCLUSIVE MODE")
        former = asyncio.ensure_future(claimed(others[0], settings, asking(node)))
        await asyncio.sleep(0.5)
        anew = asyncio.ensure_future(start_anew())
        await asyncio.sleep(1.5)
    await holder.close()
    await asyncio.gather(former, anew)
    assert await queue.sql.fetchval("SELECT count(*) FROM attempt WHERE status IN ('offered', 'running')") == 1


async def test_servers_that_claim_under_one_cap_at_once_respect_it(
    queue: Queue, make_node: MakeNode, others: list[Database], settings: Settings
):
    nodes = [await make_node(f"node-{n}", max_slots=100) for n in range(4)]
    for _ in range(8):
        project = await queue.sql.fetchval(
            "INSERT INTO project (id, name, owner_id, max_running) VALUES ($1, 'capped', $2, 2) RETURNING id",
            uuid4(),
            queue.owner_id,
        )
        for _ in range(8):
            await queue.add(project_id=project)
        await asyncio.gather(*(claimed(db, settings, asking(node, 2)) for db, node in zip(others, nodes, strict=True)))
        running = "SELECT count(*) FROM issue WHERE project_id = $1 AND status = 'processing'"
        assert await queue.sql.fetchval(running, project) <= 2
        await queue.sql.execute("DELETE FROM issue")


async def test_the_same_report_eight_times_at_once_has_one_effect(queue: Queue, make_node: MakeNode):
    node = await make_node()
    issue_id = await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    await node.start(attempt_id)
    usage = {"usage": [{"provider": "a", "model": "b", "input_tokens": 3}]}
    path = f"/api/v1/attempts/{attempt_id}"
    told = await asyncio.gather(*(node.http.put(f"{path}/usage", json=usage) for _ in range(8)))
    assert {answer.status_code for answer in told} == {200}
    logged = await asyncio.gather(*(node.log(attempt_id, 0, "one", "two") for _ in range(8)))
    assert {answer.json()["next_seq"] for answer in logged} == {2}
    finished = await asyncio.gather(*(node.finish(attempt_id, next_seq=2) for _ in range(8)))
    assert {answer.text for answer in finished} == {'{"issue_status":"completed","adopted":false}'}
    assert await queue.sql.fetchval("SELECT count(*) FROM workflowlog") == 2
    assert (await queue.issue(issue_id))["attempt_count"] == 1


async def test_nobody_is_judged_before_one_lease_after_the_server_came(
    app: Litestar, queue: Queue, make_node: MakeNode, settings: Settings
):
    node = await make_node()
    issue_id = await queue.add()
    await node.start((await node.take())["attempt_id"])
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '1 hour'")
    state = app.state
    upkeep = Upkeep(state.db, settings, state.fleet.dispatch, state.roll_call)
    await upkeep.run_once()
    assert (await queue.issue(issue_id))["status"] == "processing"
    upkeep._listening_since -= settings.lease.total_seconds() + 1
    await upkeep.run_once()
    assert (await queue.issue(issue_id))["status"] == "pending"


async def test_nobody_is_judged_right_after_a_tick_that_hung_in_the_database(
    app: Litestar, queue: Queue, make_node: MakeNode, settings: Settings, sql: asyncpg.Connection
):
    node = await make_node()
    issue_id = await queue.add()
    await node.start((await node.take())["attempt_id"])
    await sql.execute("UPDATE node SET last_heartbeat = now() - interval '1 hour'")
    state, short = app.state, replace(settings, lease=timedelta(seconds=4))
    upkeep = Upkeep(state.db, short, state.fleet.dispatch, state.roll_call)
    upkeep._listening_since -= 3600
    async with sql.transaction():
        await sql.execute("LOCK TABLE node IN ACCESS EXCLUSIVE MODE")
        hung = asyncio.ensure_future(upkeep.run_once())
        await asyncio.sleep(2.5)
    await hung
    await upkeep.run_once()
    assert (await queue.issue(issue_id))["status"] == "processing"


async def test_one_issue_for_thousands_of_waiting_nodes_is_one_claim(
    app: Litestar, queue: Queue, make_node: MakeNode, sql: asyncpg.Connection
):
    """And costs the others nothing: they are neither woken nor asked about one by one."""
    node = await make_node("first", max_slots=1000)
    dispatch = app.state.fleet.dispatch
    calm = asyncio.Event()

    def never() -> asyncio.Future[None]:
        return asyncio.ensure_future(calm.wait())  # type: ignore[return-value]

    polls = [asyncio.ensure_future(dispatch.claim(asking(node), 4.0, never)) for _ in range(5000)]
    while dispatch.waiting < 5000:
        await asyncio.sleep(0.05)
    flushes = await sql.fetchval("SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = current_database()")
    await queue.add()
    dispatch.ring()
    answers = await asyncio.gather(*polls)
    await asyncio.sleep(0.5)
    after = await sql.fetchval("SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = current_database()")
    assert sum(len(offers) for offers in answers) == 1
    assert await sql.fetchval("SELECT count(*) FROM attempt") == 1
    assert after - flushes < 200


@pytest.mark.parametrize("nodes", [300, pytest.param(1_000, marks=pytest.mark.chaos)])
@pytest.mark.usefixtures("app")
async def test_hundreds_of_nodes_that_restart_at_once_are_all_let_in(make_node: MakeNode, queue: Queue, nodes: int):
    """Those that find no connection free in time are told to come again, and come as agents do."""

    async def restart(number: int) -> None:
        limit_s = 0.5
        while True:
            with suppress(AssertionError):
                await make_node(f"node-{number}")
                return
            await asyncio.sleep(max(random.uniform(1, 2), random.uniform(0.05, limit_s)))
            limit_s = min(limit_s * 2, 15.0)

    await asyncio.gather(*(restart(number) for number in range(nodes)))
    assert await queue.sql.fetchval("SELECT count(*) FROM node WHERE status = 'online'") == nodes


def test_a_large_fleet_is_asked_to_beat_less_often():
    from app.domain.nodes.registering import heartbeat_interval  # noqa: PLC0415

    usual = timedelta(seconds=15)
    assert heartbeat_interval(usual, 1_000) == usual
    assert heartbeat_interval(usual, 120_000) == timedelta(seconds=30)
