from uuid import UUID

from litestar import Controller, get
from litestar.params import FromQuery
from sqlalchemy import select

from app.db.crud import page, shaped
from app.db.models.accounts import AuditEvent
from app.deps import CurrentPaging, CurrentViewer, Session, require_superuser
from app.domain.audit.schemas import AuditOut, AuditPage
from app.schemas import FilterMoment, FilterText, moment


class AuditController(Controller):
    path = "/audit"
    tags = ("audit",)

    @get()
    async def list_audit_events(
        self,
        *,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        actor_id: FromQuery[UUID | None] = None,
        action: FilterText = None,
        object_type: FilterText = None,
        object_id: FilterText = None,
        since: FilterMoment = None,
        until: FilterMoment = None,
    ) -> AuditPage:
        """Who did what to which object, newest first. `until` is exclusive."""
        require_superuser(viewer)
        statement = select(AuditEvent)
        for column, wanted in (
            (AuditEvent.actor_id, actor_id),
            (AuditEvent.action, action),
            (AuditEvent.object_type, object_type),
            (AuditEvent.object_id, object_id),
        ):
            if wanted is not None:
                statement = statement.where(column == wanted)
        if since is not None:
            statement = statement.where(AuditEvent.at >= moment(since, "since"))
        if until is not None:
            statement = statement.where(AuditEvent.at < moment(until, "until"))
        found = await page(session, statement, paging, [AuditEvent.at, AuditEvent.id])
        return found.as_page(AuditPage, lambda row: shaped(row, AuditOut))
