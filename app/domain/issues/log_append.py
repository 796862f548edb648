"""Log entries: stored once, in order, masked, however often a node sends them.

The attempt's row is locked while its entries are stored, so it cannot be lost meanwhile; `attempt.next_seq` says how
many the server has. Batches that arrive while a flush is in flight are stored together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
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
    entry: LogEntry


@dataclass(slots=True)
class _Open:
    row: asyncpg.Record
    next_seq: int
    last: _Last | None
    refusal: AppError | None = None


@dataclass(slots=True)
class _Stored:
    rows: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    mended: dict[UUID, str | None] = field(default_factory=dict[UUID, str | None])
    """Entries that were stored before and turn out to hold the beginning of a secret."""
    ids: Iterator[UUID] = field(default_factory=new_ids)


_LOCK = """
SELECT attempt.id, attempt.issue_id, attempt.node_id, call.token_hash, attempt.next_seq, attempt.status,
    attempt.cancel_requested_at IS NOT NULL AS wants_cancel, clock_timestamp() AS now, attempt.credential_id,
    credential.secret, credential.secret_key_id,
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


async def flush(db: Database, masks: Masks, appends: Sequence[Append]) -> list[LogAnswer | AppError]:
    """Answers every batch, in order; commits before it returns."""
    async with db.fleet.acquire() as connection, connection.transaction():
        attempts = await _lock(connection, appends)
        strangers = [append.token_hash for append in appends if (append.attempt_id, append.token_hash) not in attempts]
        known = {row[0] for row in await connection.fetch(_KNOWN_TOKENS, strangers)} if strangers else set[bytes]()
        stored = _Stored()
        answers: list[LogAnswer | AppError] = []
        for append in appends:
            attempt = attempts.get((append.attempt_id, append.token_hash))
            if attempt is not None:
                answers.append(_accept(attempt, append.batch, masks, stored))
            elif append.token_hash in known:
                answers.append(NotFound("This node has no such attempt."))
            else:
                answers.append(Unauthorized("The node token is unknown; register again."))
        grown = [attempt for attempt in attempts.values() if attempt.next_seq > attempt.row["next_seq"]]
        if stored.rows:
            await connection.copy_records_to_table("workflowlog", records=stored.rows, columns=_COLUMNS)
            await connection.execute(_ADVANCE, [a.row["id"] for a in grown], [a.next_seq for a in grown])
        if stored.mended:
            await connection.execute(_MEND, list(stored.mended), list(stored.mended.values()))
    for attempt in grown:
        notices.log_grew(db.notices, attempt.row["issue_id"], attempt.row["id"], attempt.next_seq)
    return answers


async def _lock(connection: asyncpg.Connection, appends: Sequence[Append]) -> dict[tuple[UUID, bytes], _Open]:
    rows = await connection.fetch(
        _LOCK, [append.attempt_id for append in appends], [append.token_hash for append in appends]
    )
    attempts: dict[UUID, _Open] = {row["id"]: _Open(row, row["next_seq"], _last(row)) for row in rows}
    outrun = [row["id"] for row in rows if row["credential_id"] and row["next_seq"] and not row["last_id"]]
    for row in await connection.fetch(_LAST, outrun) if outrun else []:
        attempts[row["attempt_id"]].last = _last(row)
    ended = [row["id"] for row in rows if row["status"] not in _LIVE]
    for row in await connection.fetch(_LATE, ended) if ended else []:
        if not row["is_open"]:
            attempt = attempts[row["id"]]
            attempt.refusal = lifecycle.refusal_for(
                AttemptStatus(attempt.row["status"]), IssueStatus(row["issue_status"])
            )
    return {(attempt_id, attempt.row["token_hash"]): attempt for attempt_id, attempt in attempts.items()}


def _last(row: asyncpg.Record) -> _Last | None:
    if row["last_id"] is None:
        return None
    return _Last(row["last_id"], LogEntry(row["last_step"], StepStatus.RUNNING, output=row["last_output"]))


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
    masker = masks.of(attempt.row["credential_id"], attempt.row["secret"], attempt.row["secret_key_id"])
    storable = _storable(attempt, entries, masker, stored)
    if storable:
        stored.rows += _rows(attempt, storable, stored.ids)
        attempt.next_seq += len(storable)
        attempt.last = _Last(stored.rows[-1][0], storable[-1])
    return LogAnswer(attempt.next_seq, Action.CANCEL if attempt.row["wants_cancel"] else Action.CONTINUE)


def _storable(attempt: _Open, entries: Sequence[LogEntry], masker: Masker, stored: _Stored) -> Sequence[LogEntry]:
    """Masks together with the entry before, which may turn out to hold the beginning of a secret."""
    if attempt.last is None or attempt.row["credential_id"] is None:
        return masking.storable(masker, entries)
    before, *following = masking.storable(masker, [attempt.last.entry, *entries])
    if before.output != attempt.last.entry.output:
        stored.mended[attempt.last.id] = before.output
    return following


def _rows(attempt: _Open, entries: Sequence[LogEntry], ids: Iterator[UUID]) -> Iterator[tuple[Any, ...]]:
    issue_id, attempt_id, node_id, now = (attempt.row[name] for name in ("issue_id", "id", "node_id", "now"))
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
