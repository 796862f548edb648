"""How many issues of a project, of a repository, and with a credential may be worked on at once.

The rows that hold the caps are locked first and the work under them is counted in a second statement, whose snapshot
is younger than the lock. A count inside the claim itself would read a stale snapshot and overshoot.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

import asyncpg


@dataclass(frozen=True, slots=True)
class Limits:
    """The capped project and repository of a lane; None where there is no cap."""

    project: UUID | None
    repository: UUID | None

    @classmethod
    def of(cls, lane: asyncpg.Record) -> Self:
        return cls(
            lane["project_id"] if lane["project_cap"] is not None else None,
            lane["repository_id"] if lane["repository_cap"] is not None else None,
        )

    def keys(self, credential: UUID | None) -> Iterable[UUID]:
        return (key for key in (self.project, self.repository, credential) if key is not None)


@dataclass(slots=True)
class Room:
    """What is left under each cap, within the transaction that holds their rows."""

    left: dict[UUID, int] = field(default_factory=dict[UUID, int])

    @property
    def is_unlimited(self) -> bool:
        return not self.left

    def has_room(self, limits: Limits, credential: UUID | None) -> bool:
        return all(self.left.get(key, 1) > 0 for key in limits.keys(credential))

    def use(self, limits: Limits, credential: UUID | None) -> None:
        for key in limits.keys(credential):
            if key in self.left:
                self.left[key] -= 1


_LOCK = "SELECT id, max_running FROM {table} WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE"
_COUNT = {
    "project": """SELECT project_id, count(*) FROM issue
        WHERE project_id = ANY ($1) AND status = 'processing' GROUP BY 1""",
    "repository": """SELECT repository_id, count(*) FROM issue
        WHERE repository_id = ANY ($1) AND status = 'processing' GROUP BY 1""",
    "credential": """SELECT credential_id, count(*) FROM attempt
        WHERE credential_id = ANY ($1) AND status IN ('offered', 'running') GROUP BY 1""",
}


async def measure(connection: asyncpg.Connection, lanes: Iterable[Limits], credentials: set[UUID]) -> Room:
    """Locks the capped rows, always in the same order, and counts what runs under them."""
    lanes = list(lanes)
    capped = {
        "project": {lane.project for lane in lanes if lane.project is not None},
        "repository": {lane.repository for lane in lanes if lane.repository is not None},
        "credential": credentials,
    }
    room = Room()
    for table, ids in capped.items():
        if not ids:
            continue
        for row in await connection.fetch(_LOCK.format(table=table), sorted(ids)):
            if row["max_running"] is not None:
                room.left[row["id"]] = row["max_running"]
    for table, ids in capped.items():
        mine = sorted(ids & room.left.keys())
        if mine:
            for key, running in await connection.fetch(_COUNT[table], mine):
                room.left[key] -= running
    return room
