"""The life of the schema: bring a database to a revision and back, and say where it stands."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, NullPool, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

import app
from app.settings import Settings, SettingsError

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


async def upgrade(url: str | URL, revision: str = "head", keys: tuple[str, ...] = ()) -> None:
    """`keys` (NODEYARD_SECRET_KEYS) let the upgrade seal secrets of older installations at once."""
    await with_connection(url, lambda each: command.upgrade(config(connection=each, keys=keys), revision))


async def downgrade(url: str | URL, revision: str, keys: tuple[str, ...] = ()) -> None:
    """Refuses, before it changes anything, where an older column cannot hold a value; the error names the rows."""
    await with_connection(url, lambda each: command.downgrade(config(connection=each, keys=keys), revision))


async def current_revision(connection: AsyncConnection) -> str | None:
    """None for a database without a revision."""
    return await connection.run_sync(lambda each: MigrationContext.configure(each).get_current_revision())


async def is_at_head(connection: AsyncConnection) -> bool:
    return await current_revision(connection) == head()


def run_standalone(settings: Settings, act: Callable[[Connection], object]) -> None:
    """For the plain `alembic` command, which knows no more than the environment."""
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL must be set for this command.")
    asyncio.run(with_connection(settings.database_url, act))


async def with_connection(url: str | URL, act: Callable[[Connection], object]) -> None:
    """Calls `act` with a connection of its own. asyncpg is the only driver, so synchronous code runs inside it."""
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(act)
    finally:
        await engine.dispose()
