"""Who is here: this process's group commit of heartbeats, and how often nodes are asked to beat."""

from datetime import timedelta

from litestar.di import NamedDependency
from sqlalchemy import func, select

from app.db.batching import Batcher
from app.db.engine import Database
from app.db.models.fleet import Node
from app.domain.nodes import heartbeat, notices
from app.domain.nodes.heartbeat import Beat, Heard
from app.domain.nodes.registering import heartbeat_interval
from app.metering import Meter
from app.protocol import Heartbeat, HeartbeatAnswer, NodeStatus
from app.settings import Settings


class RollCall:
    def __init__(self, db: Database, settings: Settings, meter: Meter) -> None:
        self._db = db
        self._configured = settings.heartbeat_interval
        self._beats: Batcher[Beat, Heard] = Batcher(
            lambda beats: heartbeat.flush(db, beats), at_once=128, observe=meter.batch("heartbeats")
        )
        self.interval: timedelta = settings.heartbeat_interval

    async def hear(self, token_hash: bytes, beat: Heartbeat) -> HeartbeatAnswer:
        """Raises 401, 409 `stale_boot`."""
        heard = await self._beats.submit(Beat(token_hash, beat))
        if heard.came_back:
            self._db.notices.post(notices.NODE, str(heard.node_id))
        return HeartbeatAnswer(heard.desired, self.interval.total_seconds(), heard.attempts)

    async def count(self) -> None:
        """Adapts the interval to the size of the fleet; a background tick."""
        async with self._db.reserved() as session:
            online = await session.scalar(select(func.count()).where(Node.status == NodeStatus.ONLINE))
        self.interval = heartbeat_interval(self._configured, online or 0)


CurrentRollCall = NamedDependency[RollCall]
