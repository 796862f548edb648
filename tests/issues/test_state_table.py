"""The state table of the design, a test a row: what an event does to an issue and to its attempt."""

import asyncio
from datetime import timedelta

import httpx2
import pytest
from litestar import Litestar
from speaking import MakeNode, NodeClient, Queue

from app.domain.issues import lifecycle_verbs, sweeps
from app.domain.nodes import sweeps as node_sweeps

SHA = "9fceb02d0ae598e95dc970b74767f19372d61af8"


@pytest.fixture
async def node(make_node: MakeNode) -> NodeClient:
    return await make_node(max_slots=10)


async def swept(app: Litestar, sweep, *arguments):
    async with app.state.db.sessions.begin() as session:
        return await sweep(session, *arguments)


async def steered(app: Litestar, verb, issue_id: str):
    async with app.state.db.sessions.begin() as session:
        return await verb(session, issue_id)


async def test_claim_offers_an_attempt(queue: Queue, node: NodeClient):
    issue_id = await queue.add(issue_number=7)
    offer = await node.take()
    issue, attempt = await queue.issue(issue_id), await queue.attempt(offer["attempt_id"])
    assert (issue["status"], attempt["status"], offer["number"]) == ("processing", "offered", 1)
    assert str(issue["assigned_node_id"]) == node.id
    assert offer["branch"] == "nodeyard/7-a1"


async def test_start_runs_the_attempt_and_may_be_repeated(queue: Queue, node: NodeClient):
    issue_id = await queue.add()
    offer = await node.take()
    for _ in range(2):
        assert (await node.start(offer["attempt_id"])).json() == {"status": "running"}
    assert (await queue.attempt(offer["attempt_id"]))["status"] == "running"
    assert (await queue.issue(issue_id))["started_at"] is not None


async def test_an_offer_that_is_not_started_lapses_without_burning_a_retry(
    app: Litestar, queue: Queue, node: NodeClient
):
    issue_id = await queue.add()
    offer = await node.take()
    await queue.sql.execute("UPDATE attempt SET start_by = now() - interval '1 s'")
    await swept(app, sweeps.lapse_offers)
    issue = await queue.issue(issue_id)
    assert (issue["status"], issue["attempt_count"], issue["assigned_node_id"]) == ("pending", 0, None)
    assert (await queue.attempt(offer["attempt_id"]))["status"] == "lost"
    refused = await node.start(offer["attempt_id"])
    assert (refused.status_code, refused.json()["code"]) == (409, "attempt_superseded")


@pytest.mark.parametrize("started", [False, True])
async def test_release_gives_back_without_burning_a_retry(queue: Queue, node: NodeClient, started: bool):
    issue_id = await queue.add(max_attempts=1)
    offer = await node.take()
    if started:
        await node.start(offer["attempt_id"])
    for _ in range(2):
        assert (await node.release(offer["attempt_id"])).status_code == 200
    issue = await queue.issue(issue_id)
    assert (issue["status"], issue["attempt_count"]) == ("pending", 0)
    assert (await queue.attempt(offer["attempt_id"]))["status"] == "lost"
    assert (await node.take())["number"] == 2


async def test_success_with_a_branch_waits_to_be_merged(queue: Queue, node: NodeClient):
    issue_id = await queue.add()
    offer = await node.take()
    await node.start(offer["attempt_id"])
    finished = await node.finish(offer["attempt_id"], branch=offer["branch"], base_sha=SHA, head_sha=SHA)
    assert finished.json() == {"issue_status": "pending_merge", "adopted": False}
    issue, attempt = await queue.issue(issue_id), await queue.attempt(offer["attempt_id"])
    assert (issue["status"], issue["result_branch"]) == ("pending_merge", offer["branch"])
    assert (attempt["status"], attempt["head_sha"]) == ("succeeded", SHA)
    assert issue["completed_at"] is not None


async def test_success_without_a_branch_is_complete(queue: Queue, node: NodeClient):
    await queue.add()
    offer = await node.take()
    assert (await node.finish(offer["attempt_id"])).json()["issue_status"] == "completed"


@pytest.mark.parametrize(
    "code", ["clone_failed", "tool_failed", "tests_failed", "push_failed", "timeout", "internal", "auth", None]
)
async def test_a_retryable_failure_waits_and_is_tried_again(queue: Queue, node: NodeClient, code: str | None):
    issue_id = await queue.add()
    offer = await node.take()
    failed = await node.finish(offer["attempt_id"], "failed", failure_code=code, error_message="No luck.")
    assert failed.json()["issue_status"] == "pending"
    issue = await queue.issue(issue_id)
    assert (issue["attempt_count"], issue["error_message"]) == (1, "No luck.")
    assert (await queue.attempt(offer["attempt_id"]))["status"] == "failed"
    assert round((issue["not_before"] - issue["updated_at"]).total_seconds()) == 10
    assert (await node.claim()).status_code == 204
    await queue.sql.execute("UPDATE issue SET not_before = now()")
    assert (await node.take())["number"] == 2


async def test_the_wait_doubles_up_to_five_minutes(queue: Queue, node: NodeClient):
    issue_id = await queue.add(max_attempts=20)
    waits = []
    for _ in range(7):
        await queue.sql.execute("UPDATE issue SET not_before = now() WHERE deferred")
        await node.finish((await node.take())["attempt_id"], "failed", failure_code="tool_failed")
        issue = await queue.issue(issue_id)
        waits.append(round((issue["not_before"] - issue["updated_at"]).total_seconds()))
    assert waits == [10, 20, 40, 80, 160, 300, 300]


async def test_the_last_attempt_allowed_fails_the_issue(queue: Queue, node: NodeClient):
    issue_id = await queue.add(max_attempts=1)
    await node.finish((await node.take())["attempt_id"], "failed", failure_code="tool_failed")
    assert (await queue.issue(issue_id))["status"] == "failed"


@pytest.mark.parametrize("code", ["no_changes", "invalid_work"])
async def test_a_final_failure_is_not_tried_again(queue: Queue, node: NodeClient, code: str):
    issue_id = await queue.add()
    failed = await node.finish((await node.take())["attempt_id"], "failed", failure_code=code)
    assert failed.json()["issue_status"] == "failed"
    assert (await queue.issue(issue_id))["status"] == "failed"


async def test_a_quota_of_the_nodes_own_login_waits_without_burning_a_retry(queue: Queue, node: NodeClient):
    issue_id = await queue.add(max_attempts=1)
    offer = await node.take()
    await node.finish(offer["attempt_id"], "failed", failure_code="quota", retry_after_s=120)
    issue = await queue.issue(issue_id)
    assert (issue["status"], issue["attempt_count"]) == ("pending", 0)
    assert round((issue["not_before"] - issue["updated_at"]).total_seconds()) == 120


async def test_a_silent_node_loses_its_attempts(app: Litestar, queue: Queue, node: NodeClient):
    issue_id = await queue.add()
    offer = await node.take()
    await node.start(offer["attempt_id"])
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '299 s'")
    await swept(app, sweeps.lose_silent, timedelta(seconds=300))
    assert (await queue.issue(issue_id))["status"] == "processing"
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '301 s'")
    await swept(app, sweeps.lose_silent, timedelta(seconds=300))
    issue = await queue.issue(issue_id)
    assert (issue["status"], issue["attempt_count"]) == ("pending", 1)
    assert (await queue.attempt(offer["attempt_id"]))["status"] == "lost"
    beat = await node.beat(offer["attempt_id"])
    assert beat.json()["attempts"] == [{"attempt_id": offer["attempt_id"], "action": "abandon"}]


async def test_the_last_attempt_lost_fails_the_issue(app: Litestar, queue: Queue, node: NodeClient):
    issue_id = await queue.add(max_attempts=1)
    await node.take()
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '301 s'")
    await swept(app, sweeps.lose_silent, timedelta(seconds=300))
    assert (await queue.issue(issue_id))["status"] == "failed"


async def test_a_new_boot_sends_the_attempts_back_at_once(queue: Queue, node: NodeClient, make_node: MakeNode):
    issue_id = await queue.add()
    offer = await node.take()
    await make_node(boot_id="boot-1")
    assert (await queue.issue(issue_id))["status"] == "processing"
    await make_node(boot_id="boot-2")
    assert (await queue.issue(issue_id))["status"] == "pending"
    assert (await queue.attempt(offer["attempt_id"]))["status"] == "lost"


async def test_deregistering_gives_everything_back_and_may_be_repeated(queue: Queue, node: NodeClient):
    issue_id = await queue.add()
    await node.take()
    for _ in range(2):
        assert (await node.http.post("/api/v1/nodes/deregister")).status_code == 204
    assert (await queue.issue(issue_id))["status"] == "pending"
    assert await queue.sql.fetchval("SELECT status FROM node") == "offline"


async def test_the_attempts_of_a_deleted_node_go_back(app: Litestar, queue: Queue, node: NodeClient):
    issue_id = await queue.add()
    await node.take()
    await queue.sql.execute("DELETE FROM node")
    await swept(app, sweeps.lose_silent, timedelta(seconds=300))
    assert (await queue.issue(issue_id))["status"] == "pending"


async def test_two_heartbeats_that_leave_an_attempt_out_lose_it(queue: Queue, node: NodeClient):
    issue_id = await queue.add()
    offer = await node.take()
    await node.start(offer["attempt_id"])
    await node.beat()
    await node.beat(offer["attempt_id"])
    await node.beat()
    assert (await queue.issue(issue_id))["status"] == "processing"
    await node.beat()
    assert (await queue.issue(issue_id))["status"] == "pending"


async def lost(app: Litestar, queue: Queue, node: NodeClient) -> tuple[str, str]:
    issue_id = await queue.add()
    offer = await node.take()
    await node.start(offer["attempt_id"])
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '301 s'")
    await swept(app, sweeps.lose_silent, timedelta(seconds=300))
    await node.beat(offer["attempt_id"])
    return issue_id, offer["attempt_id"]


async def test_a_late_success_that_nobody_overtook_is_adopted_with_its_log(
    app: Litestar, queue: Queue, node: NodeClient
):
    issue_id, attempt_id = await lost(app, queue, node)
    assert (await node.log(attempt_id, 0, "spooled", "meanwhile")).json()["next_seq"] == 2
    finished = await node.finish(attempt_id, branch="nodeyard/x-a1", next_seq=2)
    assert finished.json() == {"issue_status": "pending_merge", "adopted": True}
    again = await node.finish(attempt_id, branch="nodeyard/x-a1", next_seq=2)
    assert again.json() == finished.json()
    attempt = await queue.attempt(attempt_id)
    assert (attempt["status"], attempt["adopted"]) == ("succeeded", True)
    assert (await queue.issue(issue_id))["result_branch"] == "nodeyard/x-a1"


async def test_a_late_success_after_the_last_attempt_is_adopted(app: Litestar, queue: Queue, node: NodeClient):
    issue_id = await queue.add(max_attempts=1)
    offer = await node.take()
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '301 s'")
    await swept(app, sweeps.lose_silent, timedelta(seconds=300))
    await node.beat()
    assert (await node.finish(offer["attempt_id"])).json() == {"issue_status": "completed", "adopted": True}
    assert (await queue.issue(issue_id))["error_message"] is None


async def test_a_late_failure_is_adopted(app: Litestar, queue: Queue, node: NodeClient):
    issue_id, attempt_id = await lost(app, queue, node)
    failed = await node.finish(attempt_id, "failed", failure_code="invalid_work")
    assert failed.json() == {"issue_status": "failed", "adopted": True}
    assert (await queue.issue(issue_id))["status"] == "failed"


async def test_a_late_result_is_refused_once_somebody_claimed(app: Litestar, queue: Queue, node: NodeClient):
    issue_id, attempt_id = await lost(app, queue, node)
    newer = await node.take()
    for answer in (
        await node.finish(attempt_id),
        await node.log(attempt_id, 0, "late"),
        await node.start(attempt_id),
        await node.release(attempt_id),
        await node.http.put(f"/api/v1/attempts/{attempt_id}/usage", json={"usage": []}),
        await node.http.get(f"/api/v1/attempts/{attempt_id}/credential"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "attempt_superseded"), answer.text
    issue = await queue.issue(issue_id)
    assert (issue["status"], issue["last_number"]) == ("processing", newer["number"])


async def test_cancel_of_a_waiting_issue_is_immediate(app: Litestar, queue: Queue, node: NodeClient):
    issue_id = await queue.add()
    await steered(app, lifecycle_verbs.cancel, issue_id)
    assert (await queue.issue(issue_id))["status"] == "cancelled"
    assert (await node.claim()).status_code == 204


async def test_cancel_of_work_is_asked_through_heartbeat_and_log(app: Litestar, queue: Queue, node: NodeClient):
    issue_id = await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    await node.start(attempt_id)
    await steered(app, lifecycle_verbs.cancel, issue_id)
    assert (await queue.issue(issue_id))["status"] == "processing"
    assert (await node.beat(attempt_id)).json()["attempts"][0]["action"] == "cancel"
    assert (await node.log(attempt_id, 0, "…")).json() == {"next_seq": 1, "action": "cancel"}
    usage = await node.http.put(f"/api/v1/attempts/{attempt_id}/usage", json={"usage": []})
    assert usage.json() == {"action": "cancel"}
    assert (await node.finish(attempt_id, "cancelled", next_seq=1)).json()["issue_status"] == "cancelled"
    assert (await queue.attempt(attempt_id))["status"] == "cancelled"


@pytest.mark.parametrize(
    "ripe", ["attempt SET cancel_requested_at = now() - interval '61 s'", "node SET status = 'offline'"]
)
async def test_cancel_settles_without_the_node(app: Litestar, queue: Queue, node: NodeClient, ripe: str):
    issue_id = await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    await steered(app, lifecycle_verbs.cancel, issue_id)
    await swept(app, sweeps.settle_cancels, timedelta(seconds=60))
    assert (await queue.issue(issue_id))["status"] == "processing"
    await queue.sql.execute(f"UPDATE {ripe}")
    await swept(app, sweeps.settle_cancels, timedelta(seconds=60))
    assert (await queue.issue(issue_id))["status"] == "cancelled"
    refused = await node.finish(attempt_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "attempt_cancelled")


async def test_cancel_outweighs_every_other_end(app: Litestar, queue: Queue, node: NodeClient):
    for end in (
        lambda attempt_id: node.finish(attempt_id, branch="nodeyard/x-a1"),
        lambda attempt_id: node.finish(attempt_id, "failed", failure_code="tool_failed"),
        node.release,
    ):
        issue_id = await queue.add()
        attempt_id = (await node.take())["attempt_id"]
        await steered(app, lifecycle_verbs.cancel, issue_id)
        assert (await end(attempt_id)).status_code == 200
        assert (await queue.issue(issue_id))["status"] == "cancelled"


async def test_requeue_counts_attempts_anew_and_goes_on_numbering(app: Litestar, queue: Queue, node: NodeClient):
    issue_id = await queue.add(max_attempts=1)
    await node.finish((await node.take())["attempt_id"], "failed", failure_code="invalid_work")
    await steered(app, lifecycle_verbs.requeue, issue_id)
    issue = await queue.issue(issue_id)
    assert (issue["status"], issue["attempt_count"], issue["error_message"]) == ("pending", 0, None)
    assert (await node.take())["number"] == 2


@pytest.mark.parametrize(("verb", "status"), [(lifecycle_verbs.merge, "merged"), (lifecycle_verbs.reject, "failed")])
async def test_a_result_is_merged_or_rejected(app: Litestar, queue: Queue, node: NodeClient, verb, status: str):
    issue_id = await queue.add()
    await node.finish((await node.take())["attempt_id"], branch="nodeyard/x-a1")
    await steered(app, verb, issue_id)
    assert (await queue.issue(issue_id))["status"] == status


async def test_a_node_is_offline_after_three_intervals_and_back_with_a_heartbeat(
    app: Litestar, queue: Queue, node: NodeClient
):
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '44 s'")
    await swept(app, node_sweeps.mark_offline, timedelta(seconds=45))
    assert await queue.sql.fetchval("SELECT status FROM node") == "online"
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '46 s'")
    await swept(app, node_sweeps.mark_offline, timedelta(seconds=45))
    assert await queue.sql.fetchval("SELECT status FROM node") == "offline"
    await node.beat()
    assert await queue.sql.fetchval("SELECT status FROM node") == "online"


async def test_thirty_claimers_share_the_queue_exactly(queue: Queue, make_node: MakeNode):
    for number in range(120):
        await queue.add(f"issue {number}")
    nodes = [await make_node(f"node-{n}", max_slots=1000) for n in range(30)]

    async def drain(node: NodeClient) -> list[str]:
        mine: list[str] = []
        while (answer := await node.claim(max=2)).status_code == 200:
            mine += [offer["issue"]["id"] for offer in answer.json()["attempts"]]
        return mine

    claimed = [issue for mine in await asyncio.gather(*map(drain, nodes)) for issue in mine]
    assert len(claimed) == len(set(claimed)) == 120
    assert await queue.sql.fetchval("SELECT count(*) FROM attempt") == 120


async def test_a_late_quota_of_the_last_attempt_leaves_an_issue_that_can_be_claimed(
    app: Litestar, queue: Queue, node: NodeClient
):
    issue_id = await queue.add(max_attempts=1)
    offer = await node.take()
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '301 s'")
    await swept(app, sweeps.lose_silent, timedelta(seconds=300))
    await node.beat()
    late = await node.finish(offer["attempt_id"], "failed", failure_code="quota", retry_after_s=1)
    assert late.json() == {"issue_status": "pending", "adopted": True}
    assert (await queue.issue(issue_id))["attempt_count"] == 0
    await queue.sql.execute("UPDATE issue SET not_before = now()")
    assert (await node.take())["number"] == 2


async def test_a_late_result_is_the_work_of_its_node(app: Litestar, queue: Queue, node: NodeClient):
    issue_id, attempt_id = await lost(app, queue, node)
    await node.finish(attempt_id)
    assert str((await queue.issue(issue_id))["assigned_node_id"]) == node.id


async def test_the_maximum_of_a_waiting_issue_leaves_room_for_an_attempt(
    admin: httpx2.AsyncClient, queue: Queue, node: NodeClient
):
    issue_id = await queue.add()
    await node.finish((await node.take())["attempt_id"], "failed", failure_code="tool_failed")
    refused = await admin.patch(f"/api/v1/issues/{issue_id}", json={"max_attempts": 1})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "max_attempts")
    assert (await admin.patch(f"/api/v1/issues/{issue_id}", json={"max_attempts": 2})).status_code == 200
    await queue.sql.execute("UPDATE issue SET not_before = now()")
    assert (await node.take())["number"] == 2
