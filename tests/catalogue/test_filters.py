"""The small lists: each filter lets through what it names, and `q` finds words as they stand in any case."""

import pytest

SECRET = {"category": "cursor", "pat": "sk-test-1234567890"}


async def listed(admin, path, **filters):
    answer = await admin.get(f"/api/v1{path}", params=filters)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    names = [item.get("name") or item.get("title") or item.get("full_name") for item in page["items"]]
    assert page["total"] == len(names)
    return names


@pytest.mark.parametrize(
    ("path", "bodies", "expected"),
    [
        (
            "/projects",
            [{"name": "Shop", "description": "What sells 100%"}, {"name": "Old", "is_active": False}],
            [({"q": "sELLs"}, ["Shop"]), ({"q": "0%"}, ["Shop"]), ({"q": "_"}, []), ({"is_active": False}, ["Old"])],
        ),
        (
            "/repositories",
            [
                {"name": "Shop", "url": "https://git.example/acme/front.git"},
                {"name": "Docs", "url": "https://git.example/acme/docs.git", "is_public": True},
            ],
            [({"q": "FRONT"}, ["Shop"]), ({"is_public": True}, ["Docs"]), ({}, ["Docs", "Shop"])],
        ),
        (
            "/prompts",
            [{"name": "Plain", "content": "x", "description": "for all"}, {"name": "缓存", "content": "y"}],
            [({"q": "FOR"}, ["Plain"]), ({"q": "存"}, ["缓存"]), ({"is_default": True}, [])],
        ),
        (
            "/credentials",
            [{"title": "Ours", **SECRET}, {"title": "Theirs", **SECRET, "is_disabled": True}],
            [
                ({"q": "our"}, ["Ours"]),
                ({"is_disabled": True}, ["Theirs"]),
                ({"category": "cursor"}, ["Theirs", "Ours"]),
                ({"category": "claude-code"}, []),
            ],
        ),
        (
            "/users",
            [
                {"email": "ada@example.org", "password": "long enough", "full_name": "Ada"},
                {"email": "bo@example.org", "password": "long enough", "full_name": "Bo", "is_active": False},
            ],
            [({"q": "ADA@"}, ["Ada"]), ({"is_active": False}, ["Bo"]), ({"is_superuser": False}, ["Bo", "Ada"])],
        ),
    ],
)
async def test_a_filter_lets_through_what_it_names(admin, path, bodies, expected):
    for body in bodies:
        answer = await admin.post(f"/api/v1{path}", json=body)
        assert answer.status_code == 201, answer.text
    for filters, names in expected:
        assert await listed(admin, path, **filters) == names, filters


async def test_nodes_are_found_by_tag_tool_wish_and_words(admin, make_node):
    await make_node(name="Alpha", tags=["gpu"], tools=[{"category": "cursor"}])
    beta = await make_node(name="Beta")
    await admin.post(f"/api/v1/nodes/{beta.id}/drain")
    for filters, names in (
        ({"tag": "gpu"}, ["Alpha"]),
        ({"tool": "cursor"}, ["Alpha"]),
        ({"desired": "draining"}, ["Beta"]),
        ({"q": "bET"}, ["Beta"]),
        ({"q": "a", "tool": "cursor"}, ["Alpha"]),
        ({"q": "a", "desired": "draining"}, ["Beta"]),
        ({"q": "a", "desired": "paused"}, []),
        ({"status": "offline"}, []),
    ):
        assert await listed(admin, "/nodes", **filters) == names, filters


async def test_a_node_is_found_by_what_it_is_called_now(admin, make_node):
    node = await make_node(name="Alpha")
    changed = await admin.patch(f"/api/v1/nodes/{node.id}", json={"name": "Omega", "description": "Under the STAIRS"})
    assert changed.status_code == 200, changed.text
    for q, names in (("alpha", []), ("omega", ["Omega"]), ("the stairs", ["Omega"])):
        assert await listed(admin, "/nodes", q=q) == names, q
    await admin.delete(f"/api/v1/nodes/{node.id}")
    assert await listed(admin, "/nodes", q="omega") == []


async def test_the_audit_is_found_by_who_what_which_object_and_details(admin):
    made = await admin.post("/api/v1/projects", json={"name": "Moon Base"})
    await admin.delete(f"/api/v1/projects/{made.json()['id']}")
    found = await admin.get("/api/v1/audit", params={"q": made.json()["id"].upper()})
    assert [event["action"] for event in found.json()["items"]] == ["project.delete", "project.create"]
    who = (await admin.get("/api/v1/auth/me")).json()["email"]
    for q, action in ((who, "project.delete"), ("PROJECT.CRE", "project.create"), ("moon base", "project.create")):
        found = await admin.get("/api/v1/audit", params={"q": q, "limit": 200})
        assert action in {event["action"] for event in found.json()["items"]}, q
    assert (await admin.get("/api/v1/audit", params={"q": "moonbase"})).json()["total"] == 0
