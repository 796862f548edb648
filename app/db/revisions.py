"""How revisions run: one migrator at a time, one transaction a revision, and never a queue of traffic behind a lock.

Everything here runs within `AsyncConnection.run_sync`.
`migrations/env.py` calls `run_on` for a connection and `print_sql` for `--sql`. A revision may define
`check_downgrade()`; all of them are called before the first step down, so that a refusal leaves everything as it was.
"""

import asyncio
import logging
import random
import re
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from alembic.operations.ops import MigrationScript
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.util import await_only

from app.db.metadata import METADATA

LOCK_KEY = 7_310_575_174_530_102_116
"""Of `pg_advisory_lock`: held by whoever migrates."""
LOCK_TIMEOUT_MS = 400
"""How long traffic may queue behind a table lock that a revision waits for. Shorter than PostgreSQL's
`deadlock_timeout` of 1 s, so that a revision gives way before anybody else is made to."""
LOCK_ATTEMPTS = 120
_LOCK_NOT_AVAILABLE = "55P03"
_RAISED = "P0001"
_DEADLOCK_DETECTED = "40P01"

log = logging.getLogger(__name__)


class DatabaseBusy(CommandError):
    """Other transactions held the tables for the whole time; nothing is half done, run the command again."""


class ConnectionLost(CommandError):
    """In the middle of a revision, which bears a second run."""


class MigrationRefused(CommandError):
    """Rows do not fit; the message names them, and nothing was changed."""


def run_on(connection: Connection, context: EnvironmentContext) -> None:
    """Runs whatever command Alembic was asked for. Raises `DatabaseBusy` when a lock could not be had.

    With `one_transaction` among the attributes of the configuration the caller holds lock and transaction.
    """
    if context.config.attributes.get("one_transaction"):
        _configure(context, connection=connection, one_transaction=True)
        context.run_migrations()
        return
    _configure(context, connection=connection, one_transaction=False)
    if context.get_context().opts.get("dont_mutate"):
        context.run_migrations()
        return
    with migration_lock(connection):
        _retry(connection, context)


def print_sql(context: EnvironmentContext) -> None:
    one = bool(context.config.attributes.get("one_transaction"))
    _configure(
        context,
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        one_transaction=one,
    )
    with context.begin_transaction():
        context.run_migrations()


def _retry(connection: Connection, context: EnvironmentContext) -> None:
    for attempt in range(LOCK_ATTEMPTS):
        try:
            # The last attempt may have ended where it waited without limit.
            connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
            connection.commit()
            _configure(context, connection=connection, one_transaction=False)
            with context.begin_transaction():
                context.run_migrations()
        except SQLAlchemyError as problem:
            is_lost = connection.invalidated
            connection.rollback()
            if is_lost:
                raise ConnectionLost("The connection to the database broke. Run the command again.") from problem
            if not isinstance(problem, DBAPIError):
                raise
            refuse_if_raised(problem)
            if not is_lock_refused(problem):
                raise
            log.info("A table is in use; trying again (%d of %d).", attempt + 1, LOCK_ATTEMPTS)
            # Long enough for the traffic that queued behind us to pass before we queue again.
            await_only(asyncio.sleep(random.uniform(0.5, 1.5)))  # noqa: S311 - Only spreads the attempts.
        else:
            connection.commit()
            return
    raise DatabaseBusy("The tables were in use all the time. Stop the long transactions and run the command again.")


@contextmanager
def migration_lock(connection: Connection) -> Generator[None]:
    """Waits by asking again: a transaction that waited would itself hold up a concurrent index build."""
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}):
        connection.rollback()
        await_only(asyncio.sleep(0.2))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        # With the connection the lock is gone too.
        if not connection.invalidated:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
            connection.commit()


def _configure(context: EnvironmentContext, **how: Any) -> None:
    options: dict[str, Any] = {
        "target_metadata": METADATA,
        "include_object": _is_ours,
        "compare_server_default": True,
        "transaction_per_migration": not how["one_transaction"],
        "process_revision_directives": _name_next_revision,
        "keys": context.config.attributes.get("keys", ()),
        **how,
    }
    context.configure(**options)
    steps = context.get_context().opts.get("fn")
    if steps is not None and not isinstance(steps, _Checked):
        context.configure(**options, fn=_Checked(steps))


@dataclass(frozen=True)
class _Checked:
    """The steps that Alembic planned, once each of those that lead down has agreed."""

    steps: Callable[[Any, MigrationContext], Iterable[Any]]

    def __call__(self, heads: Any, migration: MigrationContext) -> list[Any]:
        planned = list(self.steps(heads, migration))
        for step in planned:
            if isinstance(step, RevisionStep) and not step.is_upgrade:
                getattr(step.revision.module, "check_downgrade", _nothing)()
        return planned


def _nothing() -> None:
    return


def _is_ours(_: object, name: str | None, kind: str, *__: object) -> bool:
    """`item` is left over from the second shape and stays where it is."""
    return not (kind == "table" and name == "item")


def _name_next_revision(context: MigrationContext, _: object, directives: list[MigrationScript]) -> None:
    """Names a new revision after the newest one's number and its message, so that files sort as they run."""
    script = directives[0]
    if context.script is None or script.message is None:
        return
    number = sum(1 for _ in context.script.walk_revisions()) + 1
    slug = re.sub(r"[^a-z0-9]+", "_", script.message.lower()).strip("_")
    # Alembic keeps the id in varchar(32).
    script.rev_id = f"{number:03d}_{slug}"[:32].rstrip("_")


def refuse_if_raised(problem: DBAPIError) -> None:
    """Raises `MigrationRefused` with the message that a revision raised, if that is the problem."""
    if _sqlstate(problem) == _RAISED:
        raise MigrationRefused(str(problem.orig).split(": ", 1)[-1]) from problem


def is_lock_refused(problem: DBAPIError) -> bool:
    return _sqlstate(problem) in {_LOCK_NOT_AVAILABLE, _DEADLOCK_DETECTED}


def _sqlstate(problem: DBAPIError) -> str | None:
    return getattr(problem.orig, "sqlstate", None)
