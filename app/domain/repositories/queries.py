from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, newest_of
from app.db.models.catalogue import Repository
from app.deps import Viewer


async def list_repositories(
    session: AsyncSession, viewer: Viewer, paging: Paging, *, is_public: bool | None, q: str | None
) -> Slice:
    return await newest_of(session, viewer, paging, Repository, q, equal(is_public, Repository.is_public))
