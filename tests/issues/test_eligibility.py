"""Which node may have which issue: tags, tools, projects, caps, credentials, due times, age."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import msgspec
import pytest
from litestar import Litestar
from speaking import MakeNode, NodeClient, Queue, until_somebody_waits

from app.domain.issues import sweeps
from app.settings import Settings
from app.vault import credential_binding
from tests.conftest import running_app

TOOL = [{"category": "claude-code"}]


async def insert(queue: Queue, table: str, **columns: Any) -> UUID:
    row_id = uuid4()
    given = {"id": row_id, "owner_id": queue.owner_id, **columns}
    places = ", ".join(f"${n}" for n in range(1, len(given) + 1))
    await queue.sql.execute(f'INSERT INTO "{table}" ({", ".join(given)}) VALUES ({places})', *given.values())
    return row_id


async def link(app: Litestar, queue: Queue, node: NodeClient, **columns: Any) -> UUID:
    """A credential with the secret `s3cret` that is linked to the node."""
    credential_id = await insert(
        queue, "credential", title="c", category="claude-code", secret=b"", pat_last4="cret", **columns
    )
    sealed = app.state.vault.seal("s3cret-token", credential_binding(credential_id))
    await queue.sql.execute(
        "UPDATE credential SET secret = $2, secret_key_id = $3 WHERE id = $1", credential_id, sealed.data, sealed.key_id
    )
    await queue.sql.execute("INSERT INTO credentialnodelink VALUES ($1, $2)", credential_id, UUID(node.id))
    return credential_id


async def test_a_node_needs_all_tags_of_an_issue(queue: Queue, make_node: MakeNode):
    await queue.add(requires=["gpu", "linux"])
    assert (await (await make_node("a", tags=["gpu"])).claim()).status_code == 204
    assert (await (await make_node("b", tags=["linux", "gpu", "big"])).claim()).status_code == 200


async def test_a_node_needs_the_tool_of_an_issue(queue: Queue, make_node: MakeNode):
    await queue.add(tool="cursor")
    assert (await (await make_node("a", tools=TOOL)).claim()).status_code == 204
    assert (await (await make_node("b", tools=[*TOOL, {"category": "cursor"}])).claim()).status_code == 200


async def test_an_issue_that_is_not_for_this_node_does_not_hold_up_others(queue: Queue, make_node: MakeNode):
    for _ in range(50):
        await queue.add("for others", requires=["gpu"], priority=9)
    await queue.add("for all")
    offer = await (await make_node()).take()
    assert offer["issue"]["title"] == "for all"


async def test_the_issues_of_a_paused_project_wait(queue: Queue, make_node: MakeNode):
    project = await insert(queue, "project", name="p", is_active=False)
    await queue.add(project_id=project)
    node = await make_node()
    assert (await node.claim()).status_code == 204
    await queue.sql.execute("UPDATE project SET is_active = true")
    assert (await node.claim()).status_code == 200


@pytest.mark.parametrize("table", ["project", "repository"])
async def test_caps_hold_under_concurrent_claims(queue: Queue, make_node: MakeNode, table: str):
    extra = {"url": "https://example.com/r.git"} if table == "repository" else {}
    capped = await insert(queue, table, name="capped", max_running=2, **extra)
    for n in range(10):
        await queue.add(f"capped {n}", priority=5, requires=["x"] if n % 2 else [], **{f"{table}_id": capped})
    for n in range(3):
        await queue.add(f"free {n}")
    nodes = [await make_node(f"node-{n}", tags=["x"]) for n in range(8)]
    answers = await asyncio.gather(*(node.claim() for node in nodes))
    titles = [answer.json()["attempts"][0]["issue"]["title"] for answer in answers if answer.status_code == 200]
    assert sorted(title.split()[0] for title in titles) == ["capped", "capped", "free", "free", "free"]
    running = await queue.sql.fetchval(
        f"SELECT count(*) FROM issue WHERE status = 'processing' AND {table}_id = $1", capped
    )
    assert running == 2


async def test_a_capped_credential_is_not_overused(app: Litestar, queue: Queue, make_node: MakeNode):
    node = await make_node(tools=TOOL, max_slots=9)
    await link(app, queue, node, max_running=1)
    await queue.add()
    await queue.add()
    assert len((await node.claim(max=9)).json()["attempts"]) == 1
    assert (await node.claim(max=9)).status_code == 204


async def test_a_secret_is_delivered_to_a_live_attempt_and_audited(app: Litestar, queue: Queue, make_node: MakeNode):
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    await queue.add(tool="claude-code")
    offer = await node.take()
    assert offer["credential"] == {"id": str(credential_id), "category": "claude-code"}
    url = f"/api/v1/attempts/{offer['attempt_id']}/credential"
    answer = await node.http.get(url)
    assert answer.json() == {"category": "claude-code", "secret": "s3cret-token"}
    assert answer.headers["cache-control"] == "no-store"
    audited = await queue.sql.fetchrow("SELECT * FROM audit_event WHERE object_type = 'credential'")
    assert audited is not None
    assert (audited["actor_kind"], audited["object_id"]) == ("node", str(credential_id))
    assert "s3cret" not in str(tuple(audited))
    await node.finish(offer["attempt_id"])
    assert (await node.http.get(url)).status_code == 409


async def test_an_offer_without_a_credential_has_none_to_fetch(queue: Queue, make_node: MakeNode):
    await queue.add()
    node = await make_node(tools=TOOL)
    offer = await node.take()
    assert offer["credential"] is None
    assert (await node.http.get(f"/api/v1/attempts/{offer['attempt_id']}/credential")).status_code == 404


async def test_the_credential_of_another_plain_user_is_not_used(app: Litestar, queue: Queue, make_node: MakeNode):
    stranger = uuid4()
    await queue.sql.execute("""INSERT INTO "user" (id, email, hashed_password) VALUES ($1, 's@x.y', '')""", stranger)
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    await queue.sql.execute("UPDATE credential SET owner_id = $1", stranger)
    await queue.add()
    offer = await node.take()
    assert offer["credential"] is None
    await node.release(offer["attempt_id"])
    await queue.sql.execute("""UPDATE "user" SET is_superuser = true WHERE id = $1""", stranger)
    assert (await node.take())["credential"]["id"] == str(credential_id)


async def test_a_quota_cools_the_credential_down_and_burns_no_retry(app: Litestar, queue: Queue, make_node: MakeNode):
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    issue_id = await queue.add(max_attempts=1)
    await node.finish((await node.take())["attempt_id"], "failed", failure_code="quota", retry_after_s=60)
    issue = await queue.issue(issue_id)
    assert (issue["status"], issue["attempt_count"], issue["deferred"]) == ("pending", 0, False)
    assert (await node.claim()).status_code == 204
    left = await queue.sql.fetchval("SELECT cooldown_until - now() FROM credential WHERE id = $1", credential_id)
    assert timedelta(seconds=30) < left <= timedelta(seconds=60)
    await queue.sql.execute("UPDATE credential SET cooldown_until = now()")
    assert (await node.claim()).status_code == 200


async def test_a_refused_credential_is_disabled_and_the_issue_tried_again(
    app: Litestar, queue: Queue, make_node: MakeNode
):
    node = await make_node(tools=TOOL)
    await link(app, queue, node)
    issue_id = await queue.add()
    await node.finish(
        (await node.take())["attempt_id"], "failed", failure_code="auth", error_message="401 from the API"
    )
    row = await queue.sql.fetchrow("SELECT is_disabled, disabled_reason FROM credential")
    assert row is not None
    assert tuple(row) == (True, "401 from the API")
    assert (await queue.issue(issue_id))["status"] == "pending"
    await queue.sql.execute("UPDATE issue SET not_before = now()")
    assert (await node.claim()).status_code == 204


async def test_an_old_issue_overtakes_a_slightly_more_urgent_one(queue: Queue, make_node: MakeNode):
    await queue.add("urgent", priority=1)
    old = await queue.add("old")
    await queue.sql.execute("UPDATE issue SET rank = rank + 86401 WHERE id = $1", UUID(old))
    assert (await (await make_node()).take())["issue"]["title"] == "old"


async def test_secrets_are_masked_in_logs_and_reports_also_across_batches(
    app: Litestar, queue: Queue, make_node: MakeNode
):
    node = await make_node(tools=TOOL)
    await link(app, queue, node)
    issue_id = await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    await node.log(attempt_id, 0, "key: s3cret-token!", "begins s3cr", "et-token ends", error_message="s3cret-token")
    await node.log(attempt_id, 3, "over a batch s3cret-")
    await node.log(attempt_id, 4, "token, and on")
    token = f"nyn_{'a' * 49}"
    await node.log(attempt_id, 5, f"another {token}")
    await node.log(attempt_id, 6, f"{'long ' * 1000}s3cret-")
    await node.log(attempt_id, 7, "token ends")
    await node.finish(attempt_id, "failed", failure_code="invalid_work", next_seq=8, error_message="bad s3cret-token")
    rows = await queue.sql.fetch("SELECT output, error_message FROM workflowlog ORDER BY seq")
    assert [row["output"] for row in rows] == [
        "key: ***!", "begins ***", "*** ends", "over a batch ***", "***, and on", "another ***",
        f"{'long ' * 1000}***", "*** ends",
    ]  # fmt: skip
    assert rows[0]["error_message"] == "***"
    assert (await queue.issue(issue_id))["error_message"] == "bad ***"


async def test_a_secret_is_masked_across_batches_that_are_stored_at_the_same_time(
    app: Litestar, queue: Queue, make_node: MakeNode, database_url: str
):
    node = await make_node(tools=TOOL)
    await link(app, queue, node)
    issue_id = await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    other_server = await asyncpg.connect(database_url)
    async with other_server.transaction():
        await other_server.execute("UPDATE attempt SET next_seq = 1 WHERE id = $1", attempt_id)
        await other_server.execute(
            """INSERT INTO workflowlog (id, issue_id, attempt_id, seq, step_name, status, output)
               VALUES ($1, $2, $3, 0, 'ai_coding', 'running', 'begins s3cret-')""",
            uuid4(), issue_id, attempt_id,
        )  # fmt: skip
        second = asyncio.create_task(node.log(attempt_id, 1, "token ends"))
        await until_somebody_waits(queue.sql)
    await other_server.close()
    assert (await second).status_code == 200
    rows = await queue.sql.fetch("SELECT output FROM workflowlog ORDER BY seq")
    assert [row["output"] for row in rows] == ["begins ***", "*** ends"]


async def test_a_secret_that_was_changed_is_masked_at_once(
    app: Litestar, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    await node.log(attempt_id, 0, "old s3cret-token")
    changed = await admin.patch(f"/api/v1/credentials/{credential_id}", json={"pat": "an0ther-token"})
    assert changed.status_code == 200, changed.text
    await node.log(attempt_id, 1, "new an0ther-token, old s3cret-token")
    rows = await queue.sql.fetch("SELECT output FROM workflowlog ORDER BY seq")
    assert [row["output"] for row in rows] == ["old ***", "new ***, old ***"]


async def test_secrets_that_were_replaced_are_masked_by_a_server_that_never_knew_them(
    app: Litestar, settings: Settings, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    issue_id = await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    for pat in ("an0ther-token", "th1rd-token", "th1rd-token"):
        changed = await admin.patch(f"/api/v1/credentials/{credential_id}", json={"pat": pat})
        assert changed.status_code == 200, changed.text
    not_the_same = msgspec.structs.replace(settings, log_level="error")
    async with running_app(not_the_same) as other, (there := node.at(other)).http:
        await there.log(attempt_id, 0, "new th1rd-token, old s3cret-token an0ther-token")
        await there.finish(attempt_id, "failed", failure_code="invalid_work", next_seq=1, error_message="s3cret-token")
    assert await queue.sql.fetchval("SELECT output FROM workflowlog") == "new ***, old *** ***"
    assert (await queue.issue(issue_id))["error_message"] == "***"
    stored = await queue.sql.fetchval("SELECT former_secrets FROM credential")
    assert b"s3cret" not in stored


async def test_the_latest_24_of_the_replaced_secrets_are_kept(
    app: Litestar, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    for n in range(26):
        await admin.patch(f"/api/v1/credentials/{credential_id}", json={"pat": f"token-number-{n:02}"})
    await node.log(attempt_id, 0, *(f"token-number-{n:02}" for n in range(26)))
    rows = await queue.sql.fetch("SELECT output FROM workflowlog ORDER BY seq")
    assert [row["output"] for row in rows] == ["token-number-00", *["***"] * 25]


async def test_a_secret_whose_key_was_lost_can_be_replaced(
    app: Litestar, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    await queue.sql.execute("UPDATE credential SET secret_key_id = 'gone'")
    changed = await admin.patch(f"/api/v1/credentials/{credential_id}", json={"pat": "an0ther-token"})
    assert changed.status_code == 200, changed.text
    await queue.add()
    await node.log((await node.take())["attempt_id"], 0, "new an0ther-token")
    assert await queue.sql.fetchval("SELECT output FROM workflowlog") == "new ***"


async def test_a_credential_stays_while_logs_are_masked_by_it(
    app: Litestar, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    node = await make_node(tools=TOOL)
    url = f"/api/v1/credentials/{await link(app, queue, node)}"
    await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    refused = await admin.delete(url)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "1 attempts at work" in refused.json()["detail"]
    await node.log(attempt_id, 0, "still s3cret-token")
    assert await queue.sql.fetchval("SELECT output FROM workflowlog") == "still ***"
    await node.finish(attempt_id, next_seq=1)
    assert (await admin.delete(url)).status_code == 204
    assert await queue.sql.fetchval("SELECT credential_id FROM attempt") is None


async def test_what_comes_late_is_refused_once_nobody_could_mask_it(
    app: Litestar, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    """Its credential may go, since the attempt is lost; adopted, its log would hold the secret as it is."""
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    await queue.sql.execute("UPDATE attempt SET start_by = now() - interval '1 s'")
    async with app.state.db.sessions.begin() as session:
        await sweeps.lapse_offers(session)
    assert (await node.log(attempt_id, 0, "late s3cret-token")).status_code == 200
    assert (await admin.delete(f"/api/v1/credentials/{credential_id}")).status_code == 204
    for refused in (
        await node.log(attempt_id, 1, "later s3cret-token"),
        await node.finish(attempt_id, next_seq=1, summary="s3cret-token"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "attempt_superseded")
    assert [row["output"] for row in await queue.sql.fetch("SELECT output FROM workflowlog")] == ["late ***"]
    assert await queue.sql.fetchval("SELECT summary FROM attempt") is None


async def test_a_secret_that_cannot_be_read_is_not_replaced_while_a_node_has_it(
    app: Litestar, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    """Its key is lost, or this server was not given it yet: nobody could mask the former secret from then on."""
    node = await make_node(tools=TOOL)
    path = f"/api/v1/credentials/{await link(app, queue, node)}"
    await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    await queue.sql.execute("UPDATE credential SET secret_key_id = 'lost'")
    refused = await admin.patch(path, json={"pat": "another-secret"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    await node.finish(attempt_id)
    assert (await admin.patch(path, json={"pat": "another-secret"})).status_code == 200


async def test_an_account_stays_while_logs_of_others_are_masked_by_its_credentials(
    app: Litestar, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    node = await make_node(tools=TOOL)
    body = {"email": "leaving@example.com", "password": "a long enough password", "is_superuser": True}
    leaving = (await admin.post("/api/v1/users", json=body)).json()["id"]
    await link(app, queue, node, owner_id=UUID(leaving))
    await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    refused = await admin.delete(f"/api/v1/users/{leaving}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    await node.log(attempt_id, 0, "still s3cret-token")
    assert await queue.sql.fetchval("SELECT output FROM workflowlog") == "still ***"
    await node.finish(attempt_id, next_seq=1)
    assert (await admin.delete(f"/api/v1/users/{leaving}")).status_code == 204


async def test_a_claim_waits_for_a_credential_that_is_being_deleted(
    app: Litestar, queue: Queue, make_node: MakeNode, admin: httpx2.AsyncClient
):
    """It then goes without: either the deletion sees the attempt, or the claim does not see the credential."""
    node = await make_node(tools=TOOL)
    credential_id = await link(app, queue, node)
    await queue.add()
    async with asyncio.timeout(10):
        async with queue.sql.transaction():
            await queue.sql.execute("SELECT FROM credential WHERE id = $1 FOR UPDATE", credential_id)
            claiming = asyncio.create_task(node.claim())
            await until_somebody_waits(queue.sql)
            await queue.sql.execute("DELETE FROM credential WHERE id = $1", credential_id)
        answer = await claiming
    assert answer.status_code == 200
    assert answer.json()["attempts"][0]["credential"] is None


async def test_a_node_that_is_deleted_while_it_claims_is_unknown(queue: Queue, make_node: MakeNode):
    node = await make_node()
    issue_id = await queue.add()
    async with asyncio.timeout(10):
        async with queue.sql.transaction():
            await queue.sql.execute("SELECT FROM node FOR UPDATE")
            claiming = asyncio.create_task(node.claim())
            await until_somebody_waits(queue.sql)
            await queue.sql.execute("DELETE FROM node")
        assert (await claiming).status_code == 401
    assert (await queue.issue(issue_id))["status"] == "pending"


async def test_secrets_are_masked_in_the_reason_of_a_release(app: Litestar, queue: Queue, make_node: MakeNode):
    node = await make_node(tools=TOOL)
    await link(app, queue, node)
    issue_id = await queue.add()
    attempt_id = (await node.take())["attempt_id"]
    path = f"/api/v1/attempts/{attempt_id}/release"
    assert (await node.http.post(path, json={"reason": "refused s3cret-token here"})).json() == {}
    assert (await queue.attempt(attempt_id))["error_message"] == "refused *** here"
    assert (await queue.issue(issue_id))["error_message"] == "refused *** here"
