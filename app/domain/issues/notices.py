"""What the other parts of the server are told once a change is committed."""

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.doorbell import FREED, QUEUE
from app.db.notices import DELETED, Notices, post_after_commit

ISSUE = "issue"
LOG = "log"
"""The subject is `<issue> <attempt> <next_seq>`."""


def issue_changed(session: AsyncSession, issue_id: UUID) -> None:
    post_after_commit(session, ISSUE, str(issue_id))


def issue_deleted(session: AsyncSession, issue_id: UUID, owner_id: UUID) -> None:
    """The row is gone when this is heard, so it says whose it was."""
    post_after_commit(session, DELETED, f"issue {issue_id} {owner_id}")
    post_after_commit(session, ISSUE, str(issue_id))


def attempts_turned(
    notices: Notices, started: Iterable[UUID], ended: Collection[UUID], *, any_waits_again: bool
) -> None:
    """Tells of the issues whose attempts did. Call it after the commit."""
    for issue_id in (*started, *ended):
        notices.post(ISSUE, str(issue_id))
    if ended:
        notices.post(QUEUE, "" if any_waits_again else FREED)


def log_grew(notices: Notices, issue_id: UUID, attempt_id: UUID, next_seq: int) -> None:
    """Call it after the commit."""
    notices.post(LOG, f"{issue_id} {attempt_id} {next_seq}")
