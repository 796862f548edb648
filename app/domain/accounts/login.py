"""Proving who one is."""

from uuid import UUID

from msgspec import Struct
from sqlalchemy import select, update

from app.db.crud import shaped
from app.db.engine import Database
from app.db.models.accounts import User
from app.deps import Viewer
from app.domain.accounts import passwords, throttle, tokens
from app.domain.accounts.schemas import LoggedIn, UserOut
from app.domain.accounts.throttle import Door
from app.domain.accounts.users import find_for_login
from app.domain.audit.recording import record
from app.errors import Forbidden, Unauthorized


class _Account(Struct):
    id: UUID
    hashed_password: str
    is_active: bool


async def log_in(db: Database, email: str, password: str, address: str) -> LoggedIn:
    """Raises `Unauthorized` for any wrong pair, after the same time, and `TooManyRequests`.

    No connection is held while the password is checked, so a storm of logins starves nobody.
    """
    account_key = email.lower()
    await throttle.admit(db, (Door.LOGIN_ACCOUNT, account_key), (Door.LOGIN_ADDRESS, address))
    async with db.sessions() as session:
        user = await find_for_login(session, email)
        known = user and _Account(user.id, user.hashed_password, user.is_active)
    right, better_hash = await passwords.verify(password, known.hashed_password if known else None)
    if known is None or not right or not known.is_active:
        raise Unauthorized("The email address or the password is wrong.")
    async with db.sessions.begin() as session:
        if better_hash is not None:
            same = (User.id == known.id) & (User.hashed_password == known.hashed_password)
            await session.execute(update(User).where(same).values(hashed_password=better_hash))
        await throttle.forgive(session, Door.LOGIN_ACCOUNT, account_key)
        await throttle.take_back(session, Door.LOGIN_ADDRESS, address)
        opened = await tokens.open_session(session, known.id)
        user = (await session.scalars(select(User).where(User.id == known.id))).one()
        await record(
            session, Viewer(user.id, user.email, user.is_superuser, opened.id, address), "login", "user", user.id
        )
        assert opened.expires_at is not None  # noqa: S101 - ck_access_token_session_expires
        return LoggedIn(opened.token, opened.expires_at, shaped(user, UserOut))


async def change_password(db: Database, viewer: Viewer, current: str, new: str) -> LoggedIn:
    """Ends every session of the person and opens a new one. Raises `Forbidden` for a wrong current password."""
    await throttle.admit(db, (Door.LOGIN_ACCOUNT, viewer.email.lower()))
    async with db.sessions() as session:
        stored = await session.scalar(select(User.hashed_password).where(User.id == viewer.id))
    right, _ = await passwords.verify(current, stored)
    if not right:
        raise Forbidden("The current password is wrong.", code="wrong_password")
    new_hash = await passwords.hashed(new)
    async with db.sessions.begin() as session:
        await throttle.forgive(session, Door.LOGIN_ACCOUNT, viewer.email.lower())
        await session.execute(update(User).where(User.id == viewer.id).values(hashed_password=new_hash))
        await tokens.end_sessions(session, viewer.id)
        opened = await tokens.open_session(session, viewer.id)
        await record(session, viewer, "user.password", "user", viewer.id)
        user = (await session.scalars(select(User).where(User.id == viewer.id))).one()
        assert opened.expires_at is not None  # noqa: S101 - ck_access_token_session_expires
        return LoggedIn(opened.token, opened.expires_at, shaped(user, UserOut))
