"""Issues are searched in their narrow texts

Data: the texts of all issues move there, and what was kept beside them to find them is now in the index alone.
Everything runs beside traffic and may be interrupted.

Revision ID: 015_searches
Revises: 014_search_texts
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER

from app.db.revision_steps import build_index, commit, outside_transaction

revision = "015_searches"
down_revision = "014_search_texts"
branch_labels = None
depends_on = None

GRAMS = "issue_text USING gin (issue_search_grams(content)) WITH (gin_pending_list_limit = 1024)"
# Whoever deletes an issue meanwhile waits for the batch, so that no text outlives its issue.
MOVE = """
DO $$
DECLARE
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    ids uuid[];
BEGIN
    LOOP
        SELECT array_agg(issue_id ORDER BY issue_id) INTO ids
        FROM (SELECT issue_id FROM {source} WHERE issue_id > last_id ORDER BY issue_id LIMIT 1000) AS batch;
        EXIT WHEN ids IS NULL;
        INSERT INTO {target}
        SELECT issue_id, owner_id, content{more} FROM {source}
        WHERE issue_id IN (SELECT id FROM issue WHERE id = ANY (ids) FOR KEY SHARE)
        ON CONFLICT (issue_id) DO NOTHING;
        last_id := ids[cardinality(ids)];
        {commit}
    END LOOP;
END $$"""


def upgrade() -> None:
    with outside_transaction():
        op.execute(MOVE.format(source="issue_search", target="issue_text", more="", commit=commit()))
        build_index("ix_issue_text_grams", GRAMS)
        # Nothing is planned by them, and to gather them would take every ANALYZE seconds.
        op.execute("ALTER INDEX ix_issue_text_grams ALTER COLUMN 1 SET STATISTICS 0")
        op.execute("ANALYZE issue_text, node_text")
    op.drop_table("issue_search")


def downgrade() -> None:
    # Each of them bears a second run, since what follows commits.
    op.drop_index("ix_issue_text_grams", table_name="issue_text", if_exists=True)
    op.create_table(
        "issue_search",
        sa.Column("issue_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("grams", ARRAY(INTEGER()), nullable=False),
        sa.PrimaryKeyConstraint("issue_id", name="pk_issue_search"),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name="fk_issue_search_issue_id_issue", ondelete="CASCADE"),
        if_not_exists=True,
    )
    with outside_transaction():
        grams = ", issue_search_grams(content)"
        op.execute(MOVE.format(source="issue_text", target="issue_search", more=grams, commit=commit()))
        build_index("ix_issue_search_grams", "issue_search USING gin (grams) WITH (gin_pending_list_limit = 1024)")
