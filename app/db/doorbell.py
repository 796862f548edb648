"""Waking the nodes that wait for work."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.notices import post_after_commit

QUEUE = "queue"
"""Something may be claimable that was not: an issue came, came back or came due, a slot or a cap became free."""
FREED = "freed"
"""The subject where only a slot or a cap became free: no issue waits that did not wait before."""


def ring(session: AsyncSession) -> None:
    post_after_commit(session, QUEUE)
