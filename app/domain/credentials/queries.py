from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging, Slice, equal, newest, newest_of, shaped
from app.db.models.fleet import Credential, CredentialNodeLink, Node
from app.deps import Viewer
from app.domain.credentials import links
from app.domain.credentials.schemas import CredentialOut
from app.protocol import CredentialCategory


async def list_credentials(
    session: AsyncSession,
    viewer: Viewer,
    paging: Paging,
    *,
    category: CredentialCategory | None,
    is_disabled: bool | None,
    node_id: UUID | None,
    q: str | None,
) -> Slice:
    linked = select(CredentialNodeLink.credential_id).where(CredentialNodeLink.node_id == node_id)
    return await newest_of(
        session,
        viewer,
        paging,
        Credential,
        q,
        equal(category, Credential.category),
        equal(is_disabled, Credential.is_disabled),
        true() if node_id is None else Credential.id.in_(linked),
    )


async def list_nodes(session: AsyncSession, credential_id: UUID, paging: Paging) -> Slice:
    """Those that may use the credential."""
    linked = select(CredentialNodeLink.node_id).where(CredentialNodeLink.credential_id == credential_id)
    return await newest(session, paging, Node, Node.id.in_(linked))


async def with_nodes(session: AsyncSession, rows: Sequence[Credential]) -> list[CredentialOut]:
    nodes = await links.nodes_of(session, [row.id for row in rows])
    shown = [shaped(row, CredentialOut) for row in rows]
    for each in shown:
        each.node_ids = nodes.get(each.id, [])
    return shown
