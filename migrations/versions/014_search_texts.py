"""What searches read gets narrow tables of its own, beside the wide rows that heartbeats and claims rewrite

Data: nodes become searchable at once, issues in the next revision; until then new issues alone are found.
Going down hands the texts back to where they were.

Revision ID: 014_search_texts
Revises: 013_more_lists
"""

import sqlalchemy as sa
from alembic import op

revision = "014_search_texts"
down_revision = "013_more_lists"
branch_labels = None
depends_on = None

FOLDED_NODE = (
    "lower(coalesce({row}name, '') || chr(10) || coalesce({row}ip, '') || chr(10) || coalesce({row}description, ''))"
)
NODE_FOLDED = f"""
ALTER TABLE node ADD COLUMN folded text COLLATE "C" GENERATED ALWAYS AS ({FOLDED_NODE.format(row="")}) STORED
"""
KEEP_NODE_TEXT = f"""
CREATE FUNCTION keep_node_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO node_text (node_id, content) VALUES (NEW.id, {FOLDED_NODE.format(row="NEW.")})
    ON CONFLICT (node_id) DO UPDATE SET content = excluded.content;
    RETURN NULL;
END $$
"""
TEXT_NEW = "CREATE TRIGGER text_new AFTER INSERT ON node FOR EACH ROW EXECUTE FUNCTION keep_node_text()"
# A node that registers again writes these columns; most often they are what they were.
TEXT_CHANGED = """
CREATE TRIGGER text_changed AFTER UPDATE OF name, ip, description ON node FOR EACH ROW
    WHEN ((OLD.name, OLD.ip, OLD.description) IS DISTINCT FROM (NEW.name, NEW.ip, NEW.description))
    EXECUTE FUNCTION keep_node_text()
"""
FILL_NODE_TEXT = f"INSERT INTO node_text (node_id, content) SELECT id, {FOLDED_NODE.format(row='')} FROM node"
KEEP_ISSUE_TEXT = """
CREATE OR REPLACE FUNCTION keep_issue_searchable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO issue_text (issue_id, owner_id, content)
    SELECT id, owner_id, issue_search_content(title, description) FROM new_rows
    ON CONFLICT (issue_id) DO NOTHING;
    RETURN NULL;
END $$
"""
UPDATE_ISSUE_TEXT = """
CREATE OR REPLACE FUNCTION update_issue_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO issue_text (issue_id, owner_id, content)
    VALUES (NEW.id, NEW.owner_id, issue_search_content(NEW.title, NEW.description))
    ON CONFLICT (issue_id) DO UPDATE SET content = excluded.content;
    RETURN NULL;
END $$
"""
KEEP_ISSUE_SEARCH = """
CREATE OR REPLACE FUNCTION keep_issue_searchable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO issue_search (issue_id, owner_id, content, grams)
    SELECT id, owner_id, content, issue_search_grams(content)
    FROM (SELECT id, owner_id, issue_search_content(title, description) AS content FROM new_rows) AS texts
    ON CONFLICT (issue_id) DO NOTHING;
    RETURN NULL;
END $$
"""
UPDATE_ISSUE_SEARCH = """
CREATE OR REPLACE FUNCTION update_issue_search() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    folded text := issue_search_content(NEW.title, NEW.description);
BEGIN
    INSERT INTO issue_search (issue_id, owner_id, content, grams)
    VALUES (NEW.id, NEW.owner_id, folded, issue_search_grams(folded))
    ON CONFLICT (issue_id) DO UPDATE SET content = excluded.content, grams = excluded.grams;
    RETURN NULL;
END $$
"""
# What was written since the revision above gave the rest back.
GIVE_BACK_LAST = """
INSERT INTO issue_search (issue_id, owner_id, content, grams)
SELECT issue_id, owner_id, content, issue_search_grams(content) FROM issue_text AS new
WHERE NOT EXISTS (SELECT FROM issue_search AS old WHERE old.issue_id = new.issue_id AND old.content = new.content)
ON CONFLICT (issue_id) DO UPDATE SET content = excluded.content, grams = excluded.grams
"""
# It takes a tenth of a millisecond: no plan may ask it of every row, however few they seem.
COST = "ALTER FUNCTION issue_search_grams(text) COST {}"


def upgrade() -> None:
    # The lock of the foreign keys holds writers off until the commit, so no text is left behind.
    op.create_table(
        "issue_text",
        sa.Column("issue_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("issue_id", name="pk_issue_text"),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name="fk_issue_text_issue_id_issue", ondelete="CASCADE"),
    )
    op.create_table(
        "node_text",
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_node_text"),
        sa.ForeignKeyConstraint(["node_id"], ["node.id"], name="fk_node_text_node_id_node", ondelete="CASCADE"),
    )
    for statement in (
        KEEP_NODE_TEXT,
        TEXT_NEW,
        TEXT_CHANGED,
        FILL_NODE_TEXT,
        "ALTER TABLE node DROP COLUMN folded",
        KEEP_ISSUE_TEXT,
        UPDATE_ISSUE_TEXT,
        COST.format(2000),
    ):
        op.execute(statement)


def downgrade() -> None:
    for statement in (
        "LOCK TABLE issue IN SHARE ROW EXCLUSIVE MODE",
        COST.format(100),
        KEEP_ISSUE_SEARCH,
        UPDATE_ISSUE_SEARCH,
        GIVE_BACK_LAST,
        "DROP TRIGGER text_new ON node",
        "DROP TRIGGER text_changed ON node",
        "DROP FUNCTION keep_node_text()",
        NODE_FOLDED,
    ):
        op.execute(statement)
    op.drop_table("node_text")
    op.drop_table("issue_text")
