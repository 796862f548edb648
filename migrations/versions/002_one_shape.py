"""Both shapes of existing installations get the names and lengths of the first

Data: none changes. Rows that no later revision could carry are named and stop the upgrade here, at its start.
The left-over table `item` stays, but no longer stops the deletion of a user: its rows go with their owner.
Going down does nothing, since 001_initial_schema is the first shape.

Revision ID: 002_one_shape
Revises: 001_initial_schema
"""

from alembic import op

from app.db.revision_steps import refuse_rows

revision = "002_one_shape"
down_revision = "001_initial_schema"
branch_labels = None
depends_on = None

TABLES = (
    "'user', 'project', 'repository', 'issue', 'node', 'credential', 'prompt', 'node_registration_key',"
    " 'workflowlog', 'credentialnodelink'"
)
STATUSES = "'pending', 'processing', 'pending_merge', 'merged', 'completed', 'failed', 'cancelled', 'terminated'"

RENAME_TABLES = """
DO $$
BEGIN
    IF to_regclass('workflow_log') IS NOT NULL THEN
        ALTER TABLE workflow_log RENAME TO workflowlog;
    END IF;
    IF to_regclass('credential_node_link') IS NOT NULL THEN
        ALTER TABLE credential_node_link RENAME TO credentialnodelink;
    END IF;
END $$"""

# By what they do and not by what they are called: restored and hand-mended databases differ in names.
# Constraints for NOT NULL have names from PostgreSQL 18 on.
RENAME_CONSTRAINTS = f"""
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT owned.conrelid::regclass AS table_name, owned.conname AS old_name,
            table_of.relname || CASE owned.contype
                WHEN 'p' THEN '_pkey'
                WHEN 'f' THEN '_' || first_column.attname || '_fkey'
                ELSE '_' || first_column.attname || '_not_null'
            END AS new_name
        FROM pg_constraint AS owned
        JOIN pg_class AS table_of ON table_of.oid = owned.conrelid
        JOIN pg_attribute AS first_column
            ON first_column.attrelid = owned.conrelid AND first_column.attnum = owned.conkey[1]
        WHERE table_of.relnamespace = current_schema()::regnamespace AND table_of.relname IN ({TABLES})
            AND owned.contype IN ('p', 'f', 'n')
    LOOP
        IF found.old_name <> found.new_name THEN
            EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I',
                found.table_name, found.old_name, found.new_name);
        END IF;
    END LOOP;
END $$"""

DROP_DEFAULTS = f"""
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT table_of.oid::regclass AS table_name, owned.attname
        FROM pg_attribute AS owned
        JOIN pg_class AS table_of ON table_of.oid = owned.attrelid
        WHERE table_of.relnamespace = current_schema()::regnamespace AND table_of.relname IN ({TABLES})
            AND owned.atthasdef AND NOT owned.attisdropped
            AND (table_of.relname, owned.attname) <> ('node_registration_key', 'id')
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', found.table_name, found.attname);
    END LOOP;
END $$"""

LET_ITEMS_GO_WITH_THEIR_OWNER = """
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT conrelid::regclass AS table_name, conname, attname
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
        WHERE contype = 'f' AND confdeltype <> 'c'
            AND conrelid = to_regclass('item') AND confrelid = to_regclass('"user"')
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', held.table_name, held.conname);
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES "user" (id) ON DELETE CASCADE',
            held.table_name, held.conname, held.attname);
    END LOOP;
END $$"""


def upgrade() -> None:
    refuse_rows(
        f"SELECT 'issue ' || id || ': status is ' || status FROM issue WHERE status NOT IN ({STATUSES})",
        "SELECT 'node_registration_key ' || id || ': only row 1 can be kept' FROM node_registration_key WHERE id <> 1",
    )
    op.execute(RENAME_TABLES)
    op.execute(RENAME_CONSTRAINTS)
    op.execute(DROP_DEFAULTS)
    op.execute("ALTER TABLE repository ALTER COLUMN url TYPE varchar(1023)")
    op.execute(LET_ITEMS_GO_WITH_THEIR_OWNER)


def downgrade() -> None:
    pass
