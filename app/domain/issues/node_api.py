"""What a node does with issues: claim them, work on them, report how it ended. Contract: PROTOCOL."""

import asyncio
from typing import Annotated, Any, cast
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post, put
from litestar.di import Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT
from litestar.types import Receive

from app.deps import AnyRequest, CurrentNode, NodeToken, Secrets, Session, provide_reserved_session
from app.domain.issues import attempts, log_body
from app.domain.issues.claim import ClaimRequest
from app.domain.issues.fleet import CurrentFleet, Fleet
from app.domain.issues.log_append import Append
from app.domain.issues.turns import End, Start
from app.protocol import (
    Claim,
    Finish,
    Finished,
    LogAnswer,
    Offers,
    Release,
    Secret,
    Started,
    Usage,
    UsageAnswer,
)

CLAIM_WAIT_MAX_S = 60
Wait = Annotated[float, QueryParameter(ge=0, le=CLAIM_WAIT_MAX_S, description="Seconds to wait for work.")]


class ClaimController(Controller):
    path = "/nodes"
    tags = ("nodes' protocol",)

    @post("/claim", status_code=HTTP_200_OK, operation_id="claim")
    async def claim(
        self, request: AnyRequest, token: NodeToken, fleet: CurrentFleet, data: JSONBody[Claim], wait: Wait = 0
    ) -> Response[Offers | None]:
        """Take issues as soon as there are any; 204 after `wait` seconds without. May be repeated."""
        offers = await claimed(fleet, token, data, wait, request.receive)
        if offers is None:
            return Response(None, status_code=HTTP_204_NO_CONTENT)
        return Response(msgspec.Raw(offers))  # pyright: ignore[reportReturnType]


class AttemptController(Controller):
    path = "/attempts/{attempt_id:uuid}"
    tags = ("nodes' protocol",)
    dependencies = {"session": Provide(provide_reserved_session)}  # noqa: RUF012 - Litestar's own style.

    @post("/start", status_code=HTTP_200_OK, operation_id="start_attempt")
    async def start(self, token: NodeToken, fleet: CurrentFleet, attempt_id: FromPath[UUID]) -> Started:
        """Take up an offer. May be repeated."""
        return cast("Started", await fleet.turns.submit(Start(token, attempt_id)))

    @get("/credential", operation_id="get_attempt_credential")
    async def credential(
        self, session: Session, node: CurrentNode, vault: Secrets, request: AnyRequest, attempt_id: FromPath[UUID]
    ) -> Response[Secret]:
        """The secret of a live attempt; audited."""
        address = request.client.host if request.client else "unknown"
        secret = await attempts.deliver_secret(session, vault, node, attempt_id, address)
        return Response(secret, headers={"Cache-Control": "no-store"})

    @post("/logs", status_code=HTTP_200_OK, operation_id="append_log")
    async def logs(
        self, request: AnyRequest, token: NodeToken, fleet: CurrentFleet, attempt_id: FromPath[UUID]
    ) -> LogAnswer:
        """Append entries numbered from `first_seq`. What the server has already is skipped."""
        batch = log_body.read(await request.body(), request.headers.get("content-encoding", ""))
        return await fleet.logs.submit(Append(token, attempt_id, batch))

    @put("/usage", operation_id="report_usage")
    async def usage(
        self, session: Session, node: CurrentNode, attempt_id: FromPath[UUID], data: JSONBody[Usage]
    ) -> UsageAnswer:
        """Store the totals so far of each model."""
        return UsageAnswer(await attempts.report_usage(session, node.id, attempt_id, data.usage))

    @post("/finish", status_code=HTTP_200_OK, operation_id="finish_attempt")
    async def finish(
        self, token: NodeToken, fleet: CurrentFleet, attempt_id: FromPath[UUID], data: JSONBody[Finish]
    ) -> Finished:
        """Report the end. The same report again is answered alike."""
        return cast("Finished", await fleet.turns.submit(End(token, attempt_id, data)))

    @post("/release", status_code=HTTP_200_OK, operation_id="release_attempt")
    async def release(
        self, token: NodeToken, fleet: CurrentFleet, attempt_id: FromPath[UUID], data: JSONBody[Release | None] = None
    ) -> dict[str, Any]:
        """Give unfinished work back without burning a retry."""
        await fleet.turns.submit(End(token, attempt_id, data or Release()))
        return {}


async def claimed(fleet: Fleet, token: bytes, asked: Claim, wait_s: float, receive: Receive) -> bytes | None:
    """The JSON of `Offers`, or None when no work came. `receive` is that of the request, whose body was read."""
    offers = await fleet.dispatch.claim(
        ClaimRequest(token, asked.claim_id, asked.boot_id, asked.max),
        wait_s,
        lambda: asyncio.ensure_future(_hung_up(receive)),
    )
    # The offers were encoded when they were stored, and are sent as they stand there.
    return f'{{"attempts":[{",".join(offers)}]}}'.encode() if offers else None


async def _hung_up(receive: Receive) -> None:
    """Returns when the client has gone. Nothing cancels a handler whose client hangs up, so it has to watch."""
    while (await receive())["type"] != "http.disconnect":
        pass
