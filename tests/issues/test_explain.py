"""An operator is told why an issue waits, by the conditions of the claim itself."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.speaking import MakeNode, NodeClient, Queue


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


class Chance:
    """One issue, one node and all that stands between them, drawn by lot."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.requires = draw.sample(["gpu", "linux"], draw.choice([0, 0, 1, 2]))
        self.tool = draw.choice([None, "claude-code", "claude-code", "cursor"])
        self.later = draw.random() < 0.1
        self.project = {"is_active": draw.random() < 0.85, "max_running": draw.choice([None, None, 0, 1, 2])}
        self.credential = {"is_disabled": draw.random() < 0.2, "max_running": draw.choice([None, None, 0, 1, 2])}
        self.is_linked, self.is_cooling, self.is_busy = draw.random() < 0.6, draw.random() < 0.1, draw.random() < 0.4
        self.slots = draw.choice([1, 2, 2])
        self.tags = draw.choice([["gpu", "linux"], ["gpu", "linux"], ["linux"], []])
        self.tools = draw.choice([["claude-code"], ["claude-code", "cursor"], []])
        self.desired = draw.choice(["active"] * 8 + ["paused", "draining"])
        self.pause_is_over = draw.random() < 0.5


async def set_up(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode, sql: asyncpg.Connection, chance: Chance
) -> tuple[NodeClient, str]:
    node = await make_node(
        tags=chance.tags, tools=[{"category": tool} for tool in chance.tools], max_slots=chance.slots
    )
    credential = (
        await admin.post(
            "/api/v1/credentials",
            json={
                "title": "Key",
                "category": "claude-code",
                "pat": "sk-secret-of-the-test",
                "node_ids": [node.id] if chance.is_linked else [],
            },
        )
    ).json()["id"]
    project = (await admin.post("/api/v1/projects", json={"name": "Shop"})).json()["id"]
    if chance.is_busy:
        await queue.add("Taken", project_id=project)
        await node.take(free_slots=1)
    limits = chance.credential | {"cooldown_until": datetime.now(UTC) + timedelta(hours=chance.is_cooling - 0.5)}
    await sql.execute(
        "UPDATE credential SET is_disabled = $2, max_running = $3, cooldown_until = $4 WHERE id = $1",
        credential,
        *limits.values(),
    )
    await sql.execute(
        "UPDATE project SET is_active = $2, max_running = $3 WHERE id = $1", project, *chance.project.values()
    )
    until = datetime.now(UTC) + timedelta(hours=-1 if chance.pause_is_over else 1)
    await sql.execute(
        "UPDATE node SET desired = $1, paused_until = $2",
        chance.desired,
        until if chance.desired == "paused" else None,
    )
    not_before = {"not_before": datetime.now(UTC) + timedelta(hours=1), "deferred": True} if chance.later else {}
    issue_id = await queue.add(
        "Asked for", requires=chance.requires, tool=chance.tool, project_id=project, **not_before
    )
    return node, issue_id


@pytest.mark.parametrize("seed", range(24))
async def test_it_says_next_exactly_when_a_claim_gets_it(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode, sql: asyncpg.Connection, seed: int
) -> None:
    node, issue_id = await set_up(admin, queue, make_node, sql, Chance(seed))
    said = await codes(admin, issue_id)
    answer = await node.claim(free_slots=1)
    assert (answer.status_code == 200) == (said == ["next"]), (said, answer.text)
    status = (await queue.issue(issue_id))["status"]
    assert status == ("processing" if said == ["next"] else "pending")
