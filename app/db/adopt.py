"""Takes over a database of an existing installation: looks at it, says what it found, and upgrades it as one act.

One transaction under the migrators' lock: after an error, and after a power failure, the database is as it was.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from app.db import checksums, legacy, migrate, revisions, shape
from app.db.checksums import Sum
from app.vault import Vault

FIRST = "001_initial_schema"
LOCK_ATTEMPTS = 30
Say = Callable[[str], None]


class NotAdopted(revisions.MigrationRefused):
    """Nothing was changed; the message says why."""


@dataclass(frozen=True)
class Finding:
    """`kind`: empty, A, B, ours or unknown. `differences` are those from the nearest shape, of an unknown one."""

    kind: str
    revision: str | None
    nearest: str = ""
    differences: list[str] = field(default_factory=list[str])
    twins: list[str] = field(default_factory=list[str])
    """Emails that differ only in case from another account's; each goes on logging in by its exact spelling."""

    @property
    def names(self) -> dict[str, str]:
        return legacy.TABLES_OF_B if self.kind == "B" else {}


def look(connection: Connection) -> Finding:
    """Changes nothing, and waits for a migration that is running: half-changed tables have no shape."""
    with revisions.migration_lock(connection):
        return _look(connection)


def _look(connection: Connection) -> Finding:
    revision = _revision(connection)
    found = shape.read(connection)
    labels = found.tables.get("type credentialcategory", {}).get("its labels")
    made_of = legacy.structure(found)
    if revision in migrate.revisions_after(FIRST) and "attempt" in found.tables:
        return Finding("ours", revision)
    if not made_of.tables:
        return Finding("empty", revision)
    differences = {name: made_of.differences(wanted) for name, wanted in legacy.SHAPES.items()}
    nearest = min(differences, key=lambda name: len(differences[name]))
    if labels not in legacy.LABELS:
        differences[nearest].append(f"credentialcategory: its labels are {labels}")
    kind = "unknown" if differences[nearest] else nearest
    return Finding(kind, revision, nearest, differences[nearest], _twins(connection) if kind != "unknown" else [])


def _revision(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('alembic_version') IS NULL")):
        return None
    return connection.scalar(text("SELECT max(version_num) FROM alembic_version"))


def _twins(connection: Connection) -> list[str]:
    rows = connection.execute(
        text(
            'SELECT email FROM "user" WHERE lower(email) IN'
            ' (SELECT lower(email) FROM "user" GROUP BY lower(email) HAVING count(*) > 1) ORDER BY lower(email), email'
        )
    )
    return [row.email for row in rows]


def describe(found: Finding) -> list[str]:
    """What was found and what adopting it would do, for people to read."""
    stamp = f"alembic_version says {found.revision}" if found.revision else "alembic_version says nothing"
    match found.kind:
        case "empty":
            return ["The database is empty.", f"Plan: make the schema, up to {migrate.head()}."]
        case "ours" if found.revision == migrate.head():
            return ["The database is Nodeyard's, at the newest revision. There is nothing to do."]
        case "ours":
            return [f"The database is Nodeyard's, at {found.revision}. Run `nodeyard migrate`."]
        case "unknown":
            lines = [f"The shape is unknown ({stamp}); it is nearest to {found.nearest}. The differences:"]
            return [*lines, *(f"  {each}" for each in found.differences), "Nothing was changed."]
        case _:
            lines = [
                f"The database has shape {found.kind} ({stamp}).",
                "Plan, as one transaction, with the tables locked:",
                "  1. count the rows of every table and compute their checksums",
                f"  2. DELETE FROM alembic_version; stamp {FIRST}",
                f"  3. upgrade to {migrate.head()}",
                "  4. count and compute again; any difference undoes everything",
            ]
            if found.twins:
                lines.append(
                    "Emails that differ only in case, and keep working by exact match: " + ", ".join(found.twins)
                )
            return lines


def act(connection: Connection, keys: tuple[str, ...], say: Say) -> None:
    """Adopts what `look` finds. Raises `NotAdopted`, or `revisions.DatabaseBusy` when others use the tables."""
    with revisions.migration_lock(connection):
        for _ in range(LOCK_ATTEMPTS):
            try:
                _adopt(connection, keys, say)
            except DBAPIError as problem:
                connection.rollback()
                revisions.refuse_if_raised(problem)
                if not revisions.is_lock_refused(problem):
                    raise
                await_only(asyncio.sleep(1))
            else:
                return
        raise revisions.DatabaseBusy("The tables are in use. Stop the old server and run the command again.")


def _adopt(connection: Connection, keys: tuple[str, ...], say: Say) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = {revisions.LOCK_TIMEOUT_MS}"))
    found = _look(connection)
    if found.kind in {"ours", "unknown"}:
        connection.rollback()
        raise NotAdopted("\n".join(describe(found)))
    sums: dict[str, Sum] = {}
    if found.kind != "empty":
        tables = ", ".join(f'"{found.names.get(table, table)}"' for table in sorted(legacy.TABLES))
        connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
        sums = checksums.before(connection, found.names)
        config = migrate.config(connection=connection, one_transaction=True)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        command.stamp(config, FIRST)
    command.upgrade(migrate.config(connection=connection, one_transaction=True, keys=keys), "head")
    if sums:
        _compare(sums, checksums.after(connection, Vault(keys) if keys else None), say)
    connection.commit()


def _compare(before: dict[str, Sum], after: dict[str, Sum], say: Say) -> None:
    for table, sum_before in before.items():
        say(f"  {table}: {sum_before.rows} rows, checksum {sum_before.checksum}")
    differing = [table for table, sum_before in before.items() if after.get(table) != sum_before]
    if differing:
        raise NotAdopted(f"Rows or values differ after the upgrade in: {', '.join(differing)}. Everything was undone.")
    say("All rows and checksums are the same after the upgrade.")


def sql(found: Finding) -> str:
    """The statements that `act` would run, but for the checksums and the sealing."""
    start = "" if found.kind == "empty" else f"{FIRST}:"
    lead = (
        ""
        if found.kind == "empty"
        else (
            "CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) PRIMARY KEY);\n"
            f"DELETE FROM alembic_version;\nINSERT INTO alembic_version VALUES ('{FIRST}');\n\n"
        )
    )
    return lead + migrate.sql(f"{start}head", one_transaction=True)
