"""Keys of secrets change while servers run: the new one in front of the old, everything moved, the old one gone."""

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx2
import msgspec
from litestar import Litestar
from speaking import ADMIN, REGISTRATION_KEY, MakeNode, NodeClient, Queue, client_of

from app.domain.credentials.sealing import secrets_of
from app.settings import Settings
from app.vault import Vault
from tests.conftest import running_app

OLD, NEW = "the-first-secret-key-of-the-tests", "the-second-secret-key-of-the-tests"
SECRETS = {"claude-code": "sk-claude-0123456789", "cursor": "sk-cursor-0123456789"}


async def rotate_secrets(settings: Settings, home: Path, *keys: str) -> tuple[int, str]:
    """What the command of an administrator says, and its exit status."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("NODEYARD_")},
        "DATABASE_URL": settings.database_url or "",
        "NODEYARD_HOME": str(home),
        "NODEYARD_SECRET_KEYS": ",".join(keys),
    }
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "rotate-secrets"),
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await program.communicate()
    return program.returncode or 0, said.decode()


async def key_ids(sql: asyncpg.Connection) -> set[str]:
    rows = await sql.fetch(
        "SELECT secret_key_id FROM credential UNION ALL SELECT secret_key_id FROM node_registration_key"
    )
    return {row[0] for row in rows}


async def delivered(app: Litestar, queue: Queue, node: NodeClient, tool: str) -> str:
    """The secret that a node gets for an issue, from a server with other keys."""
    await queue.add(tool=tool)
    there = node.at(app)
    async with there.http as http:
        offer = await there.take()
        answer = await http.get(f"/api/v1/attempts/{offer['attempt_id']}/credential")
        assert answer.status_code == 200, answer.text
        assert (await there.finish(offer["attempt_id"])).status_code in {200, 204}
    return answer.json()["secret"]


async def registration_key(app: Litestar) -> str:
    async with client_of(app) as client:
        login = await client.post("/api/v1/auth/login", json={"email": ADMIN[0], "password": ADMIN[1]})
        assert login.status_code == 200, login.text
        return (await client.get("/api/v1/registration-key")).json()["key"]


async def add_credentials(admin: httpx2.AsyncClient, node: NodeClient) -> None:
    for category, secret in SECRETS.items():
        body = {"title": category, "category": category, "pat": secret, "node_ids": [node.id]}
        answer = await admin.post("/api/v1/credentials", json=body)
        assert answer.status_code == 201, answer.text
        assert secret not in answer.text
        assert UUID(answer.json()["id"])


async def test_secrets_move_to_a_new_key_that_then_suffices(
    admin: httpx2.AsyncClient,
    sql: asyncpg.Connection,
    queue: Queue,
    make_node: MakeNode,
    settings: Settings,
    home: Path,
):
    node = await make_node(tools=[{"category": category} for category in SECRETS])
    await add_credentials(admin, node)
    body = {"title": "cursor", "category": "cursor", "pat": "replaced-soon", "node_ids": []}
    replaced = (await admin.post("/api/v1/credentials", json=body)).json()["id"]
    assert (await admin.patch(f"/api/v1/credentials/{replaced}", json={"pat": "the-next"})).status_code == 200
    before = await key_ids(sql)
    async with running_app(msgspec.structs.replace(settings, secret_keys=(NEW, OLD))) as both:
        assert await delivered(both, queue, node, "cursor") == SECRETS["cursor"]
        assert await registration_key(both) == REGISTRATION_KEY
        status, said = await rotate_secrets(settings, home, NEW, OLD)
        assert (status, said.strip()) == (0, "4 secrets were sealed anew.")
        assert (await rotate_secrets(settings, home, NEW, OLD))[1].startswith("0 ")
    after = await key_ids(sql)
    assert len(before) == len(after) == 1
    assert before.isdisjoint(after)
    async with running_app(msgspec.structs.replace(settings, secret_keys=(NEW,))) as alone:
        for category, secret in SECRETS.items():
            assert await delivered(alone, queue, node, category) == secret
        assert await registration_key(alone) == REGISTRATION_KEY
    row = await sql.fetchrow("SELECT secret, former_secrets, secret_key_id FROM credential WHERE id = $1", replaced)
    assert row is not None
    assert secrets_of(Vault((NEW,)), UUID(replaced), *row) == ["the-next", "replaced-soon"]


async def test_without_the_former_key_nothing_moves_and_the_reason_is_said(
    admin: httpx2.AsyncClient, sql: asyncpg.Connection, make_node: MakeNode, settings: Settings, home: Path
):
    await add_credentials(admin, await make_node())
    before = await sql.fetch("SELECT id, secret, secret_key_id FROM credential ORDER BY id")
    status, said = await rotate_secrets(settings, home, NEW)
    assert status != 0
    assert "NODEYARD_SECRET_KEYS" in said
    assert "Traceback" not in said
    assert await sql.fetch("SELECT id, secret, secret_key_id FROM credential ORDER BY id") == before


async def test_a_sealed_secret_is_worth_nothing_in_another_row(
    admin: httpx2.AsyncClient, sql: asyncpg.Connection, make_node: MakeNode, queue: Queue
):
    node = await make_node(tools=[{"category": category} for category in SECRETS])
    await add_credentials(admin, node)
    await sql.execute(
        """UPDATE credential SET secret = (SELECT secret FROM credential WHERE category = 'cursor')
           WHERE category = 'claude-code'"""
    )
    await queue.add(tool="claude-code")
    offer = await node.take()
    answer = await node.http.get(f"/api/v1/attempts/{offer['attempt_id']}/credential")
    assert answer.status_code >= 400
    assert SECRETS["cursor"] not in answer.text
