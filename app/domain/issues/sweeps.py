"""What time alone brings about: silent nodes lose their attempts, offers lapse, cancels settle, issues come due.

A sweep waits for nobody, since it holds many rows: what somebody holds is left to the next one.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.issues import lifecycle
from app.domain.issues.lifecycle import Ended, Verdict
from app.protocol import AttemptStatus

# By the few nodes that are silent, and not by the many attempts of those that are not.
SILENT = """attempt.node_id IS NULL OR attempt.node_id = ANY (ARRAY(
    SELECT id FROM node WHERE last_heartbeat IS NULL OR last_heartbeat <= now() - CAST(:lease AS interval)))"""
NOT_STARTED = "attempt.status = 'offered' AND attempt.start_by < now()"
CANCELLED = """attempt.cancel_requested_at IS NOT NULL AND (
    attempt.cancel_requested_at < clock_timestamp() - CAST(:within AS interval)
    OR NOT EXISTS (SELECT FROM node WHERE node.id = attempt.node_id AND node.status = 'online'))"""
LOOK = "SELECT id FROM attempt WHERE status IN ('offered', 'running') AND ({which})"
"""Which are to be ended; seldom any. The statement that ends them would ask the issues of all that live too."""


async def lose_silent(session: AsyncSession, lease: timedelta) -> list[Ended]:
    """Attempts whose node was silent for the lease, or is gone, return to the queue."""
    return await _end_any(
        session,
        SILENT,
        AttemptStatus.LOST,
        Verdict.RETRY,
        {"lease": lease},
        failure_code="lost",
        error_message="The node was silent for longer than its lease.",
    )


async def lapse_offers(session: AsyncSession) -> list[Ended]:
    """Offers that were not taken up in time return without burning a retry."""
    return await _end_any(
        session,
        NOT_STARTED,
        AttemptStatus.LOST,
        Verdict.GIVE_BACK,
        {},
        failure_code="not_started",
        error_message="The node did not start the work in time.",
    )


async def settle_cancels(session: AsyncSession, within: timedelta) -> list[Ended]:
    """Cancels that the node did not answer in time, or cannot answer, are settled without it."""
    return await _end_any(
        session,
        CANCELLED,
        AttemptStatus.CANCELLED,
        Verdict.GIVE_BACK,
        {"within": within},
        error_message="Cancelled by an operator.",
    )


async def _end_any(
    session: AsyncSession, which: str, status: AttemptStatus, verdict: Verdict, values: Mapping[str, Any], **kept: str
) -> list[Ended]:
    ids = (await session.scalars(text(LOOK.format(which=which)), values)).all()
    if not ids:
        return []
    return await lifecycle.end(
        session, f"attempt.id = ANY (:ids) AND ({which})", status, verdict, waits=False, ids=ids, **values, **kept
    )


async def seconds_until_due(session: AsyncSession) -> float | None:
    """When the next waiting issue comes due; 0 when one is due already, None when none waits for a time."""
    return await session.scalar(
        text("""
            SELECT CAST(greatest(extract(epoch FROM not_before - clock_timestamp()), 0) AS float8)
            FROM issue WHERE status = 'pending' AND deferred ORDER BY not_before LIMIT 1
        """)
    )
