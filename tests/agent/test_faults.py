"""Things that break under an agent: what was done is told once, and nothing is left running."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from tests.agent.harness import eventually, marked_alive


async def test_an_agent_that_is_killed_leaves_its_issue_to_the_next_start(
    server, remote, make_agent, make_issue, tmp_path
):
    agent = make_agent(
        'echo started; case "$NODEYARD_BRANCH" in *-a1) sleep 1000 & setsid sleep 1000; esac; echo new > code.txt'
    )
    issue_id = await make_issue(issue_number=1)
    await server.said(issue_id, "started")
    [attempt] = await server.attempts(issue_id)
    await agent.kill()
    assert marked_alive(attempt["id"])
    agent.start()
    assert (await server.ended(issue_id))["result_branch"] == "nodeyard/1-a2"
    assert not marked_alive(attempt["id"])
    assert [one["status"] for one in await server.attempts(issue_id)] == ["lost", "succeeded"]


async def test_the_machine_reboots_in_the_middle_of_a_push(server, remote, make_agent, make_issue, tmp_path):
    remote.hook("pre-receive", f"touch {tmp_path}/pushing; while [ -e {tmp_path}/hold ]; do sleep 0.05; done")
    (tmp_path / "hold").touch()
    agent = make_agent()
    issue_id = await make_issue(issue_number=1)
    await eventually(lambda: _exists(tmp_path / "pushing"))
    [attempt] = await server.attempts(issue_id)
    await agent.kill()
    for pid in marked_alive(attempt["id"]):
        os.kill(pid, signal.SIGKILL)
    (tmp_path / "hold").unlink()
    agent.start()
    issue = await server.ended(issue_id)
    assert (issue["status"], issue["result_branch"]) == ("pending_merge", "nodeyard/1-a2")
    assert remote("show", "nodeyard/1-a2:code.txt") == "new"
    assert not marked_alive(attempt["id"])


async def test_a_remote_that_refuses_the_push(server, remote, make_agent, make_issue):
    remote.hook("pre-receive", "echo branches are closed today >&2; exit 1")
    make_agent()
    issue_id = await make_issue(max_attempts=1)
    assert (await server.ended(issue_id))["status"] == "failed"
    [attempt] = await server.attempts(issue_id)
    assert attempt["failure_code"] == "push_failed"
    assert "branches are closed today" in attempt["error_message"]


async def test_children_that_a_tool_leaves_are_gone_when_it_ends(server, remote, make_agent, make_issue):
    make_agent("sleep 1000 & setsid sleep 1000 & (trap '' TERM HUP; sleep 1000) & echo new > code.txt")
    issue_id = await make_issue(issue_number=1)
    assert (await server.ended(issue_id))["status"] == "pending_merge"
    [attempt] = await server.attempts(issue_id)
    assert not marked_alive(attempt["id"])


async def test_binary_output_does_not_stop_anything(server, make_agent, make_issue):
    make_agent("head -c 300000 /dev/urandom; printf 'a\\0b\\377c'; printf '<the end>'; echo new > code.txt")
    issue_id = await make_issue()
    assert (await server.ended(issue_id))["status"] == "pending_merge"
    output = await server.output(issue_id)
    assert "<the end>" in output
    assert "\x00" not in output


async def test_200_mb_without_a_newline_arrive_whole_in_bounded_memory(server, make_agent, make_issue):
    agent = make_agent("head -c 200000000 /dev/zero | tr '\\0' x; echo new > code.txt")
    issue_id = await make_issue()
    assert (await server.ended(issue_id, within_s=240))["status"] == "pending_merge"
    sql = await asyncpg.connect(server.database_url)
    stored = await sql.fetchval("SELECT sum(length(output)) FROM workflowlog WHERE issue_id = $1", UUID(issue_id))
    await sql.close()
    assert 200_000_000 <= stored < 200_010_000
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    peak_kb = int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))
    assert peak_kb < 200_000


async def test_a_second_agent_in_the_same_folder_refuses(server, make_agent, make_issue):
    first = make_agent()
    await first.logged("registered")
    process = first.process
    first.start()
    assert await first.ended() == 1
    first.process = process
    assert "Another agent uses" in first.log
    assert (await server.ended(await make_issue()))["status"] == "pending_merge"


async def test_an_agent_whose_place_was_taken_ends_its_work_and_exits(server, make_agent, make_issue, tmp_path):
    """As when a machine was copied, with its machine_id."""
    first = make_agent("echo started; sleep 1000", name="one")
    issue_id = await make_issue()
    await server.said(issue_id, "started")
    [attempt] = await server.attempts(issue_id)
    (tmp_path / "copy").mkdir()
    shutil.copy(first.state / "machine_id", tmp_path / "copy" / "machine_id")
    words = ("--state-dir", str(tmp_path / "copy"), "--name", first.name)
    make_agent("echo new > code.txt", *words, name="two")
    assert await first.ended() == 1
    assert "took this node's place" in first.log
    assert not marked_alive(attempt["id"])
    assert first.workspaces() != []
    assert (await server.ended(issue_id))["status"] == "pending_merge"


async def test_another_machine_with_its_name_is_told(server, make_agent):
    first = make_agent(name="one")
    await first.logged("registered")
    second = make_agent("true", "--name", first.name, name="two")
    assert await second.ended() == 1
    assert "name_in_use" in second.log


async def test_a_wrong_registration_key_is_told(server, make_agent):
    agent = make_agent("true", NODEYARD_REGISTRATION_KEY="nyr_wrong")
    assert await agent.ended() == 1
    assert "does not accept the registration key" in agent.log
    assert "nyr_wrong" not in agent.log


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
async def test_a_full_disk_fails_the_attempt_and_not_the_agent(server, make_agent, make_issue, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", small], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        fill = 'case "$NODEYARD_BRANCH" in *-a1) head -c 100000000 /dev/zero > big; exit 1;; esac'
        agent = make_agent(f"{fill}; echo new > code.txt", "--state-dir", str(small / "state"))
        issue_id = await make_issue(issue_number=1)
        attempt = await server.attempt_ended(issue_id)
        assert attempt["status"] == "failed"
        await agent.logged("disk_full")
        for big in small.rglob("big"):
            big.unlink()
        assert (await server.ended(issue_id))["status"] == "pending_merge"
        agent.signal(signal.SIGTERM)
        assert await agent.ended() == 0
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


async def _exists(path) -> bool:
    return path.exists()
