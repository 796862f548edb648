"""Which sweeps run, in what order, and when nodes may be judged. Started by `asgi`; tests call `run_once`."""

import time
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Database
from app.domain.issues import sweeps
from app.domain.issues.dispatch import Dispatch
from app.domain.nodes import sweeps as node_sweeps
from app.domain.nodes.roll_call import RollCall
from app.protocol import HEARTBEATS_MISSED_UNTIL_OFFLINE
from app.settings import Settings

TICK_S = 1.0
_AWAY_S = 10.0
_ADVISORY_KEY = 7_003


class Upkeep:
    """Sweeps once a tick, one server process at a time. Nobody is judged before one lease after the server was away."""

    def __init__(self, db: Database, settings: Settings, dispatch: Dispatch, roll_call: RollCall) -> None:
        self._db = db
        self._settings = settings
        self._dispatch = dispatch
        self._roll_call = roll_call
        # A tick that comes so late means that the process, or the database, could not hear heartbeats meanwhile.
        self._away_s = max(2 * TICK_S, min(_AWAY_S, settings.lease.total_seconds() / 10))
        self._listening_since = self._last_tick = time.monotonic()

    async def run_once(self) -> None:
        started = time.monotonic()
        if started - self._last_tick > self._away_s:
            self._listening_since = started
        async with self._db.reserved.begin() as session:
            if await session.scalar(select(func.pg_try_advisory_xact_lock(_ADVISORY_KEY))):
                await self._sweep(session, started)
            due = await sweeps.seconds_until_due(session)
        if due is not None and due <= 2 * TICK_S:
            self._dispatch.ring_in(due)
        # Only a tick that reached the database counts, from its beginning: while it hung no heartbeat was stored.
        self._last_tick = started

    async def _sweep(self, session: AsyncSession, started: float) -> None:
        """Judges by the time at which the transaction began, so a pause in the middle of it makes nobody silent."""
        heard_for = timedelta(seconds=started - self._listening_since)
        silence = self._roll_call.interval * HEARTBEATS_MISSED_UNTIL_OFFLINE
        await node_sweeps.end_pauses(session)
        await sweeps.settle_cancels(session, self._settings.cancel_within)
        if time.monotonic() - started > self._away_s:
            return
        if heard_for >= self._settings.start_within:
            await sweeps.lapse_offers(session)
        if heard_for >= silence:
            await node_sweeps.mark_offline(session, silence)
        if heard_for >= self._settings.lease:
            await sweeps.lose_silent(session, max(self._settings.lease, silence))
