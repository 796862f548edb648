"""The AI coding tools that a node offers: their commands, and the variables that carry their secrets."""

import asyncio
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.protocol import Category, CredentialCategory, FailureCode, Offer
from app.protocol import Tool as ToolOnWire

# Each reads its prompt from standard input, asks nobody anything, and may edit files and run commands.
DEFAULTS = {
    CredentialCategory.CLAUDE_CODE: (
        "claude -p --permission-mode acceptEdits --allowedTools Bash,Read,Edit,Write,Glob,Grep"
    ),
    CredentialCategory.CURSOR: "cursor-agent -p --force --trust",
    CredentialCategory.GITHUB_COPILOT: "copilot -p '' --allow-all-tools",
}
SECRET_VARIABLES = {
    CredentialCategory.CLAUDE_CODE: ("ANTHROPIC_API_KEY",),
    CredentialCategory.CURSOR: ("CURSOR_API_KEY",),
    CredentialCategory.GITHUB_COPILOT: ("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
}
_VERSION_WITHIN_S = 10

# What the known tools say last when a new attempt with the same credential cannot help. Whole phrases of theirs:
# a repository's own test output must not cool down or disable anybody's credential.
_QUOTA = re.compile(
    r"usage limit reached|hit your (?:usage |session |weekly )?limit|credit balance is too low|"
    r"exceeded your (?:current )?(?:copilot |premium request )?(?:quota|token usage|usage limit)|"
    r"rate_limit_error|you've reached your .{0,40}usage limit",
    re.IGNORECASE,
)
_AUTH = re.compile(
    r"invalid api key · |invalid x-api-key|authentication_error|please run /login|"
    r"the provided api key is invalid|authentication required\. please run 'cursor-agent login'|"
    r"no authentication information found",
    re.IGNORECASE,
)


class ToolError(Exception):
    """A `--tool` option cannot be used; the message says why."""


class Tool(Struct, frozen=True):
    category: str
    argv: tuple[str, ...]
    is_default: bool = False

    @property
    def command(self) -> str:
        return shlex.join(self.argv)


def parse(option: str) -> Tool:
    """A tool from `CATEGORY=COMMAND`. Raises `ToolError`."""
    category, separator, command = option.partition("=")
    if not separator:
        raise ToolError(f"--tool takes CATEGORY=COMMAND, not {option!r}.")
    try:
        msgspec.convert(category, Category)
        argv = tuple(shlex.split(command))
    except (msgspec.ValidationError, ValueError) as problem:
        raise ToolError(f"--tool {option!r} cannot be read: {problem}.") from problem
    if not argv:
        raise ToolError(f"--tool {option!r} names no command.")
    # The tool runs in the working copy, where a path relative to our own folder would lead nowhere.
    if "/" in argv[0]:
        argv = (str(Path(argv[0]).expanduser().absolute()), *argv[1:])
    return Tool(category, argv)


def available(given: Iterable[Tool], path: str | None) -> list[Tool]:
    """The tools whose program is really on this machine: those given first, then the defaults of other categories."""
    chosen = {tool.category: tool for tool in given}
    for category, command in DEFAULTS.items():
        chosen.setdefault(category.value, Tool(category.value, tuple(shlex.split(command)), is_default=True))
    return [tool for tool in chosen.values() if shutil.which(tool.argv[0], path=path)]


def for_offer(offer: Offer, tools: Sequence[Tool]) -> Tool | None:
    """The tool of the issue's category; else that of the credential's; else the node's first."""
    by_category = {tool.category: tool for tool in tools}
    if offer.issue.tool is not None:
        return by_category.get(offer.issue.tool)
    if offer.credential is not None and offer.credential.category in by_category:
        return by_category[offer.credential.category]
    return tools[0] if tools else None


def secret_environment(category: str, secret: str) -> Mapping[str, str]:
    """The variables that a tool of this category reads; `NODEYARD_SECRET` for one that we do not know."""
    if category in SECRET_VARIABLES:
        return dict.fromkeys(SECRET_VARIABLES[CredentialCategory(category)], secret)
    return {"NODEYARD_SECRET": secret}


def failure_code(output_tail: str) -> FailureCode:
    """Why a tool that ended with an error did so, from the last of what it said."""
    if _QUOTA.search(output_tail):
        return FailureCode.QUOTA
    if _AUTH.search(output_tail):
        return FailureCode.AUTH
    return FailureCode.TOOL_FAILED


async def on_wire(tool: Tool) -> ToolOnWire:
    """What registration says of a tool. Only programs that we know are asked for their version."""
    return ToolOnWire(tool.category, await _version(tool.argv[0]) if tool.is_default else None)


async def _version(program: str) -> str | None:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _VERSION_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    lines = said.decode(errors="replace").replace("\x00", "").splitlines()
    return lines[0].strip()[:255] if process.returncode == 0 and lines else None
