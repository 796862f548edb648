"""A real server process, real agents and a real bare repository for each test that asks."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2

from app.agent import process

ADMIN = ("admin@example.com", "correct horse battery staple")
REGISTRATION_KEY = "registration-key-of-the-tests"
PATIENCE_S = 60
ENDS = {"pending_merge", "merged", "completed", "failed", "cancelled"}


async def eventually(look: Callable[[], Awaitable[Any]], within_s: float = PATIENCE_S) -> Any:
    """The first true answer of `look`."""
    give_up_at = time.monotonic() + within_s
    while not (answer := await look()):
        assert time.monotonic() < give_up_at, f"not within {within_s} s; the last answer was {answer!r}"
        await asyncio.sleep(0.05)
    return answer


class ServerProcess:
    """`nodeyard serve` on a port that stays the same over restarts."""

    def __init__(self, folder: Path, database_url: str, launcher: Sequence[str] = (), **settings: str) -> None:
        """`launcher` stands before its command line."""
        self._launcher = launcher
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.database_url = database_url
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NODEYARD_")},
            "DATABASE_URL": database_url,
            "NODEYARD_HOME": str(folder / "home"),
            "NODEYARD_PORT": str(self.port),
            "NODEYARD_SECRET_KEYS": "the-first-secret-key-of-the-tests",
            "NODEYARD_REGISTRATION_KEY": REGISTRATION_KEY,
            "NODEYARD_ADMIN_EMAIL": ADMIN[0],
            "NODEYARD_ADMIN_PASSWORD": ADMIN[1],
            "NODEYARD_HEARTBEAT_INTERVAL_S": "1",
            "NODEYARD_LEASE_S": "20",
            "NODEYARD_START_WITHIN_S": "5",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx2.AsyncClient(base_url=f"{self.url}/api/v1", timeout=30)

    async def start(self) -> None:
        self.spawn()
        await self.ready()

    def spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._launcher, sys.executable, "-m", "app", "serve"], env=self._environment, stdout=log, stderr=log
            )

    @property
    def complaints(self) -> str:
        """What it wrote to its log."""
        return self._log.read_text()

    def workers(self) -> list[int]:
        """The ids of its worker processes."""
        assert self._process is not None
        pid = self._process.pid
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def ready(self) -> None:
        """Waits until the server serves, and logs in."""
        async with httpx2.AsyncClient() as http:

            async def ready() -> bool:
                assert self._process is not None
                assert self._process.poll() is None, self._log.read_text()
                try:
                    return (await http.get(f"{self.url}/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await eventually(ready)
        if "Authorization" not in self._http.headers:
            answer = await self.call("POST", "/auth/login", {"email": ADMIN[0], "password": ADMIN[1]})
            self._http.headers["Authorization"] = f"Bearer {answer['token']}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait, 20)
        await self._http.aclose()

    async def call(self, method: str, path: str, body: object = None) -> Any:
        answer = await self._http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def issue(self, issue_id: str) -> dict[str, Any]:
        return await self.call("GET", f"/issues/{issue_id}")

    async def attempts(self, issue_id: str) -> list[dict[str, Any]]:
        return (await self.call("GET", f"/issues/{issue_id}/attempts?limit=200"))["items"]

    async def logs(self, issue_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.call("GET", f"/issues/{issue_id}/logs?limit=200{cursor}")
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    async def output(self, issue_id: str) -> str:
        return "".join(entry["output"] or "" for entry in await self.logs(issue_id))

    async def ended(self, issue_id: str, within_s: float = PATIENCE_S) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            issue = await self.issue(issue_id)
            return issue if issue["status"] in ENDS else None

        return await eventually(look, within_s)

    async def attempt_ended(self, issue_id: str, number: int = 1, within_s: float = PATIENCE_S) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            attempts = [one for one in await self.attempts(issue_id) if one["number"] == number]
            return attempts[0] if attempts and attempts[0]["finished_at"] is not None else None

        return await eventually(look, within_s)

    async def said(self, issue_id: str, text: str) -> None:
        async def look() -> bool:
            return text in await self.output(issue_id)

        await eventually(look)

    async def node(self, name: str) -> dict[str, Any] | None:
        nodes = (await self.call("GET", "/nodes?limit=200"))["items"]
        return next((node for node in nodes if node["name"] == name), None)


class AgentProcess:
    """`nodeyard agent` with a state folder that stays the same over restarts."""

    def __init__(self, folder: Path, server: ServerProcess, tag: str, tool: str, **environment: str) -> None:
        self.folder = folder
        self.name = f"{tag}-{folder.name}"
        self.state = folder / "state"
        self._words = [
            *(sys.executable, "-m", "app", "agent", "--server", server.url, "--name", self.name),
            *("--tags", tag, "--state-dir", str(self.state), "--tool", tool),
        ]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("NODEYARD_")},
            "NODEYARD_REGISTRATION_KEY": REGISTRATION_KEY,
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen([*self._words, *more], env=self._environment, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, within_s: float = PATIENCE_S) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, within_s)

    def end(self) -> None:
        """However it is: asked to drain, told to stop at once, killed."""
        for number, patience_s in ((signal.SIGTERM, 0.2), (signal.SIGTERM, 15), (signal.SIGKILL, 15)):
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(patience_s)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.ended()

    async def logged(self, text: str, times: int = 1) -> None:
        async def look() -> bool:
            return self.log.count(text) >= times

        await eventually(look)

    def workspaces(self) -> list[Path]:
        return sorted((self.state / "workspace" / "attempts").glob("*"))

    def spooled(self) -> list[Path]:
        return sorted((self.state / "spool").glob("*"))


class Remote:
    """A bare repository whose `main` has one commit."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "remote.git"
        seed = folder / "seed"
        self._git("init", "-q", "-b", "main", str(seed), cwd=folder)
        (seed / "code.txt").write_text("old\n")
        self._git("add", ".", cwd=seed)
        self._git("commit", "-qm", "first", cwd=seed)
        self._git("clone", "-q", "--bare", str(seed), str(self.path), cwd=folder)
        self.base = self("rev-parse", "main")

    def __call__(self, *words: str) -> str:
        return self._git(*words, cwd=self.path)

    def hook(self, name: str, script: str) -> None:
        path = self.path / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    @property
    def branches(self) -> list[str]:
        return self("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    @staticmethod
    def _git(*words: str, cwd: Path) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        return subprocess.run(
            ["git", *identity, *words], cwd=cwd, check=True, capture_output=True, text=True
        ).stdout.strip()


def marked_alive(attempt_id: str) -> list[int]:
    """The living processes that carry the attempt's marker."""
    return process._members(None, attempt_id)
