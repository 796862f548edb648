"""A claim writes one index entry less and tidies up less, its counter is not quadratic, cancels are found by index

Data: none changes. Everything runs beside traffic and may be interrupted.

Revision ID: 017_lean_claims
Revises: 016_audit_search
"""

from alembic import op

from app.db.revision_steps import build_index, outside_transaction

revision = "017_lean_claims"
down_revision = "016_audit_search"
branch_labels = None
depends_on = None

# One index each for the lists, the cascade and the count of what is worked on, which had two. What is worked on is
# listed by one of its own.
INDEXES = {
    "ix_issue_repository_id_status": "issue (repository_id, status) WHERE repository_id IS NOT NULL",
    "ix_issue_project_id_status": "issue (project_id, status) WHERE project_id IS NOT NULL",
    "ix_issue_processing_created_at_id": "issue (created_at, id) WHERE status = 'processing'",
    "ix_attempt_live_cancel_requested_at": (
        "attempt (cancel_requested_at) WHERE status IN ('offered', 'running') AND cancel_requested_at IS NOT NULL"
    ),
}
FORMER_INDEXES = {
    "ix_issue_repository_id": "issue (repository_id) WHERE repository_id IS NOT NULL",
    "ix_issue_project_id": "issue (project_id) WHERE project_id IS NOT NULL",
    "ix_issue_processing_repository_id": "issue (repository_id) WHERE status = 'processing'",
    "ix_issue_processing_project_id": "issue (project_id) WHERE status = 'processing'",
}
# Transition tables have neither index nor statistics. A lookup with a limit begins, whatever the planner thinks of
# them, with the rows that ended, and a claim has none.
ENDED_ISSUES = """
            FROM new_rows AS after CROSS JOIN LATERAL (
                SELECT FROM old_rows WHERE id = after.id AND status IN ('pending', 'processing') LIMIT 1
            ) AS before
            WHERE after.status IN ('completed', 'pending_merge', 'failed')"""
FORMERLY_ENDED_ISSUES = """
            FROM new_rows AS after JOIN old_rows AS before ON before.id = after.id
            WHERE after.status IN ('completed', 'pending_merge', 'failed')
                AND before.status IN ('pending', 'processing')"""
TALLY_ISSUES = """
CREATE OR REPLACE FUNCTION tally_issues() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO issue_tally (owner_id, what, n) SELECT owner_id, status, count(*) FROM new_rows GROUP BY 1, 2;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO issue_tally (owner_id, what, n) SELECT owner_id, status, -count(*) FROM old_rows GROUP BY 1, 2;
    ELSE
        INSERT INTO issue_tally (owner_id, what, hour, n)
        SELECT owner_id, what, hour, sum(n) FROM (
            SELECT owner_id, status AS what, NULL::timestamptz AS hour, 1 AS n FROM new_rows
            UNION ALL
            SELECT owner_id, status, NULL, -1 FROM old_rows
            UNION ALL
            SELECT after.owner_id, CASE after.status WHEN 'failed' THEN 'ended:failed' ELSE 'ended:completed' END,
                date_trunc('hour', clock_timestamp(), 'UTC'), 1{ended_issues}
        ) AS change
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0;
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    with outside_transaction():
        for name, definition in INDEXES.items():
            build_index(name, definition)
    for name in FORMER_INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    op.execute(TALLY_ISSUES.format(ended_issues=ENDED_ISSUES))


def downgrade() -> None:
    with outside_transaction():
        for name, definition in FORMER_INDEXES.items():
            build_index(name, definition)
    for name in INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    op.execute(TALLY_ISSUES.format(ended_issues=FORMERLY_ENDED_ISSUES))
