"""A credential keeps the secrets that were replaced, to mask logs by them

Attempts that are at work when a secret is replaced may still write the former one in their logs, and a server process
that never knew it could not mask it.

Data: none; a column without values is added. Going down keeps the former secrets aside, and coming up gives those back
that the key of the credential's secret still opens.

Revision ID: 019_former_secrets
Revises: 018_logs_outlive_nodes
"""

from alembic import op

from app.db.revision_steps import give_back_columns, keep

revision = "019_former_secrets"
down_revision = "018_logs_outlive_nodes"
branch_labels = None
depends_on = None

CONSTRAINT = "ck_credential_former_secrets_sealed"
STILL_OPEN = "CASE WHEN kept.secret_key_id = row.secret_key_id THEN kept.former_secrets END"


def upgrade() -> None:
    op.execute(f"""
ALTER TABLE credential
    ADD COLUMN former_secrets bytea,
    ADD CONSTRAINT {CONSTRAINT} CHECK (former_secrets IS NULL OR secret_key_id IS NOT NULL)""")
    give_back_columns("credential", "former_secret", {"former_secrets": STILL_OPEN})


def downgrade() -> None:
    keep("former_secret", "SELECT id, secret_key_id, former_secrets FROM credential WHERE former_secrets IS NOT NULL")
    op.execute("ALTER TABLE credential DROP COLUMN former_secrets")
