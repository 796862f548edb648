"""Sessions of the page and tokens of scripts: opaque, stored as SHA-256, each a row that can be ended."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.base import new_id
from app.db.models.accounts import AccessToken
from app.domain.accounts.notices import rights_changed
from app.tokens import Prefix, digest, mint

SESSION_LASTS = timedelta(days=14)


class Opened(Struct, frozen=True):
    """`token` is known here and never again."""

    id: UUID
    token: str
    expires_at: datetime | None


async def open_session(session: AsyncSession, user_id: UUID) -> Opened:
    """A new id at every login: an id that somebody planted in the browser is worth nothing."""
    return await _store(session, user_id, "session", None, SESSION_LASTS)


async def create_token(session: AsyncSession, user_id: UUID, name: str, lasts: timedelta | None) -> Opened:
    return await _store(session, user_id, "token", name, lasts)


async def end(session: AsyncSession, token_id: UUID) -> None:
    owner_id = await session.scalar(
        delete(AccessToken).where(AccessToken.id == token_id).returning(AccessToken.user_id)
    )
    if owner_id is not None:
        rights_changed(session, owner_id)


async def end_sessions(session: AsyncSession, user_id: UUID) -> None:
    """After a change of password: whoever logged in with the old one is out. Scripts' tokens stay."""
    await session.execute(delete(AccessToken).where(AccessToken.user_id == user_id, AccessToken.kind == "session"))
    rights_changed(session, user_id)


async def end_all(session: AsyncSession, user_id: UUID) -> None:
    """After deactivation: also when the person is let in again, they start anew."""
    await session.execute(delete(AccessToken).where(AccessToken.user_id == user_id))
    rights_changed(session, user_id)


async def forget_expired(session: AsyncSession) -> None:
    await session.execute(delete(AccessToken).where(AccessToken.expires_at < func.now()))


async def _store(session: AsyncSession, user_id: UUID, kind: str, name: str | None, lasts: timedelta | None) -> Opened:
    token = mint(Prefix.USER)
    row = await session.execute(
        insert(AccessToken)
        .values(
            id=new_id(),
            user_id=user_id,
            kind=kind,
            name=name,
            token_hash=digest(token),
            last4=token[-4:],
            expires_at=None if lasts is None else func.now() + lasts,
        )
        .returning(AccessToken.id, AccessToken.expires_at)
    )
    token_id, expires_at = row.one()
    return Opened(token_id, token, expires_at)
