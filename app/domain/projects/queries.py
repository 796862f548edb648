from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, matches, newest, visible_to
from app.db.models.catalogue import Project
from app.deps import Viewer


async def list_projects(
    session: AsyncSession, viewer: Viewer, paging: Paging, *, is_active: bool | None, q: str | None
) -> Slice:
    return await newest(
        session,
        paging,
        Project,
        visible_to(viewer, Project),
        equal(is_active, Project.is_active),
        matches(q, Project.folded),
    )
