"""The design's state table as plain Python: what an event must do to an issue and to its attempts."""

from dataclasses import dataclass, field

LIVE = {"offered", "running"}


@dataclass
class Issue:
    id: str
    rank: int
    max_attempts: int
    status: str = "pending"
    attempt_count: int = 0
    deferred: bool = False
    not_before_ahead: bool = False
    attempts: "list[Attempt]" = field(default_factory=list, repr=False)

    @property
    def newest(self) -> "Attempt | None":
        return self.attempts[-1] if self.attempts else None

    @property
    def live(self) -> "Attempt | None":
        return next((attempt for attempt in self.attempts if attempt.status in LIVE), None)


@dataclass
class Attempt:
    id: str
    issue: Issue
    node: int
    status: str = "offered"
    cancel_asked: bool = False
    burned: bool = True
    adopted: bool = False
    entries: int = 0
    report: str | None = None
    answer: tuple | None = None

    @property
    def adoptable(self) -> bool:
        return (
            self.status == "lost"
            and self.report is None
            and self.issue.newest is self
            and self.issue.status in {"pending", "failed"}
        )


REPORTS = {
    "merge": ({"result": "succeeded", "branch": "nodeyard/x-a1"}, "succeeded"),
    "complete": ({"result": "succeeded"}, "succeeded"),
    "retryable": ({"result": "failed", "failure_code": "tool_failed"}, "failed"),
    "quota": ({"result": "failed", "failure_code": "quota"}, "failed"),
    "final": ({"result": "failed", "failure_code": "no_changes"}, "failed"),
    "stopped": ({"result": "cancelled"}, "cancelled"),
}


def settle(attempt: Attempt, status: str, what: str) -> str:
    """Ends an attempt and decides over its issue. Returns the row of the state table that it was."""
    issue = attempt.issue
    adopted = attempt.status == "lost"
    attempt.status = "cancelled" if status == "lost" and attempt.cancel_asked else status
    attempt.adopted = adopted
    if what in {"quota", "give_back"}:
        if attempt.burned:
            issue.attempt_count = max(issue.attempt_count - 1, 0)
        attempt.burned = False
    issue.status, waits = _verdict(attempt, what)
    issue.deferred = waits
    if waits:
        issue.not_before_ahead = True
    return f"{'adopted' if adopted else 'finish'} {what} -> {issue.status}"


def _verdict(attempt: Attempt, what: str) -> tuple[str, bool]:
    issue = attempt.issue
    spent = issue.attempt_count >= issue.max_attempts
    if attempt.cancel_asked:
        return "cancelled", False
    if what in {"retryable", "retry", "stopped"} and spent:
        return "failed", False
    return {
        "merge": ("pending_merge", False),
        "complete": ("completed", False),
        "final": ("failed", False),
        "quota": ("pending", True),
        "retryable": ("pending", True),
        "give_back": ("pending", False),
        "retry": ("pending", False),
        "stopped": ("pending", False),
    }[what]


def refusal(attempt: Attempt) -> str:
    if attempt.status == "cancelled" or (attempt.status == "lost" and attempt.issue.status == "cancelled"):
        return "attempt_cancelled"
    return "attempt_superseded" if attempt.status == "lost" else "attempt_finished"
