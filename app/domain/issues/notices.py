"""What the other parts of the server are told once a change is committed."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.notices import post_after_commit

ISSUE = "issue"
LOG = "log"


def issue_changed(session: AsyncSession, issue_id: UUID) -> None:
    post_after_commit(session, ISSUE, str(issue_id))
