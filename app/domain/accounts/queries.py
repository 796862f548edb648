from uuid import UUID

from sqlalchemy import func, or_
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, matches, newest
from app.db.models.accounts import AccessToken, User


async def list_users(
    session: AsyncSession, paging: Paging, *, is_active: bool | None, is_superuser: bool | None, q: str | None
) -> Slice:
    return await newest(
        session,
        paging,
        User,
        equal(is_active, User.is_active),
        equal(is_superuser, User.is_superuser),
        matches(q, User.folded),
    )


async def list_tokens(session: AsyncSession, user_id: UUID, paging: Paging) -> Slice:
    """Those that still open something."""
    lasts = or_(AccessToken.expires_at.is_(None), AccessToken.expires_at > func.now())
    return await newest(session, paging, AccessToken, AccessToken.user_id == user_id, lasts)
