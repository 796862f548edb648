"""People: who they are, and the rule that an active superuser remains."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import given, lock_or_404
from app.db.models.accounts import User
from app.domain.accounts import passwords, tokens
from app.domain.accounts.notices import rights_changed
from app.domain.accounts.schemas import NewUser, OwnChange, UserChange
from app.errors import Conflict, NotFound


async def create(session: AsyncSession, body: NewUser) -> User:
    """Raises `Conflict` `email_in_use`, also for an address that differs only in case."""
    await _require_free(session, body.email, None)
    user = User(
        email=body.email.lower(),
        hashed_password=await passwords.hashed(body.password),
        full_name=body.full_name,
        is_active=body.is_active,
        is_superuser=body.is_superuser,
    )
    session.add(user)
    await session.flush()
    await session.refresh(user)
    return user


async def change(session: AsyncSession, user_id: UUID, body: UserChange | OwnChange) -> User:
    """A new password ends the person's sessions; deactivation ends their tokens too.

    Raises `Conflict` `email_in_use` and `last_superuser`.
    """
    fields = given(body)
    password = fields.pop("password", None)
    if fields.get("is_active") is False or fields.get("is_superuser") is False:
        await _require_another_superuser(session, user_id)
    user = await lock_or_404(session, User, user_id)
    if "email" in fields and fields["email"] != user.email:
        await _require_free(session, fields["email"], user_id)
        fields["email"] = fields["email"].lower()
    for name, value in fields.items():
        setattr(user, name, value)
    if password is not None:
        user.hashed_password = await passwords.hashed(password)
        await tokens.end_sessions(session, user_id)
    if fields.get("is_superuser") is False:
        rights_changed(session, user_id)
    if fields.get("is_active") is False:
        await tokens.end_all(session, user_id)
    await session.flush()
    await session.refresh(user)
    return user


async def delete(session: AsyncSession, user_id: UUID) -> str:
    """Everything that is theirs goes too. Returns the email. Raises `Conflict` `last_superuser`."""
    await _require_another_superuser(session, user_id)
    user = await lock_or_404(session, User, user_id)
    await session.delete(user)
    rights_changed(session, user_id)
    await session.flush()
    return user.email


async def find_for_login(session: AsyncSession, email: str) -> User | None:
    """The account with this address as it is spelt, or the only one that differs from it in case alone."""
    spelt_alike = or_(User.email == email.lower(), func.lower(User.email) == func.lower(email))
    found = (await session.scalars(select(User).where(spelt_alike).order_by(User.created_at).limit(10))).all()
    exact = [user for user in found if user.email == email]
    if exact:
        return exact[0]
    return found[0] if len(found) == 1 else None


async def _require_free(session: AsyncSession, email: str, own_id: UUID | None) -> None:
    taken: Any = or_(User.email == email.lower(), func.lower(User.email) == func.lower(email))
    other = await session.scalar(select(User.id).where(taken, User.id.is_distinct_from(own_id)).limit(1))
    if other is not None:
        raise Conflict("Another account has this email address.", code="email_in_use")


async def _require_another_superuser(session: AsyncSession, user_id: UUID) -> None:
    """Locks all of them, in one order, so that two cannot remove each other at the same moment."""
    active = (
        await session.scalars(
            select(User.id).where(User.is_superuser, User.is_active).order_by(User.id).with_for_update()
        )
    ).all()
    if list(active) == [user_id]:
        raise Conflict("This is the last active superuser; make another one first.", code="last_superuser")
    if await session.scalar(select(User.id).where(User.id == user_id)) is None:
        raise NotFound
