"""What time alone brings about for nodes: silent ones go offline, pauses end.

A node whose row somebody holds is being heard or steered. It is left to the next sweep, since no sweep waits.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.doorbell import ring
from app.domain.nodes.notices import node_changed


async def mark_offline(session: AsyncSession, silence: timedelta) -> list[UUID]:
    """Nodes that were silent for `silence` (three intervals); their attempts stay theirs until the lease ends."""
    rows = await session.scalars(
        text("""
            UPDATE node SET status = 'offline' WHERE id IN (
                SELECT id FROM node WHERE status = 'online'
                    AND (last_heartbeat IS NULL OR last_heartbeat < now() - CAST(:silence AS interval))
                FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id
        """),
        {"silence": silence},
    )
    return _tell(session, list(rows))


async def end_pauses(session: AsyncSession) -> list[UUID]:
    """Nodes whose pause had an end take work again."""
    rows = await session.scalars(
        text("""
            UPDATE node SET desired = 'active', paused_until = NULL, desired_note = NULL,
                updated_at = clock_timestamp()
            WHERE id IN (
                SELECT id FROM node WHERE desired = 'paused' AND paused_until <= clock_timestamp()
                FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING id
        """)
    )
    resumed = _tell(session, list(rows))
    if resumed:
        ring(session)
    return resumed


def _tell(session: AsyncSession, ids: list[UUID]) -> list[UUID]:
    for node_id in ids:
        node_changed(session, node_id)
    return ids
