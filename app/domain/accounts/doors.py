"""Forgetting who knocked: failures that are a day old, and sessions that are over."""

from app.db.engine import Database
from app.domain.accounts import throttle, tokens


async def forget_once(db: Database) -> None:
    async with db.sessions.begin() as session:
        await throttle.forget_old(session)
        await tokens.forget_expired(session)
