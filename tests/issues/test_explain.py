"""An operator is told why an issue waits, by the conditions of the claim itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.speaking import MakeNode, Queue


async def explained(admin: httpx2.AsyncClient, issue_id: str) -> dict[str, Any]:
    answer = await admin.get(f"/api/v1/issues/{issue_id}/explain")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def codes(admin: httpx2.AsyncClient, issue_id: str) -> list[str]:
    return [reason["code"] for reason in (await explained(admin, issue_id))["reasons"]]


async def test_without_nodes_it_waits_for_one(admin: httpx2.AsyncClient, queue: Queue) -> None:
    assert await codes(admin, await queue.add()) == ["no_node"]


@pytest.mark.parametrize(
    ("asks", "code"),
    [({"requires": ["gpu"]}, "no_node_with_tags"), ({"tool": "cursor"}, "no_node_with_tool"), ({}, "next")],
)
async def test_what_no_node_has_is_named(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode, asks: dict[str, Any], code: str
) -> None:
    await make_node(tags=["linux"], tools=[{"category": "claude-code"}])
    assert await codes(admin, await queue.add(**asks)) == [code]


async def test_nodes_that_fit_may_be_away_held_or_full(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode, sql: asyncpg.Connection
) -> None:
    node = await make_node()
    await queue.add("Taken")
    await node.take()
    issue_id = await queue.add("Waiting")
    assert await codes(admin, issue_id) == ["no_free_slot"]
    await sql.execute("UPDATE node SET desired = 'paused'")
    assert await codes(admin, issue_id) == ["nodes_held"]
    await sql.execute("UPDATE node SET status = 'offline'")
    assert await codes(admin, issue_id) == ["nodes_offline"]


async def test_its_own_reasons_are_all_named(admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode) -> None:
    await make_node()
    project = (
        await admin.post("/api/v1/projects", json={"name": "Frozen", "is_active": False, "max_running": 0})
    ).json()
    issue_id = await queue.add(
        project_id=project["id"], not_before=datetime.now(UTC) + timedelta(hours=1), deferred=True
    )
    assert await codes(admin, issue_id) == ["not_before", "project_paused", "project_cap"]


async def test_those_before_it_are_counted(admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode) -> None:
    await make_node()
    await queue.add("First")
    answer = await explained(admin, await queue.add("Second"))
    assert (answer["ahead"], answer["reasons"][0]["code"]) == (1, "queued")


async def test_what_does_not_wait_has_no_reasons(admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode) -> None:
    node = await make_node()
    issue_id = await queue.add()
    await node.take()
    answer = await explained(admin, issue_id)
    assert (answer["status"], answer["reasons"]) == ("processing", [])


async def test_foreign_issue_is_not_explained(admin: httpx2.AsyncClient) -> None:
    answer = await admin.get("/api/v1/issues/0199d9a4-0000-7000-8000-0000000000ff/explain")
    assert answer.status_code == 404
