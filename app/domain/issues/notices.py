"""What the other parts of the server are told once a change is committed."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.notices import post_after_commit

QUEUE = "queue"
"""Something may be claimable that was not: an issue came, came back or came due, a slot or a cap became free."""
ISSUE = "issue"
LOG = "log"


def ring(session: AsyncSession) -> None:
    """Wakes the nodes that wait for work."""
    post_after_commit(session, QUEUE)


def issue_changed(session: AsyncSession, issue_id: UUID) -> None:
    post_after_commit(session, ISSUE, str(issue_id))
