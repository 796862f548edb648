"""Log entries: stored once, in order, masked, however often a node sends them.

The attempt's row is locked while its entries are stored, so it cannot be lost meanwhile; `attempt.next_seq` says how
many the server has. Batches that arrive while a flush is in flight are stored together.

A node that writes on finds its attempt as it left it, and so one statement stores what it sends, if all is still as it
was found last. Where that is not known, or no longer true, a transaction looks first.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import asyncpg

from app.db.base import new_ids
from app.db.engine import Database
from app.domain.credentials.redaction import Masker
from app.domain.issues import lifecycle, masking, notices
from app.domain.issues.masking import Masks
from app.errors import AppError, Conflict, NotFound, Unauthorized
from app.protocol import Action, AttemptStatus, IssueStatus, LogAnswer, LogBatch, LogEntry, StepStatus


@dataclass(frozen=True, slots=True)
class Append:
    token_hash: bytes
    attempt_id: UUID
    batch: LogBatch


@dataclass(frozen=True, slots=True)
class _Last:
    """The entry stored last: a secret may begin in it and end in the next."""

    id: UUID
    step_name: str
    output: str | None

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self | None:
        return cls(row["last_id"], row["last_step"], row["last_output"]) if row["last_id"] else None


@dataclass(slots=True)
class _Open:
    """An attempt that may be written to, or why it may not."""

    id: UUID
    issue_id: UUID
    node_id: UUID
    token_hash: bytes
    credential_id: UUID | None
    secret: bytes | None
    former_secrets: bytes | None
    secret_key_id: str | None
    had: int
    """How many entries the server has."""
    next_seq: int
    """The same once those are stored that were accepted."""
    last: _Last | None
    wants_cancel: bool
    is_live: bool
    now: datetime | None
    """When an entry that does not say so was written; where it is not known, the database says."""
    refusal: AppError | None = None

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(
            id=row["id"],
            issue_id=row["issue_id"],
            node_id=row["node_id"],
            token_hash=row["token_hash"],
            credential_id=row["credential_id"],
            secret=row["secret"],
            former_secrets=row["former_secrets"],
            secret_key_id=row["secret_key_id"],
            had=row["next_seq"],
            next_seq=row["next_seq"],
            last=_Last.of(row),
            wants_cancel=row["wants_cancel"],
            is_live=row["status"] in _LIVE,
            now=row["now"],
        )

    @property
    def answer(self) -> LogAnswer:
        return LogAnswer(self.next_seq, Action.CANCEL if self.wants_cancel else Action.CONTINUE)


@dataclass(slots=True)
class _Stored:
    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    mended: dict[UUID, str | None] = field(default_factory=dict[UUID, str | None])
    """Entries that were stored before and turn out to hold the beginning of a secret."""
    ids: Iterator[UUID] = field(default_factory=new_ids)


class Memory:
    """The attempts that were written to of late, as they were left."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[UUID, _Open] = OrderedDict()

    def take(self, append: Append) -> _Open | None:
        """Forgets it too: who has written to it remembers it anew."""
        attempt = self._attempts.pop(append.attempt_id, None)
        return attempt if attempt and attempt.token_hash == append.token_hash else None

    def keep(self, attempt: _Open) -> None:
        """As its entries were committed, if it may be written on. It is the next flush's from here on."""
        if not attempt.is_live:
            return
        if attempt.credential_id is None:
            attempt.last = None
        elif attempt.last is None or len(attempt.last.output or "") > _LAST_MAX_CHARS:
            return
        attempt.had = attempt.next_seq
        attempt.now = None
        self._attempts[attempt.id] = attempt
        if len(self._attempts) > _REMEMBERED:
            self._attempts.popitem(last=False)


_REMEMBERED = 10_000
_LAST_MAX_CHARS = 2_000
_LOCK = """
SELECT attempt.id, attempt.issue_id, attempt.node_id, call.token_hash, attempt.next_seq, attempt.status,
    attempt.cancel_requested_at IS NOT NULL AS wants_cancel, clock_timestamp() AS now, attempt.credential_id,
    credential.secret, credential.former_secrets, credential.secret_key_id,
    last.id AS last_id, last.step_name AS last_step, last.output AS last_output
FROM unnest($1::uuid[], $2::bytea[]) AS call (attempt_id, token_hash)
JOIN attempt ON attempt.id = call.attempt_id
JOIN node ON node.id = attempt.node_id AND node.token_hash = call.token_hash
LEFT JOIN credential ON credential.id = attempt.credential_id
LEFT JOIN workflowlog AS last ON attempt.credential_id IS NOT NULL
    AND last.attempt_id = attempt.id AND last.seq = attempt.next_seq - 1
ORDER BY attempt.id FOR NO KEY UPDATE OF attempt
"""
# An attempt that was waited for has newer entries than the snapshot of the statement that waited.
_LAST = """
SELECT last.attempt_id, last.id AS last_id, last.step_name AS last_step, last.output AS last_output
FROM workflowlog AS last JOIN attempt ON attempt.id = last.attempt_id AND last.seq = attempt.next_seq - 1
WHERE attempt.id = ANY ($1)
"""
# A lost attempt may still be written to while nobody has claimed its issue since; FOR SHARE holds such a claim off.
_LATE = f"""
SELECT attempt.id, issue.status AS issue_status, ({lifecycle.OPEN}) AS is_open
FROM attempt JOIN issue ON issue.id = attempt.issue_id WHERE attempt.id = ANY ($1)
ORDER BY attempt.id FOR SHARE OF issue
"""
_COLUMNS = ("id", "issue_id", "attempt_id", "node_id", "seq", "step_name", "status", "command", "output",
            "error_message", "duration_ms", "created_at")  # fmt: skip
# All or nothing: where an attempt is not as it is remembered, nothing of the flush is stored. Its status is compared
# where its row is locked: inside the scan it would make the planner walk all live attempts.
_WRITE_ON = f"""
WITH locked AS MATERIALIZED (
    SELECT call.then_seq, attempt.id, attempt.cancel_requested_at IS NOT NULL AS wants_cancel, attempt.status,
        attempt.next_seq = call.next_seq AND credential.secret IS NOT DISTINCT FROM call.secret AS is_as_left
    FROM unnest($1::uuid[], $2::bytea[], $3::int[], $4::int[], $5::bytea[])
        AS call (attempt_id, token_hash, next_seq, then_seq, secret)
    JOIN attempt ON attempt.id = call.attempt_id
    JOIN node ON node.id = attempt.node_id AND node.token_hash = call.token_hash
    LEFT JOIN credential ON credential.id = attempt.credential_id
    ORDER BY attempt.id FOR NO KEY UPDATE OF attempt
), held AS MATERIALIZED (
    SELECT * FROM locked WHERE is_as_left AND status IN ('offered', 'running')
), whether AS MATERIALIZED (
    SELECT count(*) = cardinality($1) AS all_are_held FROM held
), stored AS (
    INSERT INTO workflowlog ({", ".join(_COLUMNS)})
    SELECT {", ".join(_COLUMNS[:-1])}, coalesce(created_at, clock_timestamp())
    FROM unnest($6::uuid[], $7::uuid[], $8::uuid[], $9::uuid[], $10::int[], $11::text[], $12::text[], $13::text[],
        $14::text[], $15::text[], $16::bigint[], $17::timestamptz[]) AS entry ({", ".join(_COLUMNS)})
    WHERE (SELECT all_are_held FROM whether)
)
UPDATE attempt SET next_seq = held.then_seq FROM held
WHERE attempt.id = held.id AND (SELECT all_are_held FROM whether)
RETURNING attempt.id, held.wants_cancel
"""
_ADVANCE = """
UPDATE attempt SET next_seq = done.next_seq FROM unnest($1::uuid[], $2::int[]) AS done (id, next_seq)
WHERE attempt.id = done.id
"""
_LIVE = {AttemptStatus.OFFERED, AttemptStatus.RUNNING}
_MEND = """
UPDATE workflowlog SET output = mended.output FROM unnest($1::uuid[], $2::text[]) AS mended (id, output)
WHERE workflowlog.id = mended.id
"""
_KNOWN_TOKENS = "SELECT token_hash FROM node WHERE token_hash = ANY ($1)"
STATEMENTS = (_WRITE_ON, _LOCK, _ADVANCE)


Answers = dict[int, LogAnswer | AppError]
"""By the place of the append in its flush."""


async def flush(db: Database, masks: Masks, memory: Memory, appends: Sequence[Append]) -> list[LogAnswer | AppError]:
    """Answers every batch, in order; commits before it returns."""
    answers: Answers = {}
    async with db.fleet.acquire() as connection:
        _tell(db, await _write_on(connection, masks, memory, appends, answers))
        if len(answers) < len(appends):
            _tell(db, await _look_first(connection, masks, memory, appends, answers))
    return [answers[n] for n in range(len(appends))]


def _tell(db: Database, grown: Sequence[_Open]) -> None:
    """Call it at once: what is kept in memory is the next flush's."""
    for attempt in grown:
        notices.log_grew(db.notices, attempt.issue_id, attempt.id, attempt.next_seq)


async def _write_on(
    connection: asyncpg.Connection, masks: Masks, memory: Memory, appends: Sequence[Append], answers: Answers
) -> list[_Open]:
    """Answers where all attempts that are remembered are still as they were left; returns those that have grown."""
    places: dict[UUID, int] = {}
    attempts: list[_Open] = []
    stored = _Stored()
    for n, append in enumerate(appends):
        attempt = memory.take(append)
        if attempt is None:
            continue
        mine = _Stored(ids=stored.ids)
        if isinstance(_accept(attempt, append.batch, masks, mine), LogAnswer) and not mine.mended:
            places[attempt.id] = n
            attempts.append(attempt)
            stored.rows += mine.rows
    if not attempts:
        return []
    calls = zip(*((a.id, a.token_hash, a.had, a.next_seq, a.secret) for a in attempts), strict=True)
    columns = zip(*stored.rows, strict=True) if stored.rows else [()] * len(_COLUMNS)
    rows = await connection.fetch(_WRITE_ON, *calls, *columns)
    wants_cancel = {row["id"]: row["wants_cancel"] for row in rows}
    if not wants_cancel:
        return []
    grown = [attempt for attempt in attempts if attempt.next_seq > attempt.had]
    for attempt in attempts:
        attempt.wants_cancel = wants_cancel[attempt.id]
        answers[places[attempt.id]] = attempt.answer
        memory.keep(attempt)
    return grown


async def _look_first(
    connection: asyncpg.Connection, masks: Masks, memory: Memory, appends: Sequence[Append], answers: Answers
) -> list[_Open]:
    """Answers those that have no answer yet; returns the attempts that have grown."""
    asking = {n: append for n, append in enumerate(appends) if n not in answers}
    async with connection.transaction():
        attempts = await _lock(connection, list(asking.values()))
        strangers = [a.token_hash for a in asking.values() if (a.attempt_id, a.token_hash) not in attempts]
        known = {row[0] for row in await connection.fetch(_KNOWN_TOKENS, strangers)} if strangers else set[bytes]()
        stored = _Stored()
        for n, append in asking.items():
            attempt = attempts.get((append.attempt_id, append.token_hash))
            if attempt is not None:
                answers[n] = _accept(attempt, append.batch, masks, stored)
            elif append.token_hash in known:
                answers[n] = NotFound("This node has no such attempt.")
            else:
                answers[n] = Unauthorized("The node token is unknown; register again.")
        grown = [attempt for attempt in attempts.values() if attempt.next_seq > attempt.had]
        if stored.rows:
            await connection.copy_records_to_table("workflowlog", records=stored.rows, columns=_COLUMNS)
            await connection.execute(_ADVANCE, [a.id for a in grown], [a.next_seq for a in grown])
        if stored.mended:
            await connection.execute(_MEND, list(stored.mended), list(stored.mended.values()))
    for attempt in attempts.values():
        memory.keep(attempt)
    return grown


async def _lock(connection: asyncpg.Connection, appends: Sequence[Append]) -> dict[tuple[UUID, bytes], _Open]:
    rows = await connection.fetch(
        _LOCK, [append.attempt_id for append in appends], [append.token_hash for append in appends]
    )
    attempts = {row["id"]: _Open.of(row) for row in rows}
    outrun = [row["id"] for row in rows if row["credential_id"] and row["next_seq"] and not row["last_id"]]
    for row in await connection.fetch(_LAST, outrun) if outrun else []:
        attempts[row["attempt_id"]].last = _Last.of(row)
    ended = {row["id"]: AttemptStatus(row["status"]) for row in rows if row["status"] not in _LIVE}
    for row in await connection.fetch(_LATE, list(ended)) if ended else []:
        if not row["is_open"]:
            attempts[row["id"]].refusal = lifecycle.refusal_for(ended[row["id"]], IssueStatus(row["issue_status"]))
    return {(attempt.id, attempt.token_hash): attempt for attempt in attempts.values()}


def _accept(attempt: _Open, batch: LogBatch, masks: Masks, stored: _Stored) -> LogAnswer | AppError:
    if attempt.refusal is not None:
        return attempt.refusal
    if batch.first_seq > attempt.next_seq:
        return Conflict(
            f"Entries from {attempt.next_seq} on are missing; send them first.",
            code="log_gap",
            next_seq=attempt.next_seq,
        )
    entries = batch.entries[attempt.next_seq - batch.first_seq :]
    masker = masks.of(attempt.credential_id, attempt.secret, attempt.former_secrets, attempt.secret_key_id)
    storable = _storable(attempt, entries, masker, stored)
    if storable:
        stored.rows += _rows(attempt, storable, stored.ids)
        attempt.next_seq += len(storable)
        attempt.last = _Last(stored.rows[-1][0], storable[-1].step_name, storable[-1].output)
    return attempt.answer


def _storable(attempt: _Open, entries: Sequence[LogEntry], masker: Masker, stored: _Stored) -> Sequence[LogEntry]:
    """Masks together with the entry before, which may turn out to hold the beginning of a secret."""
    last = attempt.last
    if last is None or attempt.credential_id is None:
        return masking.storable(masker, entries)
    as_entry = LogEntry(last.step_name, StepStatus.RUNNING, output=last.output)
    before, *following = masking.storable(masker, [as_entry, *entries])
    if before.output != last.output:
        stored.mended[last.id] = before.output
    return following


def _rows(attempt: _Open, entries: Sequence[LogEntry], ids: Iterator[UUID]) -> Iterator[tuple[Any, ...]]:
    issue_id, attempt_id, node_id, now = attempt.issue_id, attempt.id, attempt.node_id, attempt.now
    for seq, entry in enumerate(entries, attempt.next_seq):
        yield (
            next(ids),
            issue_id,
            attempt_id,
            node_id,
            seq,
            entry.step_name,
            entry.status,
            entry.command,
            entry.output,
            entry.error_message,
            entry.duration_ms,
            entry.created_at or now,
        )
