"""What an operator may give the agent, and what it says to a mistake."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.agent import settings, tools
from app.agent.settings import AgentSettingsError
from app.protocol import FailureCode

GOOD = {
    "server": "http://127.0.0.1:8000/",
    "registration_key": "nyr_key",
    "name": "builder",
    "tags": "linux, gpu,,linux",
    "slots": 2,
    "workspace": None,
    "state_dir": None,
    "tool": ["demo=sh -c 'echo \"a b\"'"],
}


def test_options_are_put_together(tmp_path):
    made = settings.read(**GOOD | {"state_dir": tmp_path})
    assert made.server_url == "http://127.0.0.1:8000"
    assert made.tags == ("linux", "gpu")
    assert made.workspace == tmp_path / "workspace"
    assert made.tools[0].argv == ("sh", "-c", 'echo "a b"')


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("server", None, "NODEYARD_SERVER_URL"),
        ("server", "127.0.0.1:8000", "http:// or https://"),
        ("server", "http://host:99999", "http:// or https://"),
        ("registration_key", "", "NODEYARD_REGISTRATION_KEY"),
        ("slots", 0, "--slots"),
        ("name", "a\nb", "--name"),
        ("tags", "two words", "--tags"),
        ("tool", ["sh"], "CATEGORY=COMMAND"),
        ("tool", ["Bad Name=sh"], "cannot be read"),
        ("tool", ["x="], "names no command"),
        ("tool", ["x='"], "cannot be read"),
    ],
)
def test_a_mistake_is_named(option, value, said):
    with pytest.raises(AgentSettingsError, match=said):
        settings.read(**GOOD | {option: value})


def test_without_any_tool_the_agent_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgentSettingsError, match="claude, cursor-agent, copilot"):
        settings.read(**GOOD | {"tool": []})


def test_tools_on_the_path_are_found_and_the_given_ones_come_first(monkeypatch, tmp_path):
    for name in ("claude", "copilot"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} 1.2.3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    made = settings.read(**GOOD | {"tool": ["mine=sh -c true", "cursor=/nowhere/cursor"]})
    assert [tool.category for tool in made.tools] == ["mine", "claude-code", "github-copilot"]
    assert [tool.category for tool in made.missing] == ["cursor"]
    assert made.tools[1].argv[:2] == ("claude", "-p")


async def test_only_known_programs_are_asked_for_their_version(monkeypatch, tmp_path):
    (tmp_path / "claude").write_text("#!/bin/sh\necho 'claude 1.2.3'\n")
    (tmp_path / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    known = await tools.on_wire(tools.Tool("claude-code", ("claude", "-p"), is_default=True))
    assert known.version == "claude 1.2.3"
    assert (await tools.on_wire(tools.parse("mine=claude"))).version is None


def test_a_relative_program_is_found_from_where_the_agent_was_started(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert tools.parse("mine=./tool.sh --fast").argv == (str(tmp_path / "tool.sh"), "--fast")


def offer(tool: str | None, credential: str | None) -> SimpleNamespace:
    return SimpleNamespace(
        issue=SimpleNamespace(tool=tool), credential=SimpleNamespace(category=credential) if credential else None
    )


@pytest.mark.parametrize(
    ("tool", "credential", "chosen"),
    [("b", "a", "b"), (None, "b", "b"), (None, "z", "a"), (None, None, "a"), ("z", None, None)],
)
def test_the_tool_is_the_issues_then_the_credentials_then_the_first(tool, credential, chosen):
    ours = [tools.parse("a=sh"), tools.parse("b=sh")]
    found = tools.for_offer(offer(tool, credential), ours)
    assert (found.category if found else None) == chosen


def test_each_category_has_its_variables():
    assert set(tools.secret_environment("github-copilot", "s")) == {"COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"}
    assert tools.secret_environment("cursor", "s") == {"CURSOR_API_KEY": "s"}
    assert tools.secret_environment("claude-code", "s") == {"ANTHROPIC_API_KEY": "s"}
    assert tools.secret_environment("my-own", "s") == {"NODEYARD_SECRET": "s"}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Claude AI usage limit reached|1760000000", FailureCode.QUOTA),
        ("Credit balance is too low", FailureCode.QUOTA),
        ("Invalid API key · Please run /login", FailureCode.AUTH),
        ("FAILED tests/test_api.py::test_rate_limit - 401 Unauthorized", FailureCode.TOOL_FAILED),
        ("", FailureCode.TOOL_FAILED),
    ],
)
def test_a_tools_last_words_tell_quota_and_login_from_a_failure(said, code):
    assert tools.failure_code(said) is code


def test_the_state_folder_stands_in_the_home_folder():
    assert settings.read(**GOOD).state_dir == Path.home() / ".nodeyard-agent"
