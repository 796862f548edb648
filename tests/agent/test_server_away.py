"""The server is killed under an agent: what was done meanwhile is told once, in order, also by the next start."""

import re
from pathlib import Path

import pytest

from tests.agent.harness import eventually, marked_alive


@pytest.fixture
def server(own_server):
    return own_server


async def test_the_server_is_away_while_the_tool_works(server, remote, make_agent, make_issue, tmp_path):
    """Everything that was said and done meanwhile arrives once and in order."""
    agent = make_agent(
        f"echo line-0; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done;"
        f"for n in 1 2 3 4 5; do echo line-$n; sleep 0.6; done; touch {tmp_path}/done; echo new > code.txt"
    )
    issue_id = await make_issue(issue_number=1)
    await server.said(issue_id, "line-0")
    server.kill()
    (tmp_path / "go").touch()
    await agent.logged("server_away")

    async def worked() -> bool:
        return "nodeyard/1-a1" in remote.branches

    await eventually(worked)
    await server.start()
    assert (await server.ended(issue_id))["status"] == "pending_merge"
    assert re.findall(r"line-\d", await server.output(issue_id)) == [f"line-{number}" for number in range(6)]
    [attempt] = await server.attempts(issue_id)
    entries = await server.logs(issue_id)
    assert [entry["seq"] for entry in entries] == list(range(len(entries)))
    assert attempt["status"] == "succeeded"


async def test_a_result_survives_the_server_and_the_agent(server, remote, make_agent, make_issue, tmp_path):
    """Server gone, work done, agent killed; then both come back: the work is not done again."""
    agent = make_agent(f"{_held_until(tmp_path / 'go')}; echo once >> {tmp_path}/runs")
    issue_id = await make_issue(issue_number=1)
    await server.said(issue_id, "started")
    server.kill()
    (tmp_path / "go").touch()

    async def spooled() -> bool:
        return any((folder / "finish.json").exists() for folder in agent.spooled())

    await eventually(spooled)
    await agent.kill()
    await server.start()
    agent.start()
    assert (await server.ended(issue_id))["result_branch"] == "nodeyard/1-a1"
    assert len(await server.attempts(issue_id)) == 1
    assert (tmp_path / "runs").read_text() == "once\n"
    await eventually(lambda: _empty(agent))


@pytest.mark.parametrize("server_settings", [{"NODEYARD_LEASE_S": "4"}])
async def test_a_result_that_comes_too_late_is_dropped(server, remote, make_agent, make_issue, tmp_path):
    """Another node has the issue by then: the first result is refused and forgotten, the second counts."""
    first = make_agent(_held_until(tmp_path / "go"), name="first")
    issue_id = await make_issue(issue_number=1)
    await server.said(issue_id, "started")
    server.kill()
    (tmp_path / "go").touch()

    async def spooled() -> bool:
        return any((folder / "finish.json").exists() for folder in first.spooled())

    await eventually(spooled)
    await first.kill()
    await server.start()
    node = await server.node(first.name)
    await server.call("POST", f"/nodes/{node['id']}/drain", {})
    make_agent("echo second > code.txt", name="second")
    await server.attempt_ended(issue_id, number=2)
    first.start()
    await first.logged("attempt_given_up")
    assert (await server.issue(issue_id))["result_branch"] == "nodeyard/1-a2"
    await eventually(lambda: _empty(first))


@pytest.mark.parametrize("server_settings", [{"NODEYARD_MAX_RUNTIME_S": "2"}])
async def test_a_tool_that_takes_too_long_is_stopped(server, make_agent, make_issue, tmp_path):
    make_agent("setsid sleep 1000 & sleep 1000")
    issue_id = await make_issue(max_attempts=1)
    attempt = await server.attempt_ended(issue_id)
    assert (attempt["status"], attempt["failure_code"]) == ("failed", "timeout")
    assert not marked_alive(attempt["id"])


async def _empty(agent) -> bool:
    return not agent.spooled()


def _held_until(path: Path) -> str:
    return f"echo started; while [ ! -e {path} ]; do sleep 0.05; done; echo new > code.txt"
