"""Group commit: requests that arrive while a flush is in flight share the next one.

There is no timer, so a lone request waits for nothing, and a busy server writes as many at once as have come.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Generic, TypeVar, cast

from app.db.outage import is_unreachable
from app.errors import AppError, Unavailable
from app.metering import Observe, ignore

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_Waiting = tuple[Request, "asyncio.Future[Answer]", float]


class Batcher(Generic[Request, Answer]):
    """Collects requests and hands them to `flush` together, at most `at_once` of them.

    `flush` answers each request in order, with an `AppError` for one that is refused. It commits before it returns,
    so whatever is answered is stored. When it raises, its requests are flushed one by one: a bad request fails alone.
    Where the database is away they would fail alike, one timeout after the other, so they fail together.
    A caller that goes away does not take its request along: it is in the queue, and so it is carried out.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | AppError]]],
        *,
        at_once: int,
        at_most: int = 20_000,
        weigh: Callable[[Request], int] = lambda _: 1,
        second_from: float = math.inf,
        observe: Observe = ignore,
    ) -> None:
        """`observe` hears of each flush: how many requests it has, and how many seconds the first of them waited.

        `second_from`: while one flush is in flight, waiting requests that `weigh` so much together are worth a second
        one beside it, so that the database works on one while this process works on the other.
        """
        self._flush = flush
        self._at_once = at_once
        self._at_most = at_most
        self._weigh = weigh
        self._second_from = second_from
        self._weight = 0
        self._observe = observe
        self._waiting: deque[_Waiting[Request, Answer]] = deque()
        self._under_way: dict[asyncio.Task[None], list[_Waiting[Request, Answer]]] = {}

    async def submit(self, request: Request) -> Answer:
        """The answer to `request`, once it is committed. Raises `Unavailable` when too many wait already."""
        if len(self._waiting) >= self._at_most:
            raise Unavailable("Too many requests wait for the database; send the request again.")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, answer, loop.time()))
        self._weight += self._weigh(request)
        if self._is_worth_a_flush(beside=len(self._under_way)):
            self._under_way[asyncio.create_task(self._run())] = []
        return await answer

    def fail_all(self, problem: AppError) -> None:
        """Tells everybody who waits, also those whose flush is under way: it may yet be carried out."""
        for _, answer, _ in chain(*self._under_way.values(), self._waiting):
            _settle(answer, problem)
        self._waiting.clear()
        self._weight = 0

    async def drain(self) -> None:
        """Waits until everything that was submitted is answered."""
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    def _is_worth_a_flush(self, beside: int) -> bool:
        return bool(self._waiting) and (beside == 0 or (beside == 1 and self._weight >= self._second_from))

    async def _run(self) -> None:
        me = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            while self._is_worth_a_flush(beside=len(self._under_way) - 1):
                size = min(self._at_once, len(self._waiting))
                self._observe(size, asyncio.get_running_loop().time() - self._waiting[0][2])
                batch = self._under_way[me] = [self._waiting.popleft() for _ in range(size)]
                self._weight -= sum(self._weigh(request) for request, _, _ in batch)
                await self._carry_out(batch)
        finally:
            del self._under_way[me]

    async def _carry_out(self, batch: "list[_Waiting[Request, Answer]]") -> None:
        try:
            answers = await self._flush([request for request, _, _ in batch])
        except Exception as problem:  # noqa: BLE001 - Whatever failed is handed to the caller that it belongs to.
            if len(batch) == 1 or is_unreachable(problem):
                for _, future, _ in batch:
                    _settle(future, problem)
                return
            for request in batch:
                await self._carry_out([request])
            return
        for (_, future, _), answer in zip(batch, answers, strict=True):
            _settle(future, answer)


class HeldUp(Unavailable):
    """Somebody else holds a row that the request needs."""

    detail = "Somebody else is writing to the same object; send the request again."


class ConsiderateBatcher(Generic[Request, Answer]):
    """A batcher in which a request that has to wait for a row makes no other one wait.

    `flush(requests, False)` waits for no row, and answers `HeldUp` for a request that would have to. Such requests are
    gathered once more, for `flush(requests, True)`, which waits.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Request], bool], Awaitable[Sequence[Answer | AppError]]],
        *,
        at_once: int,
        observe: Observe = ignore,
    ) -> None:
        self._swift = Batcher[Request, Answer](lambda all_: flush(all_, False), at_once=at_once, observe=observe)
        self._patient = Batcher[Request, Answer](lambda all_: flush(all_, True), at_once=at_once, observe=observe)

    async def submit(self, request: Request) -> Answer:
        """As `Batcher.submit`."""
        try:
            return await self._swift.submit(request)
        except HeldUp:
            return await self._patient.submit(request)


def _settle(future: "asyncio.Future[Answer]", answer: Answer | BaseException) -> None:
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
