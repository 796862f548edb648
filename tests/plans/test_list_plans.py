"""What a list and the numbers of the dashboard read: indexes and counters, never a great table from end to end."""

import re

import asyncpg
import httpx2
import pytest
from litestar import Litestar
from sqlalchemy import event

ROWS = 20_000
GREAT = {"issue", "node"}
# Triggers are off, so that the rows are there within a second.
SEED = f"""
SET session_replication_role = replica;
INSERT INTO issue (id, title, status, rank, priority, owner_id, created_at, completed_at)
SELECT gen_random_uuid(), 'Issue ' || n,
    (ARRAY['pending', 'completed', 'failed', 'merged', 'pending_merge', 'cancelled'])[1 + n % 6],
    -n, n % 4, (SELECT id FROM "user"), now() - n * interval '1 minute', now()
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO node (id, name, machine_id, owner_id, status, desired, created_at)
SELECT gen_random_uuid(), 'node ' || n, 'machine ' || n, (SELECT id FROM "user"),
    (ARRAY['online', 'offline'])[1 + (n % 100) / 99], (ARRAY['active', 'paused'])[1 + (n % 100) / 99],
    now() - n * interval '1 minute'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO attempt (id, issue_id, node_name, number, status, branch, claim_id, offer, start_by, started_at)
SELECT gen_random_uuid(), id, 'n', 1, 'running', 'b', gen_random_uuid(), '{{}}', now(), now() FROM issue LIMIT 1000;
INSERT INTO issue_tally SELECT owner_id, status, NULL, count(*) FROM issue GROUP BY 1, 2;
INSERT INTO node_tally SELECT owner_id, status, desired, count(*) FROM node GROUP BY 1, 2, 3;
INSERT INTO issue_text SELECT id, owner_id, lower(title) FROM issue LIMIT 1000;
INSERT INTO node_text SELECT id, name FROM node;
RESET session_replication_role;
"""
EXPECTED = {
    "/issues": ["ix_issue_created_at_id"],
    "/issues?status=pending": [],
    "/issues?status=failed": [],
    "/issues?sort=priority": ["ix_issue_pending_priority_created_at_id", "ix_issue_ended_priority_created_at_id"],
    "/issues?sort=priority&status=pending": ["ix_issue_pending_priority_created_at_id"],
    "/issues?q=Issue 99": ["ix_issue_text_grams", "pk_issue"],
    "/nodes": ["ix_node_created_at_id"],
    "/nodes?status=offline": ["ix_node_status_created_at_id"],
    "/nodes?desired=paused": ["ix_node_desired_created_at_id"],
    "/nodes?q=node 999": ["Seq Scan on node_text", "pk_node"],
    "/nodes?q=node": ["ix_node_created_at_id", "pk_node_text"],
    "/dashboard/stats": ["ix_issue_pending_owner_id_created_at_id", "pk_issue"],
}


@pytest.fixture
async def many(sql: asyncpg.Connection, admin: httpx2.AsyncClient) -> asyncpg.Connection:
    await sql.execute(SEED)
    await sql.execute("VACUUM ANALYZE")
    return sql


@pytest.mark.parametrize("path", EXPECTED)
async def test_a_list_reads_no_great_table_from_end_to_end(app: Litestar, admin, many, path: str):
    sent: list[tuple[str, tuple[object, ...]]] = []

    def note(_connection, _cursor, statement: str, parameters, *_rest) -> None:
        sent.append((statement, parameters))

    engine = app.state.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    answer = await admin.get(f"/api/v1{path}")
    event.remove(engine, "before_cursor_execute", note)
    assert answer.status_code == 200, answer.text
    reads = [(statement, values) for statement, values in sent if statement.lstrip().startswith(("SELECT", "WITH"))]
    plans = [await many.fetch(f"EXPLAIN {statement}", *values) for statement, values in reads]
    text = "\n".join(row[0] for plan in plans for row in plan)
    assert not set(re.findall(r"Seq Scan on (\w+)", text)) & GREAT, text
    for index in EXPECTED[path]:
        assert index in text, text


@pytest.mark.usefixtures("many")
async def test_a_search_that_most_pass_counts_all_and_shows_the_newest(admin):
    for query, total, first in (
        ("/nodes?q=NODE", ROWS, "node 1"),
        ("/nodes?q=node 1&status=online", 11000, "node 1"),
        ("/nodes?q=node&desired=paused", 200, "node 99"),
        ("/nodes?q=node 19999", 1, "node 19999"),
    ):
        page = (await admin.get(f"/api/v1{query}&limit=1")).json()
        assert (page["total"], page["items"][0]["name"]) == (total, first), query
