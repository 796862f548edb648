"""What the other parts of the server are told once a change of a node is committed."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.notices import DELETED, post_after_commit

NODE = "node"
"""The subject is the node's id. Post it for what people see: not for every heartbeat."""


def node_changed(session: AsyncSession, node_id: UUID) -> None:
    post_after_commit(session, NODE, str(node_id))


def node_deleted(session: AsyncSession, node_id: UUID, owner_id: UUID) -> None:
    """The row is gone when this is heard, so it says whose it was."""
    post_after_commit(session, DELETED, f"node {node_id} {owner_id}")
