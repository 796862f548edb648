"""What the nodes of the fleet share in this process: the queue's dispatch and the group commits."""

from dataclasses import dataclass
from functools import partial

from litestar.di import NamedDependency

from app.db.batching import Batcher, ConsiderateBatcher
from app.db.engine import Database
from app.domain.issues import claim, lifecycle, log_append, turns
from app.domain.issues.dispatch import Dispatch
from app.domain.issues.log_append import Append
from app.domain.issues.masking import Masks
from app.domain.issues.turns import Turn
from app.metering import Meter
from app.protocol import LogAnswer
from app.settings import Settings
from app.vault import Vault

_SECOND_FROM = 160
"""So many log entries that wait are worth a second flush beside the first."""
STATEMENTS = (*claim.STATEMENTS, *log_append.STATEMENTS, *lifecycle.STATEMENTS)
"""What nodes repeat, as long as nothing is out of the ordinary."""


@dataclass(frozen=True, slots=True)
class Fleet:
    dispatch: Dispatch
    logs: Batcher[Append, LogAnswer]
    turns: ConsiderateBatcher[Turn, turns.Answer]


def assemble(db: Database, settings: Settings, vault: Vault, meter: Meter) -> Fleet:
    masks, memory = Masks(vault), log_append.Memory()
    return Fleet(
        dispatch=Dispatch(db, settings, meter),
        logs=Batcher(
            lambda appends: log_append.flush(db, masks, memory, appends),
            at_once=64,
            weigh=lambda append: len(append.batch.entries),
            second_from=_SECOND_FROM,
            observe=meter.batch("logs"),
        ),
        turns=ConsiderateBatcher(partial(turns.flush, db, masks), at_once=128, observe=meter.batch("turns")),
    )


CurrentFleet = NamedDependency[Fleet]
