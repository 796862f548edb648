"""What time alone brings about: silent nodes lose their attempts, offers lapse, cancels settle, issues come due."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.issues import lifecycle
from app.domain.issues.lifecycle import Ended, Verdict
from app.protocol import AttemptStatus


async def lose_silent(session: AsyncSession, lease: timedelta) -> list[Ended]:
    """Attempts whose node was silent for the lease, or is gone, return to the queue."""
    return await lifecycle.end(
        session,
        """NOT EXISTS (SELECT FROM node WHERE node.id = attempt.node_id
                       AND node.last_heartbeat > now() - CAST(:lease AS interval))""",
        AttemptStatus.LOST,
        Verdict.RETRY,
        lease=lease,
        failure_code="lost",
        error_message="The node was silent for longer than its lease.",
    )


async def lapse_offers(session: AsyncSession) -> list[Ended]:
    """Offers that were not taken up in time return without burning a retry."""
    return await lifecycle.end(
        session,
        "attempt.status = 'offered' AND attempt.start_by < now()",
        AttemptStatus.LOST,
        Verdict.GIVE_BACK,
        failure_code="not_started",
        error_message="The node did not start the work in time.",
    )


async def settle_cancels(session: AsyncSession, within: timedelta) -> list[Ended]:
    """Cancels that the node did not answer in time, or cannot answer, are settled without it."""
    return await lifecycle.end(
        session,
        """attempt.cancel_requested_at IS NOT NULL AND (
               attempt.cancel_requested_at < clock_timestamp() - CAST(:within AS interval)
               OR NOT EXISTS (SELECT FROM node WHERE node.id = attempt.node_id AND node.status = 'online'))""",
        AttemptStatus.CANCELLED,
        Verdict.GIVE_BACK,
        within=within,
        error_message="Cancelled by an operator.",
    )


async def seconds_until_due(session: AsyncSession) -> float | None:
    """When the next waiting issue comes due; 0 when one is due already, None when none waits for a time."""
    return await session.scalar(
        text("""
            SELECT CAST(greatest(extract(epoch FROM not_before - clock_timestamp()), 0) AS float8)
            FROM issue WHERE status = 'pending' AND deferred ORDER BY not_before LIMIT 1
        """)
    )
