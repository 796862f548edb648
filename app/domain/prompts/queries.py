from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, newest_of
from app.db.models.catalogue import Prompt
from app.deps import Viewer


async def list_prompts(
    session: AsyncSession, viewer: Viewer, paging: Paging, *, is_default: bool | None, q: str | None
) -> Slice:
    return await newest_of(session, viewer, paging, Prompt, q, equal(is_default, Prompt.is_default))
