"""The one stream that a page listens to."""

from asyncio import Event
from collections.abc import AsyncIterator

from app.db.engine import Database
from app.deps import Viewer
from app.domain.accounts.notices import ACCOUNT
from app.domain.dashboard.feed import Feed, Listener, encoded
from app.domain.issues.log_stream import may_go_on
from app.streaming import KEEP_ALIVE, Wakening, event


async def listen(
    db: Database, feed: Feed, stopping: Event, viewer: Viewer, last_event_id: str | None
) -> AsyncIterator[bytes]:
    """`hello`, then what was missed since `last_event_id` or `reset` when nobody can say, then what comes."""
    wakening = Wakening(stopping)
    listener = Listener(viewer, wakening)

    def account_changed(subject: str | None) -> None:
        if subject is None or subject == str(viewer.id):
            wakening.doubt()

    newest = feed.join(listener)
    try:
        with db.notices.listening({ACCOUNT: account_changed}):
            missed = await feed.missed(last_event_id, viewer, newest) if last_event_id else []
            yield event("hello", {"resumed": bool(last_event_id) and missed is not None}, feed.identity(newest))
            if missed is None:
                yield event("reset", {})
            for told in missed or ():
                yield encoded(feed, told)
            while not wakening.is_over and await may_go_on(db, wakening, viewer):
                for chunk in _due(feed, listener):
                    yield chunk
                while not await wakening.wait() and not wakening.is_over:
                    yield KEEP_ALIVE
    finally:
        feed.leave(listener)


def _due(feed: Feed, listener: Listener) -> list[bytes]:
    chunks: list[bytes] = []
    if listener.has_lost:
        listener.has_lost = False
        chunks.append(event("reset", {}, feed.identity(feed.newest)))
    while listener.waiting:
        chunks.append(encoded(feed, listener.waiting.popleft()))
    return chunks
