"""The schema of the models, on an empty database

Data: refuses a database that holds rows; the revisions that carry them follow.

Revision ID: 008_named_rules
Revises: 001_initial_schema
"""

from alembic import op

from app.db.metadata import METADATA

revision = "008_named_rules"
down_revision = "001_initial_schema"
branch_labels = None
depends_on = None

OLD = (
    "workflowlog",
    "node_registration_key",
    "credentialnodelink",
    "credential",
    "node",
    "issue",
    "prompt",
    "repository",
    "project",
    '"user"',
)
AUDIT_GUARD = """
CREATE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_event is append-only' USING ERRCODE = 'restrict_violation';
END $$
"""


def upgrade() -> None:
    bind = op.get_bind()
    if bind.exec_driver_sql('SELECT count(*) FROM "user"').scalar_one():
        raise RuntimeError("Not for databases with rows yet.")
    for table in OLD:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP TYPE credentialcategory")
    METADATA.create_all(bind)
    op.execute(AUDIT_GUARD)
    op.execute(
        "CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_event_append_only()"
    )


def downgrade() -> None:
    raise NotImplementedError
