from typing import Annotated
from uuid import UUID

from litestar import Controller, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from app.db.crud import get_or_404, shaped, visible_to
from app.db.models.work import Issue
from app.deps import CurrentPaging, CurrentViewer, Db, Session, Stopping, Visitor
from app.domain.issues import log_stream, queries
from app.domain.issues.schemas import LogOut, LogPage
from app.schemas import ENTRY_OR_SEQ
from app.streaming import LastEventId, answer

After = Annotated[
    str | None,
    QueryParameter(
        pattern=ENTRY_OR_SEQ,
        description="The id of an entry, or a `seq`.",
    ),
]


class LogController(Controller):
    path = "/issues/{issue_id:uuid}/logs"
    tags = ("logs",)

    @get()
    async def list_logs(
        self,
        *,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        issue_id: FromPath[UUID],
        attempt_id: FromQuery[UUID | None] = None,
        after: After = None,
    ) -> LogPage:
        """Oldest first. `after`: the id of an entry, or a `seq`; answers what came behind it."""
        await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
        found = await queries.list_logs(session, issue_id, attempt_id, entry_or_seq(after), paging)
        return found.as_page(LogPage, lambda row: shaped(row, LogOut))

    @get("/stream", media_type="text/event-stream")
    async def stream_logs(
        self,
        *,
        db: Db,
        visitor: Visitor,
        stopping: Stopping,
        issue_id: FromPath[UUID],
        last_event_id: LastEventId = None,
    ) -> Stream:
        """Server-Sent Events: each entry as `log`, oldest first, then those to come, and `end` at the issue's end.

        Resumes behind `Last-Event-ID`, the id of an entry.
        """
        async with db.sessions() as session:
            await get_or_404(session, Issue, issue_id, visible_to(visitor, Issue))
            position = await log_stream.position_of(session, issue_id, last_event_id)
        return answer(lambda: log_stream.follow(db, stopping, visitor, issue_id, position))

    @get("/raw", media_type="text/plain; charset=utf-8")
    async def show_raw_log(self, db: Db, visitor: Visitor, issue_id: FromPath[UUID]) -> Stream:
        """The whole log as plain text."""
        async with db.sessions() as session:
            await get_or_404(session, Issue, issue_id, visible_to(visitor, Issue))
        return Stream(log_stream.as_text(db, visitor, issue_id), media_type="text/plain; charset=utf-8")


def entry_or_seq(after: str | None) -> UUID | int | None:
    if after is None:
        return None
    return UUID(after) if len(after) == 36 else int(after)
