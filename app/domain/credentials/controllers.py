from uuid import UUID

from litestar import Controller, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery, JSONBody

from app.db import spending
from app.db.base import new_id
from app.db.crud import add, get_or_404, given, lock_or_404, shaped, visible_to
from app.db.doorbell import ring
from app.db.models.derived import UsageTally
from app.db.models.fleet import Credential, Node
from app.db.models.work import Attempt
from app.deps import CurrentPaging, CurrentViewer, Secrets, Session
from app.domain.audit.recording import record
from app.domain.credentials import links, queries, removal, sealing
from app.domain.credentials.schemas import (
    CredentialChange,
    CredentialDetail,
    CredentialOut,
    CredentialPage,
    LinkedNode,
    LinkedNodePage,
    NewCredential,
)
from app.errors import NotFound
from app.protocol import CredentialCategory
from app.schemas import FilterText


class CredentialController(Controller):
    path = "/credentials"
    tags = ("credentials",)

    @get()
    async def list_credentials(
        self,
        session: Session,
        viewer: CurrentViewer,
        paging: CurrentPaging,
        category: FromQuery[CredentialCategory | None] = None,
        is_disabled: FromQuery[bool | None] = None,
        node_id: FromQuery[UUID | None] = None,
        q: FilterText = None,
    ) -> CredentialPage:
        """`q` looks into the title; `node_id` asks for those that the node may use."""
        found = await queries.list_credentials(
            session, viewer, paging, category=category, is_disabled=is_disabled, node_id=node_id, q=q
        )
        shown = {each.id: each for each in await queries.with_nodes(session, found.rows)}
        return found.as_page(CredentialPage, lambda row: shown[row.id])

    @post()
    async def create_credential(
        self, session: Session, viewer: CurrentViewer, vault: Secrets, data: JSONBody[NewCredential]
    ) -> CredentialOut:
        credential = Credential(
            id=new_id(),
            title=data.title,
            category=data.category,
            is_disabled=data.is_disabled,
            max_running=data.max_running,
            owner_id=viewer.id,
        )
        sealing.put(credential, data.pat, vault)
        await add(session, credential)
        await links.hold_nodes(session, data.node_ids)
        await links.replace(session, credential.id, data.node_ids)
        await record(
            session, viewer, "credential.create", "credential", credential.id, title=data.title, category=data.category
        )
        return (await queries.with_nodes(session, [credential]))[0]

    @get("/{credential_id:uuid}")
    async def show_credential(
        self, session: Session, viewer: CurrentViewer, credential_id: FromPath[UUID]
    ) -> CredentialDetail:
        credential = await get_or_404(session, Credential, credential_id, visible_to(viewer, Credential))
        shown = shaped(credential, CredentialDetail)
        shown.node_ids = (await links.nodes_of(session, [credential_id])).get(credential_id, [])
        shown.usage = await spending.tallied(session, UsageTally.c.credential_id == credential_id)
        return shown

    @patch("/{credential_id:uuid}")
    async def change_credential(
        self,
        session: Session,
        viewer: CurrentViewer,
        vault: Secrets,
        credential_id: FromPath[UUID],
        data: JSONBody[CredentialChange],
    ) -> CredentialOut:
        fields = given(data)
        if "node_ids" in fields:
            await get_or_404(session, Credential, credential_id, visible_to(viewer, Credential))
            await links.hold_nodes(session, fields["node_ids"])
        credential = await lock_or_404(session, Credential, credential_id, visible_to(viewer, Credential))
        for name in {"title", "category", "is_disabled", "max_running"} & fields.keys():
            setattr(credential, name, fields[name])
        if "pat" in fields:
            await removal.replace_secret(session, credential, fields["pat"], vault)
        if fields.get("is_disabled") is False or "pat" in fields:
            credential.disabled_reason = credential.cooldown_until = None
        await session.flush()
        if "node_ids" in fields:
            await links.replace(session, credential_id, fields["node_ids"])
        await session.refresh(credential)
        ring(session)
        await record(session, viewer, "credential.change", "credential", credential_id, fields=list(fields))
        return (await queries.with_nodes(session, [credential]))[0]

    @delete("/{credential_id:uuid}")
    async def delete_credential(self, session: Session, viewer: CurrentViewer, credential_id: FromPath[UUID]) -> None:
        """Not while attempts are at work with it: what they log is masked by it. 409 then."""
        credential = await lock_or_404(session, Credential, credential_id, visible_to(viewer, Credential))
        await removal.require_unused(session, "this credential", Attempt.credential_id == credential_id)
        await session.delete(credential)
        ring(session)
        await record(session, viewer, "credential.delete", "credential", credential_id, title=credential.title)

    @get("/{credential_id:uuid}/nodes")
    async def list_credential_nodes(
        self, session: Session, viewer: CurrentViewer, paging: CurrentPaging, credential_id: FromPath[UUID]
    ) -> LinkedNodePage:
        """The nodes that may use it."""
        await get_or_404(session, Credential, credential_id, visible_to(viewer, Credential))
        found = await queries.list_nodes(session, credential_id, paging)
        return found.as_page(LinkedNodePage, lambda row: shaped(row, LinkedNode))

    @put("/{credential_id:uuid}/nodes/{node_id:uuid}", status_code=204)
    async def link_credential(
        self, session: Session, viewer: CurrentViewer, credential_id: FromPath[UUID], node_id: FromPath[UUID]
    ) -> None:
        """Let the node use it. May be repeated."""
        await get_or_404(session, Credential, credential_id, visible_to(viewer, Credential))
        await get_or_404(session, Node, node_id)
        await links.link(session, credential_id, node_id)
        ring(session)
        await record(session, viewer, "credential.link", "credential", credential_id, node_id=node_id)

    @delete("/{credential_id:uuid}/nodes/{node_id:uuid}")
    async def unlink_credential(
        self, session: Session, viewer: CurrentViewer, credential_id: FromPath[UUID], node_id: FromPath[UUID]
    ) -> None:
        await get_or_404(session, Credential, credential_id, visible_to(viewer, Credential))
        if not await links.unlink(session, credential_id, node_id):
            raise NotFound("The credential is not linked to this node.")
        ring(session)
        await record(session, viewer, "credential.unlink", "credential", credential_id, node_id=node_id)
