"""`nodeyard adopt` says what it found, does what it planned, and undoes everything when a value differs."""

import asyncio
from pathlib import Path

import pytest

from app.db import adopt, migrate, shape
from app.db.adopt import NotAdopted
from tests.migrations import shapes
from tests.migrations.commands import run
from tests.migrations.conftest import KEYS, MakeDatabase, Server
from tests.migrations.shapes import LegacyShape, connected, key
from tests.migrations.test_round_trip import contents, execute


async def look(url: str) -> adopt.Finding:
    return await migrate.with_connection(url, adopt.look)


async def act(url: str, keys: tuple[str, ...] = ()) -> list[str]:
    said: list[str] = []
    await migrate.with_connection(url, lambda each: adopt.act(each, keys, said.append))
    return said


async def test_says_which_shape_it_found(legacy: str, legacy_shape: LegacyShape, make_database: MakeDatabase) -> None:
    found = await look(legacy)
    assert (found.kind, found.differences) == (legacy_shape.name, [])
    assert found.twins == ["Ann@Example.com", "ann@example.com"]
    assert (await look(await make_database(None))).kind == "empty"
    assert (await look(await make_database("fresh"))).kind == "ours"


@pytest.mark.parametrize("keys", [(), KEYS])
async def test_adopts_both_shapes(legacy: str, make_database: MakeDatabase, keys: tuple[str, ...]) -> None:
    said = await act(legacy, keys)
    assert any(line.startswith(f"  issue: {len(shapes.ISSUES)} rows, checksum") for line in said)
    wanted = await migrate.with_connection(await make_database("fresh"), shape.read)
    assert (await migrate.with_connection(legacy, shape.read)).differences(wanted) == []
    assert (await look(legacy)).kind == "ours"


async def test_adopted_rows_are_those_of_the_literal_procedure(
    legacy: str, legacy_shape: LegacyShape, make_database: MakeDatabase
) -> None:
    await act(legacy)
    assert await contents(legacy) == await contents(await make_database(f"{legacy_shape.name} at head"))


async def test_adopted_dump_holds_no_secret(make_database: MakeDatabase, server: Server) -> None:
    url = await make_database(shapes.B)
    await act(url, KEYS)
    assert_no_secret(server, url)


def assert_no_secret(server: Server, url: str) -> None:
    """Neither as text nor as bytea."""
    dump = server.run("pg_dump", url)
    assert dump.returncode == 0, dump.stderr
    for secret in (*shapes.PATS, shapes.REGISTRATION_KEY):
        assert secret not in dump.stdout
        assert secret.encode().hex() not in dump.stdout


UNKNOWN = {
    "ALTER TABLE issue DROP COLUMN result_branch": "issue: column result_branch is missing",
    "ALTER TABLE issue ADD COLUMN colour text": "issue: column colour is not expected",
    "ALTER TABLE node ALTER COLUMN ip DROP NOT NULL": "node: column ip is character varying(64), not",
    "DROP TABLE prompt": "prompt: missing",
    "DROP INDEX ix_node_name": "node: rule INDEX (name) is missing",
    "ALTER TYPE credentialcategory ADD VALUE 'more'": "credentialcategory: its labels are",
}


@pytest.mark.parametrize("change", UNKNOWN)
async def test_refuses_an_unknown_shape_unchanged(make_database: MakeDatabase, change: str) -> None:
    url = await make_database(shapes.A)
    await execute(url, change)
    before = await migrate.with_connection(url, shape.read), await contents(url)
    with pytest.raises(NotAdopted) as refused:
        await act(url)
    assert UNKNOWN[change] in str(refused.value)
    assert "Nothing was changed" in str(refused.value)
    after = await migrate.with_connection(url, shape.read), await contents(url)
    assert after == before


async def test_rows_that_do_not_fit_leave_everything_as_it_was(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.B)
    await execute(url, f"UPDATE issue SET status = 'dreaming' WHERE id = '{key('waiting')}'")
    before = await migrate.with_connection(url, shape.read), await contents(url)
    with pytest.raises(Exception, match="status is dreaming"):
        await act(url)
    assert (await migrate.with_connection(url, shape.read), await contents(url)) == before


async def test_a_value_that_differs_undoes_everything(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.A)
    # Stands for a fault of the upgrade: a trigger that changes a title whenever its row is touched.
    await execute(
        url,
        """CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN NEW.title := 'spoilt'; RETURN NEW; END $$""",
        "CREATE TRIGGER spoil BEFORE UPDATE ON issue FOR EACH ROW EXECUTE FUNCTION spoil()",
    )
    before = await contents(url)
    with pytest.raises(NotAdopted, match="differ after the upgrade in: issue"):
        await act(url)
    assert await contents(url) == before
    assert (await look(url)).kind == "A"


async def test_waits_for_another_migrator(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.A)
    async with asyncio.TaskGroup() as both:
        migrating = both.create_task(asyncio.to_thread(run, "nodeyard", url, "migrate"))
        adopting = both.create_task(asyncio.to_thread(run, "nodeyard", url, "adopt", "--yes"))
    assert migrating.result().returncode == 0, migrating.result().stderr
    # Whoever comes second finds a database that is ours.
    assert adopting.result().returncode == 0 or "at the newest revision" in adopting.result().stderr
    assert (await look(url)).revision == migrate.head()


async def test_command_shows_its_plan_and_wants_yes(
    make_database: MakeDatabase, server: Server, tmp_path: Path
) -> None:
    url = await make_database(shapes.B)
    before = await contents(url)
    shown = run("nodeyard", url, "adopt")
    assert shown.returncode == 0, shown.stderr
    assert "shape B (alembic_version says 19be435a02b1)" in shown.stdout
    assert "--yes" in shown.stdout
    dry = run("nodeyard", url, "adopt", "--dry-run")
    assert await contents(url) == before
    script = tmp_path / "adopt.sql"
    script.write_text(dry.stdout)
    copy = await make_database(shapes.B)
    done = server.run("psql", copy, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script))
    assert done.returncode == 0, done.stderr
    done = run("nodeyard", url, "adopt", "--yes")
    assert done.returncode == 0, done.stderr
    assert "All rows and checksums are the same" in done.stdout
    assert await contents(url) == await contents(copy)


async def test_command_refuses_an_unknown_shape_in_words(make_database: MakeDatabase) -> None:
    url = await make_database(shapes.A)
    await execute(url, "ALTER TABLE issue ADD COLUMN colour text")
    done = run("nodeyard", url, "adopt", "--yes")
    assert done.returncode != 0
    assert "issue: column colour is not expected (text)" in done.stdout
    assert "Traceback" not in done.stderr
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "001_initial_schema"
