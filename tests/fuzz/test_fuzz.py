"""Ten thousand requests that nobody should send: none is a 5xx, none hangs, and what is refused changes nothing.

`make fuzz N=…` sends any number. The seed is fixed, so that a failure can be sent again.
"""

import asyncio
import os
from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest
from fuzz.calls import Generator, Known, Request, url
from speaking import ADMIN, REGISTRATION_KEY, MakeNode, Queue

from app.domain.accounts.passwords import hashed
from app.settings import Settings
from app.tokens import digest

REQUESTS = int(os.environ.get("NODEYARD_FUZZ_REQUESTS", "10000"))
_AT_ONCE = 10
_ANSWER_WITHIN_S = 15.0
_LOOK_EVERY = 50
"""So many answers of 401 later it is seen whether the tokens still open anything."""
# What a refusal may write: a failed login or a wrong key is counted, and a token notes when it was used. What time
# alone changes: a pause ends.
_ROWS = {
    "issue": "t", "attempt": "t", "attempt_usage": "t", "workflowlog": "t", "project": "t", "repository": "t",
    "prompt": "t", "credential": "t", "credentialnodelink": "t", "node_registration_key": "t", '"user"': "t",
    # Those that expire soon are forgotten by time.
    "(SELECT * FROM access_token WHERE coalesce(expires_at > pg_postmaster_start_time() + interval '3 h', true))":
        "(t.id, t.user_id, t.token_hash, t.expires_at)",
    "node": "(t.id, t.name, t.boot_id, t.token_hash, t.tags, t.max_slots)",
}  # fmt: skip


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Nothing changes by time alone meanwhile."""
    from msgspec.structs import replace  # noqa: PLC0415

    hour = timedelta(hours=1)
    return replace(settings, heartbeat_interval=hour, lease=hour * 4, start_within=hour)


async def rows(sql: asyncpg.Connection) -> dict[str, str]:
    counts = [
        f"SELECT $${table}$$, coalesce(md5(string_agg(({row})::text, '' ORDER BY ({row})::text)), '') FROM {table} t"
        for table, row in _ROWS.items()
    ]
    return dict(await sql.fetch(" UNION ALL ".join(counts)))


async def known(admin: httpx2.AsyncClient, make_node: MakeNode, queue: Queue) -> Known:
    """One of everything, so that requests reach what is behind the first check."""

    async def made(path: str, body: dict[str, Any]) -> str:
        answer = await admin.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    node = await make_node("node", max_slots=100, tools=[{"category": "claude-code"}])
    issues = [await queue.add(f"issue {n}") for n in range(60)]
    attempts = [(await node.take())["attempt_id"] for _ in range(5)]
    for attempt_id in attempts[:3]:
        await node.start(attempt_id)
        await node.log(attempt_id, 0, "one", "two")
    ids = {
        "issue_id": issues,
        "attempt_id": attempts,
        "node_id": [node.id],
        "project_id": [await made("projects", {"name": "p"})],
        "repository_id": [await made("repositories", {"name": "r", "url": "https://example.com/r.git"})],
        "prompt_id": [await made("prompts", {"name": "p", "content": "Do {{ issue.title }}"})],
        "credential_id": [await made("credentials", {"title": "c", "category": "claude-code", "pat": "sk-0123456789"})],
        "user_id": [await made("users", {"email": "u@example.com", "password": "a long enough password"})],
    }
    cursor = (await admin.get("/api/v1/issues", params={"limit": 1})).json()["next_cursor"]
    return Known([token_of(admin), token_of(admin), node.token, REGISTRATION_KEY], ids, [cursor])


def token_of(client: httpx2.AsyncClient) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


def encoded(request: Request) -> dict[bytes, bytes]:
    return {name.encode(): value.encode("latin-1") for name, value in request.headers.items()}


async def answered(http: httpx2.AsyncClient, request: Request) -> httpx2.Response:
    try:
        sent = http.request(request.method, url(request), headers=encoded(request), content=request.body)
        return await asyncio.wait_for(sent, _ANSWER_WITHIN_S)
    except TimeoutError:
        raise AssertionError(f"no answer within {_ANSWER_WITHIN_S} s: {request}") from None


async def test_no_request_breaks_the_server_and_no_refused_one_changes_a_row(
    anyone: httpx2.AsyncClient, admin: httpx2.AsyncClient, make_node: MakeNode, queue: Queue,
    sql: asyncpg.Connection,
):  # fmt: skip
    description = (await anyone.get("/schema/openapi.json")).json()
    generator = Generator(description, await known(admin, make_node, queue), seed=REQUESTS)
    before = await rows(sql)
    statuses: dict[int, int] = {}
    next_look = _LOOK_EVERY
    for _ in range(0, REQUESTS, _AT_ONCE):
        requests = [generator.request() for _ in range(_AT_ONCE)]
        answers = await asyncio.gather(*(answered(anyone, request) for request in requests))
        for request, answer in zip(requests, answers, strict=True):
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            assert answer.status_code < 500, f"{request}\n{answer.status_code} {answer.text}"
            if answer.status_code >= 400:
                assert answer.headers["content-type"].startswith("application/problem+json"), str(request)
        after = await rows(sql)
        if all(answer.status_code >= 400 for answer in answers):
            changed = [table for table in before if before[table] != after[table]]
            assert not changed, f"{changed} changed by {[str(request) for request in requests]}"
        before = after
        if statuses.get(401, 0) >= next_look:
            next_look = statuses[401] + _LOOK_EVERY
            await let_in_again(sql, anyone, admin, make_node, generator)
            before = await rows(sql)
    assert statuses.get(200, 0) > REQUESTS / 100, statuses
    assert statuses.get(400, 0) > REQUESTS / 10, statuses


async def let_in_again(
    sql: asyncpg.Connection, anyone: httpx2.AsyncClient, admin: httpx2.AsyncClient, make_node: MakeNode,
    generator: Generator,
) -> None:  # fmt: skip
    """Requests that logged out, rotated the key or deleted the node did what they asked for; we need a way in."""
    tokens = generator._known.tokens
    if (await admin.get("/api/v1/auth/me")).status_code != 200:
        await sql.execute("DELETE FROM throttle")
        await sql.execute(
            """UPDATE "user" SET hashed_password = $1, email = $2, is_active = true, is_superuser = true
               WHERE id = (SELECT id FROM "user" ORDER BY created_at LIMIT 1)""",
            await hashed(ADMIN[1]), ADMIN[0],
        )  # fmt: skip
        answer = await anyone.post("/api/v1/auth/login", json={"email": ADMIN[0], "password": ADMIN[1]})
        assert answer.status_code == 200, answer.text
        admin.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        tokens[:2] = [answer.json()["token"]] * 2
    if not await sql.fetchval("SELECT count(*) FROM node WHERE token_hash = $1", digest(tokens[2])):
        await sql.execute("UPDATE node_registration_key SET key_hash = $1", digest(REGISTRATION_KEY))
        node = await make_node("node", max_slots=100, tools=[{"category": "claude-code"}])
        tokens[2] = token_of(node.http)
