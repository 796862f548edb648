"""What the other parts of the server are told when a person's rights change."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.notices import post_after_commit

ACCOUNT = "account"
"""The subject is a person whose sessions, tokens or rights became fewer: their open streams look again."""


def rights_changed(session: AsyncSession, user_id: UUID) -> None:
    post_after_commit(session, ACCOUNT, str(user_id))
