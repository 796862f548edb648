"""What an agent is told at its start; `cli` reads the options, `read` puts them together."""

import math
import os
import socket
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from app.agent import tools
from app.agent.tools import Tool
from app.protocol import Line255, Tags

DISK_FREE_MIN_BYTES = 64 * 1024 * 1024


class AgentSettingsError(Exception):
    """An option is missing or wrong; the message names it and says what to give."""


class AgentSettings(Struct, frozen=True, kw_only=True):
    server_url: str
    registration_key: str
    name: str
    state_dir: Path
    workspace: Path
    tools: tuple[Tool, ...]
    missing: tuple[Tool, ...] = ()
    """Tools that were asked for and whose program is not on this machine."""
    tags: tuple[str, ...] = ()
    slots: int = 1
    drain_within: timedelta = timedelta(minutes=10)
    """How long a first SIGTERM lets running tools go on before their work is given back."""
    keep_workspaces: timedelta = timedelta(days=3)
    """How long the working copy of an attempt that did not succeed stays for a look."""
    disk_free_min_bytes: int = DISK_FREE_MIN_BYTES
    """With less room than this the node asks for no work: every attempt would fail for lack of it."""


def read(
    *,
    server: str | None,
    registration_key: str | None,
    name: str | None,
    tags: str | None,
    slots: int,
    workspace: Path | None,
    state_dir: Path | None,
    tool: Sequence[str],
    drain_within_s: float = 600,
) -> AgentSettings:
    """Raises `AgentSettingsError`. An empty option counts as not given, as in compose files with `VAR=`."""
    if not registration_key:
        raise AgentSettingsError(
            "Give the key with --registration-key or NODEYARD_REGISTRATION_KEY; `nodeyard registration-key` prints it."
        )
    if not 1 <= slots <= 1000:
        raise AgentSettingsError(f"--slots must be from 1 to 1000, not {slots}.")
    if not math.isfinite(drain_within_s) or drain_within_s < 0:
        raise AgentSettingsError("--drain-within must be a number of seconds, 0 or more.")
    found, missing = _tools(tool)
    state = (state_dir or Path.home() / ".nodeyard-agent").expanduser().resolve()
    return AgentSettings(
        server_url=_server_url(server),
        registration_key=registration_key,
        name=_name(name or socket.gethostname()),
        tags=_tags(tags or ""),
        slots=slots,
        state_dir=state,
        workspace=(workspace or state / "workspace").expanduser().resolve(),
        tools=found,
        missing=missing,
        drain_within=timedelta(seconds=drain_within_s),
    )


def _server_url(given: str | None) -> str:
    if not given:
        raise AgentSettingsError("Give the server with --server or NODEYARD_SERVER_URL, as in http://127.0.0.1:8000.")
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise AgentSettingsError(f"--server must be an http:// or https:// address, not {given!r}.")
    return given.rstrip("/")


def _name(given: str) -> str:
    try:
        return msgspec.convert(given, Line255)
    except msgspec.ValidationError as problem:
        raise AgentSettingsError(f"--name is refused: {problem}.") from problem


def _tags(given: str) -> tuple[str, ...]:
    words = [tag.strip() for tag in given.split(",") if tag.strip()]
    try:
        return tuple(dict.fromkeys(msgspec.convert(words, Tags)))
    except msgspec.ValidationError as problem:
        raise AgentSettingsError(f"--tags is refused: {problem}.") from problem


def _tools(given: Iterable[str]) -> tuple[tuple[Tool, ...], tuple[Tool, ...]]:
    try:
        parsed = [tools.parse(option) for option in given]
    except tools.ToolError as problem:
        raise AgentSettingsError(str(problem)) from problem
    found = tuple(tools.available(parsed, os.environ.get("PATH")))
    missing = tuple(tool for tool in parsed if tool not in found)
    if not found:
        names = ", ".join(tool.argv[0] for tool in missing) or "claude, cursor-agent, copilot"
        raise AgentSettingsError(
            f"No coding tool is on this machine ({names}): install one, or give --tool CATEGORY=COMMAND."
        )
    return found, missing
