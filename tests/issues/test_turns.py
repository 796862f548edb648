"""Starts, finishes and releases that arrive together are written together, and each is as exact as if it came alone."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from litestar import Litestar
from speaking import MakeNode, NodeClient, Queue

from app.domain.issues import sweeps

AtOnce = Callable[..., Awaitable[list[httpx2.Response]]]


@pytest.fixture
async def node(make_node: MakeNode) -> NodeClient:
    return await make_node(max_slots=200)


async def taken(queue: Queue, node: NodeClient, count: int = 1, **columns: Any) -> list[str]:
    for n in range(count):
        await queue.add(f"issue {n}", **columns)
    given: list[str] = []
    while len(given) < count:
        given += [offer["attempt_id"] for offer in (await node.claim(max=100)).json()["attempts"]]
    return given


@pytest.fixture
async def at_once(app: Litestar, queue: Queue, make_node: MakeNode, database_url: str) -> AtOnce:
    """Sends requests so that one flush has them all: the flush before waits for a table that is locked meanwhile."""
    blocking = await make_node("blocking")
    (blocked,) = await taken(queue, blocking)
    batcher = app.state.fleet.turns._swift

    async def send(*asked: Awaitable[httpx2.Response]) -> list[httpx2.Response]:
        holder = await asyncpg.connect(database_url)
        async with holder.transaction():
            await holder.execute("LOCK TABLE issue_tally")
            before = asyncio.ensure_future(blocking.release(blocked))
            await _until(lambda: bool(batcher._under_way))
            sent = [asyncio.ensure_future(each) for each in asked]
            await _until(lambda: len(batcher._waiting) == len(sent))
        await holder.close()
        assert (await before).status_code == 200
        return await asyncio.gather(*sent)

    return send


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


def told(answer: httpx2.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("code")


async def test_many_turns_of_one_flush_have_each_its_own_effect(queue: Queue, node: NodeClient, at_once: AtOnce):
    attempts = await taken(queue, node, 40)
    for attempt_id in attempts[10:20]:
        await node.start(attempt_id)
    answers = await at_once(
        *(node.start(each) for each in attempts[:20]),
        *(node.finish(each, branch=f"nodeyard/{n}") for n, each in enumerate(attempts[20:30])),
        *(node.release(each) for each in attempts[30:]),
    )
    assert [answer.status_code for answer in answers] == [200] * 40
    rows = await queue.sql.fetch(
        """SELECT attempt.status, issue.status, count(*), count(DISTINCT result_branch), min(attempt_count)
           FROM attempt JOIN issue ON issue.id = issue_id WHERE attempt.id = ANY ($1) GROUP BY 1, 2 ORDER BY 1""",
        attempts,
    )
    assert [tuple(row) for row in rows] == [
        ("lost", "pending", 10, 0, 0), ("running", "processing", 20, 0, 1), ("succeeded", "pending_merge", 10, 10, 1)
    ]  # fmt: skip


async def test_the_same_finish_twice_in_one_flush_counts_once(queue: Queue, node: NodeClient, at_once: AtOnce):
    attempt_id, other = await taken(queue, node, 2, max_attempts=5)
    failed = {"failure_code": "tool_failed", "error_message": "No luck."}
    answers = await at_once(*(node.finish(each, "failed", **failed) for each in (attempt_id, other, attempt_id)))
    assert [answer.text for answer in answers] == ['{"issue_status":"pending","adopted":false}'] * 3
    assert await queue.sql.fetch("SELECT DISTINCT attempt_count FROM issue WHERE deferred") == [(1,)]


async def test_of_two_finishes_in_one_flush_the_first_counts(queue: Queue, node: NodeClient, at_once: AtOnce):
    (attempt_id,) = await taken(queue, node)
    answers = await at_once(node.finish(attempt_id, branch="nodeyard/a"), node.finish(attempt_id, branch="nodeyard/b"))
    assert sorted(map(told, answers), key=str) == [(200, None), (409, "attempt_finished")]
    kept = "a" if answers[0].status_code == 200 else "b"
    assert await queue.sql.fetchval("SELECT result_branch FROM issue WHERE result_branch IS NOT NULL") == (
        f"nodeyard/{kept}"
    )


async def test_a_finish_that_comes_too_early_is_in_nobodys_way(queue: Queue, node: NodeClient, at_once: AtOnce):
    (attempt_id,) = await taken(queue, node)
    early, whole = await at_once(node.finish(attempt_id, next_seq=3), node.finish(attempt_id, next_seq=0))
    assert (told(early), told(whole)) == ((409, "attempt_finished"), (200, None))
    assert (await queue.attempt(attempt_id))["status"] == "succeeded"


async def test_a_stranger_in_the_same_flush_is_in_nobodys_way(
    queue: Queue, node: NodeClient, make_node: MakeNode, at_once: AtOnce
):
    (attempt_id,) = await taken(queue, node)
    stranger = await make_node("stranger")
    answers = await at_once(
        stranger.finish(attempt_id), stranger.start(attempt_id), stranger.release(attempt_id), node.finish(attempt_id),
        node.start(str(uuid4())),
    )  # fmt: skip
    assert [told(answer) for answer in answers] == [(404, "not_found")] * 3 + [(200, None), (404, "not_found")]


async def test_start_and_finish_in_one_flush_happen_in_this_order(queue: Queue, node: NodeClient, at_once: AtOnce):
    (attempt_id,) = await taken(queue, node)
    finished, started = await at_once(node.finish(attempt_id), node.start(attempt_id))
    assert (finished.json()["issue_status"], started.json()) == ("completed", {"status": "running"})
    attempt = await queue.attempt(attempt_id)
    assert attempt["started_at"] <= attempt["finished_at"]
    assert (await queue.issue(attempt["issue_id"]))["started_at"] == attempt["started_at"]


async def test_a_turn_that_the_database_refuses_fails_alone(queue: Queue, node: NodeClient, at_once: AtOnce):
    await queue.sql.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.summary = 'poison' THEN RAISE EXCEPTION 'poison' USING ERRCODE = 'data_exception'; END IF;
            RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON attempt FOR EACH ROW EXECUTE FUNCTION refuse();
    """)
    attempts = await taken(queue, node, 20)
    answers = await at_once(
        *(node.finish(each, summary="poison" if n % 7 == 3 else "fine") for n, each in enumerate(attempts))
    )
    assert [answer.status_code for answer in answers] == [500 if n % 7 == 3 else 200 for n in range(20)]
    rows = await queue.sql.fetch(
        """SELECT attempt.status, issue.status, count(*) FROM attempt JOIN issue ON issue.id = issue_id
           WHERE attempt.id = ANY ($1) GROUP BY 1, 2 ORDER BY 1""",
        attempts,
    )
    assert [tuple(row) for row in rows] == [("offered", "processing", 3), ("succeeded", "completed", 17)]


async def test_an_attempt_that_somebody_holds_keeps_no_other_waiting(queue: Queue, node: NodeClient, database_url: str):
    held, held_too, *others = await taken(queue, node, 12)
    issue_id = (await queue.attempt(held_too))["issue_id"]
    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        await holder.execute("SELECT 1 FROM attempt WHERE id = $1 FOR NO KEY UPDATE", held)
        await holder.execute("SELECT 1 FROM issue WHERE id = $1 FOR NO KEY UPDATE", issue_id)
        waiting = [asyncio.ensure_future(say) for say in (node.finish(held), node.start(held_too))]
        answers = await asyncio.gather(*map(node.finish, others))
        assert [answer.status_code for answer in answers] == [200] * 10
        assert not any(each.done() for each in waiting)
    await holder.close()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 2


async def test_turns_of_callers_that_go_away_are_neither_lost_nor_doubled(queue: Queue, node: NodeClient):
    """A request that was cut off is sent again, and is answered as the first one would have been."""
    dice = random.Random(11)
    attempts = await taken(queue, node, 60, max_attempts=5)

    async def end(attempt_id: str) -> str:
        def report() -> Awaitable[httpx2.Response]:
            return node.finish(attempt_id, "failed", failure_code="tool_failed")

        for say in (lambda: node.start(attempt_id), report):
            said = asyncio.ensure_future(say())
            await asyncio.sleep(dice.random() * 0.03)
            if dice.random() < 0.6:
                said.cancel()
            await asyncio.wait([said])
        return (await report()).text

    answers = await asyncio.gather(*map(end, attempts))
    assert set(answers) == {'{"issue_status":"pending","adopted":false}'}
    assert await queue.sql.fetch("SELECT attempt_count, count(*) FROM issue GROUP BY 1") == [(1, 60)]
    tally = await queue.sql.fetch("SELECT what, sum(n)::int FROM issue_tally WHERE hour IS NULL GROUP BY 1 ORDER BY 1")
    assert {row[0]: row[1] for row in tally if row[1]} == {"pending": 60}


async def test_a_finish_and_the_loss_of_its_lease_leave_one_result(app: Litestar, queue: Queue, node: NodeClient):
    attempts = await taken(queue, node, 60)
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '1 hour'")

    async def lose() -> None:
        async with app.state.db.reserved.begin() as session:
            await sweeps.lose_silent(session, timedelta(seconds=300))

    dice = random.Random(3)

    async def finish(attempt_id: str) -> httpx2.Response:
        await asyncio.sleep(dice.random() * 0.1)
        return await node.finish(attempt_id)

    answers, *_ = await asyncio.gather(asyncio.gather(*map(finish, attempts)), asyncio.sleep(0.04), lose())
    assert {answer.json()["issue_status"] for answer in answers} == {"completed"}
    rows = await queue.sql.fetch(
        """SELECT attempt.status, issue.status, count(*), count(finish_digest) FROM attempt
           JOIN issue ON issue.id = issue_id GROUP BY 1, 2"""
    )
    assert [tuple(row) for row in rows] == [("succeeded", "completed", 60, 60)]
    adopted = await queue.sql.fetchval("SELECT count(*) FROM attempt WHERE adopted")
    assert adopted == sum(answer.json()["adopted"] for answer in answers)


async def test_a_finish_and_a_cancel_agree_on_what_became_of_the_issue(
    admin: httpx2.AsyncClient, queue: Queue, node: NodeClient
):
    for _ in range(5):
        attempts = await taken(queue, node, 6)
        issues = {each: (await queue.attempt(each))["issue_id"] for each in attempts}

        async def race(attempt_id: str) -> tuple[httpx2.Response, httpx2.Response]:
            return await asyncio.gather(
                node.finish(attempt_id, branch="nodeyard/x"),
                admin.post(f"/api/v1/issues/{issues[attempt_id]}/cancel"),  # noqa: B023 - Awaited in this round.
            )

        for attempt_id, (finished, cancelled) in zip(attempts, await asyncio.gather(*map(race, attempts)), strict=True):
            status = (await queue.issue(issues[attempt_id]))["status"]
            assert (status, cancelled.status_code) in {("cancelled", 200), ("pending_merge", 409)}, cancelled.text
            assert finished.json() == {"issue_status": status, "adopted": False}
            assert (await node.finish(attempt_id, branch="nodeyard/x")).text == finished.text
