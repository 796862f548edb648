"""Slowing down those who guess. Failures are counted in the database, so that all processes count together.

5 failures a minute and account, 20 a minute and address; then nothing for a minute,
two minutes the next time, four, … at most an hour. An hour without failures is a clean slate.
"""

import hashlib
from datetime import timedelta
from enum import Enum
from math import ceil
from typing import Any

from sqlalchemy import case, delete, func, null, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Database
from app.db.models.accounts import Throttle
from app.errors import TooManyRequests

WINDOW = timedelta(minutes=1)
LONGEST = timedelta(hours=1)


class Door(Enum):
    """Where someone may guess, and how many failures a minute are let pass."""

    LOGIN_ACCOUNT = ("login account", 5)
    LOGIN_ADDRESS = ("login address", 20)
    REGISTER_ADDRESS = ("register address", 20)


async def admit(db: Database, *tries: tuple[Door, str]) -> None:
    """Count a try at each door, before its outcome is known, so that a hundred at once are not all let in.

    Counted in a transaction of its own, which a refusal does not undo. Raises `TooManyRequests`.
    """
    async with db.sessions.begin() as session:
        waits = [await _seconds_to_wait(session, door, who) for door, who in tries]
    if max(waits) > 0:
        raise TooManyRequests(retry_after_s=ceil(max(waits)))


async def forgive(session: AsyncSession, door: Door, who: str) -> None:
    """The try was no guess: the caller proved who they are."""
    await session.execute(delete(Throttle).where(Throttle.key == _key(door, who)))


async def take_back(session: AsyncSession, door: Door, who: str) -> None:
    """As `forgive`, for this one try alone: others may be guessing at the same door."""
    key = _key(door, who)
    await session.execute(
        update(Throttle).where(Throttle.key == key, Throttle.failures > 0).values(failures=Throttle.failures - 1)
    )


async def forget_old(session: AsyncSession) -> None:
    await session.execute(delete(Throttle).where(Throttle.window_started_at < func.now() - timedelta(days=1)))


async def _seconds_to_wait(session: AsyncSession, door: Door, who: str) -> float:
    now = func.clock_timestamp()
    blocked = Throttle.blocked_until > now
    fresh = Throttle.window_started_at > now - WINDOW
    idle = Throttle.window_started_at < now - LONGEST
    failures = case((blocked, Throttle.failures), (fresh, Throttle.failures + 1), else_=1)
    over: Any = fresh & (Throttle.failures + 1 > door.value[1])
    penalty = func.least(LONGEST, WINDOW * func.power(2, func.least(Throttle.strikes, 10)))
    statement = (
        insert(Throttle)
        .values(key=_key(door, who), failures=1, window_started_at=now, strikes=0)
        .on_conflict_do_update(
            index_elements=[Throttle.key],
            set_={
                "failures": failures,
                "window_started_at": case((blocked | fresh, Throttle.window_started_at), else_=now),
                "blocked_until": case((blocked, Throttle.blocked_until), (over, now + penalty), else_=null()),
                "strikes": case(
                    (blocked, Throttle.strikes), (over, Throttle.strikes + 1), (idle, 0), else_=Throttle.strikes
                ),
            },
        )
        .returning(func.extract("epoch", Throttle.blocked_until - func.clock_timestamp()))
    )
    return float(await session.scalar(statement) or 0)


def _key(door: Door, who: str) -> str:
    """Hashed, since it is chosen by strangers: of one length, and no list of who tried to log in."""
    return f"{door.value[0]}:{hashlib.sha256(who.encode()).hexdigest()[:32]}"
