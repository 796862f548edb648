"""Guessing passwords is slowed down by account and by address, and tells nothing about who has an account."""

import asyncpg
import httpx2
import pytest
from litestar import Litestar
from speaking import ADMIN

LOGIN = "/api/v1/auth/login"


def calling_from(app: Litestar, address: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app, client=(address, 4711)), base_url="http://test")


async def guess(client: httpx2.AsyncClient, email: str, password: str = "wrong") -> httpx2.Response:
    return await client.post(LOGIN, json={"email": email, "password": password})


def told(answer: httpx2.Response) -> tuple[int, dict[str, object]]:
    """The answer without what names this one request."""
    return answer.status_code, {name: value for name, value in answer.json().items() if name != "request_id"}


async def let_pass(sql: asyncpg.Connection, seconds: int) -> None:
    await sql.execute(
        """UPDATE throttle SET window_started_at = window_started_at - make_interval(secs => $1),
                               blocked_until = blocked_until - make_interval(secs => $1)""",
        seconds,
    )


async def test_the_sixth_failure_of_an_account_waits_wherever_it_comes_from(app: Litestar, sql: asyncpg.Connection):
    for n in range(5):
        async with calling_from(app, f"192.0.2.{n}") as client:
            assert (await guess(client, ADMIN[0])).status_code == 401
    async with calling_from(app, "198.51.100.1") as client:
        refused = await guess(client, ADMIN[0].upper(), ADMIN[1])
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        await let_pass(sql, 61)
        assert (await guess(client, *ADMIN)).status_code == 200


async def test_the_twenty_first_failure_of_an_address_waits_and_other_addresses_do_not(
    app: Litestar, sql: asyncpg.Connection
):
    async with calling_from(app, "192.0.2.7") as guesser, calling_from(app, "192.0.2.8") as other:
        for n in range(20):
            assert (await guess(guesser, f"person-{n}@example.com")).status_code == 401
        refused = await guess(guesser, *ADMIN)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert (await guess(other, *ADMIN)).status_code == 200
        await let_pass(sql, 61)
        assert (await guess(guesser, *ADMIN)).status_code == 200


async def test_each_further_round_of_guesses_waits_twice_as_long(anyone: httpx2.AsyncClient, sql: asyncpg.Connection):
    waits: list[int] = []
    passed = 0
    for _ in range(3):
        for _ in range(5):
            assert (await guess(anyone, ADMIN[0])).status_code == 401
        waits.append(int((await guess(anyone, ADMIN[0])).headers["retry-after"]))
        passed = waits[-1] + 1
        await let_pass(sql, passed)
        await sql.execute("DELETE FROM throttle WHERE key LIKE 'login address:%'")
    assert waits == [60, 120, 240]


async def test_right_passwords_are_no_failures(anyone: httpx2.AsyncClient):
    for _ in range(25):
        assert (await guess(anyone, *ADMIN)).status_code == 200


@pytest.mark.parametrize("password", ["wrong", "", "x" * 1024])
async def test_an_unknown_person_is_answered_as_a_wrong_password(anyone: httpx2.AsyncClient, password: str):
    known, unknown = await guess(anyone, ADMIN[0], password), await guess(anyone, "nobody@example.com", password)
    assert told(known) == told(unknown)
    assert known.status_code == 401


async def test_an_unknown_person_is_throttled_as_a_known_one(anyone: httpx2.AsyncClient):
    known = [told(await guess(anyone, ADMIN[0]))[0] for _ in range(6)]
    unknown = [told(await guess(anyone, "nobody@example.com"))[0] for _ in range(6)]
    assert known == unknown == [401] * 5 + [429]
