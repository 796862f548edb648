"""Who logs in with what older installations left behind: bcrypt hashes, and addresses that differ only in case."""

from uuid import UUID, uuid4

import asyncpg
import bcrypt
import httpx2
import pytest
from speaking import ADMIN


async def add_user(sql: asyncpg.Connection, email: str, password: str) -> UUID:
    """As an older installation stored them; its bcrypt cut longer passwords off."""
    user_id = uuid4()
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    await sql.execute('INSERT INTO "user" (id, email, hashed_password) VALUES ($1, $2, $3)', user_id, email, hashed)
    return user_id


async def log_in(client: httpx2.AsyncClient, email: str, password: str) -> httpx2.Response:
    return await client.post("/api/v1/auth/login", json={"email": email, "password": password})


@pytest.mark.parametrize("password", ["an old password", "ä" * 40])
async def test_a_bcrypt_hash_logs_in_and_becomes_argon2id(
    anyone: httpx2.AsyncClient, sql: asyncpg.Connection, password: str
):
    user_id = await add_user(sql, "ada@example.com", password)
    assert (await log_in(anyone, "ada@example.com", "another password")).status_code == 401
    stored = 'SELECT hashed_password FROM "user" WHERE id = $1'
    assert (await sql.fetchval(stored, user_id)).startswith("$2b$")
    assert (await log_in(anyone, "ada@example.com", password)).status_code == 200
    assert (await sql.fetchval(stored, user_id)).startswith("$argon2id$")
    assert (await log_in(anyone, "ada@example.com", password)).status_code == 200


@pytest.mark.parametrize("stored", ["", "plain text", "$2b$04$broken", "$argon2id$broken"])
async def test_a_hash_that_is_none_lets_nobody_in(anyone: httpx2.AsyncClient, sql: asyncpg.Connection, stored: str):
    await add_user(sql, "ada@example.com", "an old password")
    await sql.execute("""UPDATE "user" SET hashed_password = $1 WHERE email = 'ada@example.com'""", stored)
    for password in ("an old password", stored):
        assert (await log_in(anyone, "ada@example.com", password)).status_code == 401


async def test_accounts_that_differ_only_in_case_are_told_apart_by_spelling(
    anyone: httpx2.AsyncClient, sql: asyncpg.Connection
):
    accounts = {email: await add_user(sql, email, f"password of {email}") for email in ("Ada@x.org", "ada@x.org")}
    for email, user_id in accounts.items():
        answer = await log_in(anyone, email, f"password of {email}")
        assert answer.json()["user"]["id"] == str(user_id)
    assert (await log_in(anyone, "Ada@x.org", "password of ada@x.org")).status_code == 401
    assert (await log_in(anyone, "ADA@x.org", "password of ada@x.org")).status_code == 401


@pytest.mark.parametrize("stored", ["Grace@Example.com", "grace@example.com"])
async def test_case_does_not_matter_to_the_only_account_of_an_address(
    anyone: httpx2.AsyncClient, sql: asyncpg.Connection, stored: str
):
    user_id = await add_user(sql, stored, "an old password")
    for email in ("GRACE@example.COM", "grace@example.com", stored):
        answer = await log_in(anyone, email, "an old password")
        assert answer.json()["user"]["id"] == str(user_id)


async def test_new_accounts_cannot_differ_only_in_case(admin: httpx2.AsyncClient):
    body = {"email": ADMIN[0].upper(), "password": "correct horse 9"}
    answer = await admin.post("/api/v1/users", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "email_in_use")
