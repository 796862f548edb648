from uuid import UUID

from litestar import Controller, get
from litestar.params import FromQuery

from app.db.crud import shaped
from app.deps import CurrentPaging, CurrentViewer, Session, require_superuser
from app.domain.audit import queries
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
        q: FilterText = None,
    ) -> AuditPage:
        """Who did what to which object, newest first. `until` is exclusive."""
        require_superuser(viewer)
        found = await queries.list_events(
            session,
            paging,
            actor_id=actor_id,
            action=action,
            object_type=object_type,
            object_id=object_id,
            since=moment(since, "since"),
            until=moment(until, "until"),
            q=q,
        )
        return found.as_page(AuditPage, lambda row: shaped(row, AuditOut))
