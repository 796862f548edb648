"""What the operators' API keeps: failures at the doors

Data: none. Going down forgets who was slowed down.

Revision ID: 010_operators
Revises: 009_indexes
"""

import sqlalchemy as sa
from alembic import op

revision = "010_operators"
down_revision = "009_indexes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "throttle",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("window_started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True)),
        sa.Column("strikes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_throttle"),
    )


def downgrade() -> None:
    op.drop_table("throttle")
