"""Indexes for the lists of nodes by state, and of issues by priority whatever their status

Data: none changes. Everything runs beside traffic and may be interrupted.

Revision ID: 013_more_lists
Revises: 012_counted_nodes
"""

from alembic import op

from app.db.revision_steps import build_index, outside_transaction

revision = "013_more_lists"
down_revision = "012_counted_nodes"
branch_labels = None
depends_on = None

INDEXES = {
    # As its neighbours without issues that are worked on, so that a claim pays for no new entry.
    "ix_issue_ended_priority_created_at_id": (
        "issue (priority, created_at, id) WHERE status NOT IN ('pending', 'processing')"
    ),
    "ix_node_status_created_at_id": "node (status, created_at, id)",
    "ix_node_desired_created_at_id": "node (desired, created_at, id)",
}


def upgrade() -> None:
    with outside_transaction():
        for name, definition in INDEXES.items():
            build_index(name, definition)
        op.execute('ANALYZE node, project, repository, prompt, credential, "user"')


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
