"""The operators' view of the fleet."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import any_, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, matches, newest, shaped
from app.db.models.derived import NodeTally
from app.db.models.fleet import Node
from app.db.models.work import IS_LIVE, Attempt
from app.domain.nodes.schemas import NodeOut
from app.protocol import Desired, NodeStatus


async def list_nodes(
    session: AsyncSession,
    paging: Paging,
    *,
    status: NodeStatus | None,
    desired: Desired | None,
    tag: str | None,
    tool: str | None,
    q: str | None,
) -> Slice:
    is_tallied = tag is None and tool is None and q is None
    return await newest(
        session,
        paging,
        Node,
        equal(status, Node.status),
        equal(desired, Node.desired),
        true() if tag is None else literal(tag) == any_(Node.tags),
        true() if tool is None else literal(tool) == any_(Node.tool_categories),
        matches(q, Node.folded),
        total=await _tallied(session, status, desired) if is_tallied else None,
    )


async def _tallied(session: AsyncSession, status: NodeStatus | None, desired: Desired | None) -> int:
    tally = NodeTally.c
    found = select(func.coalesce(func.sum(tally.n), 0)).where(
        equal(status, tally.status), equal(desired, tally.desired)
    )
    return int(await session.scalar(found) or 0)


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
