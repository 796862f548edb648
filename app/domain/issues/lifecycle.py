"""Every statement that may change `issue.status` or `attempt.status`, but for the claim and the operators' verbs.

    issue    pending -> processing                              claim (claim.py)
             processing -> pending_merge | completed            finish: succeeded
             processing -> pending | failed                     finish: failed; lose; release; lapse
             processing -> cancelled                            any end after an operator asked to cancel
             pending | failed -> as finish says                 late finish of the newest attempt, adopted
             pending -> cancelled                               cancel (lifecycle_verbs.py)
             failed | cancelled | completed | pending_merge -> pending   requeue (lifecycle_verbs.py)
             pending_merge -> merged | failed                   merge, reject (lifecycle_verbs.py)

    attempt  (new) -> offered                                   claim (claim.py)
             offered -> running                                 start
             offered | running -> succeeded | failed | cancelled | lost
             lost -> succeeded | failed | cancelled             late finish, adopted

Each is one guarded UPDATE, so two callers can never both win; no row back raises a named error. An attempt is
always locked before its issue. The attempt's row is the fence: a write of a node holds it, so it cannot be lost
meanwhile, and a lost attempt takes no write once a newer one was handed out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.doorbell import ring
from app.db.models.work import Attempt, Issue
from app.domain.issues import notices
from app.errors import AppError, Conflict, NotFound
from app.protocol import AttemptStatus, IssueStatus


class Verdict(StrEnum):
    """What the end of an attempt means for its issue. A cancel that an operator asked for outweighs them all."""

    MERGE = "merge"
    COMPLETE = "complete"
    RETRY = "retry"
    """Back to the queue, unless this was the last attempt allowed."""
    BACK_OFF = "back_off"
    """As retry, not before 10 s · 2ⁿ have passed, at most 5 minutes."""
    GIVE_BACK = "give_back"
    """Back to the queue without burning a retry."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ends, and what is kept of what the node reported. Its fields are columns of the statement below.

    `wait_s` keeps an issue that goes back to the queue waiting so long; with `GIVE_BACK` a credential's own cool-down
    stands in for it.
    """

    status: AttemptStatus
    verdict: Verdict
    wait_s: float = 0.0
    branch: str | None = None
    base_sha: str | None = None
    head_sha: str | None = None
    summary: str | None = None
    failure_code: str | None = None
    error_message: str | None = None
    finish_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    attempt_id: UUID
    issue_id: UUID
    issue_status: IssueStatus
    credential_id: UUID | None
    adopted: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A node, known by the hash of its token, speaks of an attempt."""

    token_hash: bytes
    attempt_id: UUID


@dataclass(frozen=True, slots=True)
class Reported(Call):
    """An end as its node tells it. `next_seq`: how many log entries must be stored by then."""

    next_seq: int
    ending: Ending


_COLUMNS = {field.name: "text" for field in fields(Ending)} | {"wait_s": "float8", "finish_digest": "bytea"}
_BACK_OFF_FIRST_S = 10.0
_BACK_OFF_MAX_S = 300.0
_LIVE = "attempt.status IN ('offered', 'running') AND issue.status = 'processing'"
# Nobody claimed the issue since, so a result that comes late is still the newest there is. Where the credential of the
# offer was deleted since, nobody could mask what the node says.
_ADOPTABLE = """attempt.status = 'lost' AND attempt.finish_digest IS NULL
    AND issue.last_number = attempt.number AND issue.status IN ('pending', 'failed')
    AND (attempt.credential_id IS NOT NULL OR attempt.offer NOT LIKE '%"credential":{%')"""
OPEN = f"({_LIVE}) OR ({_ADOPTABLE})"
_UNBURNED = "('released', 'not_started', 'not_received')"
"""The failure codes of losses that burned no retry."""

# One statement ends attempts and decides over their issues, whoever ended them and why. It locks first, with the
# guards in the WHERE clause, so both rows are what they were when the verdict fell.
_END = f"""
WITH decided AS MATERIALIZED (
    SELECT attempt.id, attempt.issue_id, attempt.node_id, attempt.credential_id, attempt.status = 'lost' AS adopted,
        CASE
            WHEN attempt.cancel_requested_at IS NOT NULL THEN 'cancelled'
            WHEN ending.verdict = 'merge' THEN 'pending_merge'
            WHEN ending.verdict = 'complete' THEN 'completed'
            WHEN ending.verdict = 'fail' THEN 'failed'
            WHEN ending.verdict IN ('retry', 'back_off') AND issue.attempt_count >= issue.max_attempts THEN 'failed'
            ELSE 'pending'
        END AS next_status,
        CASE
            WHEN ending.verdict = 'back_off'
                THEN least({_BACK_OFF_FIRST_S} * 2.0 ^ greatest(issue.attempt_count - 1, 0), {_BACK_OFF_MAX_S})
            WHEN ending.verdict = 'give_back' AND attempt.credential_id IS NOT NULL THEN 0.0
            ELSE ending.wait_s
        END AS wait_s,
        -- A lost attempt that burned no retry has none to be given back when it is adopted.
        attempt.status <> 'lost' OR attempt.failure_code IS NULL OR attempt.failure_code NOT IN {_UNBURNED} AS burned,
        CASE WHEN ending.status = 'lost' AND attempt.cancel_requested_at IS NOT NULL THEN 'cancelled'
             ELSE ending.status END AS status,
        ending.verdict, ending.branch, ending.base_sha, ending.head_sha, ending.summary, ending.failure_code,
        ending.error_message, ending.finish_digest
    FROM {{endings}} JOIN attempt ON {{which}} JOIN issue ON issue.id = attempt.issue_id
    WHERE {{guard}}
    ORDER BY attempt.id
    FOR NO KEY UPDATE OF attempt, issue {{locked}}
), ended AS (
    UPDATE attempt SET
        status = decided.status, finished_at = clock_timestamp(), adopted = decided.adopted,
        base_sha = decided.base_sha, head_sha = decided.head_sha, summary = decided.summary,
        failure_code = decided.failure_code, error_message = decided.error_message,
        finish_digest = decided.finish_digest,
        finish_status = CASE WHEN decided.finish_digest IS NOT NULL THEN decided.next_status END
    FROM decided WHERE attempt.id = decided.id
)
UPDATE issue SET
    status = decided.next_status,
    attempt_count = greatest(attempt_count - CASE WHEN decided.verdict = 'give_back' AND burned THEN 1 ELSE 0 END, 0),
    assigned_node_id = CASE WHEN decided.next_status = 'pending' THEN NULL ELSE decided.node_id END,
    deferred = decided.next_status = 'pending' AND decided.wait_s > 0,
    not_before = CASE WHEN decided.next_status = 'pending' AND decided.wait_s > 0
                      THEN clock_timestamp() + decided.wait_s * interval '1 s' ELSE not_before END,
    started_at = CASE WHEN decided.next_status = 'pending' THEN NULL ELSE started_at END,
    completed_at = CASE WHEN decided.next_status = 'pending' THEN NULL ELSE clock_timestamp() END,
    error_message = CASE WHEN decided.verdict IN ('merge', 'complete') THEN NULL
                         ELSE coalesce(decided.error_message, issue.error_message) END,
    result_branch = CASE WHEN decided.next_status = 'pending_merge' THEN decided.branch ELSE result_branch END,
    updated_at = clock_timestamp()
FROM decided WHERE issue.id = decided.issue_id
RETURNING decided.id, issue.id, issue.status, decided.credential_id, decided.adopted
"""
_ONE_ENDING = f"(SELECT {', '.join(f'CAST(:{name} AS {kind}) AS {name}' for name, kind in _COLUMNS.items())}) AS ending"
_REPORTED = {"attempt_id": "uuid", "token_hash": "bytea", "next_seq": "int", **_COLUMNS}
_LOCKED = {True: "", False: "SKIP LOCKED"}
"""A statement waits for a row that somebody else holds, or passes it over."""
_END_REPORTED = {
    waits: _END.format(
        endings=f"unnest({', '.join(f'${n}::{kind}[]' for n, kind in enumerate(_REPORTED.values(), 1))})"
        f" AS ending ({', '.join(_REPORTED)})",
        which="attempt.id = ending.attempt_id AND attempt.next_seq >= ending.next_seq"
        " AND EXISTS (SELECT FROM node WHERE node.id = attempt.node_id AND node.token_hash = ending.token_hash)",
        guard=f"({_LIVE}) OR (ending.status IN ('succeeded', 'failed') AND {_ADOPTABLE})",
        locked=locked,
    )
    for waits, locked in _LOCKED.items()
}
# The status is compared where the row is locked already: within the CTE it would tempt the planner to walk all attempts
# that are live, which are few as long as the tables are small.
_START = {
    waits: f"""
WITH named AS MATERIALIZED (
    SELECT attempt.id, attempt.status FROM unnest($1::uuid[], $2::bytea[]) AS call (attempt_id, token_hash)
    JOIN attempt ON attempt.id = call.attempt_id JOIN issue ON issue.id = attempt.issue_id
    JOIN node ON node.id = attempt.node_id AND node.token_hash = call.token_hash
    ORDER BY attempt.id FOR NO KEY UPDATE OF attempt, issue {locked}
), started AS (
    UPDATE attempt SET status = 'running', started_at = clock_timestamp()
    FROM named WHERE attempt.id = named.id AND named.status = 'offered'
    RETURNING attempt.id, attempt.issue_id, attempt.started_at
)
UPDATE issue SET started_at = started.started_at, updated_at = clock_timestamp()
FROM started WHERE issue.id = started.issue_id
RETURNING started.id AS attempt_id, issue.id AS issue_id
"""
    for waits, locked in _LOCKED.items()
}
_STANDING = f"""
SELECT node.id IS NOT NULL AS is_known, attempt.node_id = node.id AS is_its_own, attempt.status,
    issue.status AS issue_status, attempt.next_seq, attempt.finish_digest, attempt.finish_status, attempt.adopted,
    attempt.failure_code, ({_LIVE}) AS is_live, ({OPEN}) AS is_open
FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS call (attempt_id, token_hash, n)
LEFT JOIN node ON node.token_hash = call.token_hash
LEFT JOIN attempt ON attempt.id = call.attempt_id
LEFT JOIN issue ON issue.id = attempt.issue_id
ORDER BY call.n
"""
STATEMENTS = (_START[False], _END_REPORTED[False], _STANDING)


async def end(
    session: AsyncSession, which: str, status: AttemptStatus, verdict: Verdict, *, waits: bool = True, **values: Any
) -> list[Ended]:
    """Ends the attempts that the SQL condition `which` names and settles their issues.

    Unless it `waits`, what somebody locks is passed over. `values` are further fields of `Ending`, and the parameters
    of `which`.
    """
    kept = {name: values.pop(name) for name in _COLUMNS.keys() & values.keys()}
    statement = text(_END.format(endings=_ONE_ENDING, which=which, guard=_LIVE, locked=_LOCKED[waits]))
    rows = (await session.execute(statement, asdict(Ending(status, verdict, **kept)) | values)).all()
    ended = [_ended(row) for row in rows]
    for one in ended:
        notices.issue_changed(session, one.issue_id)
    if ended:
        # A slot became free on the node, and the issue may be waiting again.
        ring(session)
    return ended


async def end_reported(connection: asyncpg.Connection, reports: Sequence[Reported], *, waits: bool) -> list[Ended]:
    """Ends what nodes say has ended, at most once in `reports` each; also what was lost, if nobody overtook it.

    The caller tells of it after the commit. Unless it `waits`, attempts that somebody locks are passed over.
    """
    rows = await connection.fetch(_END_REPORTED[waits], *_transposed(reports))
    return [_ended(row) for row in rows]


def _ended(row: Iterable[Any]) -> Ended:
    attempt_id, issue_id, issue_status, credential_id, adopted = row
    return Ended(attempt_id, issue_id, IssueStatus(issue_status), credential_id, adopted)


def _transposed(reports: Sequence[Reported]) -> Iterator[list[Any]]:
    """The columns of `_END_REPORTED`."""
    yield [report.attempt_id for report in reports]
    yield [report.token_hash for report in reports]
    yield [report.next_seq for report in reports]
    for name in _COLUMNS:
        yield [getattr(report.ending, name) for report in reports]


async def start(connection: asyncpg.Connection, calls: Sequence[Call], *, waits: bool) -> dict[UUID, UUID]:
    """Marks offers as taken up, as `end_reported` does. Answers which were: the attempts and their issues."""
    rows = await connection.fetch(_START[waits], *_named(calls))
    return {row["attempt_id"]: row["issue_id"] for row in rows}


async def standing(connection: asyncpg.Connection, calls: Sequence[Call]) -> list[asyncpg.Record]:
    """What became of the attempts that nodes speak of, in order: why a guarded statement passed them over."""
    return await connection.fetch(_STANDING, *_named(calls))


def _named(calls: Sequence[Call]) -> tuple[list[UUID], list[bytes]]:
    return [call.attempt_id for call in calls], [call.token_hash for call in calls]


async def lose_attempts_of(session: AsyncSession, node_id: UUID, reason: str) -> list[Ended]:
    """All that a node held goes back to the queue: it started anew, said goodbye, or is deleted."""
    return await end(
        session,
        "attempt.node_id = :node_id",
        AttemptStatus.LOST,
        Verdict.RETRY,
        node_id=node_id,
        error_message=reason,
    )


async def is_open(session: AsyncSession, attempt_id: UUID) -> bool:
    """Whether the attempt may still be written to: live, or lost with nobody on the issue since.

    Holds the issue, so that nobody claims it before the write is committed.
    """
    statement = f"""
        SELECT 1 FROM attempt JOIN issue ON issue.id = issue_id WHERE attempt.id = :id AND ({OPEN})
        FOR SHARE OF issue
    """
    return await session.scalar(text(statement), {"id": attempt_id}) is not None


async def refusal(session: AsyncSession, node_id: UUID, attempt_id: UUID) -> AppError:
    """Why a guarded statement of this node found no such live attempt."""
    row = (
        await session.execute(
            select(Attempt.status, Issue.status)
            .join(Issue, Issue.id == Attempt.issue_id)
            .where(Attempt.id == attempt_id, Attempt.node_id == node_id)
        )
    ).one_or_none()
    if row is None:
        return NotFound("This node has no such attempt.")
    return refusal_for(AttemptStatus(row[0]), IssueStatus(row[1]))


def refusal_for(attempt: AttemptStatus, issue: IssueStatus) -> AppError:
    if attempt is AttemptStatus.CANCELLED or (attempt is AttemptStatus.LOST and issue is IssueStatus.CANCELLED):
        return Conflict("The issue was cancelled; stop the work.", code="attempt_cancelled")
    if attempt is AttemptStatus.LOST:
        return Conflict("The attempt went back to the queue; stop quietly.", code="attempt_superseded")
    return Conflict("The attempt has ended already.", code="attempt_finished")
