"""Issues get their place in the queue

Data: in batches, each issue gets its rank. `processing` becomes `pending`, since no worker outlives the upgrade,
and `terminated` becomes `failed` with an error message, else `cancelled`. A node that is gone is forgotten, and so is
the node of a pending issue. The lane then rewrites the table once.
Going down turns `cancelled` without an error message into `terminated`.

Revision ID: 006_queue_values
Revises: 005_attempts_and_audit
"""

from alembic import op

from app.db.revision_steps import outside_transaction, update_in_batches

revision = "006_queue_values"
down_revision = "005_attempts_and_audit"
branch_labels = None
depends_on = None

STATUS = """CASE
            WHEN row.status = 'processing' THEN 'pending'
            WHEN row.status = 'terminated' AND coalesce(row.error_message, '') <> '' THEN 'failed'
            WHEN row.status = 'terminated' THEN 'cancelled'
            ELSE row.status
        END"""
VALUES = f"""
        rank = row.priority * 86400.0::double precision - extract(epoch FROM row.created_at)::double precision,
        status = {STATUS},
        assigned_node_id = (SELECT id FROM node WHERE id = row.assigned_node_id AND {STATUS} <> 'pending')"""
LANE = "hash_record_extended(ROW(owner_id, project_id, repository_id, tool, requires), 0)"


def upgrade() -> None:
    op.execute("ALTER TABLE issue ADD COLUMN IF NOT EXISTS rank double precision")
    with outside_transaction():
        update_in_batches("issue", VALUES, "row.rank IS NULL")
    # From here on nothing comes in; what came in meanwhile is mended too.
    op.execute("LOCK TABLE issue IN SHARE ROW EXCLUSIVE MODE")
    op.execute(f"UPDATE issue AS row SET {VALUES} WHERE row.rank IS NULL")
    op.execute(f"""
ALTER TABLE issue
    ALTER COLUMN rank SET NOT NULL,
    ADD COLUMN lane bigint GENERATED ALWAYS AS ({LANE}) STORED NOT NULL""")


def downgrade() -> None:
    op.execute("UPDATE issue SET status = 'terminated' WHERE status = 'cancelled' AND coalesce(error_message, '') = ''")
    op.execute("ALTER TABLE issue DROP COLUMN lane, DROP COLUMN rank")
