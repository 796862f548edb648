"""The hot statements use their indexes, planned for any values, with the statistics of a million rows.

Statistics are faked: what the planner believes of a table is one row of `pg_class`. As on the fleet's connections,
reading a whole table is possible only where no index serves, so a lost index shows as a sequential scan.
"""

import asyncio
import re

import asyncpg
import pytest
from speaking import MakeNode, Queue

from app.db.connection import rehearse
from app.db.engine import PLANS_LAST_S, open_database, plan_alike
from app.domain.issues import caps, claim, eligibility, fleet, lifecycle, log_append, sweeps, turns
from app.domain.nodes import heartbeat

GREAT = ("issue", "attempt", "workflowlog", "node", "credentialnodelink")
# The statement, and the indexes without which it would read a table from end to end.
HOT = {
    "due": (claim._DUE, ["ix_issue_deferred"]),
    "callers": (
        claim._CALLERS,
        ["uq_node_token_hash", "ix_attempt_live_node", "ix_attempt_node_id_claim_id", "ix_issue_deferred"],
    ),
    "matches": (eligibility.LANES + claim._MATCHES, ["ix_issue_ready"]),
    "matches from known heads": (eligibility.LANES_FROM + claim._MATCHES, ["ix_issue_ready"]),
    "take": (claim.TAKE, ["ix_issue_ready", "pk_issue"]),
    "lanes": (f"{eligibility.LANES} SELECT * FROM lane", ["ix_issue_ready"]),
    "cap of a project": (caps._COUNT["project"], ["ix_issue_project_id_status"]),
    "cap of a repository": (caps._COUNT["repository"], ["ix_issue_repository_id_status"]),
    "cap of a credential": (caps._COUNT["credential"], ["ix_attempt_live_credential"]),
    "beat": (heartbeat._BEAT, ["uq_node_token_hash", "pk_node", "ix_attempt_live_node"]),
    "missed": (heartbeat._MISS, ["pk_attempt"]),
    "named again": (heartbeat._NAMED_AGAIN, ["pk_attempt"]),
    "log written on": (log_append._WRITE_ON, ["pk_attempt", "pk_node"]),
    "log lock": (log_append._LOCK, ["pk_attempt", "uq_workflowlog_attempt_id_seq"]),
    "last log": (log_append._LAST, ["pk_attempt", "uq_workflowlog_attempt_id_seq"]),
    "late log": (log_append._LATE, ["pk_attempt", "pk_issue"]),
    "log advance": (log_append._ADVANCE, ["pk_attempt"]),
    "start": (lifecycle._START[False], ["pk_attempt", "pk_issue"]),
    "finish": (lifecycle._END_REPORTED[False], ["pk_attempt", "uq_node_token_hash", "pk_issue"]),
    "standing": (lifecycle._STANDING, ["pk_attempt", "uq_node_token_hash", "pk_issue"]),
    "secrets": (turns._SECRETS, ["pk_attempt"]),
}


@pytest.fixture
async def million(sql: asyncpg.Connection, queue: Queue, make_node: MakeNode) -> asyncpg.Connection:
    node = await make_node(max_slots=3)
    for _ in range(3):
        await queue.add()
    offer = await node.take()
    await node.log(offer["attempt_id"], 0, "one", "two")
    await plan_alike(sql)
    for table in GREAT:
        await sql.execute(f"VACUUM ANALYZE {table}")
        await sql.execute(
            """UPDATE pg_class SET reltuples = 1000000
               WHERE oid = $1::regclass OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = $1::regclass)""",
            table,
        )
    return sql


async def plan_of(sql: asyncpg.Connection, statement: str) -> str:
    """As planned once for all values."""
    count = max((int(n) for n in re.findall(r"\$(\d+)", statement)), default=0)
    await sql.execute(f"PREPARE hot AS {statement}")
    nulls = f"({', '.join(['NULL'] * count)})" if count else ""
    rows = await sql.fetch(f"EXPLAIN EXECUTE hot{nulls}")
    await sql.execute("DEALLOCATE hot")
    return "\n".join(row[0] for row in rows)


def scanned(plan: str) -> set[str]:
    return set(re.findall(r"Seq Scan on (\w+)", plan)) & set(GREAT)


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_uses_its_indexes(million: asyncpg.Connection, name: str):
    statement, indexes = HOT[name]
    plan = await plan_of(million, statement)
    assert not scanned(plan), plan
    for index in indexes:
        assert index in plan, plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("take", "ix_issue_ready"),
        ("matches", "ix_issue_ready"),
        ("due", "ix_issue_deferred"),
        ("beat", "ix_attempt_live_node"),
        ("cap of a project", "ix_issue_project_id_status"),
    ],
)
async def test_without_its_index_the_plan_is_another(million: asyncpg.Connection, name: str, index: str):
    await million.execute(f"DROP INDEX {index}")
    plan = await plan_of(million, HOT[name][0])
    assert index not in plan


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (sweeps.SILENT, "attempt_live_"),
        (sweeps.NOT_STARTED, "attempt_live_"),
        (sweeps.CANCELLED, "ix_attempt_live_cancel_requested_at"),
    ],
    ids=["silent", "not started", "cancelled"],
)
async def test_a_sweep_looks_at_live_attempts_alone(million: asyncpg.Connection, which: str, index: str):
    plan = await plan_of(million, re.sub(r":\w+ AS", "NULL AS", sweeps.LOOK.format(which=which)))
    assert index in plan, plan
    # Heartbeats must stay out of every index.
    assert scanned(plan) <= {"node"}, plan


FREE_SLOTS = "SELECT count(*) FROM attempt WHERE node_id = $1 AND status IN ('offered', 'running')"


@pytest.mark.parametrize("rehearsed", [False, True], ids=["at once", "after a rehearsal"])
async def test_a_plan_made_while_a_table_was_empty_does_not_outlast_its_growth(
    database_url: str, sql: asyncpg.Connection, queue: Queue, rehearsed: bool
):
    """After a second; and at once when it is the first that was made for work."""
    db = await open_database(database_url)

    async def plan() -> str:
        async with db.fleet.acquire() as connection:
            if not await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name = 'free_slots'"):
                await connection.execute(f"PREPARE free_slots AS {FREE_SLOTS}")
            return "\n".join(row[0] for row in await connection.fetch("EXPLAIN EXECUTE free_slots(NULL)"))

    try:
        if rehearsed:
            await rehearse(db.fleet, fleet.STATEMENTS)
        else:
            await plan()
        former = await plan()
        await sql.execute("SET session_replication_role = replica")
        await sql.execute(
            """INSERT INTO attempt (id, issue_id, node_id, node_name, number, branch, claim_id, offer, start_by)
               SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'node', 1, 'b', gen_random_uuid(), '{}',
                   clock_timestamp()
               FROM generate_series(1, 2000)"""
        )
        if not rehearsed:
            assert await plan() == former
            await asyncio.sleep(PLANS_LAST_S)
            await plan()
        assert "Index Cond: (node_id = $1)" in await plan()
    finally:
        await db.close()
