"""Log entries of a node: stored once, in order, whatever they hold."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from litestar import Litestar
from speaking import MakeNode, NodeClient, Queue, is_one_statement, until_somebody_waits

from app.domain.issues.notices import LOG

URL = "/api/v1/attempts/{}/logs"
ENTRY = {"step_name": "s", "status": "running"}
Together = Callable[..., Awaitable[list[httpx2.Response]]]


@pytest.fixture
async def node(make_node: MakeNode) -> NodeClient:
    return await make_node(max_slots=9)


@pytest.fixture
async def attempt_id(queue: Queue, node: NodeClient) -> str:
    await queue.add()
    return (await node.take())["attempt_id"]


@pytest.fixture
async def together(queue: Queue, make_node: MakeNode) -> Together:
    """Sends calls that share a flush: another one before them, of a node of its own, waits for a row meanwhile."""
    blocking = await make_node("blocking")
    await queue.add()
    blocked = (await blocking.take())["attempt_id"]

    async def send(*calls: Coroutine[Any, Any, httpx2.Response]) -> list[httpx2.Response]:
        async with asyncio.timeout(10):
            async with queue.sql.transaction():
                await queue.sql.execute("SELECT FROM attempt WHERE id = $1 FOR UPDATE", blocked)
                first = asyncio.create_task(blocking.log(blocked, 0))
                await until_somebody_waits(queue.sql)
                sent = [asyncio.create_task(call) for call in calls]
                for _ in range(100):  # Nothing on their way to the queue waits for anything but its turn.
                    await asyncio.sleep(0)
            assert (await first).status_code == 200
            return [await each for each in sent]

    return send


async def outputs(queue: Queue) -> list[str]:
    rows = await queue.sql.fetch("SELECT seq, output FROM workflowlog ORDER BY position")
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    return [row["output"] for row in rows]


async def test_entries_sent_again_are_stored_once(queue: Queue, node: NodeClient, attempt_id: str):
    assert (await node.log(attempt_id, 0, "a", "b")).json() == {"next_seq": 2, "action": "continue"}
    assert (await node.log(attempt_id, 0, "a", "b")).json()["next_seq"] == 2
    assert (await node.log(attempt_id, 1, "b", "c")).json()["next_seq"] == 3
    assert (await node.log(attempt_id, 3)).json()["next_seq"] == 3
    assert await outputs(queue) == ["a", "b", "c"]


async def test_the_log_of_a_deleted_node_stays_as_it_is(
    queue: Queue, node: NodeClient, attempt_id: str, admin: httpx2.AsyncClient
):
    """Also in the table: to write a million entries anew would take longer than a statement may."""
    await node.log(attempt_id, 0, "one", "two")
    before = await queue.sql.fetch("SELECT xmin::text, * FROM workflowlog ORDER BY seq")
    assert (await admin.delete(f"/api/v1/nodes/{node.id}")).status_code == 204
    assert await queue.sql.fetch("SELECT xmin::text, * FROM workflowlog ORDER BY seq") == before
    logs = await admin.get(f"/api/v1/issues/{before[0]['issue_id']}/logs")
    assert [entry["node_id"] for entry in logs.json()["items"]] == [str(node.id)] * 2


async def test_a_node_that_writes_on_costs_one_statement(queue: Queue, node: NodeClient, attempt_id: str):
    await node.log(attempt_id, 0, "a")
    async with asyncio.timeout(10), queue.sql.transaction():
        await queue.sql.execute("LOCK TABLE workflowlog IN EXCLUSIVE MODE")
        writing = asyncio.create_task(node.log(attempt_id, 1, "b"))
        await until_somebody_waits(queue.sql)
        assert await is_one_statement(queue.sql)
    assert (await writing).json() == {"next_seq": 2, "action": "continue"}
    assert await outputs(queue) == ["a", "b"]


async def test_a_node_that_writes_on_hears_of_what_happened_since(
    queue: Queue, node: NodeClient, attempt_id: str, admin: httpx2.AsyncClient
):
    await node.start(attempt_id)
    await node.log(attempt_id, 0, "a")
    issue_id = await queue.sql.fetchval("SELECT id FROM issue")
    await admin.post(f"/api/v1/issues/{issue_id}/cancel")
    assert (await node.log(attempt_id, 1, "b")).json() == {"next_seq": 2, "action": "cancel"}
    await queue.sql.execute("UPDATE node SET token_hash = '\\x00'")
    assert (await node.log(attempt_id, 2, "c")).status_code == 401
    assert await outputs(queue) == ["a", "b"]


@pytest.mark.parametrize("at_once", [False, True], ids=["since", "at the same time"])
async def test_what_another_server_stores_is_not_stored_again(
    queue: Queue, node: NodeClient, attempt_id: str, at_once: bool
):
    await node.log(attempt_id, 0, "a")
    issue_id = await queue.sql.fetchval("SELECT id FROM issue")
    async with asyncio.timeout(10):
        async with queue.sql.transaction():
            await queue.sql.execute("UPDATE attempt SET next_seq = 2")
            await queue.sql.execute(
                """INSERT INTO workflowlog (id, issue_id, attempt_id, seq, step_name, status, output)
                   VALUES ($1, $2, $3, 1, 's', 'running', 'b')""",
                uuid4(), issue_id, attempt_id,
            )  # fmt: skip
            writing = asyncio.create_task(node.log(attempt_id, 1, "b", "c"))
            if at_once:
                await until_somebody_waits(queue.sql)
        assert (await writing).json()["next_seq"] == 3
    assert await outputs(queue) == ["a", "b", "c"]


@pytest.mark.parametrize("what", ["issue", "account"])
async def test_what_is_deleted_waits_for_the_entries_that_are_being_stored(
    queue: Queue, attempt_id: str, admin: httpx2.AsyncClient, what: str
):
    issue_id = await queue.sql.fetchval("SELECT id FROM issue")
    gone = f"/api/v1/issues/{issue_id}"
    if what == "account":
        body = {"email": "leaving@example.com", "password": "a long enough password"}
        leaving = (await admin.post("/api/v1/users", json=body)).json()["id"]
        await queue.sql.execute("UPDATE issue SET owner_id = $1", leaving)
        gone = f"/api/v1/users/{leaving}"
    async with queue.sql.transaction():
        await queue.sql.execute("SELECT FROM attempt WHERE id = $1 FOR NO KEY UPDATE", attempt_id)
        deletion = asyncio.create_task(admin.delete(gone))
        await until_somebody_waits(queue.sql)
        await queue.sql.execute(
            """INSERT INTO workflowlog (id, issue_id, attempt_id, seq, step_name, status)
               VALUES (gen_random_uuid(), $1, $2, 0, 'ai_coding', 'running')""",
            issue_id, attempt_id,
        )  # fmt: skip
    assert (await deletion).status_code == 204
    assert await queue.sql.fetchval("SELECT count(*) FROM workflowlog") == 0


async def test_an_attempt_that_ended_keeps_no_other_from_being_stored(
    queue: Queue, node: NodeClient, attempt_id: str, together: Together
):
    await queue.add()
    ended = (await node.take())["attempt_id"]
    for each in (attempt_id, ended):
        await node.log(each, 0, "a")
    assert (await node.finish(ended, next_seq=1)).status_code == 200
    answers = await together(node.log(attempt_id, 1, "b"), node.log(ended, 1, "b"), node.log(attempt_id, 2, "c"))
    assert [answer.status_code for answer in answers] == [200, 409, 200]
    stored = await queue.sql.fetch("SELECT output FROM workflowlog WHERE attempt_id = $1 ORDER BY seq", attempt_id)
    assert [row["output"] for row in stored] == ["a", "b", "c"]


@pytest.mark.parametrize("known", [False, True], ids=["not seen before", "written to before"])
async def test_another_nodes_attempt_is_404_beside_its_own_nodes_batch(
    queue: Queue, node: NodeClient, attempt_id: str, make_node: MakeNode, together: Together, known: bool
):
    other = await make_node("other")
    if known:
        await node.log(attempt_id, 0, "a")
    theirs, own = other.log(attempt_id, 0, "theirs", "theirs"), node.log(attempt_id, 0, "a", "b")
    assert [answer.status_code for answer in await together(theirs, own)] == [404, 200]
    theirs, own = other.log(attempt_id, 3, "theirs"), node.log(attempt_id, 2, "c")
    assert [answer.status_code for answer in await together(own, theirs)] == [200, 404]
    assert await outputs(queue) == ["a", "b", "c"]


@pytest.fixture
def told(app: Litestar) -> list[str]:
    """What the watchers of logs hear."""
    heard: list[str] = []
    app.state.db.notices.subscribe(LOG, lambda subject: heard.append(subject or "gap"))
    return heard


async def test_watchers_hear_of_entries_that_are_stored_beside_a_batch_that_fails(
    queue: Queue, node: NodeClient, attempt_id: str, together: Together, told: list[str]
):
    await queue.add()
    other = (await node.take())["attempt_id"]
    await node.log(attempt_id, 0, "a")
    credential_id = uuid4()
    await queue.sql.execute(
        """INSERT INTO credential (id, owner_id, title, category, secret, secret_key_id, pat_last4)
           VALUES ($1, $2, 'c', 'claude-code', '', 'a key that is gone', '')""",
        credential_id, queue.owner_id,
    )  # fmt: skip
    await queue.sql.execute("UPDATE attempt SET credential_id = $1 WHERE id = $2", credential_id, other)
    answers = await together(node.log(attempt_id, 1, "b"), node.log(other, 0, "x"))
    assert [answer.status_code for answer in answers] == [200, 500]
    assert told[-1].split()[1:] == [attempt_id, "2"]


async def test_watchers_hear_at_once_of_entries_that_are_stored_beside_a_batch_that_waits(
    queue: Queue, node: NodeClient, attempt_id: str, together: Together, told: list[str], database_url: str
):
    await queue.add()
    held = (await node.take())["attempt_id"]
    await node.log(attempt_id, 0, "a")
    other_server = await asyncpg.connect(database_url)
    async with asyncio.timeout(10):
        async with other_server.transaction():
            await other_server.execute("SELECT FROM attempt WHERE id = $1 FOR UPDATE", held)
            sharing = asyncio.create_task(together(node.log(attempt_id, 1, "b"), node.log(held, 0, "x")))
            while told[-1].split()[1:] != [attempt_id, "2"]:
                await asyncio.sleep(0.01)
        assert [answer.status_code for answer in await sharing] == [200, 200]
    await other_server.close()


async def test_a_gap_is_refused_with_the_next_number(queue: Queue, node: NodeClient, attempt_id: str):
    await node.log(attempt_id, 0, "a")
    refused = await node.log(attempt_id, 2, "c")
    assert (refused.status_code, refused.json()["code"], refused.json()["next_seq"]) == (409, "log_gap", 1)
    finish = await node.finish(attempt_id, next_seq=2)
    assert (finish.status_code, finish.json()["code"], finish.json()["next_seq"]) == (409, "log_gap", 1)
    assert await outputs(queue) == ["a"]


async def test_what_cannot_be_stored_is_replaced_and_never_refused(queue: Queue, node: NodeClient, attempt_id: str):
    await node.log(attempt_id, 0, "nul \x00 here", "中文 ✓")
    entry = '{"step_name": "ai_coding", "status": "running", "output": "%s"}'
    for n, output in enumerate(("half \\ud800 pair", "whole \\ud83d\\ude00 pair", "back \\\\ud800 slash"), 2):
        body = f'{{"first_seq": {n}, "entries": [{entry % output}]}}'
        answer = await node.http.post(
            URL.format(attempt_id), content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.json()["next_seq"] == n + 1, answer.text
    raw = b'{"first_seq": 5, "entries": [' + (entry % "broken ").encode()[:-2] + b'\xff\xfe"}]}'
    answer = await node.http.post(URL.format(attempt_id), content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    stored = await outputs(queue)
    assert stored[0] == "nul \ufffd here"
    assert stored[1:5] == ["中文 ✓", "half \ufffd pair", "whole 😀 pair", "back \\ud800 slash"]
    assert stored[5].startswith("broken \ufffd")


async def test_gzip_is_accepted_and_a_bomb_stops_at_the_limit(queue: Queue, node: NodeClient, attempt_id: str):
    async def send(body: bytes) -> int:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return (await node.http.post(URL.format(attempt_id), content=body, headers=headers)).status_code

    batch = {"first_seq": 0, "entries": [{"step_name": "test", "status": "success", "output": "packed"}]}
    assert await send(gzip.compress(json.dumps(batch).encode())) == 200
    assert await send(gzip.compress(b" " * 50_000_000)) == 413
    assert await send(b"no gzip") == 400
    assert await send(gzip.compress(json.dumps(batch).encode())[:-9]) == 400
    assert await outputs(queue) == ["packed"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"first_seq": 0, "entries": [{"step_name": "s", "status": "running"}] * 1001}, 400),
        ({"first_seq": 0, "entries": [{"step_name": "s", "status": "running", "output": "x" * 65_537}]}, 400),
        ({"first_seq": 0, "entries": [{"step_name": "s", "status": "running", "output": "x" * 60_000}] * 20}, 413),
        ({"first_seq": -1, "entries": []}, 400),
        ({"first_seq": 0, "entries": [{"step_name": "s", "status": "done"}]}, 400),
        ({"first_seq": 0, "entries": [{"step_name": "", "status": "running"}]}, 400),
        ({"first_seq": 0, "entries": [{"step_name": "s", "status": "running", "duration_ms": -1}]}, 400),
        ({"first_seq": 0, "entries": [ENTRY | {"created_at": "0001-01-01T00:00:00+14:00"}]}, 400),
        ({"first_seq": 0, "entries": [ENTRY | {"created_at": "9999-12-31T23:59:59-14:00"}]}, 400),
        ({"first_seq": 0}, 400),
        ([], 400),
    ],
)
async def test_limits(queue: Queue, node: NodeClient, attempt_id: str, body: object, status: int):
    answer = await node.http.post(URL.format(attempt_id), json=body)
    assert answer.status_code == status, answer.text
    assert await outputs(queue) == []


async def test_another_nodes_attempt_is_404(node: NodeClient, attempt_id: str, make_node: MakeNode):
    other = await make_node("other")
    for answer in (
        await other.log(attempt_id, 0, "mine"),
        await other.start(attempt_id),
        await other.finish(attempt_id),
        await other.release(attempt_id),
        await other.http.get(f"/api/v1/attempts/{attempt_id}/credential"),
        await other.http.put(f"/api/v1/attempts/{attempt_id}/usage", json={"usage": []}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.text


async def test_an_ended_attempt_takes_no_more(node: NodeClient, attempt_id: str):
    await node.finish(attempt_id)
    for answer in (await node.log(attempt_id, 0, "late"), await node.start(attempt_id), await node.release(attempt_id)):
        assert (answer.status_code, answer.json()["code"]) == (409, "attempt_finished"), answer.text


async def test_the_same_finish_is_answered_alike_and_another_is_refused(
    node: NodeClient, attempt_id: str, queue: Queue
):
    first = await node.finish(attempt_id, branch="nodeyard/x-a1")
    await queue.sql.execute("UPDATE issue SET status = 'merged'")
    assert (await node.finish(attempt_id, branch="nodeyard/x-a1")).json() == first.json()
    refused = await node.finish(attempt_id, branch="nodeyard/y-a1")
    assert (refused.status_code, refused.json()["code"]) == (409, "attempt_finished")


@pytest.mark.parametrize(
    "branch", ["-x", "a..b", "a b", "a~1", "refs/", "x.lock", "@", "a@{1}", "a\\b", "a\x7f", ".a/b", ""]
)
async def test_branches_follow_gits_rules(node: NodeClient, attempt_id: str, queue: Queue, branch: str):
    refused = await node.finish(attempt_id, branch=branch)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
    assert (await queue.attempt(attempt_id))["status"] == "offered"


async def test_usage_is_replaced_by_the_latest_totals(node: NodeClient, attempt_id: str, queue: Queue):
    for tokens in (10, 25, 25):
        usage = [{"provider": "anthropic", "model": "m", "input_tokens": tokens, "cost_usd": 0.5}]
        answer = await node.http.put(f"/api/v1/attempts/{attempt_id}/usage", json={"usage": usage})
        assert answer.json() == {"action": "continue"}
    rows = await queue.sql.fetch("SELECT input_tokens, cost_usd FROM attempt_usage")
    assert [(row[0], float(row[1])) for row in rows] == [(25, 0.5)]
