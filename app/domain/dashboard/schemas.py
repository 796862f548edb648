from datetime import datetime
from uuid import UUID

from msgspec import Struct

from app.schemas import UsageTotals


class IssueCounts(Struct):
    pending: int = 0
    processing: int = 0
    pending_merge: int = 0
    merged: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0
    oldest_pending_age_s: float | None = None


class NodeCounts(Struct):
    """`busy`: online and holding an attempt. `draining` and `paused` count nodes that are away too."""

    online: int = 0
    offline: int = 0
    draining: int = 0
    paused: int = 0
    busy: int = 0
    total: int = 0


class Throughput(Struct):
    """How many issues succeeded and were given up in the hour that begins at `hour`."""

    hour: datetime
    completed: int
    failed: int


class Running(Struct):
    issue_id: UUID
    title: str
    node_id: UUID | None
    node_name: str
    attempt_id: UUID
    started_at: datetime
    running_s: float


class Stats(Struct):
    """Over the viewer's own rows; over all rows for a superuser. `running`: at most 200, the longest first."""

    issues: IssueCounts
    nodes: NodeCounts
    projects: int
    repositories: int
    prompts: int
    credentials: int
    throughput: list[Throughput]
    running: list[Running]
    usage: UsageTotals
