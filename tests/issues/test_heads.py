"""What is remembered of the queue's order: it makes claims cheap, and hides nothing."""

import json
from typing import Any

import asyncpg
import httpx2
from speaking import MakeNode, NodeClient, Queue

from app.domain.issues.eligibility import LANES, LANES_FROM, READY


async def create(admin: httpx2.AsyncClient, title: str, **fields: Any) -> None:
    answer = await admin.post("/api/v1/issues", json={"title": title, **fields})
    assert answer.status_code == 201, answer.text


async def title(node: NodeClient) -> str:
    return (await node.take())["issue"]["title"]


async def test_a_more_urgent_issue_is_first_whatever_was_claimed_before(admin: httpx2.AsyncClient, make_node: MakeNode):
    node = await make_node(max_slots=9, tags=["gpu"])
    for n in range(3):
        await create(admin, f"calm {n}")
    assert await title(node) == "calm 0"
    await create(admin, "urgent", priority=5)
    assert await title(node) == "urgent"
    await create(admin, "more urgent, and asks another thing", priority=9, requires=["gpu"])
    assert await title(node) == "more urgent, and asks another thing"
    assert await title(node) == "calm 1"


async def test_an_issue_that_comes_back_has_its_old_place(admin: httpx2.AsyncClient, make_node: MakeNode):
    node, other = await make_node("one", max_slots=9), await make_node("two", max_slots=9)
    for n in range(4):
        await create(admin, f"issue {n}")
    oldest = await node.take()
    assert await title(other) == "issue 1"
    assert (await node.release(oldest["attempt_id"])).status_code == 200
    assert await title(other) == "issue 0"
    second = await node.take()
    assert (await node.finish(second["attempt_id"], "failed", error_message="no")).status_code == 200
    assert await title(other) == "issue 3"


async def test_an_issue_written_past_the_api_is_found_where_nothing_else_is(queue: Queue, make_node: MakeNode):
    node = await make_node(max_slots=9)
    await queue.add("known")
    await queue.add("known too")
    assert await title(node) == "known"
    await queue.add("nobody told of this", priority=9)
    answer = await node.claim(max=5)
    assert {each["issue"]["title"] for each in answer.json()["attempts"]} == {"known too", "nobody told of this"}


async def test_a_known_head_spares_the_walk_over_what_a_held_snapshot_keeps(
    queue: Queue, make_node: MakeNode, sql: asyncpg.Connection, database_url: str
):
    node = await make_node(max_slots=1000)
    for _ in range(510):
        await queue.add()
    # In no order of the table, so that each entry leads to another page.
    await sql.execute("UPDATE issue SET rank = hashtext(id::text); ANALYZE issue; SET enable_seqscan = off")
    holder = await asyncpg.connect(database_url)
    async with holder.transaction(isolation="repeatable_read"):
        await holder.fetchval("SELECT count(*) FROM issue")
        for _ in range(5):
            await node.take(max=100)
        head = await sql.fetchrow(f"SELECT lane, rank FROM issue WHERE {READY} ORDER BY rank DESC LIMIT 1")
        assert head is not None
        whole = await pages(sql, f"{LANES} SELECT FROM lane WHERE $1::uuid[] IS NULL", None)
        known = await pages(sql, f"{LANES_FROM} SELECT FROM lane WHERE $1::uuid[] IS NULL", None, [head[0]], [head[1]])
    await holder.close()
    assert whole > 400
    assert known < 20


async def pages(sql: asyncpg.Connection, statement: str, *arguments: Any) -> int:
    """How often the statement looks at a page."""
    plan = await sql.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
    return json.loads(plan)[0]["Plan"]["Shared Hit Blocks"]
