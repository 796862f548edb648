"""Migrations beside traffic, beside each other, interrupted, and half done."""

import asyncio
import os
import signal
import subprocess
import time
from contextlib import suppress

import asyncpg
import pytest
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from app.db import migrate, revisions, shape
from app.settings import SettingsError
from tests.migrations import shapes
from tests.migrations.commands import PROGRAMS, PROJECT, environment, run
from tests.migrations.conftest import MakeDatabase, upgrade_literally
from tests.migrations.shapes import connected, key
from tests.migrations.test_round_trip import contents, execute


async def test_two_migrators_take_turns(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.A)
    done = await asyncio.gather(*(asyncio.to_thread(run, "nodeyard", url, "migrate") for _ in range(2)))
    assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
    async with connected(url) as connection:
        assert await migrate_revision(connection) == migrate.head()


async def migrate_revision(connection: asyncpg.Connection) -> str:
    return await connection.fetchval("SELECT version_num FROM alembic_version")


KILLED_AFTER_S = (0.0, 0.1, 0.2, 0.35, 0.5)


async def test_a_killed_migration_is_finished_by_the_next(make_database: MakeDatabase) -> None:
    """`kill -9` again and again, each time a little later, and then a run that nobody kills."""
    url = await make_database(shapes.A)
    await execute(url, *MANY_ROWS)
    reached = set()
    for seconds in (*KILLED_AFTER_S, 600):
        migrating = subprocess.Popen(
            [str(PROGRAMS / "nodeyard"), "migrate"], cwd=PROJECT, env=environment(url), stderr=subprocess.DEVNULL
        )
        reached.add(await _revision_after(url, migrating, seconds))
    assert len(reached) > 1
    wanted = await migrate.with_connection(await make_database("fresh"), shape.read)
    assert (await migrate.with_connection(url, shape.read)).differences(wanted) == []
    async with connected(url) as connection:
        assert await connection.fetchval(IN_ORDER)


# Enough for several batches.
MANY_ROWS = (
    f"""INSERT INTO issue (id, title, status, priority, owner_id, created_at, updated_at)
        SELECT gen_random_uuid(), 'm', 'processing', 0, '{key("ann")}', now(), now() FROM generate_series(1, 6000)""",
    f"""INSERT INTO workflowlog (id, issue_id, step_name, status, output, duration_ms, created_at)
        SELECT gen_random_uuid(), '{key("done")}', 'many', 'success', n, n, now() + n * interval '1 s'
        FROM generate_series(1, 25000) AS n""",
)
IN_ORDER = """
SELECT count(*) = 25000 AND bool_and(right_place) FROM (
    SELECT output::int = row_number() OVER (ORDER BY position) AND duration_ms = output::int AS right_place
    FROM workflowlog WHERE step_name = 'many'
) AS each"""


async def test_a_broken_connection_leaves_a_step_that_can_be_run_again(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.A)
    await execute(url, *MANY_ROWS)
    broken = 0
    for number in range(40):
        migrating = asyncio.create_task(migrate.upgrade(url))
        async with connected(url) as connection:
            await asyncio.sleep(0.01 + 0.03 * number)
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        try:
            await migrating
        except (CommandError, DBAPIError, SettingsError):
            broken += 1
        else:
            break
    assert broken > 3
    wanted = await migrate.with_connection(await make_database("fresh"), shape.read)
    assert (await migrate.with_connection(url, shape.read)).differences(wanted) == []
    async with connected(url) as connection:
        assert await connection.fetchval(IN_ORDER)


async def _revision_after(url: str, migrating: subprocess.Popen[bytes], seconds: float) -> str:
    """Lets the migrator work that long, counted from when it holds the lock, and kills it."""
    async with connected(url) as connection:
        while migrating.poll() is None:
            if await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"):
                break
            await asyncio.sleep(0.01)
        deadline = time.monotonic() + seconds
        while migrating.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        if migrating.poll() is None:
            os.kill(migrating.pid, signal.SIGKILL)
            migrating.wait()
        return await migrate_revision(connection)


async def test_an_index_that_was_interrupted_is_built_again(make_database: MakeDatabase) -> None:
    url = await make_database("A at head")
    await migrate.downgrade(url, "008_named_rules")
    async with connected(url) as connection:
        # Two entries of one number let the concurrent build fail, which leaves an invalid index, as a kill does.
        await connection.execute(
            f"""INSERT INTO attempt (id, issue_id, node_name, number, branch, claim_id, offer, start_by)
                VALUES ('{key("a")}', '{key("done")}', 'n', 1, 'b', '{key("c")}', '{{}}', now())"""
        )
        await connection.execute(
            f"""INSERT INTO workflowlog (id, issue_id, attempt_id, seq, step_name, status)
                SELECT gen_random_uuid(), '{key("done")}', '{key("a")}', 0, 's', 's' FROM generate_series(1, 2)"""
        )
    with pytest.raises(Exception, match=r"duplicate key|could not create unique index"):
        await migrate.upgrade(url)
    async with connected(url) as connection:
        invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
        assert await connection.fetchval(invalid) == 1
        await connection.execute("DELETE FROM workflowlog WHERE attempt_id IS NOT NULL")
        await migrate.upgrade(url)
        assert await connection.fetchval(invalid) == 0
        assert await connection.fetchval("SELECT to_regclass('uq_workflowlog_attempt_id_seq') IS NOT NULL")


async def test_a_long_reader_delays_the_migration_and_not_other_readers(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.A)
    slowest = 0.0
    async with connected(url) as long, connected(url) as other:
        reading = long.transaction()
        await reading.start()
        await long.fetch("SELECT * FROM node")
        migrating = asyncio.create_task(asyncio.to_thread(run, "nodeyard", url, "migrate"))
        until = time.monotonic() + 3
        while time.monotonic() < until:
            begun = time.monotonic()
            await other.fetch("SELECT count(*) FROM node")
            slowest = max(slowest, time.monotonic() - begun)
            await asyncio.sleep(0.01)
        assert not migrating.done()
        await reading.rollback()
        done = await migrating
    assert done.returncode == 0, done.stderr
    assert slowest < revisions.LOCK_TIMEOUT_MS / 1000 + 1


async def test_going_down_stops_no_reader_behind_one_that_an_index_build_does_not_wait_for(
    make_database: MakeDatabase,
) -> None:
    url = await make_database("A at head")
    slowest = 0.0
    async with connected(url) as idle, connected(url) as other:
        # In one message it leaves no snapshot behind, but the lock of the table.
        await idle.execute("BEGIN; SELECT count(*) FROM workflowlog")
        going_down = asyncio.create_task(asyncio.to_thread(run, "alembic", url, "downgrade", "017_lean_claims"))
        until = time.monotonic() + 4
        while time.monotonic() < until and slowest < 3:
            begun = time.monotonic()
            with suppress(TimeoutError):
                await other.fetch("SELECT count(*) FROM workflowlog", timeout=3)
            slowest = max(slowest, time.monotonic() - begun)
            await asyncio.sleep(0.01)
        assert not going_down.done()
        await idle.execute("ROLLBACK")
        done = await going_down
    assert done.returncode == 0, done.stderr
    assert slowest < revisions.LOCK_TIMEOUT_MS / 1000 + 1


async def test_rows_written_during_the_upgrade_are_kept_and_mended(make_database: MakeDatabase) -> None:
    """The older server is stopped for an upgrade; should it not be, nothing of it is lost."""
    url = await make_database(shapes.A)
    await execute(url, "UPDATE alembic_version SET version_num = '001_initial_schema'")
    await migrate.upgrade(url, "005_attempts_and_audit")
    migrating = asyncio.create_task(asyncio.to_thread(run, "nodeyard", url, "migrate"))
    written = 0
    async with connected(url) as connection:
        try:
            while not migrating.done():
                await connection.execute(
                    """INSERT INTO workflowlog (id, issue_id, step_name, status, duration_ms, created_at)
                       VALUES (gen_random_uuid(), $1, 'late', 'success', 7, now())""",
                    key("done"),
                )
                written += 1
                await asyncio.sleep(0.002)
        finally:
            done = await migrating
        assert done.returncode == 0, done.stderr
        late = await connection.fetch(
            "SELECT position, duration_ms FROM workflowlog WHERE step_name = 'late' ORDER BY created_at"
        )
        old = await connection.fetchval("SELECT max(position) FROM workflowlog WHERE step_name <> 'late'")
    assert len(late) == written > 0
    assert {each["duration_ms"] for each in late} == {7}
    assert [each["position"] for each in late] == sorted(each["position"] for each in late)
    assert late[0]["position"] > old


async def test_server_behind_the_newest_revision_refuses_to_start(make_database: MakeDatabase) -> None:
    url = await make_database("fresh")
    await migrate.downgrade(url, "-1")
    done = await asyncio.to_thread(run, "nodeyard", url, "serve")
    assert done.returncode != 0
    assert "nodeyard migrate" in done.stderr
    assert "Traceback" not in done.stderr


async def test_upgrade_of_an_upgraded_database_does_nothing(make_database: MakeDatabase) -> None:
    url = await make_database("A at head")
    before = await contents(url)
    await upgrade_nothing(url)
    assert await contents(url) == before


async def upgrade_nothing(url: str) -> None:
    await migrate.upgrade(url)
    await migrate.upgrade(url)


async def test_unknown_revision_is_explained(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.B)
    done = await asyncio.to_thread(run, "nodeyard", url, "migrate")
    assert done.returncode != 0
    assert "nodeyard adopt" in done.stderr
    assert "Traceback" not in done.stderr
    assert await upgrade_literally(url) == url
