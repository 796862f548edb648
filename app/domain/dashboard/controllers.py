from litestar import Controller, get
from litestar.response import Stream

from app.deps import CurrentViewer, Db, Session, Stopping, Visitor
from app.domain.dashboard import event_stream, statistics
from app.domain.dashboard.feed import CurrentFeed
from app.domain.dashboard.schemas import Stats
from app.streaming import LastEventId, answer


class DashboardController(Controller):
    tags = ("dashboard",)

    @get("/dashboard/stats")
    async def show_stats(self, session: Session, viewer: CurrentViewer) -> Stats:
        return await statistics.collect(session, viewer)

    @get("/events", media_type="text/event-stream")
    async def stream_events(
        self, db: Db, feed: CurrentFeed, visitor: Visitor, stopping: Stopping, last_event_id: LastEventId = None
    ) -> Stream:
        """Server-Sent Events of what the viewer may see: `hello` first, then `issue`, `node`, `log` and `deleted`.

        Resumes behind `Last-Event-ID`; `reset` when that is no longer possible: read everything again.
        """
        return answer(lambda: event_stream.listen(db, feed, stopping, visitor, last_event_id))
