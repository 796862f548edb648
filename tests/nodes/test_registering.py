"""Joining the fleet: who may, what is answered, what happens to names."""

from uuid import uuid4

import asyncpg
import httpx2
import pytest
from litestar import Litestar
from speaking import REGISTRATION_KEY, MakeNode, Queue, client_of

MACHINE = {"name": "builder", "machine_id": "machine-1", "boot_id": "boot-1", "version": "1.2", "max_slots": 3}


@pytest.fixture
async def registrar(app: Litestar):
    async with client_of(app, REGISTRATION_KEY) as client:
        yield client


async def register(client: httpx2.AsyncClient, **fields: object) -> httpx2.Response:
    return await client.post("/api/v1/nodes/register", json={**MACHINE, **fields})


async def test_a_new_machine_is_201_and_a_known_one_200_with_a_new_token(registrar: httpx2.AsyncClient, app: Litestar):
    first, again = await register(registrar), await register(registrar)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["node_id"] == again.json()["node_id"]
    assert set(first.json()) == {
        "node_id", "node_token", "heartbeat_interval_s", "lease_s", "claim_wait_s", "start_within_s"
    }  # fmt: skip
    async with client_of(app, first.json()["node_token"]) as former:
        beat = await former.post("/api/v1/nodes/heartbeat", json={"boot_id": "boot-1"})
    assert (beat.status_code, beat.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("key", [None, "wrong", "nyr_" + "0" * 49])
async def test_a_wrong_key_registers_nothing(app: Litestar, sql: asyncpg.Connection, key: str | None):
    async with client_of(app, key) as stranger:
        refused = await register(stranger)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_registration_key")
    assert await sql.fetchval("SELECT count(*) FROM node") == 0


async def test_the_name_of_another_machine_is_refused(registrar: httpx2.AsyncClient, sql: asyncpg.Connection):
    await register(registrar)
    refused = await register(registrar, machine_id="machine-2")
    assert (refused.status_code, refused.json()["code"]) == (409, "name_in_use")
    assert await sql.fetchval("SELECT count(*) FROM node") == 1


async def test_a_row_that_never_had_a_machine_is_taken_over(registrar: httpx2.AsyncClient, queue: Queue):
    former = uuid4()
    for node_id in (former, uuid4()):
        await queue.sql.execute(
            "INSERT INTO node (id, name, owner_id, last_heartbeat) VALUES ($1, 'builder', $2, $3::timestamptz)",
            node_id, queue.owner_id, None,
        )  # fmt: skip
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() WHERE id = $1", former)
    assert (await register(registrar)).json()["node_id"] == str(former)
    assert (await register(registrar, machine_id="machine-2")).status_code == 409


async def test_a_machine_may_change_its_name(registrar: httpx2.AsyncClient, sql: asyncpg.Connection):
    await register(registrar)
    assert (await register(registrar, name="renamed", tags=["b", "a", "a"])).status_code == 200
    row = await sql.fetchrow("SELECT name, tags FROM node")
    assert row is not None
    assert tuple(row) == ("renamed", ["a", "b"])


async def test_unknown_fields_are_ignored(registrar: httpx2.AsyncClient):
    assert (await register(registrar, kernel="6.1", nested={"a": 1})).status_code == 201


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "a\nb"}, {"name": "a\x00b"}, {"name": 7}, {"machine_id": "short"},
        {"machine_id": "m" * 129}, {"max_slots": 0}, {"max_slots": 1001}, {"max_slots": 10**30}, {"tags": "a"},
        {"tags": ["a,b"]}, {"tags": [""]}, {"tools": [{"category": "No Such"}]}, {"boot_id": None},
    ],
)  # fmt: skip
async def test_bad_input_is_400_and_names_the_field(
    registrar: httpx2.AsyncClient, sql: asyncpg.Connection, wrong: dict[str, object]
):
    refused = await register(registrar, **wrong)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input"), refused.text
    assert next(iter(wrong)) in refused.json()["errors"][0]["field"] + refused.json()["errors"][0]["message"]
    assert await sql.fetchval("SELECT count(*) FROM node") == 0


async def test_the_registration_key_opens_nothing_else(registrar: httpx2.AsyncClient):
    for path in ("/api/v1/nodes", "/api/v1/issues", "/api/v1/users", "/api/v1/registration-key"):
        assert (await registrar.get(path)).status_code == 401
    assert (await registrar.post("/api/v1/nodes/heartbeat", json={"boot_id": "b"})).status_code == 401


async def test_a_boot_id_that_no_machine_can_have_registered_is_400(make_node: MakeNode):
    node = await make_node()
    for boot_id in ("\x00", "a\nb", ""):
        node.boot_id = boot_id
        for refused in (await node.beat(), await node.claim()):
            assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input"), refused.text


async def test_another_process_on_the_machine_is_told_to_exit(make_node: MakeNode):
    node = await make_node()
    node.boot_id = "boot-of-yesterday"
    for refused in (await node.beat(), await node.claim()):
        assert (refused.status_code, refused.json()["code"]) == (409, "stale_boot")


@pytest.mark.parametrize(("desired", "code"), [("draining", "node_draining"), ("paused", "node_paused")])
async def test_a_node_that_shall_not_work_claims_nothing(queue: Queue, make_node: MakeNode, desired: str, code: str):
    await queue.add()
    node = await make_node()
    await queue.sql.execute("UPDATE node SET desired = $1", desired)
    assert (await node.beat()).json()["desired"] == desired
    refused = await node.claim()
    assert (refused.status_code, refused.json()["code"]) == (409, code)


async def test_a_pause_that_has_ended_no_longer_counts(queue: Queue, make_node: MakeNode):
    await queue.add()
    node = await make_node()
    await queue.sql.execute("UPDATE node SET desired = 'paused', paused_until = now() - interval '1 s'")
    assert (await node.beat()).json()["desired"] == "active"
    assert (await node.claim()).status_code == 200


async def test_a_node_whose_heartbeats_stopped_gets_no_work(queue: Queue, make_node: MakeNode):
    await queue.add()
    node = await make_node()
    await queue.sql.execute("UPDATE node SET last_heartbeat = now() - interval '46 s'")
    assert (await node.claim()).status_code == 204
    await node.beat()
    assert (await node.claim()).status_code == 200
