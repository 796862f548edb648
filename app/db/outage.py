"""Whether the database is away: by the error of one statement, and by a pulse that notices when it answers nobody.

A database that refuses connections fails every statement at once. One that is frozen, or behind a dead network, lets
its callers wait for their timeouts; the pulse tells them all after two beats that were missed.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_APART_S = 0.3
_BEAT_WITHIN_S = 0.8
_MISSED_UNTIL_AWAY = 2
_AWAY: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    # A connection that broke in the middle of a statement no longer knows where it stands.
    asyncpg.InternalClientError,
    ConnectionError,
    TimeoutError,
    PoolTimeoutError,
    OSError,
)
# Of those, what no other connection would fare better with.
_UNREACHABLE: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    ConnectionError,
    TimeoutError,
    OSError,
)


def is_database_away(problem: BaseException) -> bool:
    """Whether the database could not serve this just now, so that the same request may succeed a moment later."""
    if isinstance(problem, ExceptionGroup):
        # Litestar's, of a handler and of the clean-up after it.
        return all(is_database_away(each) for each in problem.exceptions)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType]
    if isinstance(problem, DBAPIError):
        if problem.connection_invalidated:
            return True
        cause = getattr(problem.orig, "__cause__", None)
        return isinstance(problem.orig, _AWAY) or isinstance(cause, _AWAY)
    return isinstance(problem, _AWAY)


def is_unreachable(problem: BaseException) -> bool:
    """Whether the next statement would fail alike, so that trying one by one only makes everybody wait."""
    return isinstance(problem, _UNREACHABLE)


class Pulse:
    """Asks the database for a sign of life, on a connection of its own. Call `run` beside it."""

    def __init__(self, options: dict[str, Any]) -> None:
        """`options` are those of `asyncpg.connect`."""
        self._options: dict[str, Any] = {**options, "timeout": _BEAT_WITHIN_S, "command_timeout": _BEAT_WITHIN_S}
        self._missed = 0
        self._when_lost: list[Callable[[], None]] = []

    @property
    def is_lost(self) -> bool:
        return self._missed >= _MISSED_UNTIL_AWAY

    def when_lost(self, act: Callable[[], None]) -> None:
        """`act` is called each time that the database goes away."""
        self._when_lost.append(act)

    async def run(self) -> None:
        """Beats until cancelled."""
        connection: asyncpg.Connection | None = None
        try:
            while True:
                try:
                    if connection is None:
                        connection = await asyncpg.connect(**self._options)
                    await connection.fetchval("SELECT 1")
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                    if connection is not None:
                        connection.terminate()
                        connection = None
                    self._miss()
                else:
                    self._missed = 0
                await asyncio.sleep(_APART_S)
        finally:
            if connection is not None:
                connection.terminate()

    def _miss(self) -> None:
        self._missed += 1
        if self._missed == _MISSED_UNTIL_AWAY:
            for act in self._when_lost:
                act()
