"""What the nodes of the fleet share in this process: the queue's dispatch and the log's group commit."""

from dataclasses import dataclass

from litestar.di import NamedDependency

from app.db.batching import Batcher
from app.db.engine import Database
from app.domain.issues import log_append
from app.domain.issues.dispatch import Dispatch
from app.domain.issues.log_append import Append
from app.protocol import LogAnswer
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Fleet:
    dispatch: Dispatch
    logs: Batcher[Append, LogAnswer]


def assemble(db: Database, settings: Settings) -> Fleet:
    return Fleet(
        dispatch=Dispatch(db, settings),
        logs=Batcher(lambda appends: log_append.flush(db.fleet, appends), at_once=64),
    )


CurrentFleet = NamedDependency[Fleet]
