"""Indexes for the queue, the lists and the cascades; the rules of 008 are checked for the rows of old

Data: none changes.
Everything runs beside traffic and may be interrupted: the next run builds unfinished indexes again.

Revision ID: 009_indexes
Revises: 008_named_rules
"""

from alembic import op

from app.db.revision_steps import build_index, outside_transaction

revision = "009_indexes"
down_revision = "008_named_rules"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_user_email_lower": '"user" (lower(email))',
    "ix_project_owner_id": "project (owner_id)",
    "ix_repository_owner_id": "repository (owner_id)",
    "ix_prompt_owner_id": "prompt (owner_id)",
    "ix_credential_owner_id": "credential (owner_id)",
    "ix_node_owner_id": "node (owner_id)",
    "ix_credentialnodelink_node_id": "credentialnodelink (node_id)",
    "ix_issue_ready": "issue (lane, rank DESC, id) WHERE status = 'pending' AND NOT deferred",
    "ix_issue_deferred": "issue (not_before) WHERE status = 'pending' AND deferred",
    "ix_issue_owner_id_created_at_id": "issue (owner_id, created_at, id)",
    "ix_issue_created_at_id": "issue (created_at, id)",
    "ix_issue_repository_id": "issue (repository_id) WHERE repository_id IS NOT NULL",
    "ix_issue_project_id": "issue (project_id) WHERE project_id IS NOT NULL",
    "ix_issue_processing_repository_id": "issue (repository_id) WHERE status = 'processing'",
    "ix_issue_processing_project_id": "issue (project_id) WHERE status = 'processing'",
    "ix_issue_prompt_id": "issue (prompt_id) WHERE prompt_id IS NOT NULL",
    "ix_issue_assigned_node_id": "issue (assigned_node_id) WHERE assigned_node_id IS NOT NULL",
    "ix_workflowlog_issue_id_position": "workflowlog (issue_id, position)",
    "ix_workflowlog_node_id": "workflowlog (node_id) WHERE node_id IS NOT NULL",
}
UNIQUE_INDEXES = {
    "uq_node_name_of_machine": "node (name) WHERE machine_id IS NOT NULL",
    "uq_prompt_owner_id_default": "prompt (owner_id) WHERE is_default",
    "uq_workflowlog_attempt_id_seq": "workflowlog (attempt_id, seq)",
}
VALIDATE = """
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT conrelid::regclass AS table_name, conname FROM pg_constraint
        WHERE NOT convalidated AND connamespace = current_schema()::regnamespace
        ORDER BY conrelid::regclass::text, conname
    LOOP
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', found.table_name, found.conname);
    END LOOP;
END $$"""


def upgrade() -> None:
    with outside_transaction():
        op.execute(VALIDATE)
        for name, definition in INDEXES.items():
            build_index(name, definition)
        for name, definition in UNIQUE_INDEXES.items():
            build_index(name, definition, unique=True)
        op.execute("ANALYZE")


def downgrade() -> None:
    for name in (*UNIQUE_INDEXES, *INDEXES):
        op.execute(f"DROP INDEX {name}")
