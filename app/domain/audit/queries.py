from datetime import datetime
from uuid import UUID

from sqlalchemy import select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, matches, page
from app.db.models.accounts import AuditEvent


async def list_events(
    session: AsyncSession,
    paging: Paging,
    *,
    actor_id: UUID | None,
    action: str | None,
    object_type: str | None,
    object_id: str | None,
    since: datetime | None,
    until: datetime | None,
    q: str | None,
) -> Slice:
    """`until` is exclusive."""
    statement = select(AuditEvent).where(
        equal(actor_id, AuditEvent.actor_id),
        equal(action, AuditEvent.action),
        equal(object_type, AuditEvent.object_type),
        equal(object_id, AuditEvent.object_id),
        true() if since is None else AuditEvent.at >= since,
        true() if until is None else AuditEvent.at < until,
        matches(q, AuditEvent.folded),
    )
    return await page(session, statement, paging, [AuditEvent.at, AuditEvent.id])
