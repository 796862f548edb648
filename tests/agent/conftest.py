"""A real server process, real agents and a real bare repository for each test that asks."""

import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from tests.agent.harness import AgentProcess, Remote, ServerProcess

MakeAgent = Callable[..., AgentProcess]


@pytest.fixture(scope="session")
async def shared_server(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ServerProcess]:
    """One for all tests that leave it alone; each has a node and issues that only fit each other."""
    name = f"agents_{uuid4().hex[:12]}"
    await _admin(postgres, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    server = ServerProcess(tmp_path_factory.mktemp("server"), url)
    await server.start()
    yield server
    await server.stop()
    await _admin(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def server(shared_server: ServerProcess) -> ServerProcess:
    return shared_server


@pytest.fixture
def server_settings() -> dict[str, str]:
    """Parametrize a test with it to run its own server otherwise."""
    return {}


@pytest.fixture
async def own_server(
    database_url: str, tmp_path: Path, server_settings: dict[str, str]
) -> AsyncIterator[ServerProcess]:
    """For a test that kills it. Name it before `make_agent` and `make_issue`."""
    running = ServerProcess(tmp_path, database_url, **server_settings)
    await running.start()
    yield running
    await running.stop()


async def _admin(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


@pytest.fixture
def make_agent(server: ServerProcess, tmp_path: Path) -> Iterator[MakeAgent]:
    """A running agent whose tool is the given shell script: `make_agent("echo new > code.txt")`."""
    made: list[AgentProcess] = []

    def make(script: str = "echo new > code.txt", *more: str, name: str = "node", **environment: str) -> AgentProcess:
        folder = tmp_path / name
        folder.mkdir()
        agent = AgentProcess(folder, server, tmp_path.name, f"demo=sh -c {shlex.quote(script)}", **environment)
        agent.start(*more)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        agent.end()


@pytest.fixture
def make_issue(server: ServerProcess, remote: Remote, tmp_path: Path) -> Callable[..., Awaitable[str]]:
    """The id of a new issue for the sample repository and this test's nodes."""

    async def make(title: str = "Mend it", **fields: object) -> str:
        body = {
            "title": title,
            "description": "It is broken.",
            "repository_url": str(remote.path),
            "requires": [tmp_path.name],
            **fields,
        }
        given = {name: value for name, value in body.items() if value is not None}
        return (await server.call("POST", "/issues", given))["id"]

    return make
