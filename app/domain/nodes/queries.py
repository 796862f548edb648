"""The operators' view of the fleet."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import BROAD, Paging, Slice, equal, matches, newest, shaped
from app.db.models.derived import NodeTally, NodeText
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
    narrowing = [
        condition
        for wanted, condition in (
            (status, Node.status == status),
            (desired, Node.desired == desired),
            (tag, literal(tag) == any_(Node.tags)),
            (tool, literal(tool) == any_(Node.tool_categories)),
        )
        if wanted is not None
    ]
    if q is not None:
        return await _search(session, paging, q, narrowing)
    total = await _tallied(session, status, desired) if tag is None and tool is None else None
    return await newest(session, paging, Node, *narrowing, total=total)


async def _search(session: AsyncSession, paging: Paging, q: str, narrowing: list[ColumnElement[bool]]) -> Slice:
    holds = matches(q, NodeText.content)
    found = (await session.scalars(select(NodeText.node_id).where(holds).limit(BROAD + 1))).all()
    if len(found) <= BROAD:
        narrowing.append(Node.id == any_(literal(found, ARRAY(Uuid()))))
        return await newest(session, paging, Node, *narrowing, total=None if len(narrowing) > 1 else len(found))
    # So many that looking at the newest nodes finds a page soonest.
    counted = select(func.count()).select_from(NodeText).where(holds)
    if narrowing:
        counted = counted.join(Node, Node.id == NodeText.node_id).where(*narrowing)
    narrowing.append(exists().where(NodeText.node_id == Node.id, holds))
    return await newest(session, paging, Node, *narrowing, total=await session.scalar(counted))


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
