"""Heartbeats: that a node lives, what it holds, what it shall do. Those that arrive together are written together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from app.db.engine import Database
from app.domain.issues import lifecycle
from app.domain.issues.eligibility import EFFECTIVE_DESIRED
from app.errors import AppError, Conflict, Unauthorized
from app.protocol import Action, AttemptAction, AttemptStatus, Desired, Heartbeat

_LEFT_OUT_UNTIL_LOST = 2


@dataclass(frozen=True, slots=True)
class Beat:
    token_hash: bytes
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class Heard:
    desired: Desired
    attempts: list[AttemptAction]
    node_id: UUID
    came_back: bool


# Writes nothing that is indexed, so that the row is updated in place (see `Node`). One statement, and so one round trip
# and a transaction by itself: what the nodes hold is read beside. DISTINCT ON sorts them, so that two servers that hear
# the same nodes take their rows in one order.
_BEAT = f"""
WITH heard AS (
    UPDATE node SET last_heartbeat = clock_timestamp(), status = 'online',
        disk_free_bytes = coalesce(beat.disk_free_bytes, node.disk_free_bytes)
    FROM (SELECT DISTINCT ON (token_hash, boot_id) * FROM unnest($1::bytea[], $2::text[], $3::bigint[])
              AS beat (token_hash, boot_id, disk_free_bytes)) AS beat
    JOIN node AS former USING (token_hash)
    WHERE node.id = former.id AND node.boot_id = beat.boot_id
    RETURNING node.id, node.token_hash, {EFFECTIVE_DESIRED} AS desired, former.status AS former_status)
SELECT heard.*, held.* FROM heard CROSS JOIN LATERAL (
    SELECT array_agg(id) AS held, array_agg(missed) AS missed, array_agg(cancel_requested_at IS NOT NULL) AS unwanted
    FROM attempt WHERE node_id = heard.id AND status IN ('offered', 'running')) AS held
"""
# In the order in which whoever stores log entries locks attempts, so that no two wait for each other.
_LOCKED = """
WITH locked AS MATERIALIZED (
    SELECT id, status, missed FROM attempt WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE
)
"""
_MISS = f"""{_LOCKED}
UPDATE attempt SET missed = locked.missed + 1 FROM locked
WHERE attempt.id = locked.id AND locked.status IN ('offered', 'running')
"""
_NAMED_AGAIN = f"""{_LOCKED}
UPDATE attempt SET missed = 0 FROM locked WHERE attempt.id = locked.id AND locked.missed > 0
"""
_KNOWN = "SELECT token_hash FROM node WHERE token_hash = ANY ($1)"
STATEMENTS = (_BEAT,)


@dataclass(slots=True)
class _Missing:
    again: list[UUID] = field(default_factory=list[UUID])
    once: list[UUID] = field(default_factory=list[UUID])
    too_often: list[UUID] = field(default_factory=list[UUID])


async def flush(db: Database, beats: Sequence[Beat]) -> list[Heard | AppError]:
    """Answers every heartbeat, in order; commits before it returns."""
    missing = _Missing()
    async with db.fleet.acquire() as connection:
        nodes = await _beat(connection, beats)
        answers: list[Heard | AppError] = []
        strangers: list[int] = []
        for n, beat in enumerate(beats):
            node = nodes.get((beat.token_hash, beat.heartbeat.boot_id))
            if node is None:
                strangers.append(n)
                answers.append(Unauthorized("The node token is unknown; register again."))
            else:
                answers.append(_answer(node, beat.heartbeat, missing))
        if strangers:
            await _tell_stale_from_unknown(connection, beats, strangers, answers)
        await _note_missing(connection, missing)
    if missing.too_often:
        await _lose(db, missing.too_often)
    return answers


async def _beat(connection: asyncpg.Connection, beats: Sequence[Beat]) -> dict[tuple[bytes, str], asyncpg.Record]:
    rows = await connection.fetch(
        _BEAT,
        [beat.token_hash for beat in beats],
        [beat.heartbeat.boot_id for beat in beats],
        [beat.heartbeat.disk_free_bytes for beat in beats],
    )
    by_token = {row["token_hash"]: row for row in rows}
    return {
        (beat.token_hash, beat.heartbeat.boot_id): by_token[beat.token_hash]
        for beat in beats
        if beat.token_hash in by_token
    }


def _answer(node: asyncpg.Record, heartbeat: Heartbeat, missing: _Missing) -> Heard:
    columns: tuple[Sequence[Any], ...] = (node["held"] or (), node["missed"] or (), node["unwanted"] or ())
    held: dict[UUID, tuple[int, bool]] = {
        attempt_id: (missed, unwanted) for attempt_id, missed, unwanted in zip(*columns, strict=True)
    }
    named = {attempt.attempt_id for attempt in heartbeat.attempts}
    actions: list[AttemptAction] = []
    for attempt in heartbeat.attempts:
        if attempt.attempt_id not in held:
            actions.append(AttemptAction(attempt.attempt_id, Action.ABANDON))
            continue
        missed, unwanted = held[attempt.attempt_id]
        actions.append(AttemptAction(attempt.attempt_id, Action.CANCEL if unwanted else Action.CONTINUE))
        if missed:
            missing.again.append(attempt.attempt_id)
    for attempt_id in held.keys() - named:
        often = held[attempt_id][0] + 1 >= _LEFT_OUT_UNTIL_LOST
        (missing.too_often if often else missing.once).append(attempt_id)
    return Heard(Desired(node["desired"]), actions, node["id"], node["former_status"] != "online")


async def _tell_stale_from_unknown(
    connection: asyncpg.Connection, beats: Sequence[Beat], strangers: list[int], answers: list[Heard | AppError]
) -> None:
    rows = await connection.fetch(_KNOWN, [beats[n].token_hash for n in strangers])
    known = {row["token_hash"] for row in rows}
    for n in strangers:
        if beats[n].token_hash in known:
            answers[n] = Conflict("Another process took this node's place; exit.", code="stale_boot")


async def _note_missing(connection: asyncpg.Connection, missing: _Missing) -> None:
    if missing.once or missing.too_often:
        await connection.execute(_MISS, [*missing.once, *missing.too_often])
    if missing.again:
        await connection.execute(_NAMED_AGAIN, missing.again)


async def _lose(db: Database, attempt_ids: list[UUID]) -> None:
    """What was started burns a retry, since the node lost it; an offer that never arrived does not."""
    for status, verdict, code in (
        ("running", lifecycle.Verdict.RETRY, "lost"),
        ("offered", lifecycle.Verdict.GIVE_BACK, "not_received"),
    ):
        async with db.reserved.begin() as session:
            await lifecycle.end(
                session,
                f"attempt.id = ANY (:ids) AND attempt.missed >= {_LEFT_OUT_UNTIL_LOST} AND attempt.status = '{status}'",
                AttemptStatus.LOST,
                verdict,
                ids=attempt_ids,
                failure_code=code,
                error_message="The node no longer names the attempt in its heartbeats.",
            )
