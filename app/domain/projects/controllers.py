from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody

from app.db import spending
from app.db.crud import add, get_or_404, given, lock_or_404, patched, shaped, visible_to
from app.db.doorbell import ring
from app.db.models.catalogue import Project
from app.db.models.derived import UsageTally
from app.deps import CurrentPaging, CurrentViewer, Session
from app.domain.audit.recording import record
from app.domain.projects import queries
from app.domain.projects.schemas import NewProject, ProjectChange, ProjectDetail, ProjectOut, ProjectPage
from app.schemas import FilterText


class ProjectController(Controller):
    path = "/projects"
    tags = ("projects",)

    @get()
    async def list_projects(
        self,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        is_active: FromQuery[bool | None] = None,
        q: FilterText = None,
    ) -> ProjectPage:
        """`q` looks into name and description."""
        found = await queries.list_projects(session, viewer, paging, is_active=is_active, q=q)
        return found.as_page(ProjectPage, lambda row: shaped(row, ProjectOut))

    @post()
    async def create_project(self, session: Session, viewer: CurrentViewer, data: JSONBody[NewProject]) -> ProjectOut:
        project = await add(session, Project(owner_id=viewer.id, **given(data)))
        await record(session, viewer, "project.create", "project", project.id, name=project.name)
        return shaped(project, ProjectOut)

    @get("/{project_id:uuid}")
    async def show_project(self, session: Session, viewer: CurrentViewer, project_id: FromPath[UUID]) -> ProjectDetail:
        shown = shaped(await get_or_404(session, Project, project_id, visible_to(viewer, Project)), ProjectDetail)
        shown.usage = await spending.tallied(session, UsageTally.c.project_id == project_id)
        return shown

    @patch("/{project_id:uuid}")
    async def change_project(
        self, session: Session, viewer: CurrentViewer, project_id: FromPath[UUID], data: JSONBody[ProjectChange]
    ) -> ProjectOut:
        project = await lock_or_404(session, Project, project_id, visible_to(viewer, Project))
        await patched(session, project, data)
        ring(session)
        await record(session, viewer, "project.change", "project", project_id, fields=list(given(data)))
        return shaped(project, ProjectOut)

    @delete("/{project_id:uuid}")
    async def delete_project(self, session: Session, viewer: CurrentViewer, project_id: FromPath[UUID]) -> None:
        """Its issues stay, without a project."""
        project = await lock_or_404(session, Project, project_id, visible_to(viewer, Project))
        await session.delete(project)
        ring(session)
        await record(session, viewer, "project.delete", "project", project_id, name=project.name)
