"""How the server process is run: a database that is ready, then granian with our worker processes."""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

import asyncpg
import structlog
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.mp import MPServer, WorkerProcess
from litestar import Litestar
from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError

from app import logs, metering
from app.asgi import create_app
from app.db import embedded, migrate
from app.db.connection import rehearse
from app.db.engine import open_database
from app.db.outage import is_database_away
from app.domain.issues import fleet
from app.domain.nodes import heartbeat
from app.settings import Settings, SettingsError

STOP_WITHIN_S = 3
"""Then a worker has one second more until it is killed, as happens when a client sent half a head or does not read its
answer: no program of ours can end that connection."""
_LOOK_EVERY_S = 0.01
_BACKPRESSURE = 100_000
"""Connections a worker takes at once: each waiting node holds one for its long poll."""
CONNECTIONS_WANTED = 10_240
"""What a fleet of ten thousand waiting nodes needs, and a little for the database and the files."""
_PR_SET_PDEATHSIG = 1
log = structlog.get_logger("nodeyard.server")
_PORT_FREE_WITHIN_S = 5
_REHEARSED_WITHIN_S = 5


def serve(settings: Settings, *, migrate_first: bool = False) -> None:
    """Blocks until SIGTERM or SIGINT. Raises `SettingsError` when the database is behind and may not be migrated."""
    with database(settings, migrate_first=migrate_first) as ready:
        _serve(ready)


def _serve(settings: Settings) -> None:
    _wait_for_port(settings)
    multiprocessing.set_start_method("fork", force=True)
    with _shared_metrics(settings):
        PatientServer(
            "app.asgi:create_app",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            workers=settings.workers,
            websockets=False,
            backlog=4096,
            backpressure=_BACKPRESSURE,
            workers_kill_timeout=1,
            log_enabled=True,
            http1_settings=HTTP1Settings(header_read_timeout=10_000),
        ).serve(target_loader=lambda *_: _worker(settings), wrap_loader=False)


class PatientServer(MPServer):
    """Waits for its workers before granian does, whose own wait takes one that has ended for one that refuses to.

    A thread of granian waits for each worker too, and of two that wait for a process only one is told of its end. When
    it was the thread, which on a busy machine says so a moment later, granian logged a refusal and killed a process id
    that was no longer ours.
    """

    def _stop_workers(self) -> None:
        workers: list[WorkerProcess] = self.wrks  # pyright: ignore[reportUnknownMemberType]
        for worker in workers:
            worker.terminate()
        deadline = time.monotonic() + STOP_WITHIN_S
        while any(_runs(worker) for worker in workers) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        super()._stop_workers()


def _runs(worker: WorkerProcess) -> bool:
    return bool(worker.is_alive())  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


@contextmanager
def _shared_metrics(settings: Settings) -> Generator[None]:
    """Several workers add their counters up through a folder."""
    if settings.workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="nodeyard-metrics-") as folder:
        os.environ[metering.FOLDER] = folder
        yield
        del os.environ[metering.FOLDER]


@contextmanager
def database(settings: Settings, *, migrate_first: bool = False) -> Generator[Settings]:
    """The settings with the URL of a database at the newest revision: the embedded one is brought there.

    Raises `SettingsError` when another database cannot be reached, or is behind and may not be migrated.
    """
    with located(settings) as ready:
        is_embedded = settings.database_url is None
        asyncio.run(_require_head(ready.database_url or "", settings, migrate_first=migrate_first or is_embedded))
        yield ready


@contextmanager
def located(settings: Settings) -> Generator[Settings]:
    """The settings with the URL of a database at whatever revision; the embedded one runs as long as the block."""
    with embedded.url_of(settings) as url:
        yield replace(settings, database_url=url)


async def _require_head(url: str, settings: Settings, *, migrate_first: bool) -> None:
    if migrate_first:
        await migrate.upgrade(url, keys=settings.secret_keys)
        return
    db = await open_database(url)
    try:
        async with db.engine.connect() as connection:
            if await migrate.is_at_head(connection):
                return
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as problem:
        raise SettingsError(f"The database cannot be reached: {problem}. Check DATABASE_URL.") from problem
    finally:
        await db.close()
    raise SettingsError("The database is not at the newest revision. Run `nodeyard migrate`, or start with --migrate.")


def _worker(settings: Settings) -> Litestar:
    """Runs in each worker process, which must not outlive its parent: it would keep the port and serve on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    logs.configure(settings)
    _allow_connections()
    app = create_app(settings)
    app.on_startup += [_rehearse, _settle_garbage_collector]
    return app


async def _rehearse(app: Litestar) -> None:
    """A fleet waits for a server to come back; not until here, since only a server that serves has one."""
    try:
        async with asyncio.timeout(_REHEARSED_WITHIN_S):
            await rehearse(app.state.db.fleet, [*fleet.STATEMENTS, *heartbeat.STATEMENTS])
    except Exception as problem:
        if not is_database_away(problem):
            raise
        log.warning("database away, statements not rehearsed", error=type(problem).__name__)


def _allow_connections() -> None:
    """Each waiting node holds a connection, which is an open file; of those, programs get 1024 unless they ask."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems state a hard limit that they do not grant.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft != resource.RLIM_INFINITY and soft < CONNECTIONS_WANTED:
        log.warning("few connections: raise the limit of open files (ulimit -Hn, LimitNOFILE=)", at_most=soft)


def _settle_garbage_collector() -> None:
    """Full collections over everything that was imported are most of the latency tail under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _wait_for_port(settings: Settings) -> None:
    """A server that was killed leaves its port within a moment. Raises `SettingsError` when another program has it."""
    deadline = time.monotonic() + _PORT_FREE_WITHIN_S
    while True:
        with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, settings.port))
            except OSError as problem:
                if time.monotonic() > deadline:
                    raise SettingsError(
                        f"{settings.host}:{settings.port} cannot be used: {problem.strerror}. Set NODEYARD_PORT."
                    ) from problem
            else:
                return
        time.sleep(0.1)
