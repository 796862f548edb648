"""Connections: one pool for operators' calls, one reserved for the fleet's, so that lists never starve heartbeats."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.db.connection import Connection, FleetConnection
from app.db.notices import Notices
from app.db.outage import Pulse
from app.settings import SettingsError

CONNECT_TIMEOUT_S = 1.5
"""Short, since a caller must hear 503 within two seconds of the database going away."""
COMMAND_TIMEOUT_S = 20.0
"""Longer than `statement_timeout`, for a backend that is frozen and cannot even time out."""
SERVER_SETTINGS = {
    "application_name": "nodeyard",
    "timezone": "UTC",
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "15s",
    # A search whose finds outgrew it would hash their texts anew, a tenth of a millisecond for each.
    "work_mem": "32MB",
}
FLEET_PLANS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "enable_presorted_aggregate": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""The fleet's statements look a few rows up by their keys. Planned while a table was small, or by old statistics, they
would read the whole table, and keep doing so after it has grown. They are planned once for all values, since planning
takes longer than they do (see `_plan_anew_in_time`). PostgreSQL 15 goes without the one on presorted aggregates."""
PLANS_LAST_S = 1.0
_GOODBYE_WITHIN_S = 1.0
OPERATOR_CONNECTIONS = 8
RESERVED_CONNECTIONS = 4
FLEET_CONNECTIONS = 6

_SSL_WORDS = {"sslmode", "ssl"}
_ASYNCPG_WORDS = {"host", "port", "prepared_statement_cache_size", "statement_cache_size"}
_SERVER_WORDS = {"application_name", "search_path", "options"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is: the SQLAlchemy URL and what asyncpg is told beside it."""

    url: URL
    connect_args: Mapping[str, Any]

    def asyncpg_options(self) -> dict[str, Any]:
        """Keyword arguments of `asyncpg.connect` for the same place."""
        _, options = asyncpg_dialect().create_connect_args(self.url)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        options.pop("prepared_statement_cache_size", None)
        return {**options, **self.connect_args}


def address(database_url: str) -> Address:
    """The address that a libpq-style URL means. Raises `SettingsError` for a word that asyncpg cannot obey."""
    try:
        url = make_url(database_url)
    except ArgumentError as problem:
        raise SettingsError("DATABASE_URL must look like postgresql://user:password@host:5432/database.") from problem
    if url.drivername not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise SettingsError(f"DATABASE_URL names {url.drivername!r}; Nodeyard runs on postgresql:// only.")
    server_settings = dict(SERVER_SETTINGS)
    connect_args: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": COMMAND_TIMEOUT_S,
        "server_settings": server_settings,
    }
    kept: dict[str, Any] = {}
    for word, value in url.query.items():
        if word in _SSL_WORDS:
            connect_args["ssl"] = value
        elif word in _SERVER_WORDS:
            server_settings[word] = str(value)
        elif word == "connect_timeout":
            connect_args["timeout"] = float(str(value))
        elif word in _ASYNCPG_WORDS:
            kept[word] = value
        else:
            raise SettingsError(f"DATABASE_URL has the parameter {word!r}, which is not supported; remove it.")
    return Address(url.set(drivername="postgresql+asyncpg", query=kept), connect_args)


@dataclass(frozen=True, slots=True)
class Database:
    """`sessions` serve operators, `reserved` the nodes' rarer calls and the upkeep, so that no list starves them.

    `fleet` is raw asyncpg for what thousands of nodes repeat.
    """

    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]
    reserved: async_sessionmaker[AsyncSession]
    fleet: asyncpg.Pool
    address: Address
    notices: Notices
    pulse: Pulse

    async def close(self) -> None:
        # A frozen database answers no goodbye; what is left ends with the process.
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_WITHIN_S):
                await asyncio.gather(self.engine.dispose(), self.reserved.kw["bind"].dispose())
        # A pool's own close waits for every connection; a hung one must not hold the process.
        self.fleet.terminate()


async def open_database(database_url: str) -> Database:
    """Opens lazily: a database that is away is noticed by the first statement, not here."""
    where = address(database_url)
    engine, reserved = _engine(where, OPERATOR_CONNECTIONS), _engine(where, RESERVED_CONNECTIONS)
    options = where.asyncpg_options()
    fleet = await asyncpg.create_pool(
        min_size=0,
        max_size=FLEET_CONNECTIONS,
        init=plan_alike,
        reset=_plan_anew_in_time,
        connection_class=FleetConnection,
        **options,
    )
    # A notice that is lost in a crash is told of as a gap, so none waits for the disk.
    notices = Notices({**options, "server_settings": options["server_settings"] | {"synchronous_commit": "off"}})
    return Database(
        engine,
        async_sessionmaker(engine, expire_on_commit=False, info={"notices": notices}),
        async_sessionmaker(reserved, expire_on_commit=False, info={"notices": notices}),
        fleet,
        where,
        notices,
        Pulse(where.asyncpg_options()),
    )


async def one_by_one(session: AsyncSession) -> AsyncConnection:
    """The session's connection, on which each statement is a transaction of its own. Call it before any is executed.

    Spares the round trips of BEGIN and COMMIT. The session's `commit` ends it, and what waits for that hears of it.
    """
    return await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})


def _engine(where: Address, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        where.url,
        connect_args={**where.connect_args, "connection_class": Connection},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_use_lifo=True,
    )
    event.listen(engine.sync_engine, "handle_error", _end_confused)
    return engine


def _end_confused(context: ExceptionContext) -> None:
    if isinstance(context.original_exception.__cause__, asyncpg.InternalClientError):
        context.is_disconnect = True


async def plan_alike(connection: asyncpg.Connection, settings: Mapping[str, str] = FLEET_PLANS) -> None:
    """Leaves out what the server does not know, which it would refuse the connection for at its start."""
    await connection.execute(
        """SELECT set_config(name, wanted, false)
           FROM unnest($1::text[], $2::text[]) AS plan (name, wanted) JOIN pg_settings USING (name)""",
        list(settings),
        list(settings.values()),
    )


async def _plan_anew_in_time(connection: asyncpg.Connection) -> None:
    """Resets nothing, which would cost each flush a round trip: the fleet's statements change no session state.

    But a plan made while a table was empty takes any index for as good as another, so none is kept for long.
    """
    fleet = cast("FleetConnection", connection)
    if fleet.is_rehearsing:
        fleet.is_rehearsing = False
        return
    now = monotonic()
    if now > fleet.planned_at + PLANS_LAST_S:
        fleet.planned_at = now
        await fleet.execute("DISCARD PLANS")
