"""Log entries keep the id of their node after it is deleted

To forget a node, each of its log entries was written anew: eleven seconds for a million, and beyond the statement
timeout the node could not be deleted at all. And each new entry paid for a check and an index entry that served nothing
else.

Data: none changes. Going down keeps the ids of nodes that are gone aside, and coming up gives them back.

Revision ID: 018_logs_outlive_nodes
Revises: 017_lean_claims
"""

from alembic import op

from app.db.revision_steps import build_index, give_back_columns, keep, outside_transaction
from app.db.revisions import LOCK_TIMEOUT_MS

revision = "018_logs_outlive_nodes"
down_revision = "017_lean_claims"
branch_labels = None
depends_on = None

CONSTRAINT = "fk_workflowlog_node_id_node"
INDEX = "ix_workflowlog_node_id"
IS_GONE = "row.node_id IS NOT NULL AND NOT EXISTS (SELECT FROM node WHERE node.id = row.node_id)"


def upgrade() -> None:
    op.execute(f"ALTER TABLE workflowlog DROP CONSTRAINT {CONSTRAINT}")
    op.execute(f"DROP INDEX {INDEX}")
    give_back_columns("workflowlog", "log_node", {"node_id": "coalesce(row.node_id, kept.node_id)"})


def downgrade() -> None:
    with outside_transaction():
        build_index(INDEX, "workflowlog (node_id) WHERE node_id IS NOT NULL")
        op.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")  # Traffic queues behind these two.
        # From here on no node that is deleted leaves its id behind, so what is found below is all there is.
        op.execute(f"ALTER TABLE workflowlog DROP CONSTRAINT IF EXISTS {CONSTRAINT}")
        op.execute(
            f"ALTER TABLE workflowlog ADD CONSTRAINT {CONSTRAINT}"
            " FOREIGN KEY (node_id) REFERENCES node (id) ON DELETE SET NULL NOT VALID"
        )
    keep("log_node", f"SELECT id, node_id FROM workflowlog AS row WHERE {IS_GONE}")
    op.execute(f"UPDATE workflowlog AS row SET node_id = NULL WHERE {IS_GONE}")
    op.execute(f"ALTER TABLE workflowlog VALIDATE CONSTRAINT {CONSTRAINT}")
