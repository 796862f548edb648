from datetime import timedelta
from uuid import UUID

from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from app.db.crud import get_or_404, given, patched
from app.db.doorbell import ring
from app.db.models.fleet import Node
from app.deps import CurrentPaging, CurrentViewer, Secrets, Session, require_superuser
from app.domain.audit.recording import record
from app.domain.nodes import departures, queries, registration_key, steering
from app.domain.nodes.notices import node_changed
from app.domain.nodes.schemas import Drain, NodeChange, NodeOut, NodePage, Pause, RegistrationKeyOut, Rotation
from app.protocol import Desired, NodeStatus
from app.schemas import FilterText


class NodeController(Controller):
    path = "/nodes"
    tags = ("nodes",)

    @get()
    async def list_nodes(
        self,
        session: Session,
        viewer: CurrentViewer,  # noqa: ARG002 - Asking for it keeps strangers out.
        paging: CurrentPaging,
        status: FromQuery[NodeStatus | None] = None,
        desired: FromQuery[Desired | None] = None,
        tag: FilterText = None,
        tool: FilterText = None,
        q: FilterText = None,
    ) -> NodePage:
        """The whole fleet, for every active person. `q` looks into name, address and description."""
        found = await queries.list_nodes(session, paging, status=status, desired=desired, tag=tag, tool=tool, q=q)
        shown = {node.id: node for node in await queries.shown(session, found.rows)}
        return found.as_page(NodePage, lambda row: shown[row.id])

    @get("/{node_id:uuid}")
    async def show_node(
        self,
        session: Session,
        viewer: CurrentViewer,  # noqa: ARG002 - Asking for it keeps strangers out.
        node_id: FromPath[UUID],
    ) -> NodeOut:
        return (await queries.shown(session, [await get_or_404(session, Node, node_id)]))[0]

    @patch("/{node_id:uuid}")
    async def change_node(
        self, session: Session, viewer: CurrentViewer, node_id: FromPath[UUID], data: JSONBody[NodeChange]
    ) -> NodeOut:
        node = await steering.own_or_refused(session, viewer, node_id)
        if isinstance(data.name, str):
            await steering.require_free_name(session, data.name, node_id)
        await patched(session, node, data)
        node_changed(session, node_id)
        ring(session)
        await record(session, viewer, "node.change", "node", node_id, fields=list(given(data)))
        return (await queries.shown(session, [node]))[0]

    @delete("/{node_id:uuid}")
    async def delete_node(self, session: Session, viewer: CurrentViewer, node_id: FromPath[UUID]) -> None:
        """What it works on goes back to the queue; its token ends."""
        await steering.own_or_refused(session, viewer, node_id)
        node = await departures.delete_node(session, node_id)
        await record(session, viewer, "node.delete", "node", node_id, name=node.name)

    @post("/{node_id:uuid}/pause", status_code=HTTP_200_OK)
    async def pause_node(
        self, session: Session, viewer: CurrentViewer, node_id: FromPath[UUID], data: JSONBody[Pause | None] = None
    ) -> NodeOut:
        """It takes nothing new until it is resumed, or until `for_s` is over. What runs goes on."""
        pause = data or Pause()
        lasts = None if pause.for_s is None else timedelta(seconds=pause.for_s)
        node = await steering.own_or_refused(session, viewer, node_id)
        await steering.steer(session, node, Desired.PAUSED, pause.note, lasts)
        await record(session, viewer, "node.pause", "node", node_id, note=pause.note, for_s=pause.for_s)
        return (await queries.shown(session, [node]))[0]

    @post("/{node_id:uuid}/drain", status_code=HTTP_200_OK)
    async def drain_node(
        self, session: Session, viewer: CurrentViewer, node_id: FromPath[UUID], data: JSONBody[Drain | None] = None
    ) -> NodeOut:
        """It finishes what runs and takes nothing new."""
        note = data.note if data else None
        node = await steering.own_or_refused(session, viewer, node_id)
        await steering.steer(session, node, Desired.DRAINING, note)
        await record(session, viewer, "node.drain", "node", node_id, note=note)
        return (await queries.shown(session, [node]))[0]

    @post("/{node_id:uuid}/resume", status_code=HTTP_200_OK)
    async def resume_node(self, session: Session, viewer: CurrentViewer, node_id: FromPath[UUID]) -> NodeOut:
        node = await steering.own_or_refused(session, viewer, node_id)
        await steering.steer(session, node, Desired.ACTIVE)
        await record(session, viewer, "node.resume", "node", node_id)
        return (await queries.shown(session, [node]))[0]


class UserRemovalController(Controller):
    """Stands here and not with the other calls about users, since their nodes hold other people's work."""

    path = "/users"
    tags = ("users",)

    @delete("/{user_id:uuid}")
    async def delete_user(self, session: Session, viewer: CurrentViewer, user_id: FromPath[UUID]) -> None:
        """Everything that is theirs is deleted too. 409 while work on other people's issues uses their credentials."""
        require_superuser(viewer)
        email = await departures.delete_user(session, user_id)
        await record(session, viewer, "user.delete", "user", user_id, email=email)


class RegistrationKeyController(Controller):
    path = "/registration-key"
    tags = ("registration key",)

    @get(response_headers={"Cache-Control": "no-store"})
    async def show_registration_key(
        self, session: Session, viewer: CurrentViewer, vault: Secrets
    ) -> RegistrationKeyOut:
        """The key, in clear. Who looked is written down."""
        require_superuser(viewer)
        shown = await registration_key.show(session, vault)
        await record(session, viewer, "registration_key.show", "registration_key", "1")
        return shown

    @post("/rotate", status_code=HTTP_200_OK, response_headers={"Cache-Control": "no-store"})
    async def rotate_registration_key(
        self, session: Session, viewer: CurrentViewer, vault: Secrets, data: JSONBody[Rotation | None] = None
    ) -> RegistrationKeyOut:
        """A new key. The former one registers nodes for `grace_s` more; nodes that live are not touched."""
        require_superuser(viewer)
        rotation = data or Rotation()
        shown = await registration_key.rotate(session, vault, timedelta(seconds=rotation.grace_s))
        await record(session, viewer, "registration_key.rotate", "registration_key", "1", grace_s=rotation.grace_s)
        return shown
