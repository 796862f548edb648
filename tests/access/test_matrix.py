"""Every route that the OpenAPI description has × everybody who might call it.

A route that is added is walked too; it must be an operation whose kind `rule` can tell, or the test fails.
"""

import re
from pathlib import Path
from tempfile import mkdtemp

import pytest

from app.asgi import create_app
from app.db.metadata import METADATA
from app.http.examples import BODIES
from app.settings import Settings
from tests.access.world import ACTORS, CREATED, World, build, close
from tests.conftest import running_app

DESCRIPTION = create_app(Settings(secret_keys=("k",), home=Path(mkdtemp()))).openapi_schema.to_schema()
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in DESCRIPTION["paths"].items()
    for method, operation in item.items()
    if path.startswith("/api/v1/")
}
PEOPLE = {"owner", "other", "superuser"}
FLEET = {"node", "other_node"}
SUPERUSERS_ONLY = {"users", "audit", "registration key"}
STREAMS = {"stream_events", "stream_logs"}
CHANGES_NODE = {"change_node", "delete_node", "pause_node", "drain_node", "resume_node"}
LEAVES = {"log_out", "change_password"}
UNKNOWN_ID = "0199d9a4-0000-7000-8000-00000000dead"


def rule(name: str, path: str, operation: dict) -> dict[str, set[int]]:
    """What each actor must hear: refusals exactly, or nothing listed when the call is theirs to make."""
    tags = set(operation["tags"])
    if operation["security"] == [{}]:
        return {}
    if name == "register_node":
        return {actor: {401} for actor in ACTORS if actor != "registration_key"}
    if "nodes' protocol" in tags:
        outside = {actor: {401} for actor in ACTORS if actor not in FLEET}
        return outside | ({actor: {404} for actor in FLEET} if "{attempt_id}" in path else {})
    strangers = {actor: {401} for actor in ACTORS if actor not in PEOPLE}
    if tags & SUPERUSERS_ONLY or name in CHANGES_NODE:
        return strangers | {"owner": {403}, "other": {403}}
    return strangers | {actor: {404} for actor in _blind_to(path)}


def _blind_to(path: str) -> set[str]:
    if "{token_id}" in path:
        return {"other", "superuser"}
    first = re.search(r"\{(\w+)\}", path)
    return {"other"} if first is not None and first[1] != "node_id" else set()


@pytest.fixture(scope="module")
async def world(module_database_url, tmp_path_factory):
    settings = Settings(
        database_url=module_database_url,
        home=tmp_path_factory.mktemp("home"),
        secret_keys=("the-first-secret-key-of-the-tests",),
        registration_key="registration-key-of-the-tests",
        admin_email="admin@example.com",
        admin_password="correct horse battery staple",
    )
    async with running_app(settings) as app:
        made = await build(app)
        yield made
        await close(made)


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: ids.get(match[1], UNKNOWN_ID), path)


async def call(world: World, actor: str, name: str):
    method, path, _ = OPERATIONS[name]
    body = {"json": BODIES[name]} if name in BODIES else {}
    return await world.clients[actor].request(method, filled(path, world.ids), **body)


async def renew(world: World) -> None:
    """Whatever the call before deleted is there again."""
    for name, (path, body) in CREATED.items():
        world.ids[name] = await world.create(path, body)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
async def test_everybody_hears_what_they_may(world, name):
    _, path, operation = OPERATIONS[name]
    refusals = rule(name, path, operation)
    for actor, expected in refusals.items():
        answer = await call(world, actor, name)
        assert answer.status_code in expected, (actor, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    if name in STREAMS | LEAVES | {"log_in", "claim", "deregister_node", "delete_node", "delete_user", "heartbeat"}:
        return
    for actor in ACTORS:
        if actor not in refusals:
            answer = await call(world, actor, name)
            assert answer.status_code not in {401, 403}, (actor, answer.text)
            assert answer.status_code < 500, (actor, answer.text)
            if name not in {"log_in", "unlink_credential"}:
                assert answer.status_code != 404, (actor, answer.text)
            world.clients[actor].cookies.clear()
            await renew(world)


@pytest.mark.parametrize("field", ["project_id", "repository_id", "prompt_id"])
async def test_an_issue_cannot_refer_to_what_its_author_does_not_see(world, field):
    foreign = {field: world.foreign[field]}
    for answer in (
        await world.clients["owner"].post("/api/v1/issues", json={"title": "x", **foreign}),
        await world.clients["owner"].post(
            "/api/v1/issues/bulk", json={"issues": [{"title": "x"}, {"title": "y", **foreign}]}
        ),
        await world.clients["owner"].patch(f"/api/v1/issues/{world.ids['issue_id']}", json=foreign),
    ):
        assert answer.status_code == 404, answer.text


async def test_lists_show_a_plain_user_their_own_rows_alone(world):
    for path in ("projects", "repositories", "prompts", "credentials", "issues"):
        mine = (await world.clients["other"].get(f"/api/v1/{path}", params={"limit": 200})).json()
        assert {item["owner_id"] for item in mine["items"]} <= {world.ids["other"]}, path
        assert mine["total"] == len(mine["items"])
        everything = (await world.clients["superuser"].get(f"/api/v1/{path}")).json()
        assert everything["total"] > mine["total"]
    stats = (await world.clients["other"].get("/api/v1/dashboard/stats")).json()
    own = (await world.clients["other"].get("/api/v1/issues")).json()["total"]
    assert stats["issues"]["total"] == own


COLUMNS = sorted({column.name for table in METADATA.tables.values() for column in table.columns})
BODIED = sorted(name for name in BODIES if "nodes' protocol" not in OPERATIONS[name][2]["tags"])


@pytest.mark.parametrize("name", BODIED)
async def test_no_body_can_set_a_column_that_it_does_not_offer(world, name):
    method, path, operation = OPERATIONS[name]
    schema = next(iter(operation["requestBody"]["content"].values()))["schema"]
    offered = set(_properties(schema))
    for column in COLUMNS:
        if column not in offered:
            body = {**BODIES[name], column: None}
            answer = await world.clients["superuser"].request(method, filled(path, {}), json=body)
            assert answer.status_code == 400, (column, answer.status_code, answer.text)
            assert answer.json()["errors"][0]["field"] == column


def _properties(schema: dict) -> dict:
    for kind in schema.get("oneOf", [schema]):
        if "$ref" in kind:
            return DESCRIPTION["components"]["schemas"][kind["$ref"].rsplit("/", 1)[1]]["properties"]
    return schema["properties"]
