"""The first superuser, without whom nobody could make one."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.accounts import User
from app.domain.accounts import passwords


async def make_superuser(session: AsyncSession, email: str, password: str) -> None:
    """Make the account, or make the one of this address an active superuser with this password."""
    hashed = await passwords.hashed(password)
    user = await session.scalar(select(User).where(User.email == email.lower()).with_for_update())
    if user is None:
        user = User(email=email.lower())
        session.add(user)
    user.hashed_password, user.is_superuser, user.is_active = hashed, True, True
    await session.flush()


async def ensure_superuser(session: AsyncSession, email: str, password: str) -> bool:
    """Make the account unless there is a superuser, or an account of this address, already. Returns whether it did."""
    known = select(User.id).where(User.is_superuser | (User.email == email.lower()))
    if await session.scalar(known.limit(1)) is not None:
        return False
    session.add(User(email=email.lower(), hashed_password=await passwords.hashed(password), is_superuser=True))
    await session.flush()
    return True
