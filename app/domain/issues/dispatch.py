"""Nodes that wait for work: futures in memory, without a database connection.

A doorbell (see `app.db.doorbell`) says that something may be claimable. As many waiting nodes as got work the last
time then ask the queue together, longest waiting first; the answer names the lanes that still hold work, and only
nodes that could have one of them ask next. So one issue that arrives for thousands costs one flush, and nobody is
woken for nothing.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from app.db.batching import Batcher
from app.db.doorbell import FREED, QUEUE
from app.db.engine import Database
from app.domain.issues import claim, lifecycle
from app.domain.issues.claim import ClaimRequest, Demand, Given
from app.domain.issues.heads import Heads
from app.errors import AppError, Unavailable
from app.metering import Meter
from app.protocol import AttemptStatus
from app.settings import Settings

log = structlog.get_logger("nodeyard.dispatch")
_FLUSH_AT_MOST = 128
_SECOND_FROM = 32
"""So many slots that wait are worth a second flush beside the first."""
_ASK_FIRST = 2
"""At least: two that get one issue show that there is no other."""
_THEN_ASK = 4
"""And four times as many each time that there is more."""
_BACKSTOP_S = 5.0
"""How long a doorbell that was lost goes unnoticed."""


@dataclass(slots=True, eq=False)
class _Waiter:
    request: ClaimRequest
    answer: asyncio.Future[Sequence[str]]
    given: Given
    asked_in_round: int

    def could_take(self, demand: Demand) -> bool:
        return demand.requires <= self.given.tags and (demand.tool is None or demand.tool in self.given.tools)


class Dispatch:
    """Answers claims, at once or when work comes. Call `run` beside it."""

    def __init__(self, db: Database, settings: Settings, meter: Meter) -> None:
        self._db = db
        self._heads = Heads()
        self._claims: Batcher[ClaimRequest, Given] = Batcher(
            lambda requests: claim.flush(db.fleet, settings, self._heads, requests),
            at_once=_FLUSH_AT_MOST,
            weigh=lambda request: request.max,
            second_from=_SECOND_FROM,
            observe=meter.batch("claims"),
        )
        self._waiting: dict[_Waiter, None] = {}
        self._round = 0
        self._served = 0
        """How many nodes got work in the last round: as many are asked first in the next, since work comes in bulks."""
        self._rang = asyncio.Event()
        self._closed = False
        self._due: asyncio.TimerHandle | None = None
        self._rings_at = 0.0
        db.notices.subscribe(QUEUE, self._hear)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def _hear(self, what: str | None) -> None:
        if what != FREED:
            self._heads.forget()
        self.ring()

    def ring(self) -> None:
        self._rang.set()

    def ring_in(self, seconds: float) -> None:
        """Rings when the next issue is due; the earlier of two wishes wins."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if loop.time() < self._rings_at <= at:
            return
        if self._due is not None:
            self._due.cancel()
        self._rings_at = at
        self._due = loop.call_at(at, self.ring)

    async def claim(
        self, request: ClaimRequest, wait_s: float, hung_up: Callable[[], asyncio.Future[None]]
    ) -> Sequence[str]:
        """Offers as JSON documents, at once or within `wait_s` seconds; empty when no work came.

        `hung_up` gives a future that is done when the node has gone; what was claimed for it then goes back.
        """
        given = await self._claims.submit(request)
        if given.offers or wait_s <= 0 or self._closed:
            return given.offers
        loop = asyncio.get_running_loop()
        waiter = _Waiter(request, loop.create_future(), given, self._round)
        self._waiting[waiter] = None
        gone = hung_up()
        gone.add_done_callback(lambda _: _answer(waiter, ()))
        timeout = loop.call_later(wait_s, _answer, waiter, ())
        try:
            return await waiter.answer
        finally:
            timeout.cancel()
            gone.cancel()
            self._waiting.pop(waiter, None)

    async def run(self) -> None:
        """Serves those who wait until cancelled."""
        while True:
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the ring.
            with suppress(TimeoutError):
                async with asyncio.timeout(_BACKSTOP_S):
                    await self._rang.wait()
            self._rang.clear()
            self._round += 1
            try:
                await self._serve_round(self._round)
            except Exception as problem:  # noqa: BLE001 - The next ring or the backstop tries again.
                log.warning("waiting nodes could not be served", error=type(problem).__name__)

    def let_go(self) -> None:
        """The database is away: claims that wait for a statement are answered 503. Those that wait for work go on."""
        self._claims.fail_all(Unavailable())

    def close(self) -> None:
        """Answers everybody with no work, so that the server can stop."""
        self._closed = True
        for waiter in list(self._waiting):
            _answer(waiter, ())

    async def _serve_round(self, this_round: int) -> None:
        unserved: Sequence[Demand] | None = None
        expected, self._served = self._served, 0
        for size in _sizes(first=max(_ASK_FIRST, min(expected, _FLUSH_AT_MOST))):
            asking = self._next_to_ask(this_round, size, unserved)
            if not asking:
                return
            givens = await asyncio.gather(*(self._ask(waiter) for waiter in asking))
            self._served += sum(given is not None and bool(given.offers) for given in givens)
            unserved = next((given.unserved for given in reversed(givens) if given is not None), unserved)
            if unserved is not None and not unserved:
                return

    def _next_to_ask(self, this_round: int, size: int, unserved: Sequence[Demand] | None) -> list[_Waiter]:
        chosen: list[_Waiter] = []
        for waiter in self._waiting:
            if waiter.asked_in_round >= this_round or waiter.answer.done():
                continue
            if unserved is None or any(waiter.could_take(demand) for demand in unserved):
                waiter.asked_in_round = this_round
                chosen.append(waiter)
                if len(chosen) == size:
                    break
        return chosen

    async def _ask(self, waiter: _Waiter) -> Given | None:
        try:
            given = await self._claims.submit(waiter.request)
        except AppError as refusal:
            if not waiter.answer.done():
                waiter.answer.set_exception(refusal)
            return None
        if not given.offers:
            waiter.given = given
        elif waiter.answer.done():
            await self._give_back(waiter.request.claim_id)
        else:
            waiter.answer.set_result(given.offers)
        return given

    async def _give_back(self, claim_id: UUID) -> None:
        """The node hung up or its wait ended while the claim was under way."""
        async with self._db.reserved.begin() as session:
            await lifecycle.end(
                session,
                "attempt.claim_id = :claim_id AND attempt.status = 'offered'",
                AttemptStatus.LOST,
                lifecycle.Verdict.GIVE_BACK,
                claim_id=claim_id,
                failure_code=claim.NOT_RECEIVED,
                error_message="The node hung up before it was given the work.",
            )


def _sizes(first: int) -> Iterator[int]:
    yield first
    size = _THEN_ASK
    while True:
        yield size
        size = min(size * 4, _FLUSH_AT_MOST)


def _answer(waiter: _Waiter, offers: Sequence[str]) -> None:
    if not waiter.answer.done():
        waiter.answer.set_result(offers)
