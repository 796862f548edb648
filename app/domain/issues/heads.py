"""Where each lane of the queue begins, remembered for a moment.

Claimed issues stay in the index until they are vacuumed, which a snapshot that somebody holds (a dump, a report)
prevents. Each walk to the head of a lane would pass over all of them, so a walk begins where the last one ended.
What is remembered decides only who is first: a claim that finds too little beyond it walks from the very beginning.
"""

from collections.abc import Mapping
from time import monotonic

LAST_S = 1.0
"""How long an issue that was written past the API, or by another server whose notice was lost, may be passed over."""


class Heads:
    def __init__(self) -> None:
        self._ranks: Mapping[int, float] = {}
        self._until = 0.0
        self._forgotten = 0

    @property
    def ranks(self) -> Mapping[int, float]:
        """The rank of the first issue by lane; no issue waits before it. Empty where nothing is known."""
        return self._ranks if monotonic() < self._until else {}

    @property
    def as_of(self) -> int:
        """Read it before the walk whose result is handed to `learn`."""
        return self._forgotten

    def learn(self, ranks: Mapping[int, float], as_of: int, *, whole: bool) -> None:
        """What a walk found. `whole`: it began at the very beginning."""
        if as_of != self._forgotten:
            return  # An issue came while it was under way.
        if whole:
            self._until = monotonic() + LAST_S
        self._ranks = ranks

    def forget(self) -> None:
        """An issue came, came back, or changed."""
        self._forgotten += 1
        self._ranks = {}
