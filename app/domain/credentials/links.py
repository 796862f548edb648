"""Which nodes may use a credential. Every active person sees the fleet's nodes and may link their own to them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.fleet import CredentialNodeLink, Node
from app.errors import InvalidInput


async def link(session: AsyncSession, credential_id: UUID, node_id: UUID) -> None:
    """May be repeated."""
    await session.execute(
        insert(CredentialNodeLink).values(credential_id=credential_id, node_id=node_id).on_conflict_do_nothing()
    )


async def unlink(session: AsyncSession, credential_id: UUID, node_id: UUID) -> bool:
    """Whether there was a link."""
    gone = await session.scalar(
        delete(CredentialNodeLink)
        .where(CredentialNodeLink.credential_id == credential_id, CredentialNodeLink.node_id == node_id)
        .returning(CredentialNodeLink.node_id)
    )
    return gone is not None


async def hold_nodes(session: AsyncSession, node_ids: Sequence[UUID]) -> None:
    """Keeps them from being deleted. Call it before a credential is locked. Raises `InvalidInput` for a missing one."""
    held = select(Node.id).where(Node.id.in_(node_ids)).order_by(Node.id).with_for_update(read=True, key_share=True)
    if missing := set(node_ids) - set(await session.scalars(held)):
        raise InvalidInput(f"There is no node {min(missing)}.", field="node_ids")


async def replace(session: AsyncSession, credential_id: UUID, node_ids: Sequence[UUID]) -> None:
    """Make `node_ids`, which are held, the credential's nodes."""
    wanted = set(node_ids)
    await session.execute(
        delete(CredentialNodeLink).where(
            CredentialNodeLink.credential_id == credential_id, CredentialNodeLink.node_id.not_in(wanted)
        )
    )
    for node_id in sorted(wanted):
        await link(session, credential_id, node_id)


async def nodes_of(session: AsyncSession, credential_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    rows = await session.execute(
        select(CredentialNodeLink.credential_id, func.array_agg(CredentialNodeLink.node_id))
        .where(CredentialNodeLink.credential_id.in_(credential_ids))
        .group_by(CredentialNodeLink.credential_id)
    )
    return {credential_id: sorted(node_ids) for credential_id, node_ids in rows}
