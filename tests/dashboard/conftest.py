"""Streams never end by themselves, so they are read from a real server on a free port."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.speaking import ADMIN, REGISTRATION_KEY


class Events:
    """Server-Sent Events as they arrive: `await events.next("issue")` skips others."""

    def __init__(self, response: httpx2.Response) -> None:
        self._lines = response.aiter_lines()
        self.last_id: str | None = None

    async def next(self, name: str | None = None, within: float = 5) -> tuple[str, Any]:
        async with asyncio.timeout(within):
            while True:
                found = await self._one()
                if name is None or found[0] == name:
                    return found

    async def _one(self) -> tuple[str, Any]:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line and "event" in fields:
                self.last_id = fields.get("id", self.last_id)
                return fields["event"], json.loads(fields["data"])
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
        raise EOFError("the stream has ended")


@asynccontextmanager
async def listening(base: str, path: str, token: str, last_event_id: str | None = None) -> AsyncIterator[Events]:
    headers = {"Authorization": f"Bearer {token}"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    async with (
        httpx2.AsyncClient(base_url=base, headers=headers, timeout=30) as client,
        client.stream("GET", path) as response,
    ):
        assert response.status_code == 200, await response.aread()
        yield Events(response)


@pytest.fixture
def listen():
    return listening


class Server:
    """A `nodeyard serve` of its own, with a person's token."""

    def __init__(self, base: str, process: subprocess.Popen[bytes], token: str) -> None:
        self.base = base
        self.process = process
        self.token = token

    def client(self, token: str | None = None) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return httpx2.AsyncClient(base_url=f"{self.base}/api/v1", headers=headers, timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
async def server(database_url: str, tmp_path: Path) -> AsyncIterator[Server]:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "NODEYARD_HOME": str(tmp_path / "server-home"),
        "NODEYARD_PORT": str(port),
        "NODEYARD_REGISTRATION_KEY": REGISTRATION_KEY,
        "NODEYARD_ADMIN_EMAIL": ADMIN[0],
        "NODEYARD_ADMIN_PASSWORD": ADMIN[1],
        "NODEYARD_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", "app", "serve"], env=environment)
    base = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(30), httpx2.AsyncClient(base_url=base) as client:
            token = await _log_in_when_ready(client)
        yield Server(base, process, token)
    finally:
        process.terminate()
        process.wait(10)


async def _log_in_when_ready(client: httpx2.AsyncClient) -> str:
    while True:
        try:
            answer = await client.post("/api/v1/auth/login", json={"email": ADMIN[0], "password": ADMIN[1]})
        except httpx2.TransportError:
            await asyncio.sleep(0.1)
            continue
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]
