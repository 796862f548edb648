"""Real git: a cached mirror per repository, and a worktree per attempt.

The token is never in a URL or an argument: git asks our askpass program, which answers from git's own environment.
"""

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from app.agent import process
from app.agent.state import private_folder
from app.protocol import RepositoryUrl

log = structlog.stdlib.get_logger(__name__)

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Nodeyard",
    "GIT_AUTHOR_EMAIL": "agent@nodeyard.invalid",
    "GIT_COMMITTER_NAME": "Nodeyard",
    "GIT_COMMITTER_EMAIL": "agent@nodeyard.invalid",
}
_ASKPASS = """#!/bin/sh
case "$1" in
Username*) printf '%s\\n' "$NODEYARD_GIT_USER" ;;
*) printf '%s\\n' "$NODEYARD_GIT_TOKEN" ;;
esac
"""
_HEADS = "+refs/heads/*:refs/remotes/origin/*"
_TAGS = "+refs/tags/*:refs/tags/*"
_OURS = (
    # Hooks and a file-system monitor would run programs that the last attempt's tool may have left in the mirror.
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.autoDetach=false",
    # A hung remote is given up when it sends less than 1 kB a second for two minutes.
    "-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=120",
)  # fmt: skip
# What somebody who reads the log wants to see; the questions in between would bury it.
_TOLD = {"fetch", "worktree", "switch", "commit", "push"}
_SAID_MAX_BYTES = 64 * 1024
# Our own secrets, and what would lead git to another repository than the one in its working directory.
_NOT_INHERITED = (
    "NODEYARD_", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT",
    "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_CEILING_DIRECTORIES", "GIT_CONFIG_PARAMETERS",
    "GIT_ASKPASS", "GIT_TRACE", "GIT_CURL_VERBOSE",
)  # fmt: skip
_SIGNS_OF_DAMAGE = re.compile(
    r"corrupt|bad object|bad tree|object file .* is empty|unable to read|missing blob|missing tree|invalid sha1|"
    r"not a git repository|broken|index-pack failed|did not send all necessary objects|bad ref|bad config"
)


class GitFailed(Exception):
    """A git command ended with an error; the message is what it said."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.is_refused_login = "Authentication failed" in said


class BadRepository(Exception):
    """The address or the branch cannot be worked with, now or later."""


class Login(Struct, frozen=True):
    """What git answers a server that asks."""

    user: str
    token: str


class Mirror:
    """One repository's objects on this node; worktrees of several attempts share them.

    Raises `GitFailed` where git does; `BadRepository` for an address that git could read as an option or a helper.
    """

    def __init__(self, workspace: Path, url: str, locks: dict[str, asyncio.Lock]) -> None:
        try:
            self.url = msgspec.convert(url, RepositoryUrl)
        except msgspec.ValidationError as problem:
            raise BadRepository(f"The repository's address {url!r} is not one that git may be given.") from problem
        name = re.sub(r"[^A-Za-z0-9]+", "-", url.rstrip("/").rpartition("/")[2].removesuffix(".git")).strip("-")
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        self.folder = private_folder(workspace / "mirrors") / f"{name[:40] or 'repository'}-{digest}.git"
        self._lock = locks.setdefault(self.folder.name, asyncio.Lock())

    async def fetch(self, git: "Git") -> None:
        """Bring the mirror up to the remote; one that a crash has broken is made anew."""
        async with self._lock:
            if not (self.folder / "HEAD").is_file():
                await self._make(git)
            try:
                await self._fetch(git)
            except GitFailed as problem:
                if not _SIGNS_OF_DAMAGE.search(str(problem)) or await self._is_sound(git):
                    raise
                log.warning("mirror_made_anew", url=self.url)
                await asyncio.to_thread(shutil.rmtree, self.folder)
                await self._make(git)
                await self._fetch(git)

    async def default_branch(self, git: "Git") -> str | None:
        """What the remote's HEAD names; None when that branch has no commit."""
        said = await git("ls-remote", "--symref", "--", self.url, "HEAD")
        named = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said, re.MULTILINE)
        return named.group(1) if named else None

    async def add_worktree(self, git: "Git", folder: Path, base: str, branch: str) -> str:
        """A working copy on `branch`, at the commit of the remote's branch `base`, which is returned."""
        async with self._lock:
            try:
                base_sha = await git(
                    "rev-parse", "--verify", "--quiet", "--end-of-options", f"refs/remotes/origin/{base}^{{commit}}",
                    cwd=self.folder,
                )  # fmt: skip
            except GitFailed as problem:
                raise BadRepository(f"The repository has no branch {base!r}.") from problem
            # What attempts left here is forgotten once their folders are gone.
            await git("worktree", "prune", cwd=self.folder)
            await git("worktree", "add", "--quiet", "--detach", "--", str(folder), base_sha, cwd=self.folder)
            try:
                await git("switch", "--quiet", "--force-create", branch, cwd=folder)
            except GitFailed as problem:
                # Another issue with the same number may hold the name here; the push goes by HEAD in any case.
                log.info("branch_name_in_use_here", branch=branch, reason=str(problem))
        return base_sha

    async def _make(self, git: "Git") -> None:
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        await git("init", "--quiet", "--bare", "--", str(self.folder))
        # So that a tool in the worktree can `git fetch origin` like anybody.
        await git("config", "remote.origin.url", self.url, cwd=self.folder)
        await git("config", "remote.origin.fetch", _HEADS, cwd=self.folder)

    async def _fetch(self, git: "Git") -> None:
        refs = ("--prune", "--no-tags", "--", self.url, _HEADS, _TAGS)
        await git("fetch", "--quiet", *refs, cwd=self.folder)

    async def _is_sound(self, git: "Git") -> bool:
        try:
            await git("fsck", "--connectivity-only", "--no-dangling", "--no-progress", cwd=self.folder)
        except GitFailed:
            return False
        return True


class Git:
    """Runs git for one attempt; `on_said` hears what each command wrote, and what the command was."""

    def __init__(
        self,
        state_folder: Path,
        attempt_id: str,
        *,
        login: Login | None = None,
        on_said: Callable[[str, bytes], Awaitable[None]] | None = None,
    ) -> None:
        self._home = state_folder
        self._on_said = on_said
        self._login = login
        self.environment = environment(os.environ, attempt_id)
        if login is not None:
            self.environment |= {
                "GIT_ASKPASS": str(_askpass(state_folder)),
                "NODEYARD_GIT_USER": login.user,
                "NODEYARD_GIT_TOKEN": login.token,
            }

    async def __call__(self, *words: str, cwd: Path | None = None, stdin: Path | None = None) -> str:
        """What git wrote, at most 64 KiB of it, without the last line end. Raises `GitFailed`."""
        # With a login of ours git must neither ask the machine's credential store nor leave the token in it.
        helper = ("-c", "credential.helper=") if self._login else ()
        said = bytearray()

        async def hear(block: bytes) -> None:
            said.extend(block[: _SAID_MAX_BYTES - len(said)])

        code = await process.run(
            ("git", *_OURS, *helper, *words),
            cwd=cwd or self._home,
            environment=self.environment,
            on_output=hear,
            stdin=stdin,
        )
        if self._on_said is not None and words[0] in _TOLD and words[1:] != ("prune",):
            await self._on_said(" ".join(("git", *words)), bytes(said))
        text = said.decode(errors="replace").rstrip("\n")
        if code != 0:
            raise GitFailed(text or f"git {words[0]} ended with {code}")
        return text


async def commit_all(git: Git, folder: Path, message: Path) -> str:
    """Commit whatever was left uncommitted, if anything; the commit that HEAD is then at."""
    # A tool that was killed in the middle of `git add` leaves its lock; nothing of it is alive any more.
    index = Path(await git("rev-parse", "--git-path", "index", cwd=folder))
    (folder / index).with_name(f"{index.name}.lock").unlink(missing_ok=True)
    await git("add", "--all", cwd=folder)
    if await git("diff", "--cached", "--name-only", cwd=folder):
        await git("commit", "--allow-empty-message", "--cleanup=whitespace", "-F", "-", cwd=folder, stdin=message)
    return await git("rev-parse", "--verify", "HEAD", cwd=folder)


async def push(git: Git, folder: Path, url: str, branch: str) -> None:
    """Never forced: what stands under that name at the remote is somebody's."""
    await git("push", "--quiet", "--", url, f"HEAD:refs/heads/{branch}", cwd=folder)


async def identity(git: Git, folder: Path) -> Mapping[str, str]:
    """The variables that name the committer, where nothing on this machine tells git a name."""
    try:
        await git("config", "user.email", cwd=folder)
        await git("config", "user.name", cwd=folder)
    except GitFailed:
        return {name: os.environ.get(name, value) for name, value in _IDENTITY.items()}
    return {}


def environment(of_agent: Mapping[str, str], attempt_id: str) -> dict[str, str]:
    """The agent's own, without its secrets, and with git kept from asking anybody or leaving its three protocols."""
    return {
        **{name: value for name, value in of_agent.items() if not name.startswith(_NOT_INHERITED)},
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        "GIT_SSH_COMMAND": of_agent.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
        "GCM_INTERACTIVE": "never",
        "LC_ALL": "C.UTF-8",
        process.MARKER: attempt_id,
    }


def login_for(url: str, category: str, secret: str) -> Login | None:
    """A GitHub token opens GitHub's repositories over https; another secret is no business of git's."""
    if category == "github-copilot" and re.match(r"https://(?:www\.)?github\.com[:/]", url):
        return Login("x-access-token", secret)
    return None


def sweep_locks(workspace: Path) -> None:
    """Remove the locks that a crash left in the mirrors; only while no git runs in them."""
    for lock in (workspace / "mirrors").glob("*.git/**/*.lock"):
        lock.unlink(missing_ok=True)


def _askpass(folder: Path) -> Path:
    path = folder / "askpass"
    if not path.exists() or path.read_text() != _ASKPASS:
        fresh = path.with_name(f"askpass.{os.getpid()}")
        fresh.write_text(_ASKPASS)
        fresh.chmod(0o700)
        fresh.rename(path)
    return path
