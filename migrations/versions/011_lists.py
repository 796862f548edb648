"""Indexes for lists by status, and for searches

Data: older issues become searchable. Everything runs beside traffic and may be interrupted.

Revision ID: 011_lists
Revises: 010_operators
"""

from alembic import op

from app.db.revision_steps import build_index, commit, outside_transaction

revision = "011_lists"
down_revision = "010_operators"
branch_labels = None
depends_on = None

# None of them holds issues that are worked on, so a claim pays for no new entry.
INDEXES = {
    "ix_issue_pending_owner_id_created_at_id": "issue (owner_id, created_at, id) WHERE status = 'pending'",
    "ix_issue_ended_status_created_at_id": (
        "issue (status, created_at, id) WHERE status NOT IN ('pending', 'processing')"
    ),
    "ix_issue_ended_owner_id_status_created_at_id": (
        "issue (owner_id, status, created_at, id) WHERE status NOT IN ('pending', 'processing')"
    ),
    "ix_issue_pending_priority_created_at_id": "issue (priority, created_at, id) WHERE status = 'pending'",
    "ix_user_created_at_id": '"user" (created_at, id)',
    "ix_project_created_at_id": "project (created_at, id)",
    "ix_repository_created_at_id": "repository (created_at, id)",
    "ix_prompt_created_at_id": "prompt (created_at, id)",
    "ix_credential_created_at_id": "credential (created_at, id)",
    "ix_node_created_at_id": "node (created_at, id)",
    "ix_issue_search_grams": "issue_search USING gin (grams) WITH (gin_pending_list_limit = 1024)",
}
MAKE_SEARCHABLE = """
DO $$
DECLARE
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    ids uuid[];
BEGIN
    LOOP
        SELECT array_agg(id ORDER BY id) INTO ids
        FROM (SELECT id FROM issue WHERE id > last_id ORDER BY id LIMIT 1000) AS batch;
        EXIT WHEN ids IS NULL;
        INSERT INTO issue_search (issue_id, owner_id, content, grams)
        SELECT id, owner_id, content, issue_search_grams(content)
        FROM (SELECT id, owner_id, issue_search_content(title, description) AS content FROM issue
              WHERE id = ANY (ids) FOR KEY SHARE) AS texts
        ON CONFLICT (issue_id) DO NOTHING;
        last_id := ids[cardinality(ids)];
        {commit}
    END LOOP;
END $$"""


def upgrade() -> None:
    with outside_transaction():
        op.execute(MAKE_SEARCHABLE.format(commit=commit()))
        for name, definition in INDEXES.items():
            build_index(name, definition)
        op.execute("ANALYZE issue, issue_search, issue_tally, usage_tally")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
