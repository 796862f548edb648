"""From an issue in the queue to a branch at the remote: a real server, a real agent, real git."""

import asyncio
import signal

import asyncpg

from tests.agent.harness import eventually, marked_alive

SECRET = "sk-ant-0123456789abcdef-secret"
STEPS = ["clone", "branch", "ai_coding", "commit", "push"]


async def test_an_issue_becomes_a_branch(server, remote, make_agent, make_issue):
    make_agent("cat > from-stdin; cat $NODEYARD_PROMPT_FILE > from-file; env > environment; echo new > code.txt")
    issue_id = await make_issue("Mend it", description="It is *broken*.", issue_number=7)
    issue = await server.ended(issue_id)
    [attempt] = await server.attempts(issue_id)
    assert (issue["status"], issue["result_branch"]) == ("pending_merge", "nodeyard/7-a1")
    assert attempt["branch"] == "nodeyard/7-a1"
    assert (attempt["status"], attempt["base_sha"]) == ("succeeded", remote.base)
    assert attempt["head_sha"] == remote("rev-parse", "nodeyard/7-a1")
    assert remote("rev-parse", "nodeyard/7-a1^") == remote.base
    assert remote("log", "-1", "--format=%B", "nodeyard/7-a1") == "Mend it\n\nIssue #7"
    assert remote("show", "nodeyard/7-a1:code.txt") == "new"
    prompt = remote("show", "nodeyard/7-a1:from-stdin")
    assert "Mend it" in prompt
    assert "It is *broken*." in prompt
    assert remote("show", "nodeyard/7-a1:from-file") == prompt
    environment = dict(line.split("=", 1) for line in remote("show", "nodeyard/7-a1:environment").splitlines())
    assert environment["NODEYARD_ISSUE_ID"] == issue_id
    assert environment["NODEYARD_ATTEMPT_ID"] == attempt["id"]
    assert environment["NODEYARD_BRANCH"] == "nodeyard/7-a1"
    assert "NODEYARD_REGISTRATION_KEY" not in environment
    assert not any(value.startswith("nyn_") for value in environment.values())


async def test_every_step_ends_and_says_how_long_it_took(server, make_agent, make_issue):
    make_agent()
    issue_id = await make_issue()
    await server.ended(issue_id)
    ended = [entry for entry in await server.logs(issue_id) if entry["status"] != "running"]
    assert [entry["step_name"] for entry in ended] == STEPS
    assert {entry["status"] for entry in ended} == {"success"}
    assert all(entry["duration_ms"] is not None for entry in ended)


async def test_output_is_there_while_the_tool_still_runs(server, make_agent, make_issue, tmp_path):
    make_agent(f"echo first words; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo last words; echo x > y")
    issue_id = await make_issue()
    await server.said(issue_id, "first words")
    assert (await server.issue(issue_id))["status"] == "processing"
    (tmp_path / "go").touch()
    assert (await server.ended(issue_id))["status"] == "pending_merge"
    assert (await server.output(issue_id)).count("first words") == 1
    assert (await server.attempts(issue_id))[0]["summary"].endswith("last words")


async def test_the_tools_own_commits_count(server, remote, make_agent, make_issue):
    make_agent("echo a > a; git add a; git commit -qm 'by the tool'; echo b > b")
    issue_id = await make_issue(issue_number=1)
    await server.ended(issue_id)
    assert remote("log", "--format=%s", "main..nodeyard/1-a1") == "Mend it\nby the tool"


async def test_no_change_is_said_and_final(server, remote, make_agent, make_issue):
    make_agent("echo nothing to do here")
    issue_id = await make_issue()
    assert (await server.ended(issue_id))["status"] == "failed"
    [attempt] = await server.attempts(issue_id)
    assert attempt["failure_code"] == "no_changes"
    assert remote.branches == ["main"]


async def test_a_long_report_in_any_script_arrives(server, make_agent, make_issue):
    make_agent(f"printf '{'🐛' * 3000}'; exit 4")
    issue_id = await make_issue(max_attempts=1)
    attempt = await server.attempt_ended(issue_id)
    assert (attempt["status"], attempt["failure_code"]) == ("failed", "tool_failed")
    assert "🐛" * 1900 in attempt["error_message"]


async def test_a_tool_that_fails_is_tried_again(server, remote, make_agent, make_issue):
    agent = make_agent('case "$NODEYARD_BRANCH" in *-a1) echo oh no; exit 4;; esac; echo new > code.txt')
    issue_id = await make_issue(issue_number=3)
    attempt = await server.attempt_ended(issue_id)
    assert (attempt["status"], attempt["failure_code"]) == ("failed", "tool_failed")
    assert "exit code 4" in attempt["error_message"]
    assert "oh no" in attempt["error_message"]
    assert agent.workspaces() != []
    assert (await server.ended(issue_id))["result_branch"] == "nodeyard/3-a2"
    assert remote.branches == ["main", "nodeyard/3-a2"]


async def test_the_repositorys_own_branch_is_the_base(server, remote, make_agent, make_issue):
    remote("branch", "release/1", "main")
    make_agent()
    good = await make_issue(base_branch="release/1", issue_number=1)
    bad = await make_issue(base_branch="release/2", issue_number=2)
    assert (await server.ended(good))["status"] == "pending_merge"
    assert (await server.ended(bad))["status"] == "failed"
    assert (await server.attempts(bad))[0]["failure_code"] == "invalid_work"


async def test_an_issue_without_a_repository_has_nothing_to_merge(server, make_agent, make_issue):
    make_agent("echo the answer is 42")
    issue_id = await make_issue(repository_url=None)
    assert (await server.ended(issue_id))["status"] == "completed"
    assert (await server.attempts(issue_id))[0]["summary"] == "the answer is 42"


async def test_a_repository_that_is_not_there_is_a_failed_clone(server, make_agent, make_issue):
    make_agent()
    issue_id = await make_issue(repository_url="/nowhere/at/all.git", max_attempts=1)
    assert (await server.ended(issue_id))["status"] == "failed"
    [attempt] = await server.attempts(issue_id)
    assert attempt["failure_code"] == "clone_failed"
    last = (await server.logs(issue_id))[-1]
    assert (last["step_name"], last["status"]) == ("clone", "failed")
    assert "/nowhere/at/all.git" in last["error_message"]


async def test_the_secret_reaches_the_tool_and_no_log(server, remote, make_agent, make_issue, tmp_path):
    tool = tmp_path / "claude"
    tool.write_text(
        '#!/bin/sh\ntest "$ANTHROPIC_API_KEY" = ' + SECRET + " && echo right > code.txt\n"
        'printf "%.12s" "$ANTHROPIC_API_KEY"; sleep 1; printf "%s" "$ANTHROPIC_API_KEY" | tail -c +13; echo " was it"\n'
    )
    tool.chmod(0o755)
    agent = make_agent("exit 1", "--tool", f"claude-code={tool}")
    node = await eventually(lambda: server.node(agent.name))
    credential = {"title": "key", "category": "claude-code", "pat": SECRET, "node_ids": [node["id"]]}
    await server.call("POST", "/credentials", credential)
    issue_id = await make_issue(tool="claude-code", issue_number=1)
    assert (await server.ended(issue_id))["status"] == "pending_merge"
    assert remote("show", "nodeyard/1-a1:code.txt") == "right"
    assert "*** was it" in await server.output(issue_id)
    assert SECRET not in str(await server.logs(issue_id))


async def test_usage_that_the_tool_reports_is_kept(server, make_agent, make_issue):
    usage = '[{"provider": "anthropic", "model": "m-1", "input_tokens": 12, "output_tokens": 3, "cost_usd": 0.5}]'
    make_agent(f"echo '{usage}' > $NODEYARD_USAGE_FILE; echo new > code.txt")
    issue_id = await make_issue()
    await server.ended(issue_id)
    [reported] = (await server.attempts(issue_id))[0]["usage"]
    assert (reported["model"], reported["input_tokens"], reported["cost_usd"]) == ("m-1", 12, 0.5)


async def test_a_node_works_on_as_many_as_it_has_slots(server, make_agent, make_issue, tmp_path):
    (tmp_path / "running").mkdir()
    make_agent(
        f"touch {tmp_path}/running/$NODEYARD_ATTEMPT_ID; ls {tmp_path}/running | wc -l > code.txt;"
        f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; rm {tmp_path}/running/$NODEYARD_ATTEMPT_ID; echo x > y",
        "--slots",
        "2",
    )
    issues = [await make_issue(f"Issue {number}", issue_number=number) for number in range(1, 6)]

    async def both_run() -> bool:
        return len(list((tmp_path / "running").iterdir())) == 2

    await eventually(both_run)
    (tmp_path / "go").touch()
    ended = [await server.ended(issue_id) for issue_id in issues]
    assert {issue["status"] for issue in ended} == {"pending_merge"}


async def test_cancel_ends_the_tool_and_its_children(server, make_agent, make_issue):
    make_agent("trap '' TERM; setsid sleep 1000 & sleep 1000 & echo started; wait")
    issue_id = await make_issue()
    await server.said(issue_id, "started")
    [attempt] = await server.attempts(issue_id)
    assert len(marked_alive(attempt["id"])) >= 3
    await server.call("POST", f"/issues/{issue_id}/cancel")
    assert (await server.ended(issue_id))["status"] == "cancelled"
    assert (await server.attempts(issue_id))[0]["status"] == "cancelled"
    assert not marked_alive(attempt["id"])


async def test_a_busy_tool_does_not_starve_the_heartbeat(server, make_agent, make_issue):
    """Six times the interval of a tool that computes and writes: the node never looks offline."""
    agent = make_agent("timeout 6 yes > /dev/null & yes 0123456789 | head -c 30000000; wait; echo new > code.txt")
    issue_id = await make_issue()

    async def state() -> str:
        node = await server.node(agent.name)
        assert node is None or node["status"] == "online"
        return (await server.issue(issue_id))["status"]

    async def done() -> bool:
        return await state() == "pending_merge"

    await eventually(done)


async def test_a_paused_node_takes_nothing_until_it_is_resumed(server, make_agent, make_issue):
    agent = make_agent()
    node = await eventually(lambda: server.node(agent.name))
    await server.call("POST", f"/nodes/{node['id']}/pause", {"note": "maintenance"})
    await agent.logged("claiming_stopped")
    issue_id = await make_issue()
    await asyncio.sleep(1)
    assert (await server.issue(issue_id))["status"] == "pending"
    await server.call("POST", f"/nodes/{node['id']}/resume")
    assert (await server.ended(issue_id))["status"] == "pending_merge"


async def test_a_token_that_is_no_longer_valid_is_renewed(server, make_agent, make_issue):
    agent = make_agent()
    await eventually(lambda: server.node(agent.name))
    sql = await asyncpg.connect(server.database_url)
    await sql.execute("UPDATE node SET token_hash = NULL WHERE name = $1", agent.name)
    await sql.close()
    await agent.logged("registered", times=2)
    assert (await server.ended(await make_issue()))["status"] == "pending_merge"
    assert agent.process.poll() is None


async def test_the_workspace_of_a_success_is_gone(server, make_agent, make_issue):
    agent = make_agent()
    await server.ended(await make_issue())

    async def gone() -> bool:
        return not agent.workspaces() and not agent.spooled()

    await eventually(gone)


async def test_registration_names_what_the_node_has(server, make_agent):
    agent = make_agent("true", "--slots", "3")
    node = await eventually(lambda: server.node(agent.name))
    assert node["max_slots"] == 3
    assert node["tags"] == [agent.name.removesuffix("-node")]
    assert "demo" in str(node["tools"])
    assert node["version"]


async def test_sigterm_waits_for_what_runs(server, make_agent, make_issue, tmp_path):
    agent = make_agent(f"echo started; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo new > code.txt")
    issue_id = await make_issue()
    other_id = await make_issue("Later", priority=-1)
    await server.said(issue_id, "started")
    agent.signal(signal.SIGTERM)
    await agent.logged("draining")
    (tmp_path / "go").touch()
    assert await agent.ended() == 0
    assert (await server.issue(issue_id))["status"] == "pending_merge"
    assert (await server.issue(other_id))["status"] == "pending"
    assert (await server.node(agent.name))["status"] == "offline"


async def test_a_second_sigterm_gives_the_work_back_at_once(server, make_agent, make_issue):
    agent = make_agent("echo started; sleep 1000")
    issue_id = await make_issue()
    await server.said(issue_id, "started")
    [attempt] = await server.attempts(issue_id)
    agent.signal(signal.SIGTERM)
    await agent.logged("draining")
    agent.signal(signal.SIGTERM)
    assert await agent.ended() == 0
    issue = await server.issue(issue_id)
    assert (issue["status"], issue["attempt_count"]) == ("pending", 0)
    assert not marked_alive(attempt["id"])


async def test_draining_ends_after_its_limit(server, make_agent, make_issue):
    agent = make_agent("echo started; sleep 1000", "--drain-within", "0.5")
    issue_id = await make_issue()
    await server.said(issue_id, "started")
    agent.signal(signal.SIGTERM)
    assert await agent.ended() == 0
    assert (await server.issue(issue_id))["status"] == "pending"
