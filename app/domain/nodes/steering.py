"""What operators want of a node: active, draining (finish what runs) or paused (take nothing new)."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import get_or_404
from app.db.doorbell import ring
from app.db.models.fleet import Node
from app.deps import Viewer
from app.domain.nodes.notices import node_changed
from app.errors import Conflict, Forbidden
from app.protocol import Desired


async def own_or_refused(session: AsyncSession, viewer: Viewer, node_id: UUID) -> Node:
    """A node that the viewer may change. Everybody sees every node, so another's is 403 and not 404."""
    node = await get_or_404(session, Node, node_id)
    if not viewer.is_superuser and node.owner_id != viewer.id:
        raise Forbidden("Only the node's owner and superusers may change it.")
    return node


async def steer(
    session: AsyncSession, node: Node, desired: Desired, note: str | None = None, lasts: timedelta | None = None
) -> None:
    """`lasts`: a pause that ends by itself."""
    await session.execute(
        update(Node)
        .where(Node.id == node.id)
        .values(desired=desired, desired_note=note, paused_until=None if lasts is None else func.now() + lasts)
    )
    await session.refresh(node)
    node_changed(session, node.id)
    ring(session)


async def require_free_name(session: AsyncSession, name: str, node_id: UUID) -> None:
    """Raises `Conflict` `name_in_use` when another machine has it."""
    taken = select(Node.id).where(Node.name == name, Node.machine_id.is_not(None), Node.id != node_id)
    if await session.scalar(taken.limit(1)) is not None:
        raise Conflict("Another node has this name.", code="name_in_use")
