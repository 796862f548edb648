"""Claims: which node gets which issue, for all requests that arrived while the last flush was in flight.

One flush is one transaction of a few statements, however many nodes ask. Issues that ask the same of a node share a
lane, and nodes that offer the same are of one kind; which kinds may have which lanes is decided once for each pair
(`eligibility`), and nodes that may have the same lanes take from their heads together, the most urgent first. So the
cost depends neither on how many issues wait, nor on how many of them are not for these nodes.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from app.domain.issues import caps, offers
from app.domain.issues.eligibility import CREDENTIAL, EFFECTIVE_DESIRED, ELIGIBLE, LANES, LANES_FROM, READY
from app.domain.issues.heads import Heads
from app.domain.issues.offers import Surroundings
from app.errors import AppError, Conflict, Unauthorized
from app.protocol import HEARTBEATS_MISSED_UNTIL_OFFLINE, Desired
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    token_hash: bytes
    claim_id: UUID
    boot_id: str
    max: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What the issues of a lane ask of a node, as far as memory can tell."""

    requires: frozenset[str]
    tool: str | None


@dataclass(frozen=True, slots=True)
class Given:
    """`offers` are JSON documents, ready to send. `unserved` are the lanes that may still hold work for others."""

    offers: Sequence[str]
    tags: frozenset[str]
    tools: frozenset[str]
    unserved: Sequence[Demand]


@dataclass(slots=True)
class _Kind:
    """Nodes with the same tags, tools and credentials."""

    example: UUID
    lanes: dict[int, UUID | None] = field(default_factory=dict[int, UUID | None])
    """The lanes that these nodes may have, each with the credential that they would use."""


@dataclass(slots=True)
class _Ask:
    request: ClaimRequest
    node: asyncpg.Record
    slots: int
    kind: _Kind
    given: list[str] = field(default_factory=list[str])

    @property
    def left(self) -> int:
        return self.slots - len(self.given)


NOT_RECEIVED = "not_received"
"""The failure code of an offer that went back because its node hung up: the same claim may have other work."""

# Two servers may hear the same node at once: its claims must see each other's slots and claim ids.
_LOCK = "SELECT pg_advisory_xact_lock({advisory_class}, key) FROM unnest('{{{keys}}}'::int[]) AS key"
# An issue whose time has come joins the queue before it is looked at, so that no timer decides what is claimable.
_IS_DUE = "status = 'pending' AND deferred AND not_before <= clock_timestamp()"
_DUE = f"""
UPDATE issue SET deferred = false
WHERE id IN (SELECT id FROM issue WHERE {_IS_DUE} ORDER BY not_before LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""
_CALLERS = f"""
SELECT who.n, node.id, node.name, node.boot_id, node.tags, node.tool_categories, {EFFECTIVE_DESIRED} AS desired,
    node.last_heartbeat > clock_timestamp() - $3::interval AS is_fresh,
    node.max_slots - (SELECT count(*) FROM attempt
                      WHERE node_id = node.id AND status IN ('offered', 'running')) AS free,
    (SELECT array_agg(offer ORDER BY id) FROM attempt
     WHERE node_id = node.id AND claim_id = who.claim_id
       AND failure_code IS DISTINCT FROM '{NOT_RECEIVED}') AS given,
    hash_record_extended(ROW(node.tags, node.tool_categories, (
        SELECT array_agg(credential_id ORDER BY credential_id) FROM credentialnodelink WHERE node_id = node.id
    )), 0) AS kind,
    EXISTS (SELECT FROM issue WHERE {_IS_DUE}) AS is_work_due
FROM unnest($1::bytea[], $2::uuid[]) WITH ORDINALITY AS who (token_hash, claim_id, n)
JOIN node ON node.token_hash = who.token_hash
"""
_MATCHES = f"""
SELECT demand.lane, demand.rank AS head, demand.requires, demand.tool, demand.project_id, demand.repository_id,
    project.max_running AS project_cap, repository.max_running AS repository_cap,
    fit.takers, fit.credentials, fit.capped, {offers.LANE_COLUMNS}
FROM lane AS demand {offers.LANE_JOINS}
CROSS JOIN LATERAL (
    SELECT array_agg(who.n) AS takers, array_agg(credential.id) AS credentials,
        array_agg(credential.id) FILTER (WHERE credential.is_capped) AS capped
    FROM unnest($1::uuid[]) WITH ORDINALITY AS who (id, n)
    JOIN node ON node.id = who.id
    CROSS JOIN LATERAL ({CREDENTIAL}) AS credential
    WHERE {ELIGIBLE}
) AS fit
"""
# A materialized CTE and a join to it: as a subquery PostgreSQL may run it more than once and claim more than asked.
# How many to take from which lane is read first, so that no row is locked that another server could have. Each scan
# starts at the head that was found last, and so not again with what was claimed and no vacuum could remove yet.
TAKE = f"""
WITH wanted AS MATERIALIZED (
    SELECT best.lane, max(best.rank) AS head, count(*) AS n FROM (
        SELECT head.* FROM unnest($1::bigint[], $3::float8[]) AS mine (lane, head) CROSS JOIN LATERAL (
            SELECT lane, rank, id FROM issue WHERE {READY} AND lane = mine.lane AND rank <= mine.head
            ORDER BY rank DESC, id LIMIT cardinality($2::uuid[])) AS head
        ORDER BY head.rank DESC, head.id LIMIT cardinality($2::uuid[])) AS best
    GROUP BY best.lane
), taken AS MATERIALIZED (
    SELECT head.*, row_number() OVER (ORDER BY head.rank DESC, head.id) AS slot
    FROM wanted CROSS JOIN LATERAL (
        SELECT id, rank, prompt_id FROM issue
        WHERE {READY} AND lane = wanted.lane AND rank <= wanted.head
        ORDER BY rank DESC, id LIMIT wanted.n FOR UPDATE SKIP LOCKED) AS head
)
UPDATE issue SET status = 'processing', attempt_count = attempt_count + 1, last_number = last_number + 1,
    assigned_node_id = ($2::uuid[])[taken.slot], updated_at = clock_timestamp()
FROM taken LEFT JOIN prompt ON prompt.id = taken.prompt_id
WHERE issue.id = taken.id
RETURNING taken.slot, issue.lane, {offers.COLUMNS}
"""
STATEMENTS = (_CALLERS, LANES + _MATCHES, LANES_FROM + _MATCHES, TAKE, offers.INSERT)


async def flush(
    pool: asyncpg.Pool, settings: Settings, heads: Heads, requests: Sequence[ClaimRequest]
) -> list[Given | AppError]:
    """Answers every request, in order; commits before it returns."""
    async with pool.acquire() as connection:
        try:
            return await _carried_out(connection, settings, heads, requests)
        except asyncpg.ForeignKeyViolationError:
            # A node or a credential was deleted meanwhile, which a second look sees.
            return await _carried_out(connection, settings, heads, requests)


async def _carried_out(
    connection: asyncpg.Connection, settings: Settings, heads: Heads, requests: Sequence[ClaimRequest]
) -> list[Given | AppError]:
    async with _transaction(connection, requests):
        answers, asks = await _callers(connection, settings, heads, requests)
        distinct = list({id(ask): ask for ask in asks.values()}.values())
        lanes = await _match(connection, heads, heads.ranks, distinct)
        await _serve(connection, settings, lanes, distinct)
        hungry = [ask for ask in distinct if ask.left]
        if hungry and not lanes.whole:
            lanes = await _match(connection, heads, {}, hungry)
            await _serve(connection, settings, lanes, hungry)
        unserved = [lanes.demands[lane] for lane in lanes.demands if lane not in lanes.exhausted]
        for n, ask in asks.items():
            answers[n] = _given(ask.node, ask.given, unserved)
        return answers


@asynccontextmanager
async def _transaction(connection: asyncpg.Connection, requests: Sequence[ClaimRequest]) -> AsyncGenerator[None]:
    """Begins with the lock of each node, in one round trip; always in the same order, so that no two wait in a ring."""
    keys = sorted({lock_key(request.token_hash) for request in requests})
    lock = _LOCK.format(advisory_class=offers.ADVISORY_CLASS, keys=",".join(map(str, keys)))
    try:
        await connection.execute(f"BEGIN; {lock}")
        yield
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


def lock_key(token_hash: bytes) -> int:
    return int.from_bytes(token_hash[:4], "big", signed=True)


async def _callers(
    connection: asyncpg.Connection, settings: Settings, heads: Heads, requests: Sequence[ClaimRequest]
) -> tuple[list[Given | AppError], dict[int, _Ask]]:
    """What is answered without looking at the queue, and the nodes that may take work, by the request's place.

    The same claim twice in one flush is one ask, so both get the same offers.
    """
    rows = await connection.fetch(
        _CALLERS,
        [request.token_hash for request in requests],
        [request.claim_id for request in requests],
        settings.heartbeat_interval * HEARTBEATS_MISSED_UNTIL_OFFLINE,
    )
    if rows and rows[0]["is_work_due"]:
        await connection.execute(_DUE)
        heads.forget()
    answers: list[Given | AppError] = [Unauthorized("The node token is unknown; register again.")] * len(requests)
    asks: dict[int, _Ask] = {}
    kinds: dict[int, _Kind] = {}
    taken: defaultdict[UUID, int] = defaultdict(int)
    first: dict[tuple[UUID, UUID], int] = {}
    for row in sorted(rows, key=lambda row: row["n"]):
        n: int = row["n"] - 1
        request = requests[n]
        answers[n] = _refused(row, request) or _given(row, row["given"] or [], [])
        same = first.setdefault((row["id"], request.claim_id), n)
        if same in asks:
            asks[n] = asks[same]
            continue
        slots = min(request.max, row["free"] - taken[row["id"]])
        if isinstance(answers[n], Given) and not row["given"] and row["is_fresh"] and slots > 0:
            taken[row["id"]] += slots
            asks[n] = _Ask(request, row, slots, kinds.setdefault(row["kind"], _Kind(row["id"])))
    return answers, asks


def _refused(node: asyncpg.Record, request: ClaimRequest) -> AppError | None:
    if node["boot_id"] != request.boot_id:
        return Conflict("Another process took this node's place; exit.", code="stale_boot")
    if node["given"]:
        return None
    if node["desired"] == Desired.DRAINING:
        return Conflict("The node is draining: finish what runs, claim nothing.", code="node_draining")
    if node["desired"] == Desired.PAUSED:
        return Conflict("The node is paused by an operator.", code="node_paused")
    return None


def _given(node: asyncpg.Record, given: Sequence[str], unserved: Sequence[Demand]) -> Given:
    return Given(given, frozenset(node["tags"]), frozenset(node["tool_categories"]), unserved)


@dataclass(slots=True)
class _Lanes:
    whole: bool
    """Whether all lanes were looked at, from their beginning."""
    demands: dict[int, Demand] = field(default_factory=dict[int, Demand])
    limits: dict[int, caps.Limits] = field(default_factory=dict[int, caps.Limits])
    heads: dict[int, float] = field(default_factory=dict[int, float])
    surroundings: dict[int, Surroundings] = field(default_factory=dict[int, Surroundings])
    capped: set[UUID] = field(default_factory=set[UUID])
    """The credentials that may have a cap."""
    exhausted: set[int] = field(default_factory=set[int])


async def _match(
    connection: asyncpg.Connection, heads: Heads, known: Mapping[int, float], asks: Sequence[_Ask]
) -> _Lanes:
    """`known` are lanes and where they begin; without it all are looked for."""
    lanes = _Lanes(whole=not known)
    if not asks:
        return lanes
    kinds = list({id(ask.kind): ask.kind for ask in asks}.values())
    examples = [kind.example for kind in kinds]
    as_of = heads.as_of
    if known:
        rows = await connection.fetch(LANES_FROM + _MATCHES, examples, list(known), list(known.values()))
    else:
        rows = await connection.fetch(LANES + _MATCHES, examples)
    for kind in kinds:
        kind.lanes.clear()
    for row in rows:
        lane = row["lane"]
        lanes.demands[lane] = Demand(frozenset(row["requires"]), row["tool"])
        lanes.limits[lane] = caps.Limits.of(row)
        lanes.heads[lane] = row["head"]
        lanes.surroundings[lane] = Surroundings.of(row)
        capped: list[UUID] = row["capped"] or []
        lanes.capped.update(capped)
        takers: list[int] = row["takers"] or []
        for n, credential in zip(takers, row["credentials"] or [], strict=True):
            kinds[n - 1].lanes[lane] = credential
    heads.learn(lanes.heads, as_of, whole=lanes.whole)
    return lanes


async def _serve(connection: asyncpg.Connection, settings: Settings, lanes: _Lanes, asks: Sequence[_Ask]) -> None:
    alike: defaultdict[tuple[int, ...], list[_Ask]] = defaultdict(list)
    for ask in asks:
        if ask.kind.lanes:
            alike[tuple(sorted(ask.kind.lanes))].append(ask)
    if not alike:
        return
    room = await caps.measure(connection, lanes.limits.values(), lanes.capped)
    for mine, group in alike.items():
        slots = [ask for turn in range(max(ask.left for ask in group)) for ask in group if ask.left > turn]
        if room.is_unlimited:
            await _take(connection, settings, lanes, list(mine), slots)
            continue
        for ask in slots:
            open_lanes = [lane for lane in mine if room.has_room(lanes.limits[lane], ask.kind.lanes[lane])]
            lane = await _take(connection, settings, lanes, open_lanes, [ask]) if open_lanes else None
            if lane is not None:
                room.use(lanes.limits[lane], ask.kind.lanes[lane])


async def _take(
    connection: asyncpg.Connection, settings: Settings, lanes: _Lanes, mine: list[int], slots: Sequence[_Ask]
) -> int | None:
    """One issue for each slot, as far as there are any. Returns the lane of the last one."""
    rows = await connection.fetch(TAKE, mine, [ask.node["id"] for ask in slots], [lanes.heads[each] for each in mine])
    if len(rows) < len(slots):
        lanes.exhausted.update(mine)
    if not rows:
        return None
    attempts: list[offers.NewAttempt] = []
    for row in sorted(rows, key=lambda row: row["slot"]):
        slot: int = row["slot"]
        ask = slots[slot - 1]
        lane: int = row["lane"]
        attempt = offers.make(
            row, lanes.surroundings[lane], ask.node, ask.request.claim_id, ask.kind.lanes[lane], settings
        )
        ask.given.append(attempt.offer)
        attempts.append(attempt)
    await offers.store(connection, attempts, settings.start_within)
    return rows[-1]["lane"]
