"""What changed, for the pages that are open: one ring of events per process, and who listens to it.

The ring holds only which rows changed; the rows are read when somebody is there to be told, once for all listeners
and a moment after the change, so that a burst of changes is one read. While nothing changes nothing is read.
"""

import asyncio
import os
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import takewhile
from uuid import UUID

from litestar.di import NamedDependency
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import shaped
from app.db.engine import Database
from app.db.models.fleet import Node
from app.db.models.work import Issue
from app.db.notices import DELETED
from app.deps import Viewer
from app.domain.issues.notices import ISSUE, LOG
from app.domain.issues.schemas import IssueOut
from app.domain.nodes import queries
from app.domain.nodes.notices import NODE
from app.streaming import Wakening, event

GATHER_S = 0.1
REMEMBERED = 10_000
_BEHIND_MAX = 2000
"""A listener that is so many events behind is told to read everything again."""
_DESCRIPTION_MAX = 500


class Change(Struct, frozen=True):
    number: int
    kind: str
    subject: str


class Told(Struct, frozen=True):
    """An event as it is sent. `owner_id` null: everybody may see it."""

    number: int
    owner_id: UUID | None
    name: str
    data: object

    def is_for(self, viewer: Viewer) -> bool:
        return viewer.is_superuser or self.owner_id is None or self.owner_id == viewer.id


class Listener:
    def __init__(self, viewer: Viewer, wakening: Wakening) -> None:
        self.viewer = viewer
        self.wakening = wakening
        self.waiting: deque[Told] = deque()
        self.has_lost = False

    def tell(self, events: Iterable[Told]) -> None:
        self.waiting.extend(each for each in events if each.is_for(self.viewer))
        if len(self.waiting) > _BEHIND_MAX:
            self.lose()
        self.wakening.wake()

    def lose(self) -> None:
        self.waiting.clear()
        self.has_lost = True
        self.wakening.wake()


class Feed:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._name = os.urandom(4).hex()
        self._ring: deque[Change] = deque(maxlen=REMEMBERED)
        self._number = 0
        self._told = 0
        self._something = asyncio.Event()
        self._listeners: list[Listener] = []
        for kind in (ISSUE, NODE, LOG, DELETED):
            db.notices.subscribe(kind, lambda subject, kind=kind: self._hear(kind, subject))

    def identity(self, number: int) -> str:
        """Names this process too: another one counts differently."""
        return f"{self._name}-{number}"

    @property
    def newest(self) -> int:
        return self._told

    def join(self, listener: Listener) -> int:
        """From now on the listener is told what changes. Returns the number of the newest event before."""
        self._listeners.append(listener)
        return self._told

    def leave(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    async def missed(self, last_event_id: str, viewer: Viewer, until: int) -> list[Told] | None:
        """What the viewer has not been told since that event; None when nobody can say any more."""
        name, _, number = last_event_id.partition("-")
        if name != self._name or not number.isascii() or not number.isdecimal() or len(number) > 15:
            return None
        since = int(number)
        oldest = self._ring[0].number if self._ring else self._number + 1
        if since > self._number or since + 1 < oldest:
            return None
        changes = [change for change in self._ring if since < change.number <= until]
        return [each for each in await self._read(changes) if each.is_for(viewer)]

    async def run(self) -> None:
        """Tells the listeners, until cancelled."""
        while True:
            await self._something.wait()
            await asyncio.sleep(GATHER_S)
            self._something.clear()
            await self.tell_once()

    async def tell_once(self) -> None:
        newest = self._number
        # From the newest backwards: the ring is long, and what is new in it is little.
        untold = [*takewhile(lambda change: change.number > self._told, reversed(self._ring))]
        if self._listeners and untold:
            try:
                events = await self._read(untold[::-1])
            except Exception:
                self._tell_of_gap()
                raise
            for listener in self._listeners:
                listener.tell(events)
        self._told = max(self._told, newest)

    def _hear(self, kind: str, subject: str | None) -> None:
        if subject is None:
            self._tell_of_gap()
            return
        self._number += 1
        self._ring.append(Change(self._number, kind, subject))
        self._something.set()

    def _tell_of_gap(self) -> None:
        self._ring.clear()
        # A number that was never given out: whoever saw only older ones has missed something.
        self._number += 1
        self._told = self._number
        for listener in self._listeners:
            listener.lose()

    async def _read(self, changes: Sequence[Change]) -> list[Told]:
        """Each row once, as it is now, at the place of its latest change."""
        latest = {
            (change.kind, change.subject if change.kind == DELETED else _id(change)): change for change in changes
        }
        ordered = sorted(latest.values(), key=lambda change: change.number)
        if not ordered:
            return []
        async with self._db.sessions() as session:
            issues = await _issues(session, {_id(change) for change in ordered if change.kind in {ISSUE, LOG}})
            nodes = await _nodes(session, {_id(change) for change in ordered if change.kind == NODE})
        events = (_told(change, issues, nodes) for change in ordered)
        return [each for each in events if each is not None]


def _id(change: Change) -> UUID:
    return UUID(change.subject.partition(" ")[0])


def _told(change: Change, issues: dict[UUID, IssueOut], nodes: dict[UUID, queries.NodeOut]) -> Told | None:
    if change.kind == DELETED:
        kind, identity, owner_id = change.subject.split(" ")
        return Told(change.number, None if kind == NODE else UUID(owner_id), "deleted", {"type": kind, "id": identity})
    if change.kind == NODE:
        node = nodes.get(_id(change))
        return None if node is None else Told(change.number, None, "node", node)
    issue = issues.get(_id(change))
    if issue is None:
        return None
    if change.kind == ISSUE:
        return Told(change.number, issue.owner_id, "issue", issue)
    issue_id, attempt_id, next_seq = change.subject.split(" ")
    data = {"issue_id": issue_id, "attempt_id": attempt_id, "next_seq": int(next_seq)}
    return Told(change.number, issue.owner_id, "log", data)


async def _issues(session: AsyncSession, ids: set[UUID]) -> dict[UUID, IssueOut]:
    rows = await session.scalars(select(Issue).where(Issue.id.in_(ids))) if ids else ()
    shown = {row.id: shaped(row, IssueOut) for row in rows}
    for issue in shown.values():
        # The page reads the whole of it when somebody opens the issue.
        issue.description = issue.description and issue.description[:_DESCRIPTION_MAX]
    return shown


async def _nodes(session: AsyncSession, ids: set[UUID]) -> dict[UUID, queries.NodeOut]:
    rows = (await session.scalars(select(Node).where(Node.id.in_(ids)))).all() if ids else ()
    return {node.id: node for node in await queries.shown(session, rows)} if rows else {}


CurrentFeed = NamedDependency[Feed]


def encoded(feed: Feed, told: Told) -> bytes:
    return event(told.name, told.data, feed.identity(told.number))
