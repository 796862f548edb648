"""How a node's report of the end becomes a verdict, and what the end does to the credential."""

import hashlib
from collections.abc import Iterable
from uuid import UUID

import asyncpg
import msgspec

from app.db.batching import HeldUp
from app.domain.credentials.redaction import Masker
from app.domain.issues import lifecycle
from app.domain.issues.lifecycle import Call, Ending, Reported, Verdict
from app.errors import AppError, Conflict
from app.protocol import AttemptStatus, FailureCode, Finish, Finished, IssueStatus, Release, Result

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
_RELEASED = "released"
_QUOTA_COOLDOWN_S = 900.0
"""When a node does not know when its quota resets."""
_COOL_DOWN = """
UPDATE credential SET updated_at = clock_timestamp(),
    cooldown_until = greatest(cooldown_until, clock_timestamp() + spent.wait_s * interval '1 s')
FROM unnest($1::uuid[], $2::float8[]) AS spent (id, wait_s) WHERE credential.id = spent.id
"""
_DISABLE = """
UPDATE credential SET is_disabled = true, disabled_reason = refused.reason, updated_at = clock_timestamp()
FROM unnest($1::uuid[], $2::text[]) AS refused (id, reason)
WHERE credential.id = refused.id AND NOT credential.is_disabled
"""


def reported(call: Call, report: Finish | Release, masker: Masker) -> Reported:
    """What the report means, with the secrets of the attempt masked."""
    if isinstance(report, Release):
        reason = report.reason and masker.mask(report.reason)
        given_back = Ending(AttemptStatus.LOST, Verdict.GIVE_BACK, failure_code=_RELEASED, error_message=reason)
        return Reported(call.token_hash, call.attempt_id, 0, given_back)
    return Reported(call.token_hash, call.attempt_id, report.next_seq, _ending(report, masker))


def says_something(report: Finish | Release) -> bool:
    """Whether it holds a text in which a secret could be."""
    return bool(report.reason if isinstance(report, Release) else report.summary or report.error_message)


def answer_again(report: Finish | Release, attempt: asyncpg.Record) -> Finished | AppError:
    """What a node hears that reports an end which is none now: the stored answer, or why it is refused.

    `attempt` is a row of `lifecycle.standing`.
    """
    if isinstance(report, Finish) and attempt["finish_digest"] is not None:
        if attempt["finish_digest"] == _digest(report):
            return Finished(IssueStatus(attempt["finish_status"]), attempt["adopted"])
        return Conflict("The attempt was finished with another report.", code="attempt_finished")
    if isinstance(report, Release) and attempt["failure_code"] == _RELEASED:
        return Finished(IssueStatus(attempt["issue_status"]), adopted=False)
    is_adoptable = isinstance(report, Finish) and report.result is not Result.CANCELLED and attempt["is_open"]
    if isinstance(report, Finish) and attempt["is_open"] and attempt["next_seq"] < report.next_seq:
        return Conflict(
            f"Log entries from {attempt['next_seq']} on are missing; send them first.",
            code="log_gap",
            next_seq=attempt["next_seq"],
        )
    if attempt["is_live"] or is_adoptable:
        # Somebody holds its row, or has changed it between our statements.
        return HeldUp()
    return lifecycle.refusal_for(AttemptStatus(attempt["status"]), IssueStatus(attempt["issue_status"]))


async def settle_credentials(
    connection: asyncpg.Connection, ended: Iterable[tuple[UUID | None, Finish | Release, str | None]]
) -> None:
    """A spent quota lets the credential rest, a refused login disables it. `ended` has the message at last."""
    spent: dict[UUID, float] = {}
    refused: dict[UUID, str] = {}
    for credential_id, report, reason in ended:
        if credential_id is None or isinstance(report, Release) or report.result is not Result.FAILED:
            continue
        if report.failure_code is FailureCode.QUOTA:
            spent[credential_id] = max(_quota_wait_s(report), spent.get(credential_id, 0.0))
        elif report.failure_code is FailureCode.AUTH:
            refused.setdefault(credential_id, (reason or "")[:500])
    # In the order of their ids, so that two servers never wait for each other.
    for statement, changes in ((_COOL_DOWN, sorted(spent.items())), (_DISABLE, sorted(refused.items()))):
        if changes:
            await connection.execute(statement, *map(list, zip(*changes, strict=True)))


def _ending(report: Finish, masker: Masker) -> Ending:
    return Ending(
        AttemptStatus(report.result),
        _verdict(report),
        wait_s=_quota_wait_s(report),
        branch=report.branch,
        base_sha=report.base_sha,
        head_sha=report.head_sha,
        summary=report.summary and masker.mask(report.summary),
        failure_code=report.failure_code,
        error_message=_error_message(report, masker),
        finish_digest=_digest(report),
    )


def _digest(report: Finish) -> bytes:
    return hashlib.sha256(msgspec.json.encode(report, order="deterministic")).digest()


def _verdict(report: Finish) -> Verdict:
    match report.result:
        case Result.SUCCEEDED:
            return Verdict.MERGE if report.branch is not None else Verdict.COMPLETE
        case Result.FAILED:
            return _VERDICTS[report.failure_code or FailureCode.INTERNAL]
        case Result.CANCELLED:
            return Verdict.RETRY


def _quota_wait_s(report: Finish) -> float:
    """Counts where the quota was of the node's own login, which no cool-down of a credential stands for."""
    if report.result is Result.FAILED and report.failure_code is FailureCode.QUOTA:
        return report.retry_after_s or _QUOTA_COOLDOWN_S
    return 0.0


def _error_message(report: Finish, masker: Masker) -> str | None:
    if report.error_message:
        return masker.mask(report.error_message)
    if report.result is Result.SUCCEEDED:
        return None
    return f"The node reported {report.failure_code or report.result}."
