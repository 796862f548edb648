"""asyncpg's connections, with two habits less, and ready before somebody waits for them."""

import asyncio
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import asyncpg

_FIRST_THAT_VARIES = 10_000
"""The types of PostgreSQL below it have the same numbers everywhere (FirstGenbkiObjectId in access/transam.h)."""
_types: dict[frozenset[int], list[asyncpg.Record]] = {}


class Connection(asyncpg.Connection):
    """Knows what PostgreSQL's own types are made of from the connections before it.

    asyncpg finds out anew on each, before its first statement with an array of uuid and before that of each other
    type, by a query that takes longer to plan than most take to run (https://github.com/MagicStack/asyncpg/issues/1272).
    """

    async def _introspect_types(self, typeoids: Iterable[int], *rest: Any) -> tuple[list[asyncpg.Record], Any]:
        wanted = frozenset(typeoids)
        if wanted in _types:
            # The name says that no anonymous statement took the place of the one being prepared.
            return _types[wanted], SimpleNamespace(name="remembered")
        found = await super()._introspect_types(typeoids, *rest)
        if max(wanted) < _FIRST_THAT_VARIES:
            _types[wanted] = found[0]
        return found


class FleetConnection(Connection):
    """Ends itself when it no longer knows where it stands, which asyncpg's pool would hand out again and again."""

    planned_at = 0.0
    """By `time.monotonic`; zero, so that the very first plans are made again as soon as there is something to see."""
    is_rehearsing = False

    async def rehearse(self, statements: Sequence[str]) -> None:
        """Runs each with empty arrays, so that it does nothing, but is parsed and planned, and its catalogs are read.

        The plans last for the first work that is done with them, as those of a connection that did not rehearse.
        """
        self.is_rehearsing = True
        for statement in statements:
            parameters = (await self.prepare(statement)).get_parameters()
            nothing: list[list[object] | None] = [[] if each.kind == "array" else None for each in parameters]
            await self.fetch(statement, *nothing)

    async def execute(self, query: str, *args: object, **options: Any) -> str:
        with self._ended_when_confused():
            return await super().execute(query, *args, **options)

    async def fetch(self, query: str, *args: object, **options: Any) -> list[asyncpg.Record]:
        with self._ended_when_confused():
            return await super().fetch(query, *args, **options)

    async def copy_records_to_table(self, table_name: str, **options: Any) -> str:
        with self._ended_when_confused():
            return await super().copy_records_to_table(table_name, **options)

    @contextmanager
    def _ended_when_confused(self) -> Generator[None]:
        try:
            yield
        except (asyncpg.InternalClientError, asyncpg.InterfaceError, TimeoutError):
            self.terminate()
            raise


async def rehearse(pool: asyncpg.Pool, statements: Sequence[str]) -> None:
    """Opens all connections of the fleet's pool, and lets each rehearse the statements.

    On a new connection a statement takes several times as long. The nodes that wait for a server to come back would
    meet that on all connections at once.
    """

    async def one() -> None:
        async with pool.acquire() as connection:
            await cast("FleetConnection", connection).rehearse(statements)

    # All at once, so that each is another connection.
    async with asyncio.TaskGroup() as group:
        for _ in range(pool.get_max_size()):
            group.create_task(one())
