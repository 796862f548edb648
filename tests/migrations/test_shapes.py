"""Both shapes of existing installations and an empty database end as the same schema, with every value in it."""

import asyncpg
import pytest
from sqlalchemy import Connection

from app.db import migrate, shape
from app.db.metadata import METADATA
from tests.migrations import shapes
from tests.migrations.commands import run
from tests.migrations.conftest import MakeDatabase, Server
from tests.migrations.shapes import connected, key


async def read_shape(url: str) -> shape.Shape:
    return await migrate.with_connection(url, shape.read)


async def test_fresh_database_is_what_the_models_say(make_database: MakeDatabase) -> None:
    modelled = await make_database(None)

    def create(connection: Connection) -> None:
        METADATA.create_all(connection)
        connection.commit()

    await migrate.with_connection(modelled, create)
    made = await read_shape(await make_database("fresh"))
    assert len(made.tables) >= 13
    assert made.differences(await read_shape(modelled)) == []


async def test_literal_procedure_ends_in_the_fresh_schema(legacy: str, make_database: MakeDatabase) -> None:
    async with connected(legacy) as connection:
        await connection.execute("DELETE FROM alembic_version")
    for words in (["stamp", "001_initial_schema"], ["upgrade", "head"]):
        done = run("alembic", legacy, *words)
        assert done.returncode == 0, done.stderr
    assert (await read_shape(legacy)).differences(await read_shape(await make_database("fresh"))) == []


async def test_upgrade_of_a_stamped_first_shape_needs_nothing_else(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.A)
    done = run("alembic", url, "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert (await read_shape(url)).differences(await read_shape(await make_database("fresh"))) == []


async def test_every_value_arrives(upgraded: str) -> None:
    async with connected(upgraded) as sql:
        await _check_issues(sql)
        await _check_tags(sql)
        await _check_fleet(sql)
        await _check_people(sql)


async def _check_issues(sql: asyncpg.Connection) -> None:
    issues = {each["id"]: each for each in await sql.fetch("SELECT * FROM issue")}
    assert len(issues) == len(shapes.ISSUES)
    for number, (word, status) in enumerate(shapes.STATUSES_AT_HEAD.items()):
        issue = issues[key(word)]
        assert issue["status"] == status, word
        assert issue["created_at"] == shapes.utc(shapes._times(number)["created_at"])
        assert issue["description"] == "描" * 2048
        assert issue["rank"] == pytest.approx(issue["priority"] * 86400 - issue["created_at"].timestamp(), abs=1e-5)
        assert issue["error_message"] == shapes.ISSUES[word][1]
    assert issues[key("done")]["assigned_node_id"] == key("node-2")
    assert issues[key("to-merge")]["assigned_node_id"] == key("node-1")
    assert issues[key("broken")]["assigned_node_id"] is None
    assert issues[key("working")]["assigned_node_id"] is None
    assert issues[key("merged")]["title"] == ""


async def _check_tags(sql: asyncpg.Connection) -> None:
    tags = dict(await sql.fetch("SELECT name, tags FROM prompt"))
    assert tags == {"none": [], "empty": [], "commas": [], "spaced": ["a", "b", "中文标签"]}
    assert await sql.fetchval("SELECT tags FROM node WHERE id = $1", key("node-1")) == ["gpu", "linux"]
    assert await sql.fetchval("SELECT content FROM prompt WHERE name = 'none'") == "提示" * 2500


async def _check_fleet(sql: asyncpg.Connection) -> None:
    nodes = await sql.fetch("SELECT name, status, machine_id, token_hash FROM node ORDER BY name, id")
    assert [each["name"] for each in nodes].count("twin") == 2
    assert {tuple(each)[1:] for each in nodes} == {("offline", None, None)}
    categories = [each[0] for each in await sql.fetch("SELECT category FROM credential ORDER BY title")]
    assert categories == ["github-copilot", "cursor", "claude-code", "github-copilot"]
    assert await sql.fetchval("SELECT count(*) FROM credentialnodelink") == 3


async def _check_people(sql: asyncpg.Connection) -> None:
    people = {each["email"]: each for each in await sql.fetch('SELECT * FROM "user"')}
    assert {"Ann@Example.com", "ann@example.com"} < people.keys()
    assert people["boss@example.com"]["hashed_password"] == shapes.BCRYPT


async def test_logs_keep_their_order_and_length(upgraded: str) -> None:
    async with connected(upgraded) as sql:
        entries = await sql.fetch("SELECT * FROM workflowlog WHERE issue_id = $1 ORDER BY position", key("done"))
    assert [each["id"] for each in entries] == [key(f"log-done-{number}") for number in range(shapes.LOGS_PER_ISSUE)]
    assert entries[2]["output"] == "输" * 4096
    assert entries[3]["duration_ms"] == 2**31 - 1
    assert entries[0]["created_at"] == shapes.utc(shapes.START)


async def test_new_log_entries_come_behind_old_ones(upgraded: str) -> None:
    async with connected(upgraded) as sql:
        newest = await sql.fetchval("SELECT max(position) FROM workflowlog")
        position = await sql.fetchval(
            "INSERT INTO workflowlog (id, issue_id, step_name, status) VALUES ($1, $2, 'a', 'b') RETURNING position",
            key("new"),
            key("done"),
        )
    assert position == newest + 1


@pytest.mark.parametrize("person", ["ann", "boss"])
async def test_deleting_a_user_takes_everything_of_theirs(upgraded: str, person: str) -> None:
    async with connected(upgraded) as sql:
        await sql.execute('DELETE FROM "user" WHERE id = $1', key(person))
        owned = ["project", "repository", "prompt", "issue", "node", "credential"]
        if await sql.fetchval("SELECT to_regclass('item')"):
            owned.append("item")
        for table in owned:
            assert await sql.fetchval(f"SELECT count(*) FROM {table} WHERE owner_id = $1", key(person)) == 0, table
        logs = await sql.fetchval("SELECT count(*) FROM workflowlog")
        links = await sql.fetchval("SELECT count(*) FROM credentialnodelink")
    # Ann owns issues and credentials, the boss the nodes: logs outlive a node, links do not.
    assert logs == (0 if person == "ann" else len(shapes.ISSUES) * shapes.LOGS_PER_ISSUE)
    assert links == 0


def test_plain_alembic_finds_no_drift(newest_server: Server, database_url: str) -> None:
    done = run("alembic", database_url, "check")
    assert done.returncode == 0, done.stderr
