"""What people read of issues."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import BROAD, Paging, Slice, page, shaped
from app.db.models.work import IS_ENDED, IS_PENDING, IS_PROCESSING, Attempt, AttemptUsage, Issue, WorkflowLog
from app.deps import Viewer
from app.domain.issues.filters import IssueFilters
from app.domain.issues.schemas import AttemptOut
from app.protocol import ModelUsage

STAGES = (IS_PENDING, IS_PROCESSING, IS_ENDED)
"""Each has an index by priority, or few rows. One index over all of them would cost every claim an entry."""
Sort = Literal["created_at", "priority"]


async def list_issues(
    session: AsyncSession, viewer: Viewer, filters: IssueFilters, paging: Paging, sort: Sort
) -> Slice:
    keys = [Issue.created_at, Issue.id] if sort == "created_at" else [Issue.priority, Issue.created_at, Issue.id]
    count = filters.count(viewer)
    total = None if count is None else await session.scalar(count)
    is_broad = total is not None and total > BROAD
    parts = STAGES if sort == "priority" and not filters.status else ()
    return await page(session, filters.statement(viewer, is_broad=is_broad), paging, keys, total=total, parts=parts)


async def list_attempts(session: AsyncSession, issue_id: UUID, paging: Paging) -> Slice:
    """Oldest first."""
    statement = select(Attempt).where(Attempt.issue_id == issue_id)
    return await page(session, statement, paging, [Attempt.number], descending=False)


async def with_usage(session: AsyncSession, attempts: Sequence[Attempt]) -> list[AttemptOut]:
    shown = {attempt.id: shaped(attempt, AttemptOut) for attempt in attempts}
    statement = select(AttemptUsage).where(AttemptUsage.attempt_id.in_(shown)).order_by(AttemptUsage.model)
    for row in await session.scalars(statement):
        shown[row.attempt_id].usage.append(
            ModelUsage(
                row.provider,
                row.model,
                row.input_tokens,
                row.output_tokens,
                row.cache_read_tokens,
                row.cache_write_tokens,
                float(row.cost_usd),
            )
        )
    return list(shown.values())


async def list_logs(
    session: AsyncSession, issue_id: UUID, attempt_id: UUID | None, after: UUID | int | None, paging: Paging
) -> Slice:
    """Oldest first. `after`: an entry's id, or a `seq`; what came before it is left out, and counted all the same."""
    statement = select(WorkflowLog).where(WorkflowLog.issue_id == issue_id)
    if attempt_id is not None:
        statement = statement.where(WorkflowLog.attempt_id == attempt_id)
    if isinstance(after, UUID):
        at = select(WorkflowLog.position).where(WorkflowLog.id == after, WorkflowLog.issue_id == issue_id)
        statement = statement.where(WorkflowLog.position > at.scalar_subquery())
    elif after is not None:
        statement = statement.where(WorkflowLog.seq > after)
    return await page(session, statement, paging, [WorkflowLog.position], descending=False)
