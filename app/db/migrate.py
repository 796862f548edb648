"""The life of the schema: bring a database to a revision and back, and say where it stands."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from io import StringIO
from pathlib import Path
from typing import TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, NullPool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

import app
from app.db import embedded
from app.db.engine import address
from app.settings import Settings, SettingsError

Result = TypeVar("Result")

# The wheel ships `migrations` beside `app`.
SCRIPTS = Path(app.__file__).parent.parent / "migrations"


def config(**attributes: object) -> Config:
    made = Config()
    made.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.set_main_option("file_template", "%%(rev)s")
    made.attributes.update(attributes)
    return made


def head() -> str:
    """The newest revision that this version of the program knows."""
    found = ScriptDirectory.from_config(config()).get_current_head()
    assert found is not None  # noqa: S101 - The project has revisions.
    return found


async def upgrade(url: str, revision: str = "head", keys: tuple[str, ...] = ()) -> None:
    """`keys` (NODEYARD_SECRET_KEYS) let the upgrade seal secrets of older installations at once."""

    def act(connection: Connection) -> None:
        found = MigrationContext.configure(connection).get_current_heads()
        connection.rollback()
        unknown = set(found) - _known_revisions()
        if unknown:
            raise CommandError(
                f"The database says it is at {', '.join(sorted(unknown))}, which is not a revision of this version."
                " If it is one of an older installation, run `nodeyard adopt`."
            )
        command.upgrade(config(connection=connection, keys=keys), revision)

    await with_connection(url, act)


async def downgrade(url: str, revision: str, keys: tuple[str, ...] = ()) -> None:
    """Refuses, before it changes anything, where an older column cannot hold a value; the error names the rows."""
    await with_connection(url, lambda each: command.downgrade(config(connection=each, keys=keys), revision))


async def current_revision(connection: AsyncConnection) -> str | None:
    """None for a database without a revision."""
    return await connection.run_sync(lambda each: MigrationContext.configure(each).get_current_revision())


async def is_at_head(connection: AsyncConnection) -> bool:
    return await current_revision(connection) == head()


def run_standalone(settings: Settings, act: Callable[[Connection], object]) -> None:
    """For the plain `alembic` command, which knows no more than the environment."""
    with embedded.url_of(settings) as url:
        asyncio.run(with_connection(url, act))


async def with_connection(url: str, act: Callable[[Connection], Result]) -> Result:
    """Calls `act` with a connection of its own, on which statements may take as long as they need.

    Raises `SettingsError` when the database cannot be reached.
    """
    where = address(url)
    unlimited = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0", "lock_timeout": "0"}
    arguments = {
        **where.connect_args,
        "command_timeout": None,
        "server_settings": {**where.connect_args["server_settings"], **unlimited},
    }
    engine = create_async_engine(where.url, connect_args=arguments, poolclass=NullPool)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        try:
            connection = await stack.enter_async_context(engine.connect())
        except (OSError, asyncpg.PostgresError, SQLAlchemyError) as problem:
            reason = str(problem).splitlines()[0]
            raise SettingsError(f"The database cannot be reached: {reason}. Check DATABASE_URL.") from problem
        return await connection.run_sync(act)


def sql(revisions: str, *, down: bool = False, one_transaction: bool = False) -> str:
    """What `alembic upgrade <revisions> --sql` prints: a script for psql. `revisions` may be a range, as `a:b`."""
    printed = StringIO()
    made = config(one_transaction=one_transaction)
    made.output_buffer = printed
    (command.downgrade if down else command.upgrade)(made, revisions, sql=True)
    return printed.getvalue()


def _known_revisions() -> set[str]:
    return {each.revision for each in ScriptDirectory.from_config(config()).walk_revisions()}


def revisions_after(revision: str) -> list[str]:
    """Newest first."""
    walked = ScriptDirectory.from_config(config()).walk_revisions(revision, "head")
    return [each.revision for each in walked if each.revision != revision]
