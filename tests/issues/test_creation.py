"""Creating issues over HTTP: one statement for any number of them, which the database fills in by itself."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
from litestar import Litestar
from speaking import MakeNode, is_one_statement, until_somebody_waits
from sqlalchemy import event

from app.settings import Settings

HERE = {"repository_url": "https://example.com/shop.git"}


async def created(admin: httpx2.AsyncClient, **fields: object) -> dict[str, Any]:
    answer = await admin.post("/api/v1/issues", json={"title": "Fix it", **HERE, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_issues_created_together_keep_their_order_everywhere(admin: httpx2.AsyncClient, make_node: MakeNode):
    titles = [f"step {n}" for n in range(40)]
    answer = await admin.post("/api/v1/issues/bulk", json={"issues": [{"title": title, **HERE} for title in titles]})
    items = answer.json()["items"]
    assert [item["title"] for item in items] == titles
    moments = [datetime.fromisoformat(item["created_at"]) for item in items]
    assert moments == [moments[0] + timedelta(microseconds=n) for n in range(40)]
    listed = (await admin.get("/api/v1/issues?limit=100")).json()["items"]
    assert [item["title"] for item in listed] == titles[::-1]
    claimed = (await (await make_node(max_slots=40)).claim(max=40)).json()["attempts"]
    assert [offer["issue"]["title"] for offer in claimed] == titles


@pytest.mark.parametrize("priority", [0, 7, -(2**31), 2**31 - 1])
async def test_a_priority_gives_the_same_place_from_the_start_and_later(
    admin: httpx2.AsyncClient, sql: asyncpg.Connection, settings: Settings, priority: int
):
    issue = await created(admin, priority=priority)
    first = await sql.fetchval("SELECT rank FROM issue")
    ageing_s = settings.priority_ageing.total_seconds()
    assert first == priority * ageing_s - datetime.fromisoformat(issue["created_at"]).timestamp()
    for each in (1, priority):
        answer = await admin.patch(f"/api/v1/issues/{issue['id']}", json={"priority": each})
        assert answer.status_code == 200, answer.text
    assert await sql.fetchval("SELECT rank FROM issue") == first


@pytest.mark.parametrize(
    ("ahead", "is_deferred"), [(None, False), (timedelta(seconds=-1), False), (timedelta(seconds=60), True)]
)
async def test_an_issue_is_deferred_while_its_time_is_ahead(
    admin: httpx2.AsyncClient, sql: asyncpg.Connection, ahead: timedelta | None, is_deferred: bool
):
    due = None if ahead is None else datetime.now(UTC) + ahead
    issue = await created(admin, not_before=due and due.isoformat())
    assert issue["not_before"] == (due and due.isoformat().replace("+00:00", "Z"))
    assert await sql.fetchval("SELECT deferred FROM issue") is is_deferred


async def test_an_issue_is_stored_word_for_word(admin: httpx2.AsyncClient, sql: asyncpg.Connection):
    fields = {
        "title": 'Say "no\\u0041", {not} NULL: 漢字 🙂',
        "description": "line\r\n\ttabs \\ \x7f \u2028 '",
        "issue_number": 2**31 - 1,
        "priority": -3,
        "requires": ['q"uote', "{x}", "NULL", "back\\slash"],
        "tool": "my-tool",
        "max_attempts": 9,
        "base_branch": "feature/é",
    }
    answer = await created(admin, **fields)
    stored = dict(await sql.fetchrow("SELECT * FROM issue"))
    assert {name: answer[name] for name in fields} == fields
    assert {name: stored[name] for name in fields} == fields
    assert answer["status"] == "pending"
    assert answer["attempt_count"] == 0
    assert answer["updated_at"] == answer["created_at"]


@pytest.mark.parametrize("count", [1, 30])
async def test_creating_takes_one_statement_behind_the_one_that_knows_the_caller(
    app: Litestar, admin: httpx2.AsyncClient, count: int
):
    await created(admin)  # After which the use of the token is noted for a minute.
    sent: list[str] = []

    def note(_connection, _cursor, statement: str, *_rest) -> None:
        sent.append(statement.split(maxsplit=1)[0])

    engine = app.state.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    answer = await admin.post("/api/v1/issues/bulk", json={"issues": [{"title": "Fix it", **HERE}] * count})
    event.remove(engine, "before_cursor_execute", note)
    assert len(answer.json()["items"]) == count
    assert sent == ["SELECT", "WITH"]


async def test_who_asks_is_found_out_before_the_transaction_that_creates(
    admin: httpx2.AsyncClient, sql: asyncpg.Connection
):
    await sql.execute("UPDATE access_token SET last_used_at = NULL")
    async with asyncio.timeout(10), sql.transaction():
        await sql.execute("LOCK TABLE issue IN EXCLUSIVE MODE")
        creating = asyncio.create_task(created(admin))
        while await sql.fetchval("SELECT last_used_at FROM access_token") is None:
            await asyncio.sleep(0.01)
    assert (await creating)["title"] == "Fix it"


async def test_creating_is_a_transaction_of_one_statement(admin: httpx2.AsyncClient, sql: asyncpg.Connection):
    async with asyncio.timeout(10), sql.transaction():
        await sql.execute("LOCK TABLE audit_event IN EXCLUSIVE MODE")
        creating = asyncio.create_task(created(admin))
        await until_somebody_waits(sql)
        assert await is_one_statement(sql)
    assert (await creating)["title"] == "Fix it"


@pytest.mark.parametrize(
    ("path", "body", "action", "detail"),
    [
        ("", {"title": "one", **HERE}, "issue.create", {"title": "one"}),
        ("/bulk", {"issues": [{"title": "one", **HERE}, {"title": "two", **HERE}]}, "issue.create_bulk", {"count": 2}),
    ],
)
async def test_creating_is_written_down(
    admin: httpx2.AsyncClient, path: str, body: dict[str, Any], action: str, detail: dict[str, Any]
):
    answer = (await admin.post(f"/api/v1/issues{path}", json=body)).json()
    first = answer["items"][0] if path else answer
    (event,) = (await admin.get(f"/api/v1/audit?object_id={first['id']}")).json()["items"]
    me = (await admin.get("/api/v1/auth/me")).json()
    assert (event["action"], event["object_type"], event["detail"]) == (action, "issue", detail)
    assert (event["actor_kind"], event["actor_id"], event["actor_name"]) == ("user", me["id"], me["email"])
    assert event["address"]


async def test_issues_that_the_audit_cannot_note_are_not_created(admin: httpx2.AsyncClient, sql: asyncpg.Connection):
    await sql.execute("ALTER TABLE audit_event ADD CONSTRAINT is_full CHECK (action <> 'issue.create') NOT VALID")
    answer = await admin.post("/api/v1/issues", json={"title": "Fix it", **HERE})
    await sql.execute("ALTER TABLE audit_event DROP CONSTRAINT is_full")
    assert answer.status_code == 409
    assert await sql.fetchval("SELECT count(*) FROM issue") == 0


async def test_a_project_that_goes_while_an_issue_is_created_for_it(admin: httpx2.AsyncClient, sql: asyncpg.Connection):
    project = (await admin.post("/api/v1/projects", json={"name": "Shop"})).json()["id"]
    async with asyncio.timeout(10):
        async with sql.transaction():
            await sql.execute("DELETE FROM project")
            creating = asyncio.create_task(
                admin.post("/api/v1/issues", json={"title": "Fix it", **HERE, "project_id": project})
            )
            await until_somebody_waits(sql)
        answer = await creating
    assert answer.status_code == 409
    assert "fk_issue_project_id_project" in answer.json()["detail"]
    assert await sql.fetchval("SELECT count(*) FROM issue") == 0


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"])
async def test_a_moment_that_utc_has_no_year_for_is_refused(admin: httpx2.AsyncClient, moment: str):
    body = {"title": "Fix it", **HERE, "not_before": moment}
    issue = await created(admin)
    for answer, field in [
        (await admin.post("/api/v1/issues", json=body), "not_before"),
        (await admin.post("/api/v1/issues/bulk", json={"issues": [body]}), "issues[0].not_before"),
        (await admin.patch(f"/api/v1/issues/{issue['id']}", json={"not_before": moment}), "not_before"),
    ]:
        assert answer.status_code == 400, answer.text
        (error,) = answer.json()["errors"]
        assert error["field"] == field
        assert "years 1 to 9999 of UTC" in error["message"]


async def test_the_ends_of_the_calendar_are_taken(admin: httpx2.AsyncClient):
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        assert (await created(admin, not_before=moment))["not_before"] == moment
