from collections.abc import Awaitable, Callable
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import spending
from app.db.crud import get_or_404, given, shaped, visible_to
from app.db.doorbell import ring
from app.db.models.work import Issue
from app.deps import Config, CurrentPaging, CurrentViewer, Session, Viewer
from app.domain.audit.recording import described, record
from app.domain.issues import lifecycle_verbs, queries, writing
from app.domain.issues.explain import Explanation, explain
from app.domain.issues.filters import CurrentFilters, provide_filters
from app.domain.issues.notices import issue_deleted
from app.domain.issues.schemas import (
    AttemptPage,
    CreatedIssues,
    IssueChange,
    IssueDetail,
    IssueOut,
    IssuePage,
    NewIssue,
    NewIssues,
    Rejection,
)

BULK_BODY_MAX_BYTES = 8 * 1024 * 1024


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
        event = described(viewer, "issue.create", "issue", title=data.title)
        (issue,) = await writing.create(session, viewer, settings, [data], event)
        return issue

    @post("/bulk", request_max_body_size=BULK_BODY_MAX_BYTES)
    async def create_issues(
        self, session: Session, viewer: CurrentViewer, settings: Config, data: JSONBody[NewIssues]
    ) -> CreatedIssues:
        """All or none, at most 1000, answered in the order given."""
        event = described(viewer, "issue.create_bulk", "issue", count=len(data.issues))
        return CreatedIssues(await writing.create(session, viewer, settings, data.issues, event, "issues[{}]."))

    @get("/{issue_id:uuid}")
    async def show_issue(self, session: Session, viewer: CurrentViewer, issue_id: FromPath[UUID]) -> IssueDetail:
        shown = shaped(await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue)), IssueDetail)
        shown.usage = await spending.of_issue(session, issue_id)
        return shown

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
        issue = await writing.lock(session, viewer, issue_id, with_attempts=True)
        await session.delete(issue)
        issue_deleted(session, issue_id, issue.owner_id)
        ring(session)
        await record(session, viewer, "issue.delete", "issue", issue_id, title=issue.title)

    @get("/{issue_id:uuid}/attempts")
    async def list_attempts(
        self, session: Session, viewer: CurrentViewer, paging: CurrentPaging, issue_id: FromPath[UUID]
    ) -> AttemptPage:
        """Oldest first."""
        await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
        found = await queries.list_attempts(session, issue_id, paging)
        shown = {attempt.id: attempt for attempt in await queries.with_usage(session, found.rows)}
        return found.as_page(AttemptPage, lambda row: shown[row.id])

    @get("/{issue_id:uuid}/explain")
    async def explain_issue(self, session: Session, viewer: CurrentViewer, issue_id: FromPath[UUID]) -> Explanation:
        """Why it waits."""
        await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
        return await explain(session, issue_id)

    @post("/{issue_id:uuid}/cancel", status_code=HTTP_200_OK)
    async def cancel_issue(self, session: Session, viewer: CurrentViewer, issue_id: FromPath[UUID]) -> IssueOut:
        """What waits is cancelled at once; what is worked on as soon as its node has stopped."""
        return await decide(session, viewer, "issue.cancel", issue_id, lifecycle_verbs.cancel)

    @post("/{issue_id:uuid}/requeue", status_code=HTTP_200_OK)
    async def requeue_issue(self, session: Session, viewer: CurrentViewer, issue_id: FromPath[UUID]) -> IssueOut:
        """Back to the queue, attempts counted anew."""
        return await decide(session, viewer, "issue.requeue", issue_id, lifecycle_verbs.requeue)

    @post("/{issue_id:uuid}/merge", status_code=HTTP_200_OK)
    async def merge_issue(self, session: Session, viewer: CurrentViewer, issue_id: FromPath[UUID]) -> IssueOut:
        """Its branch was merged."""
        return await decide(session, viewer, "issue.merge", issue_id, lifecycle_verbs.merge)

    @post("/{issue_id:uuid}/reject", status_code=HTTP_200_OK)
    async def reject_issue(
        self, session: Session, viewer: CurrentViewer, issue_id: FromPath[UUID], data: JSONBody[Rejection | None] = None
    ) -> IssueOut:
        """Its branch will not be merged."""
        reason = data.reason if data else None
        return await decide(
            session,
            viewer,
            "issue.reject",
            issue_id,
            lambda session, issue_id: lifecycle_verbs.reject(session, issue_id, reason),
        )


async def decide(
    session: AsyncSession,
    viewer: Viewer,
    action: str,
    issue_id: UUID,
    act: Callable[[AsyncSession, UUID], Awaitable[Issue]],
) -> IssueOut:
    """Carries out a verb on an issue that the viewer sees, and writes it down."""
    await get_or_404(session, Issue, issue_id, visible_to(viewer, Issue))
    issue = await act(session, issue_id)
    await record(session, viewer, action, "issue", issue_id, status=issue.status)
    return shaped(issue, IssueOut)
