"""The audit keeps what its search looks into

Data: the column rewrites the table once, which takes a second for some hundred thousand entries; older installations
have none. Going down forgets it.

Revision ID: 016_audit_search
Revises: 015_searches
"""

from alembic import op

revision = "016_audit_search"
down_revision = "015_searches"
branch_labels = None
depends_on = None

SEARCHED = ("actor_kind", "actor_name", "action", "object_type", "object_id", "address", "detail::text")


def upgrade() -> None:
    text = " || chr(10) || ".join(f"coalesce({column}, '')" for column in SEARCHED)
    op.execute(f'ALTER TABLE audit_event ADD COLUMN folded text COLLATE "C" GENERATED ALWAYS AS (lower({text})) STORED')


def downgrade() -> None:
    op.execute("ALTER TABLE audit_event DROP COLUMN folded")
