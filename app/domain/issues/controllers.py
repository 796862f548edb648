from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta
from sqlalchemy import select

from app.db.crud import get_or_404, given, lock_or_404, page, shaped, visible_to
from app.db.doorbell import ring
from app.db.models.work import Attempt, Issue
from app.deps import Config, CurrentPaging, CurrentViewer, Session
from app.domain.audit.recording import record
from app.domain.issues import queries, writing
from app.domain.issues.filters import CurrentFilters, provide_filters
from app.domain.issues.schemas import (
    AttemptPage,
    CreatedIssues,
    IssueChange,
    IssueOut,
    IssuePage,
    LogOut,
    LogPage,
    NewIssue,
    NewIssues,
)

BULK_BODY_MAX_BYTES = 8 * 1024 * 1024
Seq = Annotated[int, Meta(ge=-1, le=2**31 - 1)]


class IssueController(Controller):
    path = "/issues"
    tags = ("issues",)
    dependencies = {"filters": Provide(provide_filters, sync_to_thread=False)}  # noqa: RUF012 - Litestar's own style.

    @get()
    async def list_issues(
        self,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        filters: CurrentFilters,
        sort: FromQuery[queries.Sort] = "created_at",
    ) -> IssuePage:
        """Newest first, or by priority, largest first."""
        found = await queries.list_issues(session, viewer, filters, paging, sort)
        return found.as_page(IssuePage, lambda row: shaped(row, IssueOut))

    @post()
    async def create_issue(
        self, session: Session, viewer: CurrentViewer, settings: Config, data: JSONBody[NewIssue]
    ) -> IssueOut:
        (issue,) = await writing.create(session, viewer, settings, [data])
        await record(session, viewer, "issue.create", "issue", issue.id, title=issue.title)
        return shaped(issue, IssueOut)

    @post("/bulk", request_max_body_size=BULK_BODY_MAX_BYTES)
    async def create_issues(
        self, session: Session, viewer: CurrentViewer, settings: Config, data: JSONBody[NewIssues]
    ) -> CreatedIssues:
        """All or none, at most 1000, answered in the order given."""
        created = await writing.create(session, viewer, settings, data.issues, "issues[{}].")
        await record(session, viewer, "issue.create_bulk", "issue", created[0].id, count=len(created))
        return CreatedIssues([shaped(issue, IssueOut) for issue in created])

    @get("/{issue_id:uuid}")
    async def show_issue(self, session: Session, viewer: CurrentViewer, issue_id: FromPath[UUID]) -> IssueOut:
        return shaped(await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue)), IssueOut)

    @patch("/{issue_id:uuid}")
    async def change_issue(
        self,
        session: Session,
        viewer: CurrentViewer,
        settings: Config,
        issue_id: FromPath[UUID],
        data: JSONBody[IssueChange],
    ) -> IssueOut:
        issue = await writing.change(session, viewer, settings, issue_id, data)
        await record(session, viewer, "issue.change", "issue", issue_id, fields=list(given(data)))
        return shaped(issue, IssueOut)

    @delete("/{issue_id:uuid}")
    async def delete_issue(self, session: Session, viewer: CurrentViewer, issue_id: FromPath[UUID]) -> None:
        """Its attempts and logs go too; a node that works on it is told to stop."""
        issue = await lock_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
        await session.delete(issue)
        ring(session)
        await record(session, viewer, "issue.delete", "issue", issue_id, title=issue.title)

    @get("/{issue_id:uuid}/attempts")
    async def list_attempts(
        self, session: Session, viewer: CurrentViewer, paging: CurrentPaging, issue_id: FromPath[UUID]
    ) -> AttemptPage:
        """Oldest first."""
        await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
        statement = select(Attempt).where(Attempt.issue_id == issue_id)
        found = await page(session, statement, paging, [Attempt.number], descending=False)
        shown = {attempt.id: attempt for attempt in await queries.with_usage(session, found.rows)}
        return found.as_page(AttemptPage, lambda row: shown[row.id])

    @get("/{issue_id:uuid}/logs")
    async def list_logs(
        self,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        issue_id: FromPath[UUID],
        attempt_id: FromQuery[UUID | None] = None,
        after: FromQuery[UUID | Seq | None] = None,
    ) -> LogPage:
        """Oldest first. `after`: the id of an entry, or a `seq`; answers what came behind it."""
        await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
        found = await queries.list_logs(session, issue_id, attempt_id, after, paging)
        return found.as_page(LogPage, lambda row: shaped(row, LogOut))
