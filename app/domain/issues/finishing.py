"""How a node's report of the end becomes a verdict, and what the end does to the credential."""

import hashlib
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models.fleet import Credential
from app.db.models.work import Attempt
from app.domain.credentials.redaction import Masker
from app.domain.issues import lifecycle
from app.domain.issues.lifecycle import Verdict
from app.domain.issues.masking import Masks
from app.errors import Conflict, Unavailable
from app.protocol import AttemptStatus, FailureCode, Finish, Finished, IssueStatus, Result

_VERDICTS = {
    FailureCode.CLONE_FAILED: Verdict.BACK_OFF,
    FailureCode.TOOL_FAILED: Verdict.BACK_OFF,
    FailureCode.TESTS_FAILED: Verdict.BACK_OFF,
    FailureCode.PUSH_FAILED: Verdict.BACK_OFF,
    FailureCode.TIMEOUT: Verdict.BACK_OFF,
    FailureCode.INTERNAL: Verdict.BACK_OFF,
    FailureCode.AUTH: Verdict.BACK_OFF,
    FailureCode.QUOTA: Verdict.GIVE_BACK,
    FailureCode.NO_CHANGES: Verdict.FAIL,
    FailureCode.INVALID_WORK: Verdict.FAIL,
}
_QUOTA_COOLDOWN_S = 900.0
"""When a node does not know when its quota resets."""
_MINE = "attempt.id = :attempt_id AND attempt.node_id = :node_id AND attempt.next_seq >= :next_seq"


async def finish(session: AsyncSession, masks: Masks, node_id: UUID, attempt_id: UUID, report: Finish) -> Finished:
    """Accepts the end of an attempt, also a late one that nobody overtook. The same report again is answered alike.

    Raises 409 `log_gap` (with `next_seq`), `attempt_finished`, `attempt_superseded`, `attempt_cancelled`; 404.
    """
    digest = hashlib.sha256(msgspec.json.encode(report, order="deterministic")).digest()
    masker = await _masker(session, masks, attempt_id)
    arguments = _arguments(node_id, attempt_id, report, digest, masker)
    adopted = False
    ended = await lifecycle.end(session, _MINE, **arguments)
    if not ended and report.result is not Result.CANCELLED:
        adopted = True
        ended = await lifecycle.end(session, _MINE, adopt=True, **arguments)
    if not ended:
        return await _answer_again(session, node_id, attempt_id, report, digest)
    await _settle_credential(session, ended[0].credential_id, report, arguments["error_message"])
    return Finished(ended[0].issue_status, adopted)


def _arguments(node_id: UUID, attempt_id: UUID, report: Finish, digest: bytes, masker: Masker) -> dict[str, Any]:
    verdict = _verdict(report)
    return {
        "status": AttemptStatus(report.result),
        "verdict": verdict,
        "wait_s": _wait_s(report) if verdict is Verdict.GIVE_BACK else 0.0,
        "attempt_id": attempt_id,
        "node_id": node_id,
        "next_seq": report.next_seq,
        "branch": report.branch,
        "base_sha": report.base_sha,
        "head_sha": report.head_sha,
        "summary": report.summary and masker.mask(report.summary),
        "failure_code": report.failure_code,
        "error_message": _error_message(report, masker),
        "finish_digest": digest,
    }


async def _masker(session: AsyncSession, masks: Masks, attempt_id: UUID) -> Masker:
    row = (
        await session.execute(
            select(Credential.id, Credential.secret, Credential.secret_key_id)
            .join(Attempt, Attempt.credential_id == Credential.id)
            .where(Attempt.id == attempt_id)
        )
    ).one_or_none()
    return masks.of(*row) if row else masks.of(None, None, None)


def _verdict(report: Finish) -> Verdict:
    match report.result:
        case Result.SUCCEEDED:
            return Verdict.MERGE if report.branch is not None else Verdict.COMPLETE
        case Result.FAILED:
            return _VERDICTS[report.failure_code or FailureCode.INTERNAL]
        case Result.CANCELLED:
            return Verdict.RETRY


def _wait_s(report: Finish) -> float:
    """Counts where the quota was of the node's own login, which no cool-down of a credential stands for."""
    return (report.retry_after_s or _QUOTA_COOLDOWN_S) if report.failure_code is FailureCode.QUOTA else 0.0


def _error_message(report: Finish, masker: Masker) -> str | None:
    if report.error_message:
        return masker.mask(report.error_message)
    if report.result is Result.SUCCEEDED:
        return None
    return f"The node reported {report.failure_code or report.result}."


async def _settle_credential(
    session: AsyncSession, credential_id: UUID | None, report: Finish, reason: str | None
) -> None:
    if credential_id is None or report.result is not Result.FAILED:
        return
    if report.failure_code is FailureCode.QUOTA:
        await session.execute(
            text("""
                UPDATE credential SET updated_at = clock_timestamp(),
                    cooldown_until = greatest(cooldown_until, clock_timestamp() + :wait_s * interval '1 s')
                WHERE id = :id
            """),
            {"id": credential_id, "wait_s": report.retry_after_s or _QUOTA_COOLDOWN_S},
        )
    elif report.failure_code is FailureCode.AUTH:
        await session.execute(
            text("""
                UPDATE credential SET is_disabled = true, disabled_reason = :reason, updated_at = clock_timestamp()
                WHERE id = :id AND NOT is_disabled
            """),
            {"id": credential_id, "reason": (reason or "")[:500]},
        )


async def _answer_again(
    session: AsyncSession, node_id: UUID, attempt_id: UUID, report: Finish, digest: bytes
) -> Finished:
    attempt = await session.scalar(select(Attempt).where(Attempt.id == attempt_id, Attempt.node_id == node_id))
    if attempt is not None:
        if attempt.finish_digest == digest and attempt.finish_status is not None:
            return Finished(IssueStatus(attempt.finish_status), attempt.adopted)
        if attempt.finish_digest is not None:
            raise Conflict("The attempt was finished with another report.", code="attempt_finished")
        is_open = await lifecycle.is_open(session, attempt_id)
        if is_open and attempt.next_seq < report.next_seq:
            raise Conflict(
                f"Log entries from {attempt.next_seq} on are missing; send them first.",
                code="log_gap",
                next_seq=attempt.next_seq,
            )
        if is_open and (attempt.status != AttemptStatus.LOST or report.result is not Result.CANCELLED):
            # The missing entries, or the loss, came between our statements.
            raise Unavailable("The attempt was just written to; send the request again.")
    raise await lifecycle.refusal(session, node_id, attempt_id)
