from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, newest_of
from app.db.models.catalogue import Project
from app.deps import Viewer


async def list_projects(
    session: AsyncSession, viewer: Viewer, paging: Paging, *, is_active: bool | None, q: str | None
) -> Slice:
    return await newest_of(session, viewer, paging, Project, q, equal(is_active, Project.is_active))
