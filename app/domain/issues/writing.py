"""Issues as people write them. Their status is none of this file's business: see `lifecycle.py`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import spending
from app.db.crud import get_or_404, given, lock_or_404, visible_to
from app.db.doorbell import ring
from app.db.models.work import Issue
from app.deps import Viewer
from app.domain.issues import references
from app.domain.issues.notices import issue_changed
from app.domain.issues.schemas import IssueChange, NewIssue
from app.errors import InvalidInput
from app.protocol import IssueStatus
from app.settings import Settings


async def create(
    session: AsyncSession, viewer: Viewer, settings: Settings, bodies: Sequence[NewIssue], path: str = ""
) -> list[Issue]:
    """All of them or none, in the order given, which is their order in the queue too.

    `path` is where the issues stand in the body, with {} for the index. Raises `InvalidInput` and `NotFound`.
    """
    fields = [given(body) for body in bodies]
    for index, each in enumerate(fields):
        references.require_clonable(each, settings, path.format(index))
    await references.require_visible(session, viewer, fields)
    now = (await session.execute(select(func.now()))).scalar_one()
    created = [
        Issue(**_row(viewer, settings, each, now + timedelta(microseconds=index))) for index, each in enumerate(fields)
    ]
    session.add_all(created)
    await session.flush()
    for issue in created:
        issue_changed(session, issue.id)
    ring(session)
    return created


def _row(viewer: Viewer, settings: Settings, fields: dict[str, Any], created_at: datetime) -> dict[str, Any]:
    """Issues created together are a microsecond apart, so that they keep their order everywhere."""
    not_before: datetime | None = fields["not_before"]
    return {
        **fields,
        "owner_id": viewer.id,
        "created_at": created_at,
        "updated_at": created_at,
        "rank": _rank(fields["priority"], settings, created_at),
        "deferred": not_before is not None and not_before > created_at,
    }


async def change(session: AsyncSession, viewer: Viewer, settings: Settings, issue_id: UUID, body: IssueChange) -> Issue:
    """Raises `InvalidInput` for a maximum that the attempts made leave no room under."""
    fields: dict[str, Any] = given(body)
    if "project_id" in fields:
        await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
        await spending.hold(session, issue_id)
    issue = await lock_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
    after = {name: fields.get(name, getattr(issue, name)) for name in ("repository_url", "repository_id")}
    if after["repository_url"] is not None and fields.keys() & after.keys():
        references.require_clonable(after, settings)
    await references.require_visible(session, viewer, [fields])
    # An issue that waits needs room for one more: the claim that counts it would fail, and with it all its neighbours.
    fewest = issue.attempt_count + (issue.status == IssueStatus.PENDING)
    if fields.get("max_attempts", issue.max_attempts) < fewest:
        raise InvalidInput(
            f"{issue.attempt_count} attempts were made already; allow {fewest} at least.", field="max_attempts"
        )
    if "priority" in fields:
        fields["rank"] = _rank(fields["priority"], settings, issue.created_at)
    if "not_before" in fields:
        is_ahead = literal(fields["not_before"], Issue.not_before.type) > func.now()
        fields["deferred"] = and_(Issue.status == IssueStatus.PENDING, func.coalesce(is_ahead, False))
    if fields.get("project_id", issue.project_id) != issue.project_id:
        await spending.move(session, issue_id, issue.project_id, fields["project_id"])
    if fields:
        await session.execute(update(Issue).where(Issue.id == issue_id).values(**fields))
        await session.refresh(issue)
        issue_changed(session, issue_id)
        ring(session)
    return issue


def _rank(priority: int, settings: Settings, created_at: datetime) -> float:
    """Larger is claimed first: an issue overtakes one whose priority is larger by one after the ageing time."""
    return priority * settings.priority_ageing.total_seconds() - created_at.timestamp()
