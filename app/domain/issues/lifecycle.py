"""Every statement that may change `issue.status` or `attempt.status`, but for the claim, which stands in `claim.py`.

    issue    pending -> processing                              claim (claim.py)
             processing -> pending_merge | completed            finish: succeeded
             processing -> pending | failed                     finish: failed; lose; release; lapse
             processing -> cancelled                            any end after an operator asked to cancel
             pending | failed -> as finish says                 late finish of the newest attempt, adopted
             pending -> cancelled                               cancel
             failed | cancelled | completed | pending_merge -> pending   requeue
             pending_merge -> merged | failed                   merge, reject

    attempt  (new) -> offered                                   claim (claim.py)
             offered -> running                                 start
             offered | running -> succeeded | failed | cancelled | lost
             lost -> succeeded | failed | cancelled             late finish, adopted

Each is one guarded UPDATE, so two callers can never both win; no row back raises a named error. An attempt is
always locked before its issue. The attempt's row is the fence: a write of a node holds it, so it cannot be lost
meanwhile, and a lost attempt takes no write once a newer one was handed out.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.doorbell import ring
from app.db.models.work import Attempt, Issue
from app.domain.issues import notices
from app.errors import AppError, Conflict, NotFound
from app.protocol import AttemptStatus, IssueStatus


class Verdict(StrEnum):
    """What the end of an attempt means for its issue. A cancel that an operator asked for outweighs them all."""

    MERGE = "merge"
    COMPLETE = "complete"
    RETRY = "retry"
    """Back to the queue, unless this was the last attempt allowed."""
    BACK_OFF = "back_off"
    """As retry, not before 10 s · 2ⁿ have passed, at most 5 minutes."""
    GIVE_BACK = "give_back"
    """Back to the queue without burning a retry."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Ended:
    attempt_id: UUID
    issue_id: UUID
    issue_status: IssueStatus
    credential_id: UUID | None


# One statement ends attempts and decides over their issues, whoever ended them and why. It locks first, with the
# guards in the WHERE clause, so both rows are what they were when the verdict fell.
_END = """
WITH decided AS MATERIALIZED (
    SELECT attempt.id, attempt.issue_id, attempt.node_id, attempt.credential_id,
        CASE
            WHEN attempt.cancel_requested_at IS NOT NULL THEN 'cancelled'
            WHEN :verdict = 'merge' THEN 'pending_merge'
            WHEN :verdict = 'complete' THEN 'completed'
            WHEN :verdict = 'fail' THEN 'failed'
            WHEN :verdict IN ('retry', 'back_off') AND issue.attempt_count >= issue.max_attempts THEN 'failed'
            ELSE 'pending'
        END AS next_status,
        CASE WHEN :verdict = 'give_back' AND attempt.credential_id IS NOT NULL THEN 0.0
             ELSE CAST(:wait_s AS float8) END AS wait_s,
        -- A lost attempt that burned no retry has none to be given back when it is adopted.
        NOT :adopted OR attempt.failure_code IS NULL OR attempt.failure_code NOT IN {unburned} AS burned,
        CASE WHEN :status = 'lost' AND attempt.cancel_requested_at IS NOT NULL THEN 'cancelled'
             ELSE CAST(:status AS text) END AS attempt_status
    FROM attempt JOIN issue ON issue.id = attempt.issue_id
    WHERE {which}
    ORDER BY attempt.id
    FOR NO KEY UPDATE OF attempt, issue
), ended AS (
    UPDATE attempt SET
        status = decided.attempt_status, finished_at = clock_timestamp(), adopted = :adopted,
        base_sha = :base_sha, head_sha = :head_sha, summary = :summary, failure_code = :failure_code,
        error_message = :error_message, finish_digest = CAST(:finish_digest AS bytea),
        finish_status = CASE WHEN CAST(:finish_digest AS bytea) IS NULL THEN NULL ELSE decided.next_status END
    FROM decided WHERE attempt.id = decided.id
)
UPDATE issue SET
    status = decided.next_status,
    attempt_count = greatest(attempt_count - CASE WHEN :verdict = 'give_back' AND decided.burned THEN 1 ELSE 0 END, 0),
    assigned_node_id = CASE WHEN decided.next_status = 'pending' THEN NULL ELSE decided.node_id END,
    deferred = decided.next_status = 'pending' AND decided.wait_s > 0,
    not_before = CASE
        WHEN decided.next_status = 'pending' AND decided.wait_s > 0 THEN clock_timestamp() + interval '1 s'
            * CASE WHEN :verdict = 'back_off'
                   THEN least(decided.wait_s * 2.0 ^ greatest(attempt_count - 1, 0), :wait_max_s)
                   ELSE decided.wait_s END
        ELSE not_before
    END,
    started_at = CASE WHEN decided.next_status = 'pending' THEN NULL ELSE started_at END,
    completed_at = CASE WHEN decided.next_status = 'pending' THEN NULL ELSE clock_timestamp() END,
    error_message = CASE WHEN :verdict IN ('merge', 'complete') THEN NULL
                         ELSE coalesce(CAST(:error_message AS text), issue.error_message) END,
    result_branch = CASE WHEN decided.next_status = 'pending_merge' THEN CAST(:branch AS text) ELSE result_branch END,
    updated_at = clock_timestamp()
FROM decided WHERE issue.id = decided.issue_id
RETURNING decided.id AS attempt_id, issue.id AS issue_id, issue.status AS issue_status, decided.credential_id
"""
_LIVE = "attempt.status IN ('offered', 'running') AND issue.status = 'processing'"
# Nobody claimed the issue since, so a result that comes late is still the newest there is.
_ADOPTABLE = """attempt.status = 'lost' AND attempt.finish_digest IS NULL
    AND issue.last_number = attempt.number AND issue.status IN ('pending', 'failed')"""
OPEN = f"({_LIVE}) OR ({_ADOPTABLE})"
_UNBURNED = "('released', 'not_started', 'not_received')"
"""The failure codes of losses that burned no retry."""
_NOW = func.clock_timestamp()
_BACK_OFF_FIRST_S = 10.0
_BACK_OFF_MAX_S = 300.0
_NOTHING_REPORTED: dict[str, Any] = dict.fromkeys(
    ("base_sha", "head_sha", "summary", "failure_code", "error_message", "finish_digest", "branch")
)


async def end(
    session: AsyncSession,
    which: str,
    status: AttemptStatus,
    verdict: Verdict,
    *,
    adopt: bool = False,
    wait_s: float = 0.0,
    **values: Any,
) -> list[Ended]:
    """Ends the attempts that the SQL condition `which` names and settles their issues.

    `wait_s` keeps an issue that goes back to the queue waiting so long; with `BACK_OFF` it is chosen here, and with
    `GIVE_BACK` a credential's own cool-down stands in for it.
    `values` are what the node reported, and the parameters of `which`.
    """
    if verdict is Verdict.BACK_OFF:
        wait_s = _BACK_OFF_FIRST_S
    guarded = f"{which} AND {_ADOPTABLE if adopt else _LIVE}"
    statement = text(_END.format(which=guarded, unburned=_UNBURNED))
    parameters = {
        **_NOTHING_REPORTED,
        **values,
        "status": status,
        "verdict": verdict,
        "adopted": adopt,
        "wait_s": wait_s,
        "wait_max_s": _BACK_OFF_MAX_S,
    }
    rows = (await session.execute(statement, parameters)).all()
    ended = [Ended(row.attempt_id, row.issue_id, IssueStatus(row.issue_status), row.credential_id) for row in rows]
    for one in ended:
        notices.issue_changed(session, one.issue_id)
    if ended:
        # A slot became free on the node, and the issue may be waiting again.
        ring(session)
    return ended


async def start(session: AsyncSession, node_id: UUID, attempt_id: UUID) -> AttemptStatus:
    """Marks the offer as taken up; may be repeated. Raises what `refusal` finds."""
    started = await session.scalar(
        text("""
            WITH started AS (
                UPDATE attempt SET status = 'running', started_at = clock_timestamp()
                WHERE id = :attempt_id AND node_id = :node_id AND status = 'offered'
                RETURNING issue_id, started_at
            )
            UPDATE issue SET started_at = started.started_at, updated_at = clock_timestamp()
            FROM started WHERE issue.id = started.issue_id
            RETURNING issue.id
        """),
        {"attempt_id": attempt_id, "node_id": node_id},
    )
    if started is not None:
        notices.issue_changed(session, started)
        return AttemptStatus.RUNNING
    running = await session.scalar(
        select(Attempt.id).where(
            Attempt.id == attempt_id, Attempt.node_id == node_id, Attempt.status == AttemptStatus.RUNNING
        )
    )
    if running is None:
        raise await refusal(session, node_id, attempt_id)
    return AttemptStatus.RUNNING


async def release(session: AsyncSession, node_id: UUID, attempt_id: UUID, reason: str | None) -> None:
    """Gives unfinished work back without burning a retry; may be repeated."""
    ended = await end(
        session,
        "attempt.id = :attempt_id AND attempt.node_id = :node_id",
        AttemptStatus.LOST,
        Verdict.GIVE_BACK,
        attempt_id=attempt_id,
        node_id=node_id,
        failure_code="released",
        error_message=reason,
    )
    if ended:
        return
    released = await session.scalar(
        select(Attempt.id).where(
            Attempt.id == attempt_id, Attempt.node_id == node_id, Attempt.failure_code == "released"
        )
    )
    if released is None:
        raise await refusal(session, node_id, attempt_id)


async def lose_attempts_of(session: AsyncSession, node_id: UUID, reason: str) -> list[Ended]:
    """All that a node held goes back to the queue: it started anew, said goodbye, or is deleted."""
    return await end(
        session,
        "attempt.node_id = :node_id",
        AttemptStatus.LOST,
        Verdict.RETRY,
        node_id=node_id,
        error_message=reason,
    )


async def is_open(session: AsyncSession, attempt_id: UUID) -> bool:
    """Whether the attempt may still be written to: live, or lost with nobody on the issue since.

    Holds the issue, so that nobody claims it before the write is committed.
    """
    statement = f"""
        SELECT 1 FROM attempt JOIN issue ON issue.id = issue_id WHERE attempt.id = :id AND ({OPEN})
        FOR SHARE OF issue
    """
    return await session.scalar(text(statement), {"id": attempt_id}) is not None


async def refusal(session: AsyncSession, node_id: UUID, attempt_id: UUID) -> AppError:
    """Why a guarded statement of this node found no such live attempt."""
    row = (
        await session.execute(
            select(Attempt.status, Issue.status)
            .join(Issue, Issue.id == Attempt.issue_id)
            .where(Attempt.id == attempt_id, Attempt.node_id == node_id)
        )
    ).one_or_none()
    if row is None:
        return NotFound("This node has no such attempt.")
    return refusal_for(AttemptStatus(row[0]), IssueStatus(row[1]))


def refusal_for(attempt: AttemptStatus, issue: IssueStatus) -> AppError:
    if attempt is AttemptStatus.CANCELLED or (attempt is AttemptStatus.LOST and issue is IssueStatus.CANCELLED):
        return Conflict("The issue was cancelled; stop the work.", code="attempt_cancelled")
    if attempt is AttemptStatus.LOST:
        return Conflict("The attempt went back to the queue; stop quietly.", code="attempt_superseded")
    return Conflict("The attempt has ended already.", code="attempt_finished")


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
