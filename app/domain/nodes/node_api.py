"""How a machine joins the fleet, stays in it and leaves it. Contract: PROTOCOL."""

from litestar import Controller, Response, post
from litestar.di import Provide
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from app.deps import (
    AnyRequest,
    Config,
    CurrentNode,
    Db,
    NodeToken,
    Session,
    bearer,
    client_address,
    provide_reserved_session,
)
from app.domain.accounts import throttle
from app.domain.accounts.throttle import Door
from app.domain.nodes import registering, registration_key
from app.domain.nodes.roll_call import CurrentRollCall
from app.errors import AppError
from app.protocol import Heartbeat, HeartbeatAnswer, Register, Registered

CLAIM_WAIT_S = 30


class InvalidRegistrationKey(AppError):
    status = 401
    code = "invalid_registration_key"
    detail = "The registration key is wrong or was rotated; ask an operator for the current one."


class NodeController(Controller):
    path = "/nodes"
    tags = ("nodes' protocol",)
    dependencies = {"session": Provide(provide_reserved_session)}  # noqa: RUF012 - Litestar's own style.

    @post("/register", operation_id="register_node")
    async def register(
        self,
        *,
        request: AnyRequest,
        db: Db,
        session: Session,
        settings: Config,
        roll_call: CurrentRollCall,
        data: JSONBody[Register],
    ) -> Response[Registered]:
        """Join the fleet with the registration key, or come back to one's row. The same body again is harmless."""
        if not await registration_key.is_valid(session, bearer(request) or ""):
            # Gives its connection back first, since counting the failure takes another.
            await session.rollback()
            await throttle.admit(db, (Door.REGISTER_ADDRESS, client_address(request, settings)))
            raise InvalidRegistrationKey
        node_id, token, is_new = await registering.register(session, data)
        answer = Registered(
            node_id=node_id,
            node_token=token,
            heartbeat_interval_s=roll_call.interval.total_seconds(),
            lease_s=settings.lease.total_seconds(),
            claim_wait_s=CLAIM_WAIT_S,
            start_within_s=settings.start_within.total_seconds(),
        )
        return Response(answer, status_code=HTTP_201_CREATED if is_new else HTTP_200_OK)

    @post("/heartbeat", status_code=HTTP_200_OK, operation_id="heartbeat")
    async def heartbeat(
        self, token: NodeToken, roll_call: CurrentRollCall, data: JSONBody[Heartbeat]
    ) -> HeartbeatAnswer:
        """Say what the node holds; hear what it shall do."""
        return await roll_call.hear(token, data)

    @post("/deregister", status_code=HTTP_204_NO_CONTENT, operation_id="deregister_node")
    async def deregister(self, session: Session, node: CurrentNode) -> None:
        """Leave: everything goes back to the queue, the row stays, offline. May be repeated."""
        await registering.deregister(session, node.id)
