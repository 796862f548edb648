"""What must always hold becomes a constraint, by the naming convention of `app/db/base.py`

Data: none changes. Deleting a user, an issue or a node takes its logs and links along, or forgets the node.
New rules are declared here for new rows and checked for old rows in 009, without stopping traffic.
Going down gives back PostgreSQL's default names and the foreign keys without actions.

Revision ID: 008_named_rules
Revises: 007_log_positions
"""

from alembic import op

revision = "008_named_rules"
down_revision = "007_log_positions"
branch_labels = None
depends_on = None

KEYED = (
    "user",
    "project",
    "repository",
    "issue",
    "node",
    "credential",
    "prompt",
    "node_registration_key",
    "workflowlog",
    "credentialnodelink",
)
OWNED = ("project", "repository", "issue", "node", "credential", "prompt")
CHECKS = {
    "project": {"max_running_not_negative": "max_running >= 0"},
    "repository": {"max_running_not_negative": "max_running >= 0"},
    "credential": {
        "category_known": "category IN ('github-copilot', 'cursor', 'claude-code')",
        "max_running_not_negative": "max_running >= 0",
        "reason_only_while_disabled": "is_disabled OR disabled_reason IS NULL",
    },
    "node": {
        "status_known": "status IN ('online', 'offline')",
        "desired_known": "desired IN ('active', 'draining', 'paused')",
        "max_slots_in_range": "max_slots BETWEEN 1 AND 1000",
        "paused_until_only_while_paused": "paused_until IS NULL OR desired = 'paused'",
    },
    "node_registration_key": {
        "only_row_1": "id = 1",
        "previous_key_expires": "(previous_key_hash IS NULL) = (previous_expires_at IS NULL)",
    },
    "issue": {
        "status_known": (
            "status IN ('pending', 'processing', 'pending_merge', 'merged', 'completed', 'failed', 'cancelled')"
        ),
        "title_length": "char_length(title) <= 255",
        "description_length": "char_length(description) <= 65536",
        "max_attempts_in_range": "max_attempts BETWEEN 1 AND 100",
        "attempts_within_maximum": "attempt_count >= 0 AND attempt_count <= max_attempts",
        "deferred_until_a_time": "NOT deferred OR not_before IS NOT NULL",
        "pending_is_on_no_node": "assigned_node_id IS NULL OR status <> 'pending'",
    },
    "workflowlog": {"numbered_within_attempt": "(attempt_id IS NULL) = (seq IS NULL)"},
}
# Table, column, target, action; True: there since the beginning, without an action.
FOREIGN_KEYS = (
    ("issue", "repository_id", "repository", "SET NULL", False),
    ("issue", "project_id", "project", "SET NULL", False),
    ("issue", "prompt_id", "prompt", "SET NULL", False),
    ("issue", "assigned_node_id", "node", "SET NULL", False),
    ("workflowlog", "issue_id", "issue", "CASCADE", True),
    ("workflowlog", "attempt_id", "attempt", "CASCADE", False),
    ("workflowlog", "node_id", "node", "SET NULL", True),
    ("credentialnodelink", "credential_id", "credential", "CASCADE", True),
    ("credentialnodelink", "node_id", "node", "CASCADE", True),
)
UNIQUE = (("node", "machine_id"), ("node", "token_hash"))


def upgrade() -> None:
    for table in KEYED:
        op.execute(f'ALTER TABLE "{table}" RENAME CONSTRAINT {table}_pkey TO pk_{table}')
    for table in OWNED:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {table}_owner_id_fkey TO fk_{table}_owner_id_user")
    for table, rules in CHECKS.items():
        added = (f"ADD CONSTRAINT ck_{table}_{name} CHECK ({rule}) NOT VALID" for name, rule in rules.items())
        op.execute(f"ALTER TABLE {table}\n    " + ",\n    ".join(added))
    for table, column, target, action, was_there in FOREIGN_KEYS:
        if was_there:
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey")
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_{column}_{target}"
            f" FOREIGN KEY ({column}) REFERENCES {target} (id) ON DELETE {action} NOT VALID"
        )
    for table, column in UNIQUE:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT uq_{table}_{column} UNIQUE ({column})")


def downgrade() -> None:
    for table, column in UNIQUE:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT uq_{table}_{column}")
    for table, column, target, _, was_there in FOREIGN_KEYS:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT fk_{table}_{column}_{target}")
        if was_there:
            op.execute(
                f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_fkey"
                f" FOREIGN KEY ({column}) REFERENCES {target} (id)"
            )
    for table, rules in CHECKS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP CONSTRAINT ck_{table}_{name}" for name in rules))
    for table in OWNED:
        op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT fk_{table}_owner_id_user TO {table}_owner_id_fkey")
    for table in KEYED:
        op.execute(f'ALTER TABLE "{table}" RENAME CONSTRAINT pk_{table} TO {table}_pkey')
