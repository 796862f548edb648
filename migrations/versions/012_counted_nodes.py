"""Nodes are counted, and the small lists keep what their searches look into

Data: the counter starts with what the table holds. The columns rewrite their tables once, which are small ones.
Going down forgets both; they are made anew on the way up.

Revision ID: 012_counted_nodes
Revises: 011_lists
"""

import sqlalchemy as sa
from alembic import op

revision = "012_counted_nodes"
down_revision = "011_lists"
branch_labels = None
depends_on = None

SEARCHED = {
    "project": ("name", "description"),
    "repository": ("name", "url"),
    "prompt": ("name", "description"),
    "node": ("name", "ip", "description"),
    "credential": ("title",),
    '"user"': ("email", "full_name"),
}
# By row, since a trigger on transition tables would gather every heartbeat to find that none of them counts.
TALLY_NODE = """
CREATE FUNCTION tally_node() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO node_tally (owner_id, status, desired, n) VALUES (OLD.owner_id, OLD.status, OLD.desired, -1);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO node_tally (owner_id, status, desired, n) VALUES (NEW.owner_id, NEW.status, NEW.desired, 1);
    END IF;
    RETURN NULL;
END $$
"""
TALLY_NEW = "CREATE TRIGGER tally_new AFTER INSERT OR DELETE ON node FOR EACH ROW EXECUTE FUNCTION tally_node()"
TALLY_CHANGED = """
CREATE TRIGGER tally_changed AFTER UPDATE OF owner_id, status, desired ON node FOR EACH ROW
    WHEN (OLD.status <> NEW.status OR OLD.desired <> NEW.desired OR OLD.owner_id <> NEW.owner_id)
    EXECUTE FUNCTION tally_node()
"""
COUNT_NODES = """
INSERT INTO node_tally (owner_id, status, desired, n)
SELECT owner_id, status, desired, count(*) FROM node GROUP BY 1, 2, 3
"""


def upgrade() -> None:
    for table, columns in SEARCHED.items():
        text = " || chr(10) || ".join(f"coalesce({column}, '')" for column in columns)
        op.execute(f'ALTER TABLE {table} ADD COLUMN folded text COLLATE "C" GENERATED ALWAYS AS (lower({text})) STORED')
    op.create_table(
        "node_tally",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("desired", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        postgresql_with={"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 2000},
    )
    # The lock of the first statement holds writers off until the commit, so no node is counted twice or not at all.
    for statement in (TALLY_NODE, TALLY_NEW, TALLY_CHANGED, COUNT_NODES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER tally_changed ON node")
    op.execute("DROP TRIGGER tally_new ON node")
    op.execute("DROP FUNCTION tally_node()")
    op.drop_table("node_tally")
    for table in SEARCHED:
        op.execute(f"ALTER TABLE {table} DROP COLUMN folded")
