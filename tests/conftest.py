"""A PostgreSQL for the session, a migrated template once per worker, a fresh database for each test that asks.

Tests speak to the application over ASGI with real commits; what needs a real socket or process asks for `server`.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from litestar import Litestar
from speaking import ADMIN, REGISTRATION_KEY, MakeNode, NodeClient, Queue, client_of
from sqlalchemy import make_url

from app import logs
from app.asgi import create_app
from app.db import embedded, migrate
from app.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """As the server writes them: without the values of local variables."""
    logs.configure(Settings(log_level="warning"))


@pytest.fixture(scope="session")
def postgres() -> Generator[str]:
    """The URL of a server with fsync off: tests kill processes, never the machine. All workers share one."""
    given = os.environ.get("NODEYARD_TEST_DATABASE_URL")
    if given:
        yield given
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)
    home = Path(tempfile.gettempdir()) / f"nodeyard-tests-{run}"
    with embedded.running(home) as url:
        asyncio.run(_relax(url))
        yield url
    if not (home / "postgres" / "postmaster.pid").exists():
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def home() -> Generator[Path]:
    """A folder for a database: pytest's own are closed to the user that PostgreSQL runs as under root."""
    with tempfile.TemporaryDirectory(prefix="nodeyard-home-") as folder:
        yield Path(folder)


async def _relax(url: str) -> None:
    connection = await asyncpg.connect(url)
    for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_connections = 400"):
        await connection.execute(f"ALTER SYSTEM SET {setting}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.fixture(scope="session")
def template(postgres: str, worker_id: str) -> Generator[str]:
    """The name of a database at head that others are copied from."""
    name = f"template_{worker_id}_{uuid4().hex[:8]}"
    asyncio.run(_admin(postgres, f'CREATE DATABASE "{name}"'))
    asyncio.run(migrate.upgrade(at(postgres, name)))
    yield name
    asyncio.run(_admin(postgres, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def at(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


async def _admin(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def database_url(postgres: str, template: str, worker_id: str) -> AsyncIterator[str]:
    """A fresh database at head. Its name is the worker's, so that applications can be kept (see `running_app`)."""
    name = f"test_{worker_id}"
    await _admin(postgres, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    await _admin(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield at(postgres, name)
    await _admin(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
async def module_database_url(postgres: str, template: str) -> AsyncIterator[str]:
    """A fresh database at head that the tests of a module share."""
    name = f"module_{uuid4().hex[:12]}"
    await _admin(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield at(postgres, name)
    await _admin(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, for what no API shows."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        secret_keys=("the-first-secret-key-of-the-tests",),
        registration_key=REGISTRATION_KEY,
        admin_email=ADMIN[0],
        admin_password=ADMIN[1],
        heartbeat_interval=timedelta(seconds=15),
    )


_composed: dict[Settings, Litestar] = {}


@asynccontextmanager
async def running_app(settings: Settings) -> AsyncGenerator[Litestar]:
    """In a task of its own, since a fixture's set-up and clean-up run in two, and cancel scopes must not cross.

    Composing an application takes longer than most tests, so those with the same settings share one, started anew.
    """
    if settings not in _composed:
        _composed[settings] = create_app(settings)
    app = _composed[settings]
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    life = asyncio.create_task(live())
    begun = asyncio.create_task(started.wait())
    await asyncio.wait([life, begun], return_when=asyncio.FIRST_COMPLETED)
    if life.done():
        begun.cancel()
        life.result()
    try:
        yield app
    finally:
        stop.set()
        await life


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Litestar]:
    """The running application. Override `settings` in a test module to change how it runs."""
    async with running_app(settings) as app:
        yield app


@pytest.fixture
async def anyone(app: Litestar) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller without credentials."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def admin(app: Litestar, anyone: httpx2.AsyncClient) -> AsyncIterator[httpx2.AsyncClient]:
    """The first superuser, logged in with a bearer token."""
    answer = await anyone.post("/api/v1/auth/login", json={"email": ADMIN[0], "password": ADMIN[1]})
    assert answer.status_code == 200, answer.text
    async with client_of(app, answer.json()["token"]) as client:
        yield client


@pytest.fixture
async def make_node(app: Litestar) -> AsyncIterator[MakeNode]:
    """Registers machines; each call gives a client that speaks as one of them."""
    clients: list[httpx2.AsyncClient] = []

    async def make(name: str = "node", boot_id: str = "boot-1", **fields: object) -> NodeClient:
        body = {"name": name, "machine_id": f"machine-{name}", "boot_id": boot_id, "version": "1", **fields}
        async with client_of(app, REGISTRATION_KEY) as registrar:
            answer = await registrar.post("/api/v1/nodes/register", json=body)
        assert answer.status_code in {200, 201}, answer.text
        clients.append(client_of(app, answer.json()["node_token"]))
        return NodeClient(clients[-1], answer.json()["node_id"], boot_id)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def queue(app: Litestar, sql: asyncpg.Connection) -> Queue:
    """The queue of the first superuser."""
    owner_id = await sql.fetchval("""SELECT id FROM "user" WHERE is_superuser ORDER BY created_at LIMIT 1""")
    return Queue(sql, owner_id)
