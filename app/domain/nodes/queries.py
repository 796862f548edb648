"""The operators' view of the fleet."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import shaped
from app.db.models.fleet import Node
from app.db.models.work import IS_LIVE, Attempt
from app.domain.nodes.schemas import NodeOut


async def shown(session: AsyncSession, nodes: Sequence[Node]) -> list[NodeOut]:
    """Each node with how many attempts it holds."""
    running = await running_on(session, [node.id for node in nodes])
    made = [shaped(node, NodeOut) for node in nodes]
    for node in made:
        node.running = running.get(node.id, 0)
    return made


async def running_on(session: AsyncSession, node_ids: Sequence[UUID]) -> dict[UUID, int]:
    rows = await session.execute(
        select(Attempt.node_id, func.count()).where(IS_LIVE, Attempt.node_id.in_(node_ids)).group_by(Attempt.node_id)
    )
    return {node_id: count for node_id, count in rows if node_id is not None}
