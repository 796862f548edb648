"""Follows every issue and tells its journey, a line for each change."""

import asyncio
import contextlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import msgspec
from msgspec import Struct

from app.demo import sample
from app.demo.operator import Operator
from app.protocol import AttemptStatus, IssueStatus

Tell = Callable[[str], None]

_LOOK_EVERY_S = 0.4
_ENDS = frozenset(
    {
        IssueStatus.PENDING_MERGE,
        IssueStatus.MERGED,
        IssueStatus.COMPLETED,
        IssueStatus.FAILED,
        IssueStatus.CANCELLED,
    }
)


class _Issue(Struct):
    id: str
    title: str
    issue_number: int | None
    status: IssueStatus
    attempt_count: int
    result_branch: str | None


class _Issues(Struct):
    items: list[_Issue]


class _Attempt(Struct):
    number: int
    status: AttemptStatus
    node_name: str | None
    failure_code: str | None
    error_message: str | None
    summary: str | None


class _Attempts(Struct):
    items: list[_Attempt]


class Journeys:
    def __init__(self, operator: Operator, remote: Path, tell: Tell) -> None:
        self.ended = asyncio.Event()
        """Set once every sample issue has come to an end."""
        self._operator = operator
        self._remote = remote
        self._tell = tell
        self._samples: dict[str, sample.Sample] = {}
        self._seen: dict[str, tuple[IssueStatus, int]] = {}
        self._running_since: dict[str, float] = {}

    def expect(self, issue_id: str, of: sample.Sample) -> None:
        self._samples[issue_id] = of

    async def follow(self) -> None:
        """Until cancelled; issues that somebody else creates are followed too."""
        while True:
            page = msgspec.convert(await self._operator.call("GET", "/issues?limit=200"), _Issues)
            for issue in reversed(page.items):
                await self._look_at(issue)
            if all(issue_id in self._seen and self._seen[issue_id][0] in _ENDS for issue_id in self._samples):
                self.ended.set()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look_at(self, issue: _Issue) -> None:
        now = (issue.status, issue.attempt_count)
        if now != self._seen.get(issue.id):
            self._seen[issue.id] = now
            attempts = msgspec.convert(await self._operator.call("GET", f"/issues/{issue.id}/attempts"), _Attempts)
            story = _story(issue, attempts.items[-1]) if attempts.items else "waits in the queue"
            name = f"#{issue.issue_number or issue.id[:8]} {issue.title}"
            self._tell(f"{name[:46]:<46}  {issue.status:<13}  {story}{await self._verdict(issue)}".rstrip())
        if issue.status is IssueStatus.PROCESSING:
            await self._think_better_of_it(issue)

    async def _verdict(self, issue: _Issue) -> str:
        """What the tests say on the branch, checked out from the remote like anybody would."""
        of = self._samples.get(issue.id)
        if of is None or not of.tests or issue.result_branch is None:
            return ""
        passed = await asyncio.to_thread(_passes, self._remote, issue.result_branch, of.tests)
        return f", {' '.join(of.tests)} {'passes' if passed else 'FAILS'} there"

    async def _think_better_of_it(self, issue: _Issue) -> None:
        of = self._samples.get(issue.id)
        if of is None or of.cancel_after_s is None:
            return
        since = self._running_since.setdefault(issue.id, time.monotonic())
        if time.monotonic() - since >= of.cancel_after_s:
            self._running_since[issue.id] = math.inf
            # It may have come to its end in this moment.
            with contextlib.suppress(httpx2.HTTPStatusError):
                await self._operator.call("POST", f"/issues/{issue.id}/cancel")


def _story(issue: _Issue, last: _Attempt) -> str:
    said = (last.error_message or last.summary or "").strip()
    return {
        IssueStatus.PENDING: f"attempt {last.number} {last.status} ({last.failure_code or 'given back'}), tries again",
        IssueStatus.PROCESSING: f"attempt {last.number} on {last.node_name}",
        IssueStatus.PENDING_MERGE: f"branch {issue.result_branch}",
        IssueStatus.COMPLETED: f"nothing to merge: {said.rpartition(chr(10))[2]}",
        IssueStatus.FAILED: f"{last.failure_code}: {said.partition(chr(10))[0]}",
    }.get(issue.status, "")


def _passes(remote: Path, branch: str, tests: tuple[str, ...]) -> bool:
    with tempfile.TemporaryDirectory(prefix="nodeyard-demo-") as folder:
        tree = Path(folder) / "tree"
        sample.checkout(remote, branch, tree)
        return (
            subprocess.run(
                [sys.executable, "-B", "-m", "unittest", *tests], cwd=tree, check=False, capture_output=True
            ).returncode
            == 0
        )
