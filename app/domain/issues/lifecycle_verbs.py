"""What operators do to an issue: cancel, requeue, merge, reject. `lifecycle.py` draws the states."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.doorbell import ring
from app.db.models.work import Attempt, Issue
from app.domain.issues import notices
from app.errors import Conflict, NotFound
from app.protocol import AttemptStatus, IssueStatus

_NOW = func.clock_timestamp()


async def cancel(session: AsyncSession, issue_id: UUID) -> Issue:
    """Cancels what waits at once; asks the node to stop what is worked on (see `sweeps.settle_cancels`).

    Raises 404, and 409 `not_cancellable` for an issue that is at an end.
    """
    # Between the two statements a node may claim the issue, or give it back.
    for _ in range(3):
        if await _move(session, issue_id, (IssueStatus.PENDING,), IssueStatus.CANCELLED, completed_at=_NOW):
            break
        asked = await session.scalar(
            update(Attempt)
            .where(Attempt.issue_id == issue_id, Attempt.status.in_((AttemptStatus.OFFERED, AttemptStatus.RUNNING)))
            .values(cancel_requested_at=func.coalesce(Attempt.cancel_requested_at, _NOW))
            .returning(Attempt.id)
        )
        if asked is not None:
            notices.issue_changed(session, issue_id)
            break
    else:
        await _require(session, issue_id)
        raise Conflict("The issue is at an end already; there is nothing to cancel.", code="not_cancellable")
    return await _require(session, issue_id)


async def requeue(session: AsyncSession, issue_id: UUID) -> Issue:
    """Back to the queue, attempts counted anew. Raises 404, 409 `not_requeueable`."""
    former = (IssueStatus.FAILED, IssueStatus.CANCELLED, IssueStatus.COMPLETED, IssueStatus.PENDING_MERGE)
    moved = await _move(
        session,
        issue_id,
        former,
        IssueStatus.PENDING,
        attempt_count=0,
        assigned_node_id=None,
        started_at=None,
        completed_at=None,
        error_message=None,
        result_branch=None,
        deferred=func.coalesce(Issue.not_before > _NOW, False),
    )
    if not moved:
        await _require(session, issue_id)
        raise Conflict("Only an issue that ended and is not merged can be queued again.", code="not_requeueable")
    ring(session)
    return await _require(session, issue_id)


async def merge(session: AsyncSession, issue_id: UUID) -> Issue:
    """Its branch was merged. Raises 404, 409 `not_pending_merge`."""
    return await _decide(session, issue_id, IssueStatus.MERGED)


async def reject(session: AsyncSession, issue_id: UUID, reason: str | None = None) -> Issue:
    """Its branch will not be merged. Raises 404, 409 `not_pending_merge`."""
    return await _decide(session, issue_id, IssueStatus.FAILED, error_message=reason or "The result was rejected.")


async def _decide(session: AsyncSession, issue_id: UUID, status: IssueStatus, **values: Any) -> Issue:
    if not await _move(session, issue_id, (IssueStatus.PENDING_MERGE,), status, **values):
        await _require(session, issue_id)
        raise Conflict("The issue has no result that waits to be merged.", code="not_pending_merge")
    return await _require(session, issue_id)


async def _move(
    session: AsyncSession, issue_id: UUID, former: tuple[IssueStatus, ...], status: IssueStatus, **values: Any
) -> bool:
    moved = await session.scalar(
        update(Issue)
        .where(Issue.id == issue_id, Issue.status.in_(former))
        .values(status=status, updated_at=_NOW, **values)
        .returning(Issue.id)
        .execution_options(synchronize_session=False)
    )
    if moved is None:
        return False
    notices.issue_changed(session, issue_id)
    return True


async def _require(session: AsyncSession, issue_id: UUID) -> Issue:
    issue = await session.get(Issue, issue_id, populate_existing=True)
    if issue is None:
        raise NotFound
    return issue
