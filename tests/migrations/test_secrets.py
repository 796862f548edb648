"""Nothing secret stays in clear text: not in the rows, not in a dump, not in the files of the tables."""

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from app.db import sealing
from app.db.engine import address
from app.settings import Settings
from app.vault import Vault
from tests.conftest import client_of, running_app
from tests.migrations import shapes
from tests.migrations.conftest import KEYS, MakeDatabase, Server, upgrade_literally
from tests.migrations.shapes import connected, key
from tests.migrations.test_adopt import assert_no_secret
from tests.migrations.test_round_trip import contents


async def test_upgrade_with_keys_leaves_no_clear_text(legacy: str, server: Server) -> None:
    await upgrade_literally(legacy, keys=KEYS)
    assert_no_secret(server, legacy)
    await _assert_files_are_clean(legacy)
    vault = Vault(KEYS)
    async with connected(legacy) as connection:
        rows = await connection.fetch("SELECT id, secret, secret_key_id FROM credential")
    opened = {sealing.open_secret(vault, "credential", *row) for row in rows}
    assert opened == set(shapes.PATS)


async def _assert_files_are_clean(url: str) -> None:
    """Reads the tables' files: dead rows and dropped columns count too."""
    async with connected(url) as connection:
        await connection.execute("CHECKPOINT")
        for table in ("credential", "node_registration_key"):
            stored = await connection.fetchval("SELECT pg_read_binary_file(pg_relation_filepath($1))", table)
            for secret in (*shapes.PATS[:3], shapes.REGISTRATION_KEY):
                assert secret.encode() not in stored, table


async def test_first_server_start_seals_what_an_upgrade_without_keys_left(upgraded: str, server: Server) -> None:
    with pytest.raises(AssertionError):
        assert_no_secret(server, upgraded)
    async with running_app(Settings(database_url=upgraded, secret_keys=KEYS)):
        assert_no_secret(server, upgraded)
    await _assert_files_are_clean(upgraded)


async def test_sealing_goes_on_where_it_was_interrupted(make_database: MakeDatabase) -> None:
    url = await make_database("A at head")
    engine = create_async_engine(address(url).url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(lambda each: sealing.seal_batch(each, Vault(KEYS), 1))
        assert await sealing.seal_clear_text(engine, Vault(KEYS)) == len(shapes.PATS) + 1 - 2
        assert await sealing.seal_clear_text(engine, Vault(KEYS)) == 0
    finally:
        await engine.dispose()
    assert {row["secret_key_id"] for row in (await contents(url))["credential"]} == {Vault(KEYS).newest_key_id}


async def test_old_passwords_log_in_and_become_argon2id(upgraded: str) -> None:
    """Emails that differ only in case are two people; any other spelling finds the one there is."""
    async with running_app(Settings(database_url=upgraded, secret_keys=KEYS)) as app, client_of(app) as client:
        for email, person in (
            ("ann@example.com", "ann-lower"),
            ("Ann@Example.com", "ann"),
            ("BOSS@example.com", "boss"),
        ):
            answer = await client.post("/api/v1/auth/login", json={"email": email, "password": shapes.PASSWORD})
            assert answer.status_code == 200, answer.text
            assert answer.json()["user"]["id"] == str(key(person))
    async with connected(upgraded) as connection:
        hashes = dict(await connection.fetch('SELECT email, hashed_password FROM "user"'))
    assert hashes["boss@example.com"].startswith("$argon2id$")
    assert hashes["gone@example.com"] == shapes.BCRYPT


async def test_nodes_come_back_to_their_row_with_the_old_key(upgraded: str) -> None:
    settings = Settings(database_url=upgraded, secret_keys=KEYS)
    async with running_app(settings) as app, client_of(app, shapes.REGISTRATION_KEY) as client:
        body = {"name": "节点", "machine_id": "machine-of-node-3", "boot_id": "1", "version": "1", "max_slots": 1}
        answer = await client.post("/api/v1/nodes/register", json={**body, "tags": [], "tools": []})
        assert answer.status_code == 200, answer.text
        assert answer.json()["node_id"] == str(key("node-3"))
