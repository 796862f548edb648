"""Which sweeps run, in what order, and when nodes may be judged. Started by `asgi`; tests call `run_once`."""

import time
from datetime import timedelta

from sqlalchemy import func, select

from app.db.engine import Database
from app.domain.issues import sweeps
from app.domain.issues.dispatch import Dispatch
from app.domain.nodes import sweeps as node_sweeps
from app.domain.nodes.roll_call import RollCall
from app.protocol import HEARTBEATS_MISSED_UNTIL_OFFLINE
from app.settings import Settings

TICK_S = 1.0
_AWAY_S = 10.0
"""A tick that comes so late means that the process, or the database, could not hear heartbeats meanwhile."""
_ADVISORY_KEY = 7_003


class Upkeep:
    """Sweeps once a tick, one server process at a time. Nobody is judged before one lease after the server was away."""

    def __init__(self, db: Database, settings: Settings, dispatch: Dispatch, roll_call: RollCall) -> None:
        self._db = db
        self._settings = settings
        self._dispatch = dispatch
        self._roll_call = roll_call
        self._listening_since = self._last_tick = time.monotonic()

    async def run_once(self) -> None:
        now = time.monotonic()
        if now - self._last_tick > _AWAY_S:
            self._listening_since = now
        async with self._db.sessions.begin() as session:
            if await session.scalar(select(func.pg_try_advisory_xact_lock(_ADVISORY_KEY))):
                await sweeps.lapse_offers(session)
                await node_sweeps.end_pauses(session)
                heard_for = timedelta(seconds=now - self._listening_since)
                silence = self._roll_call.interval * HEARTBEATS_MISSED_UNTIL_OFFLINE
                if heard_for >= silence:
                    await node_sweeps.mark_offline(session, silence)
                await sweeps.settle_cancels(session, self._settings.cancel_within)
                if heard_for >= self._settings.lease:
                    await sweeps.lose_silent(session, max(self._settings.lease, silence))
            due = await sweeps.seconds_until_due(session)
        if due is not None and due <= 2 * TICK_S:
            self._dispatch.ring_in(due)
        # Only a tick that reached the database counts: while it was away no heartbeat was stored.
        self._last_tick = time.monotonic()
