"""Credentials and secrets go only once no attempt is at work with them: what it logs is masked by them."""

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.fleet import Credential
from app.db.models.work import IS_LIVE, Attempt
from app.domain.credentials import sealing
from app.errors import Conflict
from app.vault import UnknownKey, Vault


async def require_unused(session: AsyncSession, what: str, *attempts: ColumnElement[bool]) -> None:
    """Raises `Conflict` while any of `attempts` is at work; `what` names the credentials that they use.

    Lock these first: claims that would use them wait for that, so what is found holds until the commit.
    """
    at_work = select(func.count()).select_from(Attempt).where(IS_LIVE, *attempts)
    if count := await session.scalar(at_work):
        raise Conflict(
            f"{count} attempts at work use {what}, and their logs are masked by it. Disable it, and try again once "
            "they have ended; to end them now, cancel their issues."
        )


async def replace_secret(session: AsyncSession, credential: Credential, secret: str, vault: Vault) -> None:
    """The former one goes on being masked. Where its key is lost it cannot be: raises `Conflict` while it is used.

    The credential is locked already.
    """
    try:
        sealing.replace(credential, secret, vault)
    except UnknownKey:
        await require_unused(session, "the secret, whose key is lost", Attempt.credential_id == credential.id)
        sealing.put(credential, secret, vault)
