"""The numbers of the dashboard. None of them reads the issues one by one: see `app.db.models.derived`."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, func, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import spending
from app.db.crud import visible_to
from app.db.models.accounts import User
from app.db.models.catalogue import Project, Prompt, Repository
from app.db.models.derived import IssueTally, NodeTally, UsageTally
from app.db.models.fleet import Credential, Node
from app.db.models.work import Attempt, Issue
from app.deps import Viewer
from app.domain.dashboard.schemas import IssueCounts, NodeCounts, Running, Stats, Throughput
from app.protocol import NodeStatus

IS_LIVE_ATTEMPT = text("attempt.status IN ('offered', 'running')")
HOURS = 24
RUNNING_MAX = 200


async def collect(session: AsyncSession, viewer: Viewer) -> Stats:
    return Stats(
        issues=await _issues(session, viewer),
        nodes=await _nodes(session, viewer),
        **await _counts(session, viewer),
        throughput=await _throughput(session, viewer),
        running=await _running(session, viewer),
        usage=await spending.tallied(session, _mine(viewer, UsageTally)),
    )


_COUNTED: dict[str, Any] = {
    "projects": Project,
    "repositories": Repository,
    "prompts": Prompt,
    "credentials": Credential,
}


def _mine(viewer: Viewer, table: Table) -> ColumnElement[bool]:
    return true() if viewer.is_superuser else table.c.owner_id == viewer.id


async def _issues(session: AsyncSession, viewer: Viewer) -> IssueCounts:
    tally = IssueTally.c
    rows = await session.execute(
        select(tally.what, func.sum(tally.n))
        .where(tally.hour.is_(None), _mine(viewer, IssueTally))
        .group_by(tally.what)
    )
    counts: dict[str, int] = {status: int(n) for status, n in rows}
    return IssueCounts(
        **counts, total=sum(counts.values()), oldest_pending_age_s=await _oldest_pending_age_s(session, viewer)
    )


async def _oldest_pending_age_s(session: AsyncSession, viewer: Viewer) -> float | None:
    """One step into the index for each owner."""
    first = (
        select(Issue.created_at)
        .where(Issue.owner_id == User.id, text("issue.status = 'pending'"))
        .order_by(Issue.created_at, Issue.id)
        .limit(1)
        .correlate(User)
        .lateral()
    )
    owners: Select[Any] = select(func.min(first.c.created_at)).select_from(User).join(first, true())
    if not viewer.is_superuser:
        owners = owners.where(User.id == viewer.id)
    age = await session.scalar(select(func.extract("epoch", func.now() - owners.scalar_subquery())))
    return None if age is None else max(0.0, float(age))


async def _nodes(session: AsyncSession, viewer: Viewer) -> NodeCounts:
    tally = NodeTally.c
    rows = await session.execute(
        select(tally.status, tally.desired, func.sum(tally.n))
        .where(_mine(viewer, NodeTally))
        .group_by(tally.status, tally.desired)
    )
    counts = NodeCounts()
    for status, desired, n in rows:
        counts.total += int(n)
        for name in {status, desired} & {"online", "offline", "draining", "paused"}:
            setattr(counts, name, getattr(counts, name) + int(n))
    counts.busy = await _busy(session, viewer)
    return counts


async def _busy(session: AsyncSession, viewer: Viewer) -> int:
    """One step into the nodes for each that holds an attempt: as a plain join it reads all nodes."""
    held = select(Attempt.node_id).where(IS_LIVE_ATTEMPT).distinct().subquery()
    node = (
        select(Node.id)
        .where(Node.id == held.c.node_id, Node.status == NodeStatus.ONLINE, visible_to(viewer, Node))
        .limit(1)
        .lateral()
    )
    return await session.scalar(select(func.count()).select_from(held).join(node, true())) or 0


async def _counts(session: AsyncSession, viewer: Viewer) -> dict[str, int]:
    each = (
        select(func.count()).select_from(model).where(visible_to(viewer, model)).scalar_subquery().label(name)
        for name, model in _COUNTED.items()
    )
    return {name: int(n) for name, n in (await session.execute(select(*each))).mappings().one().items()}


async def _throughput(session: AsyncSession, viewer: Viewer) -> list[Throughput]:
    """The last hours, oldest first, those without an end included."""
    tally = IssueTally.c
    this_hour = (await session.execute(select(func.date_trunc("hour", func.now(), "UTC")))).scalar_one()
    hours = {
        this_hour - timedelta(hours=back): Throughput(this_hour - timedelta(hours=back), 0, 0) for back in range(HOURS)
    }
    rows = await session.execute(
        select(tally.hour, tally.what, func.sum(tally.n))
        .where(tally.hour > this_hour - timedelta(hours=HOURS), _mine(viewer, IssueTally))
        .group_by(tally.hour, tally.what)
    )
    for hour, what, n in rows:
        if hour in hours:
            setattr(hours[hour], what.removeprefix("ended:"), int(n))
    return [hours[hour] for hour in sorted(hours)]


async def _running(session: AsyncSession, viewer: Viewer) -> list[Running]:
    # In order before the issues are looked up, one by one, so that this ends with the last that is shown: as a plain
    # join it reads all issues.
    live = (
        select(
            Attempt.id,
            Attempt.issue_id,
            Attempt.node_id,
            Attempt.node_name,
            Attempt.started_at,
        )
        .where(IS_LIVE_ATTEMPT, Attempt.started_at.is_not(None))
        .order_by(Attempt.started_at, Attempt.id)
        .offset(0)
        .subquery()
    )
    its = live.c
    issue = select(Issue.title).where(Issue.id == its.issue_id, visible_to(viewer, Issue)).limit(1).lateral()
    running_s = func.extract("epoch", func.now() - its.started_at)
    rows = await session.execute(
        select(its.issue_id, issue.c.title, its.node_id, its.node_name, its.id, its.started_at, running_s)
        .join(issue, true())
        .order_by(its.started_at, its.id)
        .limit(RUNNING_MAX)
    )
    return [
        Running(issue_id, title, node_id, node_name, attempt_id, started_at, max(0.0, float(running_s)))
        for issue_id, title, node_id, node_name, attempt_id, started_at, running_s in rows
        if started_at is not None
    ]
