"""Up, down and up again: nothing is lost, and what an older column cannot hold stops the way down before it begins."""

from pathlib import Path

import asyncpg
import pytest

from app.db import migrate, shape
from app.db.revisions import MigrationRefused
from tests.migrations import shapes
from tests.migrations.conftest import KEYS, MakeDatabase, Server, upgrade_literally
from tests.migrations.shapes import LegacyShape, connected, key

FIRST = "001_initial_schema"


# A counter is the sum of its rows, however many they are.
COUNTED = "(SELECT owner_id, status, desired, sum(n) AS n FROM node_tally GROUP BY 1, 2, 3 HAVING sum(n) <> 0)"


async def contents(url: str) -> dict[str, list[dict[str, object]]]:
    """Every row of every table but Alembic's."""
    async with connected(url) as connection:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return {
            name: await shapes.rows(connection, COUNTED if name == "node_tally" else f'"{name}"')
            for (name,) in tables
            if name != "alembic_version"
        }


async def execute(url: str, *statements: str) -> None:
    async with connected(url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def test_down_to_the_first_revision_is_the_first_shape(upgraded: str, make_database: MakeDatabase) -> None:
    await migrate.downgrade(upgraded, FIRST)
    down = await migrate.with_connection(upgraded, shape.read)
    assert down.differences(await migrate.with_connection(await make_database(shapes.A), shape.read)) == []
    async with connected(upgraded) as connection:
        others = await connection.fetch(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|^information_schema$|^public$'"
        )
    assert others == []


async def test_older_rows_survive_down_and_up(upgraded: str) -> None:
    before = await contents(upgraded)
    await migrate.downgrade(upgraded, FIRST)
    await migrate.upgrade(upgraded)
    assert await contents(upgraded) == before


async def test_first_shape_holds_the_old_values_again(make_database: MakeDatabase) -> None:
    original = await contents(await make_database(shapes.A))
    url = await make_database("A at head")
    await migrate.downgrade(url, FIRST)
    down = await contents(url)
    for table in ("user", "project", "repository", "credential", "credentialnodelink", "workflowlog"):
        assert down[table] == original[table], table
    mended = {"tags", "status", "assigned_node_id"}
    for table in ("issue", "node", "prompt", "node_registration_key"):
        assert _by_id(down[table], mended) == _by_id(original[table], mended)
    statuses = {row["title"]: row["status"] for row in down["issue"]}
    assert statuses["问题 stopped"] == "terminated"


def _by_id(rows: list[dict[str, object]], without: set[str]) -> dict[object, dict[str, object]]:
    return {row["id"]: {name: value for name, value in row.items() if name not in without} for row in rows}


WORK_AT_HEAD = (
    f"""UPDATE node SET machine_id = 'machine-1', boot_id = 'boot', token_hash = '\\x01', max_slots = 4,
        tools = '[{{"category": "cursor"}}]', tool_categories = '{{cursor}}', desired = 'paused', desired_note = '检修',
        paused_until = now() WHERE id = '{key("node-1")}'""",
    f"UPDATE project SET max_running = 2 WHERE id = '{key('project')}'",
    f"UPDATE repository SET default_branch = 'main' WHERE id = '{key('repo')}'",
    f"UPDATE prompt SET is_default = true WHERE id = '{key('prompt-none')}'",
    f"UPDATE credential SET cooldown_until = now(), max_running = 1 WHERE id = '{key('credential-0')}'",
    "UPDATE node_registration_key SET previous_key_hash = '\\x02', previous_expires_at = now()",
    f"""UPDATE issue SET project_id = '{key("project")}', repository_id = '{key("repo")}', tool = 'cursor',
        prompt_id = '{key("prompt-none")}', requires = '{{gpu}}', deferred = true, not_before = now(),
        max_attempts = 7, attempt_count = 2, last_number = 3, base_branch = 'dev' WHERE id = '{key("waiting")}'""",
    f"""INSERT INTO attempt (id, issue_id, node_id, node_name, number, status, branch, claim_id, offer, start_by,
            finished_at, next_seq)
        VALUES ('{key("attempt")}', '{key("waiting")}', '{key("node-1")}', 'twin', 1, 'failed', 'b', '{key("claim")}',
            '{{}}', now(), now(), 3)""",
    f"INSERT INTO attempt_usage VALUES ('{key('attempt')}', 'p', 'm', 1, 2, 3, 4, 0.5)",
    # Written by the clock of the node, so that time and position disagree.
    # And by one that was deleted since.
    f"""INSERT INTO workflowlog (id, issue_id, attempt_id, node_id, seq, step_name, status, created_at)
        SELECT gen_random_uuid(), '{key("waiting")}', '{key("attempt")}', '{key("node-gone")}', seq, 'clone', 'success',
            now() - seq * interval '1 year' FROM generate_series(0, 2) AS seq""",
    f"""INSERT INTO access_token (id, user_id, kind, name, token_hash, last4)
        VALUES ('{key("token")}', '{key("ann")}', 'token', 'script', '\\x03', 'abcd')""",
    """INSERT INTO audit_event (id, actor_kind, action, object_type)
        VALUES (gen_random_uuid(), 'system', 'test', 'nothing')""",
)


async def test_what_only_head_can_hold_survives_down_and_up(upgraded: str) -> None:
    await execute(upgraded, *WORK_AT_HEAD)
    before = await contents(upgraded)
    await migrate.downgrade(upgraded, FIRST)
    assert "attempt" not in await contents(upgraded)
    await migrate.upgrade(upgraded)
    assert await contents(upgraded) == before
    with pytest.raises(asyncpg.RestrictViolationError):
        await execute(upgraded, "DELETE FROM audit_event")


async def test_former_secrets_survive_down_and_up_while_their_key_does(make_database: MakeDatabase) -> None:
    url = await upgrade_literally(await make_database(shapes.A), keys=KEYS)
    await execute(url, f"UPDATE credential SET former_secrets = '\\x01' WHERE id = '{key('credential-0')}'")
    before = await contents(url)
    await migrate.downgrade(url, "018_logs_outlive_nodes")
    await migrate.upgrade(url)
    assert await contents(url) == before
    await migrate.downgrade(url, "018_logs_outlive_nodes")
    await execute(url, "UPDATE credential SET secret_key_id = 'another'")
    await migrate.upgrade(url)
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT count(former_secrets) FROM credential") == 0


async def test_live_work_ends_with_the_downgrade(upgraded: str) -> None:
    await execute(
        upgraded,
        f"UPDATE issue SET status = 'processing', attempt_count = 1 WHERE id = '{key('waiting')}'",
        f"""INSERT INTO attempt (id, issue_id, node_name, number, branch, claim_id, offer, start_by)
            VALUES ('{key("attempt")}', '{key("waiting")}', 'n', 1, 'b', '{key("claim")}', '{{}}', now())""",
    )
    await migrate.downgrade(upgraded, FIRST)
    await migrate.upgrade(upgraded)
    async with connected(upgraded) as connection:
        issue = await connection.fetchrow("SELECT status, attempt_count FROM issue WHERE id = $1", key("waiting"))
        attempt = await connection.fetchval("SELECT status FROM attempt")
    assert tuple(issue) == ("pending", 0)
    assert attempt == "lost"


async def test_rows_deleted_meanwhile_do_not_come_back(upgraded: str) -> None:
    await execute(upgraded, *WORK_AT_HEAD)
    await migrate.downgrade(upgraded, FIRST)
    await execute(
        upgraded,
        f"DELETE FROM project WHERE id = '{key('project')}'",
        f"DELETE FROM credentialnodelink WHERE node_id = '{key('node-1')}'",
        f"UPDATE workflowlog SET node_id = NULL WHERE node_id = '{key('node-1')}'",
        f"DELETE FROM node WHERE id = '{key('node-1')}'",
    )
    await migrate.upgrade(upgraded)
    async with connected(upgraded) as connection:
        assert await connection.fetchval("SELECT project_id FROM issue WHERE id = $1", key("waiting")) is None
        assert await connection.fetchval("SELECT repository_id FROM issue WHERE id = $1", key("waiting")) == key("repo")
        assert await connection.fetchval("SELECT node_id FROM attempt") is None


TOO_LARGE = {
    "description": f"UPDATE issue SET description = repeat('长', 2049) WHERE id = '{key('waiting')}'",
    "output": f"UPDATE workflowlog SET output = repeat('o', 4097) WHERE id = '{key('log-done-1')}'",
    "duration_ms": f"UPDATE workflowlog SET duration_ms = 2147483648 WHERE id = '{key('log-done-1')}'",
    "tags": f"UPDATE node SET tags = ARRAY['with,comma'] WHERE id = '{key('node-1')}'",
    "content": f"UPDATE prompt SET content = repeat('c', 5001) WHERE id = '{key('prompt-none')}'",
    "secret": f"UPDATE credential SET secret = convert_to(repeat('s', 256), 'UTF8') WHERE id = '{key('credential-0')}'",
}
NAMED = {"description": "waiting", "output": "log-done-1", "duration_ms": "log-done-1", "tags": "node-1"} | {
    "content": "prompt-none",
    "secret": "credential-0",
}


@pytest.mark.parametrize("what", TOO_LARGE)
async def test_refuses_values_that_do_not_fit_before_changing_anything(make_database: MakeDatabase, what: str) -> None:
    url = await make_database("A at head")
    await execute(url, TOO_LARGE[what])
    before, rows_before = await migrate.with_connection(url, shape.read), await contents(url)
    with pytest.raises(MigrationRefused, match=str(key(NAMED[what]))) as refused:
        await migrate.downgrade(url, FIRST)
    assert what in str(refused.value)
    assert (await migrate.with_connection(url, shape.read)).differences(before) == []
    assert await contents(url) == rows_before


async def test_up_refuses_a_status_that_nobody_knows(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.B)
    await execute(url, f"UPDATE issue SET status = 'dreaming' WHERE id = '{key('waiting')}'")
    before = await contents(url)
    with pytest.raises(MigrationRefused, match=f"issue {key('waiting')}: status is dreaming"):
        await upgrade_literally(url)
    assert await contents(url) == before


async def test_base_leaves_nothing_of_ours(upgraded: str, legacy_shape: LegacyShape) -> None:
    await execute(upgraded, *WORK_AT_HEAD)
    await migrate.downgrade(upgraded, "base")
    assert (await migrate.with_connection(upgraded, shape.read)).tables == {}
    async with connected(upgraded) as connection:
        types = await connection.fetchval("SELECT count(*) FROM pg_type WHERE typname = 'credentialcategory'")
        functions = await connection.fetchval("SELECT count(*) FROM pg_proc WHERE proname LIKE 'audit%'")
        schemas = await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'nodeyard%'")
        items = await connection.fetchval("SELECT to_regclass('item') IS NOT NULL")
    assert (types, functions, schemas) == (0, 0, 0)
    assert items == (legacy_shape is shapes.B)
    await migrate.upgrade(upgraded)


async def test_every_revision_goes_down_and_up_alone(make_database: MakeDatabase) -> None:
    url = await make_database("B at head")
    await execute(url, *WORK_AT_HEAD)
    before = await contents(url)
    for _ in migrate.revisions_after(FIRST):
        await migrate.downgrade(url, "-1")
        await migrate.upgrade(url, "+1")
        await migrate.downgrade(url, "-1")
    await migrate.upgrade(url)
    assert await contents(url) == before


async def test_sealed_secrets_are_opened_on_the_way_down(make_database: MakeDatabase) -> None:
    url = await upgrade_literally(await make_database(shapes.A), keys=KEYS)
    await migrate.downgrade(url, FIRST, keys=KEYS)
    down = await contents(url)
    assert {row["pat"] for row in down["credential"]} == set(shapes.PATS)
    assert down["node_registration_key"][0]["key"] == shapes.REGISTRATION_KEY


@pytest.mark.parametrize("keys", [(), ("another key",)])
async def test_sealed_secrets_without_their_key_stop_the_way_down(
    make_database: MakeDatabase, keys: tuple[str, ...]
) -> None:
    url = await upgrade_literally(await make_database(shapes.A), keys=KEYS)
    before = await migrate.with_connection(url, shape.read)
    with pytest.raises(MigrationRefused, match=r"credential .*NODEYARD_SECRET_KEYS"):
        await migrate.downgrade(url, FIRST, keys=keys)
    assert (await migrate.with_connection(url, shape.read)).differences(before) == []


async def test_printed_sql_does_the_same(
    make_database: MakeDatabase, server: Server, legacy_shape: LegacyShape, tmp_path: Path
) -> None:
    online = await make_database(f"{legacy_shape.name} at head")
    offline = await make_database(legacy_shape)
    await execute(offline, "UPDATE alembic_version SET version_num = '001_initial_schema'")
    await _run_sql(server, offline, tmp_path, f"upgrade {FIRST}:head")
    read = shape.read
    wanted = await migrate.with_connection(online, read)
    assert (await migrate.with_connection(offline, read)).differences(wanted) == []
    assert await contents(offline) == await contents(online)
    await _run_sql(server, offline, tmp_path, f"downgrade head:{FIRST}")
    await migrate.downgrade(online, FIRST)
    wanted = await migrate.with_connection(online, read)
    assert (await migrate.with_connection(offline, read)).differences(wanted) == []
    assert await contents(offline) == await contents(online)


async def test_printed_sql_makes_and_removes_a_whole_schema(
    make_database: MakeDatabase, server: Server, tmp_path: Path
) -> None:
    url = await make_database(None)
    await _run_sql(server, url, tmp_path, "upgrade head")
    wanted = await migrate.with_connection(await make_database("fresh"), shape.read)
    assert (await migrate.with_connection(url, shape.read)).differences(wanted) == []
    await _run_sql(server, url, tmp_path, "downgrade head:base")
    assert (await migrate.with_connection(url, shape.read)).tables == {}


async def _run_sql(server: Server, url: str, folder: Path, words: str) -> None:
    script = folder / "migration.sql"
    direction, revisions = words.split()
    script.write_text(migrate.sql(revisions, down=direction == "downgrade"))
    done = server.run("psql", url, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script))
    assert done.returncode == 0, done.stderr
