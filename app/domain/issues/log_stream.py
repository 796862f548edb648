"""An issue's log as it grows, and as one text."""

from asyncio import Event
from collections.abc import AsyncIterator, Callable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import shaped, visible_to
from app.db.engine import Database
from app.db.models.work import Issue, WorkflowLog
from app.deps import Viewer, is_still_valid
from app.domain.accounts.notices import ACCOUNT
from app.domain.issues.notices import ISSUE, LOG
from app.domain.issues.schemas import IssueOut, LogOut
from app.protocol import IssueStatus
from app.streaming import KEEP_ALIVE, Wakening, event

_AT_ONCE = 200
_GOES_ON = {IssueStatus.PENDING, IssueStatus.PROCESSING}


async def position_of(session: AsyncSession, issue_id: UUID, log_id: str | None) -> int:
    """Where the entry stands; before the first when there is no such entry."""
    try:
        wanted = UUID(log_id or "")
    except ValueError:
        return 0
    found = select(WorkflowLog.position).where(WorkflowLog.id == wanted, WorkflowLog.issue_id == issue_id)
    return await session.scalar(found) or 0


async def follow(db: Database, stopping: Event, viewer: Viewer, issue_id: UUID, position: int) -> AsyncIterator[bytes]:
    """Entries behind `position`, then what comes, until the issue is at its end. Holds no connection meanwhile."""
    wakening = Wakening(stopping)

    def when_of(wanted: str, act: Callable[[], None]) -> Callable[[str | None], None]:
        def heard(subject: str | None) -> None:
            if subject is None or subject.partition(" ")[0] == wanted:
                act()

        return heard

    wake = when_of(str(issue_id), wakening.wake)
    subscribers = {LOG: wake, ISSUE: wake, ACCOUNT: when_of(str(viewer.id), wakening.doubt)}
    with db.notices.listening(subscribers):
        yield KEEP_ALIVE
        while not wakening.is_over and await may_go_on(db, wakening, viewer):
            issue, entries = await _read(db, viewer, issue_id, position)
            for entry in entries:
                position = entry.position
                yield event("log", shaped(entry, LogOut), str(entry.id))
            if len(entries) == _AT_ONCE:
                continue
            if issue is None or issue.status not in _GOES_ON:
                yield event("end", {"status": issue.status if issue else None, "issue": issue})
                return
            while not await wakening.wait() and not wakening.is_over:
                yield KEEP_ALIVE


async def may_go_on(db: Database, wakening: Wakening, viewer: Viewer) -> bool:
    if not wakening.in_doubt:
        return True
    wakening.in_doubt = False
    return await is_still_valid(db, viewer)


async def _read(
    db: Database, viewer: Viewer, issue_id: UUID, position: int
) -> tuple[IssueOut | None, list[WorkflowLog]]:
    """The status is read before the entries: once it is at an end, what is read behind it is all there is."""
    async with db.sessions() as session:
        issue = await session.scalar(select(Issue).where(Issue.id == issue_id, visible_to(viewer, Issue)))
        entries = await session.scalars(
            select(WorkflowLog)
            .where(WorkflowLog.issue_id == issue_id, WorkflowLog.position > position)
            .order_by(WorkflowLog.position)
            .limit(_AT_ONCE)
        )
        return issue and shaped(issue, IssueOut), list(entries) if issue else []


async def as_text(db: Database, viewer: Viewer, issue_id: UUID) -> AsyncIterator[bytes]:
    """The whole log as plain text, oldest first, a page at a time."""
    position = 0
    while True:
        _, entries = await _read(db, viewer, issue_id, position)
        if not entries:
            return
        yield "".join(_line(entry) for entry in entries).encode()
        position = entries[-1].position


def _line(entry: WorkflowLog) -> str:
    duration = f" ({entry.duration_ms} ms)" if entry.duration_ms is not None else ""
    head = f"[{entry.created_at:%Y-%m-%dT%H:%M:%SZ}] {entry.step_name}: {entry.status}{duration}\n"
    command = f"$ {entry.command}\n" if entry.command else ""
    texts = (entry.output, entry.error_message)
    return head + command + "".join(text if text.endswith("\n") else f"{text}\n" for text in texts if text)
