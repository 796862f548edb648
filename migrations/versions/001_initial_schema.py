"""The ten tables as the first installations made them (shape A of docs/migrations.md)

Data: none. Going down drops every row of the ten tables.

Revision ID: 001_initial_schema
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ENUM

from app.db.revision_steps import forget_everything_kept

revision = "001_initial_schema"
down_revision = None
branch_labels = None
depends_on = None

CATEGORY = ENUM("github-copilot", "cursor", "cluade-code", name="credentialcategory", create_type=False)


def _text(name: str, length: int, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=null)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _time(name: str, *, null: bool = False) -> sa.Column[object]:
    """Without time zone, meaning UTC."""
    return sa.Column(name, sa.DateTime(), nullable=null)


def _owner(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name=f"{table}_owner_id_fkey", ondelete="CASCADE"),
    ]


def _create(table: str, *items: sa.schema.SchemaItem) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Uuid(), nullable=False),
        *items,
        sa.PrimaryKeyConstraint("id", name=f"{table}_pkey"),
    )


def upgrade() -> None:
    CATEGORY.create(op.get_bind())
    _create_people()
    _create_catalogue()
    _create_issue()
    _create_fleet()
    _create_logs()


def _create_people() -> None:
    _create(
        "user",
        _text("email", 255),
        _text("hashed_password", 255),
        _text("full_name", 255, null=True),
        _flag("is_active"),
        _flag("is_superuser"),
        _time("created_at"),
        _time("updated_at"),
    )
    op.create_index("ix_user_email", "user", ["email"], unique=True)


def _create_catalogue() -> None:
    _create(
        "project",
        _text("name", 255),
        _text("description", 500, null=True),
        _flag("is_active"),
        *_owner("project"),
        _time("created_at"),
        _time("updated_at"),
    )
    _create(
        "repository",
        _text("name", 255),
        _text("url", 1023),
        _text("description", 500, null=True),
        _flag("is_public"),
        *_owner("repository"),
        _time("created_at"),
        _time("updated_at"),
    )
    _create(
        "prompt",
        _text("name", 255),
        _text("content", 5000),
        _text("description", 500, null=True),
        _text("tags", 255, null=True),
        *_owner("prompt"),
        _time("created_at"),
        _time("updated_at"),
    )


def _create_issue() -> None:
    _create(
        "issue",
        _text("title", 255),
        _text("description", 2048, null=True),
        _text("repository_url", 512, null=True),
        sa.Column("issue_number", sa.Integer()),
        _text("status", 32),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("assigned_node_id", sa.Uuid()),
        *_owner("issue"),
        _time("created_at"),
        _time("updated_at"),
        _time("started_at", null=True),
        _time("completed_at", null=True),
        _text("error_message", 1024, null=True),
        _text("result_branch", 255, null=True),
    )


def _create_fleet() -> None:
    _create(
        "node",
        _text("name", 255),
        _text("ip", 64),
        _text("description", 255, null=True),
        _text("tags", 255, null=True),
        _text("status", 32, null=True),
        *_owner("node"),
        _time("last_heartbeat", null=True),
        _time("created_at"),
        _time("updated_at"),
    )
    op.create_index("ix_node_name", "node", ["name"])
    _create(
        "credential",
        _text("title", 255),
        sa.Column("category", CATEGORY, nullable=False),
        _text("pat", 255),
        _flag("is_disabled"),
        *_owner("credential"),
        _time("created_at"),
        _time("updated_at"),
    )
    op.create_table(
        "credentialnodelink",
        sa.Column("credential_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("credential_id", "node_id", name="credentialnodelink_pkey"),
        sa.ForeignKeyConstraint(["credential_id"], ["credential.id"], name="credentialnodelink_credential_id_fkey"),
        sa.ForeignKeyConstraint(["node_id"], ["node.id"], name="credentialnodelink_node_id_fkey"),
    )
    op.create_table(
        "node_registration_key",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        _text("key", 255),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="node_registration_key_pkey"),
    )
    op.create_index("ix_node_registration_key_key", "node_registration_key", ["key"])


def _create_logs() -> None:
    _create(
        "workflowlog",
        sa.Column("issue_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid()),
        _text("step_name", 100),
        _text("status", 32),
        _text("command", 512, null=True),
        _text("output", 4096, null=True),
        _text("error_message", 2048, null=True),
        sa.Column("duration_ms", sa.Integer()),
        _time("created_at"),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name="workflowlog_issue_id_fkey"),
        sa.ForeignKeyConstraint(["node_id"], ["node.id"], name="workflowlog_node_id_fkey"),
    )


# `item` of the second shape points at "user"; it stays, without its foreign key.
DROP_FOREIGN_KEYS_OF_OTHERS = """
DO $$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT conrelid::regclass AS table_name, conname
        FROM pg_constraint
        WHERE contype = 'f' AND confrelid = '"user"'::regclass AND conrelid::regclass::text = 'item'
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', held.table_name, held.conname);
    END LOOP;
END $$
"""


def downgrade() -> None:
    forget_everything_kept()
    op.execute(DROP_FOREIGN_KEYS_OF_OTHERS)
    for table in (
        "workflowlog",
        "node_registration_key",
        "credentialnodelink",
        "credential",
        "node",
        "issue",
        "prompt",
        "repository",
        "project",
        "user",
    ):
        op.drop_table(table)
    CATEGORY.drop(op.get_bind())
