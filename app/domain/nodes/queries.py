"""The operators' view of the fleet."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, any_, exists, func, literal, select
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
    total = None
    if tag is None and tool is None and q is None:
        total = await _tallied(session, status, desired)
    elif q is not None:
        total = await session.scalar(_counted(q, narrowing))
    if q is not None:
        narrowing.append(_holding(q, is_broad=total is not None and total > BROAD))
    return await newest(session, paging, Node, *narrowing, total=total)


def _counted(q: str, narrowing: Sequence[ColumnElement[bool]]) -> Select[int]:
    """The nodes themselves are read only if more than the text decides."""
    found = select(func.count()).select_from(NodeText).where(matches(q, NodeText.content))
    return found.join(Node, Node.id == NodeText.node_id).where(*narrowing) if narrowing else found


def _holding(q: str, *, is_broad: bool) -> ColumnElement[bool]:
    """`is_broad`: so many hold `q` that looking at the newest ones finds a page soonest."""
    found = matches(q, NodeText.content)
    if is_broad:
        return exists().where(NodeText.node_id == Node.id, found)
    # An array and not a subquery, for which PostgreSQL would walk all nodes, since it expects that a third hold it.
    return Node.id == any_(func.array(select(NodeText.node_id).where(found).scalar_subquery()))


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
