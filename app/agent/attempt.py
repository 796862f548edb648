"""One attempt, from the credential to the pushed branch.

    clone -> branch -> ai_coding -> commit -> push

Each step ends in `success` or `failed`. How the attempt ended is spooled as its `Finish`; `delivery` carries it on.
"""

import asyncio
import contextlib
import shutil
from enum import StrEnum
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from app.agent import git, process, tools
from app.agent.client import Client, Refused, Superseded
from app.agent.git import BadRepository, Git, GitFailed, Mirror
from app.agent.journal import Journal
from app.agent.spool import Spool
from app.agent.state import private_folder
from app.agent.tools import Tool
from app.protocol import Action, FailureCode, Finish, ModelUsage, Offer, Result, Usage

log = structlog.stdlib.get_logger(__name__)

_LOOK_FOR_USAGE_EVERY_S = 5.0
_USAGE_MAX_BYTES = 256 * 1024
_SUMMARY_MAX = 2_000
_MESSAGE_MAX = 8_000


class Stop(StrEnum):
    CANCEL = "cancel"
    ABANDON = "abandon"
    RELEASE = "release"


class Grounds(Struct, frozen=True):
    """What attempts of one agent share."""

    client: Client
    state_folder: Path
    workspace: Path
    tools: tuple[Tool, ...]
    locks: dict[str, asyncio.Lock]
    """One per mirror."""


class Failed(Exception):
    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Attempt:
    def __init__(self, offer: Offer, spool: Spool, grounds: Grounds) -> None:
        self.offer = offer
        self.stopped: Stop | None = None
        self.folder = attempts_folder(grounds.workspace) / str(offer.attempt_id)
        self._tree = self.folder / "tree"
        self._spool = spool
        self._grounds = grounds
        self._journal = Journal(spool)
        self._work: asyncio.Task[Finish] | None = None
        self._base_sha: str | None = None
        self._log = log.bind(attempt_id=str(offer.attempt_id), issue_id=str(offer.issue.id))

    def act(self, action: Action) -> None:
        """Obey what the server wants done with this attempt."""
        if action is Action.CANCEL:
            self.stop(Stop.CANCEL)
        elif action is Action.ABANDON:
            self.stop(Stop.ABANDON)

    def stop(self, why: Stop) -> None:
        """Kill what runs. The first reason stands; work that has ended is not undone."""
        if self._work is not None and not self._work.done() and self.stopped is None:
            self._log.info("attempt_stopped", why=why)
            self.stopped = why
            self._work.cancel()

    async def run(self) -> None:
        """Work, then spool how it ended; nothing is spooled for an attempt that was abandoned or is to be released."""
        self._log.info("attempt_started", title=self.offer.issue.title, branch=self.offer.branch)
        self._work = asyncio.create_task(self._within_time())
        await asyncio.wait({self._work})
        if self._work.cancelled():
            if self.stopped is not Stop.CANCEL:
                return
            finish = self._finish(Result.CANCELLED, error_message="Stopped on request.")
        else:
            finish = self._work.result()
        await self._clean_up(finish)
        try:
            await asyncio.to_thread(self._spool.keep_finish, finish)
        except OSError as problem:
            self._log.warning("result_only_in_memory", reason=str(problem))
        self._spool.changed.set()

    async def _within_time(self) -> Finish:
        try:
            async with asyncio.timeout(self.offer.max_runtime_s):
                return await self._through_the_steps()
        except TimeoutError:
            message = f"The attempt took longer than {self.offer.max_runtime_s:g} s."
            return self._failed(FailureCode.TIMEOUT, message)
        except Failed as problem:
            return self._failed(problem.code, str(problem))
        except Superseded:
            self.stopped = Stop.ABANDON
            raise asyncio.CancelledError from None
        except (OSError, Refused) as problem:
            return self._failed(FailureCode.INTERNAL, f"{type(problem).__name__}: {problem}")
        except Exception as problem:  # noqa: BLE001 - whatever broke, the server is told that the attempt failed
            self._log.exception("attempt_broke")
            return self._failed(FailureCode.INTERNAL, f"The agent failed: {type(problem).__name__}.")

    async def _through_the_steps(self) -> Finish:
        tool = tools.for_offer(self.offer, self._grounds.tools)
        if tool is None:
            raise Failed(FailureCode.INTERNAL, f"This node has no tool {self.offer.issue.tool!r}.")
        private_folder(self.folder)
        secret = await self._secret()
        repository = self.offer.repository
        url = repository.url if repository is not None else self.offer.issue.repository_url
        if url is None:
            private_folder(self._tree)
            summary = await self._ai_coding(tool, self._git("ai_coding", None), secret)
            return self._finish(Result.SUCCEEDED, summary=summary)
        login = git.login_for(url, *secret) if secret is not None else None
        mirror = await self._clone(url, login)
        await self._branch(mirror, login)
        summary = await self._ai_coding(tool, self._git("ai_coding", None), secret)
        head_sha = await self._commit(summary)
        await self._push(url, login)
        return self._finish(Result.SUCCEEDED, head_sha=head_sha, summary=summary)

    async def _secret(self) -> tuple[str, str] | None:
        """The credential's category and secret, from now on masked in everything that is logged."""
        if self.offer.credential is None:
            return None
        given = await self._grounds.client.credential(self.offer.attempt_id)
        if given is None:
            return None
        self._journal.mask.add(given.secret)
        return given.category, given.secret

    async def _clone(self, url: str, login: git.Login | None) -> Mirror:
        async with self._journal.step("clone"):
            try:
                mirror = Mirror(self._grounds.workspace, url, self._grounds.locks)
                await mirror.fetch(self._git("clone", login))
            except BadRepository as problem:
                raise Failed(FailureCode.INVALID_WORK, str(problem)) from problem
            except GitFailed as problem:
                raise _git_failure(problem, FailureCode.CLONE_FAILED, login) from problem
        return mirror

    async def _branch(self, mirror: Mirror, login: git.Login | None) -> None:
        run = self._git("branch", login)
        async with self._journal.step("branch"):
            try:
                base = self.offer.base_branch
                if base is None and self.offer.repository is not None:
                    base = self.offer.repository.default_branch
                base = base or await mirror.default_branch(run)
                if base is None:
                    raise Failed(FailureCode.INVALID_WORK, "The repository has no default branch with a commit.")
                self._base_sha = await mirror.add_worktree(run, self._tree, base, self.offer.branch)
            except BadRepository as problem:
                raise Failed(FailureCode.INVALID_WORK, str(problem)) from problem
            except GitFailed as problem:
                raise _git_failure(problem, FailureCode.CLONE_FAILED, login) from problem

    async def _ai_coding(self, tool: Tool, run: Git, secret: tuple[str, str] | None) -> str | None:
        """The last of what the tool said."""
        prompt = self.folder / "prompt.md"
        prompt.write_text(_prompt(self.offer))
        usage = self.folder / "usage.json"
        environment = {
            **run.environment,
            **(await git.identity(run, self._tree)),
            **(tools.secret_environment(*secret) if secret is not None else {}),
            "NODEYARD_ISSUE_ID": str(self.offer.issue.id),
            "NODEYARD_BRANCH": self.offer.branch,
            "NODEYARD_PROMPT_FILE": str(prompt),
            "NODEYARD_USAGE_FILE": str(usage),
        }
        async with self._journal.step("ai_coding", tool.command), self._journal.stream("ai_coding") as stream:
            watching = asyncio.create_task(self._watch_usage(usage))
            try:
                code = await process.run(
                    tool.argv, cwd=self._tree, environment=environment, on_output=stream.feed, stdin=prompt
                )
            except (FileNotFoundError, PermissionError) as problem:
                raise Failed(FailureCode.TOOL_FAILED, f"The tool cannot be run on this node: {problem}.") from problem
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                await self._read_usage(usage)
            if code != 0:
                ended = f"exit code {code}" if code > 0 else f"signal {-code}"
                message = f"{Path(tool.argv[0]).name} ended with {ended}.\n{stream.tail.strip()[-_SUMMARY_MAX:]}"
                raise Failed(tools.failure_code(stream.tail), message.strip())
        return stream.tail.strip()[-_SUMMARY_MAX:] or None

    async def _commit(self, summary: str | None) -> str:
        """The commit to push. A tool's own commits count."""
        run = self._git("commit", None)
        async with self._journal.step("commit"):
            message = self.folder / "message"
            message.write_text(_message(self.offer))
            run.environment |= await git.identity(run, self._tree)
            try:
                head_sha = await git.commit_all(run, self._tree, message)
            except GitFailed as problem:
                raise Failed(FailureCode.TOOL_FAILED, f"The tool's work cannot be committed: {problem}") from problem
            if head_sha == self._base_sha:
                said = f"\n{summary}" if summary else ""
                raise Failed(FailureCode.NO_CHANGES, f"The tool changed nothing.{said}")
        return head_sha

    async def _push(self, url: str, login: git.Login | None) -> None:
        async with self._journal.step("push"):
            try:
                await git.push(self._git("push", login), self._tree, url, self.offer.branch)
            except GitFailed as problem:
                raise _git_failure(problem, FailureCode.PUSH_FAILED, login) from problem

    def _git(self, step: str, login: git.Login | None) -> Git:
        async def said(command: str, output: bytes) -> None:
            if step != "ai_coding":
                await self._journal.said(step, command, output)

        return Git(self._grounds.state_folder, str(self.offer.attempt_id), login=login, on_said=said)

    async def _watch_usage(self, path: Path) -> None:
        while True:
            await asyncio.sleep(_LOOK_FOR_USAGE_EVERY_S)
            await self._read_usage(path)

    async def _read_usage(self, path: Path) -> None:
        """What the tool wrote of its usage: the protocol's list, alone or under `usage`. It may be half written."""
        usage = await asyncio.to_thread(_usage_in, path)
        if usage is not None and usage != self._spool.usage:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._spool.keep_usage, usage)
            self._spool.changed.set()

    async def _clean_up(self, finish: Finish) -> None:
        """The working copy of a success has served; any other stays for a look, until it is old."""
        if finish.result is Result.SUCCEEDED:
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def _failed(self, code: FailureCode, message: str) -> Finish:
        self._log.info("attempt_failed", code=code, reason=self._journal.mask.text(message).partition("\n")[0][:200])
        return self._finish(Result.FAILED, failure_code=code, error_message=message)

    def _finish(
        self,
        result: Result,
        *,
        head_sha: str | None = None,
        summary: str | None = None,
        error_message: str | None = None,
        failure_code: FailureCode | None = None,
    ) -> Finish:
        return Finish(
            result=result,
            next_seq=self._spool.next_seq,
            branch=self.offer.branch if head_sha is not None else None,
            base_sha=self._base_sha,
            head_sha=head_sha,
            summary=self._fit(summary),
            error_message=self._fit(error_message),
            failure_code=failure_code,
        )

    def _fit(self, text: str | None) -> str | None:
        return self._journal.mask.text(text).replace("\x00", "\ufffd")[:_MESSAGE_MAX] if text else None


def attempts_folder(workspace: Path) -> Path:
    return private_folder(workspace / "attempts")


def _usage_in(path: Path) -> Usage | None:
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(_USAGE_MAX_BYTES), type=Usage | list[ModelUsage])
    except (OSError, msgspec.DecodeError):
        return None
    return found if isinstance(found, Usage) else Usage(found)


def _prompt(offer: Offer) -> str:
    if offer.prompt is not None:
        return offer.prompt.content
    return "\n\n".join(filter(None, (offer.issue.title, offer.issue.description))) + "\n"


def _message(offer: Offer) -> str:
    number = offer.issue.issue_number
    return offer.issue.title + (f"\n\nIssue #{number}" if number is not None else "") + "\n"


def _git_failure(problem: GitFailed, code: FailureCode, login: git.Login | None) -> Failed:
    refused = login is not None and problem.is_refused_login
    return Failed(FailureCode.AUTH if refused else code, str(problem))
