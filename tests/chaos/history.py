"""What the agents saw, on one clock: what they were given, what they sent, what was acknowledged."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MASK = "***"


@dataclass
class Work:
    """One attempt as its node knows it."""

    attempt_id: str
    issue_id: str
    number: int
    node: str
    branch: str
    given_at: float
    entries: list[str] = field(default_factory=list)
    acknowledged_entries: int = 0
    report: dict[str, Any] | None = None
    reported_at: float | None = None
    """When the report was sent for the first time."""
    answer: dict[str, Any] | None = None
    released_at: float | None = None
    has_credential: bool = False
    secret: str | None = None
    """Of the credential, as its node was told. It stands in `entries` as it must be stored, that is as stars."""


@dataclass(frozen=True)
class Accepted:
    """A write that the server acknowledged. `sent_at`: when it was sent for the first time."""

    attempt_id: str
    what: str
    sent_at: float


class History:
    def __init__(self) -> None:
        self.work: dict[str, Work] = {}
        self.accepted: list[Accepted] = []
        self.created: set[str] = set()
        self.doomed: set[str] = set()
        """Issues that somebody wished to delete; of those in `deleted` it is known that they were."""
        self.deleted: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []

    def problem(self, what: str) -> None:
        self.counts["problems"] += 1
        if len(self.problems) < 200:
            self.problems.append(what)

    def given(self, offer: dict[str, Any], node: str) -> Work:
        """The same offer may be given to the same node any number of times."""
        known = self.work.get(offer["attempt_id"])
        if known is not None:
            if known.node != node:
                self.problem(f"attempt {known.attempt_id} was given to {known.node} and to {node}")
            return known
        work = Work(offer["attempt_id"], offer["issue"]["id"], offer["number"], node, offer["branch"], time.monotonic())
        work.has_credential = offer["credential"] is not None
        self.work[work.attempt_id] = work
        self.counts["attempts"] += 1
        return work

    def accept(self, attempt_id: str, what: str, sent_at: float) -> None:
        self.accepted.append(Accepted(attempt_id, what, sent_at))
