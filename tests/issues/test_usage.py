"""What nodes report as spent is summed up on the issue, its project, its credential and in the statistics."""

from typing import Any

import httpx2

from tests.speaking import MakeNode, NodeClient, Queue

NOTHING = {
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "cost_usd": 0.0,
}
SPENT = {
    "input_tokens": 1110,
    "output_tokens": 222,
    "cache_read_tokens": 30,
    "cache_write_tokens": 4,
    "cost_usd": 0.875,
}


async def made(admin: httpx2.AsyncClient, what: str, **fields: Any) -> str:
    answer = await admin.post(f"/api/v1/{what}", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def usage_of(admin: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    answer = await admin.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()["usage"]


async def report(node: NodeClient, attempt_id: str, *usage: dict[str, Any]) -> None:
    models = [{"provider": "anthropic", "model": f"model-{n}", **each} for n, each in enumerate(usage)]
    answer = await node.http.put(f"/api/v1/attempts/{attempt_id}/usage", json={"usage": models})
    assert answer.status_code == 200, answer.text


async def spend(node: NodeClient) -> None:
    """Two attempts at one issue with two models: together `SPENT`. The last one is still running."""
    first = (await node.take())["attempt_id"]
    await report(node, first, {"input_tokens": 7})
    await report(
        node,
        first,
        {"input_tokens": 1000, "output_tokens": 200, "cost_usd": 0.5},
        {"input_tokens": 100, "cache_read_tokens": 30, "cost_usd": 0.25},
    )
    assert (await node.release(first)).status_code == 200
    second = (await node.take())["attempt_id"]
    await report(
        node,
        second,
        {"input_tokens": 10, "output_tokens": 20, "cache_write_tokens": 4},
        {"output_tokens": 2, "cost_usd": 0.125},
    )


async def test_totals_agree_wherever_they_are_shown(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode
) -> None:
    node = await make_node(tools=[{"category": "claude-code"}])
    project = await made(admin, "projects", name="Shop")
    credential = await made(
        admin, "credentials", title="Key", category="claude-code", pat="sk-secret-of-the-test", node_ids=[node.id]
    )
    issue = await queue.add(project_id=project, tool="claude-code")
    places = [f"issues/{issue}", f"projects/{project}", f"credentials/{credential}", "dashboard/stats"]
    assert [await usage_of(admin, place) for place in places] == [NOTHING] * 4
    await spend(node)
    assert [await usage_of(admin, place) for place in places] == [SPENT] * 4
    for what in ("issues", "projects", "credentials"):
        (listed,) = (await admin.get(f"/api/v1/{what}")).json()["items"]
        assert "usage" not in listed
    assert (await admin.get(f"/api/v1/credentials/{credential}")).json()["node_ids"] == [node.id]
    assert (await admin.delete(f"/api/v1/issues/{issue}")).status_code == 204
    assert [await usage_of(admin, place) for place in places[1:]] == [SPENT] * 3


async def test_what_was_spent_moves_with_its_issue(
    admin: httpx2.AsyncClient, queue: Queue, make_node: MakeNode
) -> None:
    node = await make_node()
    old, new = [await made(admin, "projects", name=name) for name in ("Old", "New")]
    issue = await queue.add(project_id=old)
    await spend(node)
    for project_id, expected in ((new, [NOTHING, SPENT]), (new, [NOTHING, SPENT]), (None, [NOTHING, NOTHING])):
        answer = await admin.patch(f"/api/v1/issues/{issue}", json={"project_id": project_id})
        assert answer.status_code == 200, answer.text
        assert [await usage_of(admin, f"projects/{each}") for each in (old, new)] == expected
    assert await usage_of(admin, "dashboard/stats") == SPENT
