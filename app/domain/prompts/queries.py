from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, matches, newest, visible_to
from app.db.models.catalogue import Prompt
from app.deps import Viewer


async def list_prompts(
    session: AsyncSession, viewer: Viewer, paging: Paging, *, is_default: bool | None, q: str | None
) -> Slice:
    return await newest(
        session,
        paging,
        Prompt,
        visible_to(viewer, Prompt),
        equal(is_default, Prompt.is_default),
        matches(q, Prompt.folded),
    )
