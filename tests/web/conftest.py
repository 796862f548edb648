"""A real server, a real agent and Debian's Chromium. Every page is watched: it may not complain, nor ask elsewhere."""

import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright, expect
from sqlalchemy import make_url

from tests.agent.harness import ADMIN, AgentProcess, Remote, ServerProcess

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
PATIENCE_MS = 15_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
async def shared_server(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ServerProcess]:
    name = f"web_{uuid4().hex[:12]}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    server = ServerProcess(tmp_path_factory.mktemp("server"), url)
    await server.start()
    yield server
    await server.stop()
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


@pytest.fixture
def server(shared_server: ServerProcess) -> ServerProcess:
    return shared_server


@pytest.fixture
async def own_server(database_url: str, tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """For a test that stops it, or needs an empty one."""
    running = ServerProcess(tmp_path, database_url)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


class Watch:
    """What no page may do. `expected` holds parts of messages that a test brings about on purpose."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.expected: list[str] = []
        self._origin = origin
        context.on("console", self._said)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._asked)
        context.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self._origin, "data:")):
            self.elsewhere.append(request.url)

    def check(self) -> None:
        assert self.elsewhere == []
        assert [each for each in self.complaints if not any(part in each for part in self.expected)] == []


@asynccontextmanager
async def visiting(browser: Browser, server: ServerProcess, **options: Any) -> AsyncIterator[tuple[Page, Watch]]:
    """A page of a person who is logged in, at no address yet."""
    context = await browser.new_context(
        **{"locale": "en-GB", "viewport": {"width": 1360, "height": 860}, "base_url": server.url, **options}
    )
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch(context, server.url)
    answer = await context.request.post("/api/v1/auth/login", data={"email": ADMIN[0], "password": ADMIN[1]})
    assert answer.ok, await answer.text()
    yield await context.new_page(), watch
    await context.close()
    watch.check()


@pytest.fixture
async def visit(browser: Browser, server: ServerProcess) -> AsyncIterator[Page]:
    async with visiting(browser, server) as (page, _):
        yield page


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
def make_agent(server: ServerProcess, tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """A running agent whose tool is the given shell script; it takes only issues that require the test's own tag."""
    made: list[AgentProcess] = []

    def make(script: str) -> AgentProcess:
        folder = tmp_path / "node"
        folder.mkdir()
        agent = AgentProcess(folder, server, tmp_path.name, f"demo=sh -c {shlex.quote(script)}")
        agent.start()
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.end()


MakeIssue = Callable[..., Awaitable[str]]


@pytest.fixture
def make_issue(server: ServerProcess, remote: Remote, tmp_path: Path) -> MakeIssue:
    async def make(title: str = "Mend it", **fields: object) -> str:
        body = {"title": title, "repository_url": str(remote.path), "requires": [tmp_path.name], **fields}
        return (await server.call("POST", "/issues", body))["id"]

    return make
