"""Credentials go only once no attempt is at work with them: what it logs is masked by them."""

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.fleet import Credential
from app.db.models.work import IS_LIVE, Attempt, Issue
from app.errors import Conflict


async def require_unused(
    session: AsyncSession, credentials: ColumnElement[bool], issues: ColumnElement[bool] | None = None
) -> None:
    """Raises `Conflict` while attempts, if given only those of certain `issues`, are at work with the credentials.

    These are locked first, and claims that would use them wait for that, so what is found holds until the commit.
    """
    locked = select(Credential.id).where(credentials).order_by(Credential.id).with_for_update()
    ids = (await session.scalars(locked)).all()
    theirs = true() if issues is None else Attempt.issue_id.in_(select(Issue.id).where(issues))
    at_work = select(func.count()).select_from(Attempt).where(Attempt.credential_id.in_(ids), IS_LIVE, theirs)
    if count := await session.scalar(at_work):
        what = "this credential" if issues is None else "credentials of this account"
        raise Conflict(
            f"{count} attempts at work use {what}, and their logs are masked by it. Disable it, and delete it once "
            "they have ended; to end them now, cancel their issues."
        )
