"""Claims over HTTP: who gets what, once."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from litestar import Litestar
from speaking import MakeNode, Queue


async def test_an_empty_queue_answers_204(make_node: MakeNode):
    answer = await (await make_node()).claim()
    assert answer.status_code == 204, answer.text


async def test_the_most_urgent_issue_comes_first(queue: Queue, make_node: MakeNode):
    await queue.add("later")
    await queue.add("first", priority=9)
    await queue.add("last")
    answer = await (await make_node(max_slots=3)).claim(max=3)
    assert [offer["issue"]["title"] for offer in answer.json()["attempts"]] == ["first", "later", "last"]


async def test_a_repeated_claim_returns_the_same_offers(queue: Queue, make_node: MakeNode):
    await queue.add()
    await queue.add()
    node = await make_node(max_slots=5)
    claim_id = str(uuid4())
    first, again = await node.claim(claim_id=claim_id), await node.claim(claim_id=claim_id)
    assert first.json() == again.json()
    assert len(first.json()["attempts"]) == 1


async def test_a_node_never_gets_more_than_its_slots(queue: Queue, make_node: MakeNode):
    for _ in range(3):
        await queue.add()
    node = await make_node(max_slots=2)
    assert len((await node.claim(max=9)).json()["attempts"]) == 2
    assert (await node.claim()).status_code == 204


async def test_a_waiting_node_is_woken_by_work(app: Litestar, queue: Queue, make_node: MakeNode):
    node = await make_node()
    waiting = asyncio.create_task(node.claim(wait=30))
    while not app.state.fleet.dispatch.waiting:
        await asyncio.sleep(0)
    await queue.add("news")
    app.state.fleet.dispatch.ring()
    assert (await waiting).json()["attempts"][0]["issue"]["title"] == "news"


async def test_an_issue_is_taken_the_moment_it_is_due(app: Litestar, queue: Queue, make_node: MakeNode):
    node = await make_node()
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    await queue.add("in a moment", not_before=soon, deferred=True)
    await queue.add("tomorrow", not_before=soon + timedelta(days=1), deferred=True)
    offer = await node.take(wait=30)
    assert offer["issue"]["title"] == "in a moment"
    assert datetime.now(UTC) >= soon
    assert (await node.claim()).status_code == 204


async def test_the_same_claim_twice_at_once_gets_the_same_offers(queue: Queue, make_node: MakeNode):
    for _ in range(20):
        await queue.add()
    node = await make_node(max_slots=1000)
    for _ in range(5):
        claim_id = str(uuid4())
        answers = await asyncio.gather(*(node.claim(claim_id=claim_id, max=2) for _ in range(4)))
        assert len({answer.text for answer in answers}) == 1
    assert await queue.sql.fetchval("SELECT count(*) FROM attempt") == 10


async def test_a_node_that_hangs_up_while_it_waits_gets_nothing(app: Litestar, queue: Queue, make_node: MakeNode):
    node, other = await make_node("hangs-up"), await make_node("stays")
    waiting = asyncio.create_task(node.claim(wait=30))
    while not app.state.fleet.dispatch.waiting:
        await asyncio.sleep(0)
    waiting.cancel()
    while app.state.fleet.dispatch.waiting:
        await asyncio.sleep(0)
    await queue.add()
    assert (await other.claim()).status_code == 200
