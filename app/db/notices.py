"""What was committed, told to every server process: at once in this one, by a coalesced NOTIFY in the others.

A NOTIFY in each transaction would cost most of the throughput, so notices are gathered and sent by one connection
of their own, a few milliseconds apart at the least. A notice may be lost when a connection breaks: subscribers are
then told that there is a gap, and read again what they need.
"""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

CHANNEL = "nodeyard"
DELETED = "deleted"
"""The subject is `<type> <id> <owner's id>`."""
_APART_S = 0.01
_RECONNECT_S = 1.0
_UNPOSTED = "unposted"
_PAYLOAD_MAX_BYTES = 7500  # PostgreSQL takes less than 8000.

Subscriber = Callable[[str | None], None]
"""Called with the subject of a notice, or with None when notices may have been missed."""


class Notices:
    def __init__(self, options: dict[str, Any]) -> None:
        """`options` are those of `asyncpg.connect`; LISTEN needs a direct connection, not one behind a pooler."""
        self._options = options
        self._name = os.urandom(8).hex()
        self._subscribers: defaultdict[str, list[Subscriber]] = defaultdict(list)
        self._unsent: dict[str, dict[str, None]] = {}
        self._something = asyncio.Event()

    def subscribe(self, kind: str, subscriber: Subscriber) -> None:
        self._subscribers[kind].append(subscriber)

    @contextmanager
    def listening(self, subscribers: Mapping[str, Subscriber]) -> Generator[None]:
        """Subscribes to several kinds for as long as the block lasts."""
        for kind, subscriber in subscribers.items():
            self.subscribe(kind, subscriber)
        try:
            yield
        finally:
            for kind, subscriber in subscribers.items():
                self._subscribers[kind].remove(subscriber)

    def post(self, kind: str, subject: str = "") -> None:
        """Call it after the commit. Repeated subjects are sent once."""
        self._tell(kind, subject)
        self._unsent.setdefault(kind, {})[subject] = None
        self._something.set()

    async def run(self) -> None:
        """Sends and listens until cancelled, through any number of lost connections."""
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await self._converse()
            await asyncio.sleep(_RECONNECT_S)

    async def _converse(self) -> None:
        connection = await asyncpg.connect(**self._options)
        broken = asyncio.Event()
        connection.add_termination_listener(lambda _: broken.set())
        try:
            await connection.add_listener(CHANNEL, self._hear)
            self._tell_of_gap()
            while not broken.is_set():
                await _first_of(self._something, broken)
                if self._unsent:
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, self._gather())
                await asyncio.sleep(_APART_S)
        finally:
            connection.terminate()

    def _gather(self) -> str:
        unsent, self._unsent = self._unsent, {}
        self._something.clear()
        payload = json.dumps({"from": self._name, "kinds": {kind: list(subjects) for kind, subjects in unsent.items()}})
        if len(payload.encode()) <= _PAYLOAD_MAX_BYTES:
            return payload
        return json.dumps({"from": self._name, "kinds": dict.fromkeys(unsent)})

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        message = cast("dict[str, Any]", json.loads(str(payload)))
        if message["from"] == self._name:
            return
        for kind, subjects in message["kinds"].items():
            for subject in [None] if subjects is None else subjects:
                self._tell(kind, subject)

    def _tell(self, kind: str, subject: str | None) -> None:
        for subscriber in tuple(self._subscribers[kind]):
            subscriber(subject)

    def _tell_of_gap(self) -> None:
        for kind in list(self._subscribers):
            self._tell(kind, None)


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(one.wait()) for one in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def post_after_commit(session: AsyncSession, kind: str, subject: str = "") -> None:
    """Posts once the session's transaction is committed, and never when it is rolled back."""
    unposted: list[tuple[str, str]] | None = session.info.get(_UNPOSTED)
    if unposted is None:
        unposted = session.info[_UNPOSTED] = []
        event.listen(session.sync_session, "after_commit", _post)
    unposted.append((kind, subject))


def _post(session: Session) -> None:
    notices = cast("Notices", session.info["notices"])
    for kind, subject in session.info[_UNPOSTED]:
        notices.post(kind, subject)
    session.info[_UNPOSTED].clear()
