"""What a node does with issues: claim them, work on them, report how it ended. Contract: PROTOCOL."""

import asyncio
import json
import zlib
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from app.deps import AnyRequest, CurrentNode, NodeToken, Secrets, Session
from app.domain.issues import attempts, finishing, lifecycle
from app.domain.issues.claim import ClaimRequest
from app.domain.issues.fleet import CurrentFleet
from app.domain.issues.log_append import Append
from app.errors import InvalidInput, TooLarge
from app.protocol import (
    LOG_BODY_MAX_BYTES,
    Claim,
    Finish,
    Finished,
    LogAnswer,
    LogBatch,
    Offers,
    Release,
    Secret,
    Started,
    Usage,
    UsageAnswer,
)

Wait = Annotated[float, QueryParameter(ge=0, le=60, description="Seconds to wait for work.")]
_decode_batch = msgspec.json.Decoder(LogBatch).decode


class ClaimController(Controller):
    path = "/nodes"
    tags = ("nodes' protocol",)

    @post("/claim", status_code=HTTP_200_OK, operation_id="claim")
    async def claim(
        self, request: AnyRequest, token: NodeToken, fleet: CurrentFleet, data: JSONBody[Claim], wait: Wait = 0
    ) -> Response[Offers | None]:
        """Take issues as soon as there are any; 204 after `wait` seconds without. May be repeated."""
        asked = ClaimRequest(token, data.claim_id, data.boot_id, data.max)
        offers = await fleet.dispatch.claim(asked, wait, lambda: asyncio.ensure_future(_hung_up(request)))
        if not offers:
            return Response(None, status_code=HTTP_204_NO_CONTENT)
        # The offers were encoded when they were stored, and are sent as they stand there.
        return Response(msgspec.Raw(f'{{"attempts":[{",".join(offers)}]}}'.encode()))  # pyright: ignore[reportReturnType]


class AttemptController(Controller):
    path = "/attempts/{attempt_id:uuid}"
    tags = ("nodes' protocol",)

    @post("/start", status_code=HTTP_200_OK, operation_id="start_attempt")
    async def start(self, session: Session, node: CurrentNode, attempt_id: FromPath[UUID]) -> Started:
        """Take up an offer. May be repeated."""
        return Started(await lifecycle.start(session, node.id, attempt_id))

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
        batch = read_batch(await _body(request))
        return await fleet.logs.submit(Append(token, attempt_id, batch))

    @put("/usage", operation_id="report_usage")
    async def usage(
        self, session: Session, node: CurrentNode, attempt_id: FromPath[UUID], data: JSONBody[Usage]
    ) -> UsageAnswer:
        """Store the totals so far of each model."""
        return UsageAnswer(await attempts.report_usage(session, node.id, attempt_id, data.usage))

    @post("/finish", status_code=HTTP_200_OK, operation_id="finish_attempt")
    async def finish(
        self,
        session: Session,
        node: CurrentNode,
        fleet: CurrentFleet,
        attempt_id: FromPath[UUID],
        data: JSONBody[Finish],
    ) -> Finished:
        """Report the end. The same report again is answered alike."""
        return await finishing.finish(session, fleet.masks, node.id, attempt_id, data)

    @post("/release", status_code=HTTP_200_OK, operation_id="release_attempt")
    async def release(
        self, session: Session, node: CurrentNode, attempt_id: FromPath[UUID], data: JSONBody[Release | None] = None
    ) -> dict[str, Any]:
        """Give unfinished work back without burning a retry."""
        await lifecycle.release(session, node.id, attempt_id, data.reason if data else None)
        return {}


async def _hung_up(request: AnyRequest) -> None:
    """Returns when the client has gone. Nothing cancels a handler whose client hangs up, so it has to watch."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: AnyRequest) -> bytes:
    body = await request.body()
    if request.headers.get("content-encoding", "").lower() != "gzip":
        return body
    # Never more than the limit is unpacked, however much is packed.
    unpack = zlib.decompressobj(wbits=31)
    try:
        plain = unpack.decompress(body, LOG_BODY_MAX_BYTES + 1)
    except zlib.error as problem:
        raise InvalidInput("The body is not valid gzip.") from problem
    if len(plain) > LOG_BODY_MAX_BYTES:
        raise TooLarge(f"A log batch has at most {LOG_BODY_MAX_BYTES} bytes.")
    if not unpack.eof:
        raise InvalidInput("The gzip body is cut off.")
    return plain


def read_batch(body: bytes) -> LogBatch:
    """The batch, with broken characters replaced: a refused batch would be sent again for ever."""
    try:
        return _decode_batch(body)
    except UnicodeDecodeError:
        return _decode(body.decode("utf-8", "replace"))
    except msgspec.ValidationError as problem:
        raise InvalidInput(str(problem)) from problem
    except msgspec.DecodeError:
        return _decode(_without_lone_surrogates(body.decode("utf-8", "replace")))


def _decode(text: str) -> LogBatch:
    try:
        return _decode_batch(text)
    except msgspec.DecodeError as problem:
        raise InvalidInput(str(problem)) from problem


def _without_lone_surrogates(text: str) -> str:
    """Half a pair, as left by a tool that cuts its output, is legal in an escape but in no encoding."""
    try:
        whole = json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError as problem:
        raise InvalidInput(f"The body is not valid JSON: {problem}") from problem
    return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
