"""The turns of attempts: start, finish, release. What nodes say together is written together.

One flush is one transaction: a statement for all starts, one for all ends, and one for whatever neither of them found,
because it was said before or comes too late.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.db.batching import HeldUp
from app.db.engine import Database
from app.domain.credentials.redaction import Masker
from app.domain.issues import finishing, lifecycle, notices
from app.domain.issues.lifecycle import Call, Ended
from app.domain.issues.masking import SHAPES_ONLY, Masks
from app.errors import AppError, NotFound, Unauthorized
from app.protocol import AttemptStatus, Finish, Finished, IssueStatus, Release, Started


@dataclass(frozen=True, slots=True)
class Start(Call):
    """The offer is taken up."""


@dataclass(frozen=True, slots=True)
class End(Call):
    report: Finish | Release


Turn = Start | End
Answer = Started | Finished
"""A release is answered like a finish; what became of the issue is not for the node to know."""

_RUNNING = Started(AttemptStatus.RUNNING)
_SECRETS = """
SELECT attempt.id, credential.id AS credential_id, credential.secret, credential.former_secrets,
    credential.secret_key_id
FROM attempt JOIN credential ON credential.id = attempt.credential_id WHERE attempt.id = ANY ($1)
"""


async def flush(db: Database, masks: Masks, turns: Sequence[Turn], waits: bool) -> list[Answer | AppError]:
    """Answers every turn, in order; commits before it returns. On `waits` see `ConsiderateBatcher`."""
    answers: dict[int, Answer | AppError] = {}
    ended: dict[int, Ended] = {}
    async with db.fleet.acquire() as connection, connection.transaction():
        starts = {n: turn for n, turn in enumerate(turns) if isinstance(turn, Start)}
        started = await lifecycle.start(connection, list(starts.values()), waits=waits) if starts else {}
        answers |= {n: _RUNNING for n, turn in starts.items() if turn.attempt_id in started}
        for ends in _once_each(turns):
            ended |= await _end(connection, masks, ends, waits=waits)
        answers |= {n: Finished(one.issue_status, one.adopted) for n, one in ended.items()}
        rest = [n for n in range(len(turns)) if n not in answers]
        found = await lifecycle.standing(connection, [turns[n] for n in rest]) if rest else []
        answers |= {n: _answer_again(turns[n], attempt) for n, attempt in zip(rest, found, strict=True)}
    notices.attempts_turned(
        db.notices,
        started.values(),
        [one.issue_id for one in ended.values()],
        any_waits_again=any(one.issue_status == IssueStatus.PENDING for one in ended.values()),
    )
    return [answers[n] for n in range(len(turns))]


def _once_each(turns: Sequence[Turn]) -> Iterator[Mapping[int, End]]:
    """The ends, by their places; each attempt at most once, and its next end when this one had its effect."""
    left = {n: turn for n, turn in enumerate(turns) if isinstance(turn, End)}
    while left:
        firsts = {left[n].attempt_id: n for n in reversed(left)}
        yield {n: left.pop(n) for n in firsts.values()}


async def _end(
    connection: asyncpg.Connection, masks: Masks, ends: Mapping[int, End], *, waits: bool
) -> dict[int, Ended]:
    """What was ended now, by its place."""
    maskers = await _maskers(connection, masks, ends.values())
    reports = [finishing.reported(end, end.report, maskers[end.attempt_id]) for end in ends.values()]
    ended = {one.attempt_id: one for one in await lifecycle.end_reported(connection, reports, waits=waits)}
    await finishing.settle_credentials(
        connection,
        [
            (ended[end.attempt_id].credential_id, end.report, report.ending.error_message)
            for end, report in zip(ends.values(), reports, strict=True)
            if end.attempt_id in ended
        ],
    )
    return {n: ended[end.attempt_id] for n, end in ends.items() if end.attempt_id in ended}


async def _maskers(connection: asyncpg.Connection, masks: Masks, ends: Iterable[End]) -> dict[UUID, Masker]:
    """For each attempt one that knows its secret, which is asked for only where there is a text to mask."""
    maskers = {end.attempt_id: SHAPES_ONLY for end in ends}
    telling = [end.attempt_id for end in ends if finishing.says_something(end.report)]
    for row in await connection.fetch(_SECRETS, telling) if telling else []:
        maskers[row["id"]] = masks.of(row["credential_id"], row["secret"], row["former_secrets"], row["secret_key_id"])
    return maskers


def _answer_again(turn: Turn, attempt: asyncpg.Record) -> Answer | AppError:
    """For a turn without effect: the answer it had before, or why it is refused."""
    if not attempt["is_known"]:
        return Unauthorized("The node token is missing or unknown; register again.")
    if not attempt["is_its_own"]:
        return NotFound("This node has no such attempt.")
    if isinstance(turn, End):
        return finishing.answer_again(turn.report, attempt)
    if attempt["status"] == AttemptStatus.RUNNING:
        return _RUNNING
    if attempt["status"] == AttemptStatus.OFFERED:
        return HeldUp()
    return lifecycle.refusal_for(AttemptStatus(attempt["status"]), IssueStatus(attempt["issue_status"]))
