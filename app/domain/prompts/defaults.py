"""Each person has at most one default prompt (uq_prompt_owner_id_default)."""

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.accounts import User
from app.db.models.catalogue import Prompt


async def clear_default(session: AsyncSession, owner_id: UUID, but: UUID | None = None) -> None:
    """Make room for a new one. Holds the owner's row, so that two new defaults come one after the other."""
    await session.execute(select(User.id).where(User.id == owner_id).with_for_update(key_share=True))
    await session.execute(
        update(Prompt)
        .where(Prompt.owner_id == owner_id, Prompt.is_default, Prompt.id.is_distinct_from(but))
        .values(is_default=False)
    )
