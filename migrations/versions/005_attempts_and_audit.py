"""Attempts with their usage, access tokens, the audit trail, and the columns that the queue works with

Data: none changes; new columns start with their defaults. What a downgrade had kept comes back: attempts that were
live then are lost, or cancelled where an operator had asked for it, and count against no maximum.
Going down keeps what the older schema has no room for in the schema `nodeyard_kept`, until the next upgrade.

Revision ID: 005_attempts_and_audit
Revises: 004_sealed_secrets
"""

from alembic import op

from app.db.revision_steps import KEPT, give_back_columns, keep, keep_table

revision = "005_attempts_and_audit"
down_revision = "004_sealed_secrets"
branch_labels = None
depends_on = None

NEW_TABLES = ("access_token", "audit_event", "attempt", "attempt_usage")
# Column: type and default. A row whose columns all have their defaults has nothing that a downgrade must keep.
NEW_COLUMNS = {
    "project": {"max_running": ("integer", "")},
    "repository": {"default_branch": ("text", ""), "max_running": ("integer", "")},
    "prompt": {"is_default": ("boolean", "false")},
    "node": {
        "machine_id": ("text", ""),
        "boot_id": ("text", ""),
        "token_hash": ("bytea", ""),
        "version": ("text", ""),
        "tools": ("jsonb", "'[]'::jsonb"),
        "tool_categories": ("text[]", "'{}'::text[]"),
        "max_slots": ("integer", "1"),
        "desired": ("text", "'active'"),
        "desired_note": ("text", ""),
        "paused_until": ("timestamptz", ""),
        "disk_free_bytes": ("bigint", ""),
    },
    "issue": {
        "repository_id": ("uuid", ""),
        "project_id": ("uuid", ""),
        "prompt_id": ("uuid", ""),
        "requires": ("text[]", "'{}'::text[]"),
        "tool": ("text", ""),
        "base_branch": ("text", ""),
        "not_before": ("timestamptz", ""),
        "deferred": ("boolean", "false"),
        "max_attempts": ("integer", "3"),
        "attempt_count": ("integer", "0"),
        "last_number": ("integer", "0"),
    },
    "workflowlog": {"attempt_id": ("uuid", ""), "seq": ("integer", "")},
}
STORAGE = {
    "node": "fillfactor = 50",
    "issue": "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, fillfactor = 80",
}

ACCESS_TOKENS = """
CREATE TABLE access_token (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    name text,
    token_hash bytea NOT NULL,
    last4 text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    CONSTRAINT pk_access_token PRIMARY KEY (id),
    CONSTRAINT ck_access_token_kind_known CHECK (kind IN ('session', 'token')),
    CONSTRAINT ck_access_token_session_expires CHECK (kind = 'token' OR expires_at IS NOT NULL),
    CONSTRAINT fk_access_token_user_id_user FOREIGN KEY (user_id) REFERENCES "user" (id) ON DELETE CASCADE,
    CONSTRAINT uq_access_token_token_hash UNIQUE (token_hash)
)"""
AUDIT_EVENT = """
CREATE TABLE audit_event (
    id uuid NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    actor_name text,
    action text NOT NULL,
    object_type text NOT NULL,
    object_id text,
    address text,
    detail jsonb DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_audit_event PRIMARY KEY (id),
    CONSTRAINT ck_audit_event_actor_kind_known CHECK (actor_kind IN ('user', 'node', 'system'))
)"""
APPEND_ONLY = """
CREATE FUNCTION audit_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_event is append-only' USING ERRCODE = 'restrict_violation';
END $$"""
APPEND_ONLY_TRIGGER = """
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
FOR EACH STATEMENT EXECUTE FUNCTION audit_event_append_only()"""
ATTEMPT = """
CREATE TABLE attempt (
    id uuid NOT NULL,
    issue_id uuid NOT NULL,
    node_id uuid,
    node_name text NOT NULL,
    credential_id uuid,
    number integer NOT NULL,
    status text DEFAULT 'offered' NOT NULL,
    branch text NOT NULL,
    claim_id uuid NOT NULL,
    offer text NOT NULL,
    start_by timestamptz NOT NULL,
    cancel_requested_at timestamptz,
    missed smallint DEFAULT 0 NOT NULL,
    next_seq integer DEFAULT 0 NOT NULL,
    base_sha text,
    head_sha text,
    summary text,
    error_message text,
    failure_code text,
    adopted boolean DEFAULT false NOT NULL,
    finish_digest bytea,
    finish_status text,
    created_at timestamptz DEFAULT now() NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT pk_attempt PRIMARY KEY (id),
    CONSTRAINT ck_attempt_status_known
        CHECK (status IN ('offered', 'running', 'succeeded', 'failed', 'cancelled', 'lost')),
    CONSTRAINT ck_attempt_live_until_finished CHECK ((status IN ('offered', 'running')) = (finished_at IS NULL)),
    CONSTRAINT ck_attempt_running_was_started CHECK (status <> 'running' OR started_at IS NOT NULL),
    CONSTRAINT ck_attempt_finish_has_its_answer CHECK ((finish_digest IS NULL) = (finish_status IS NULL)),
    CONSTRAINT fk_attempt_issue_id_issue FOREIGN KEY (issue_id) REFERENCES issue (id) ON DELETE CASCADE,
    CONSTRAINT fk_attempt_node_id_node FOREIGN KEY (node_id) REFERENCES node (id) ON DELETE SET NULL,
    CONSTRAINT fk_attempt_credential_id_credential
        FOREIGN KEY (credential_id) REFERENCES credential (id) ON DELETE SET NULL
) WITH (fillfactor = 80)"""
ATTEMPT_USAGE = """
CREATE TABLE attempt_usage (
    attempt_id uuid NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    cost_usd numeric(18, 6) NOT NULL,
    CONSTRAINT pk_attempt_usage PRIMARY KEY (attempt_id, provider, model),
    CONSTRAINT fk_attempt_usage_attempt_id_attempt FOREIGN KEY (attempt_id) REFERENCES attempt (id) ON DELETE CASCADE
)"""
# What a kept row points at may have been deleted while the database stood at an older revision.
REFERENCES = {
    "repository_id": "(SELECT id FROM repository WHERE id = kept.repository_id)",
    "project_id": "(SELECT id FROM project WHERE id = kept.project_id)",
    "prompt_id": "(SELECT id FROM prompt WHERE id = kept.prompt_id)",
    "attempt_id": "(SELECT id FROM attempt WHERE id = kept.attempt_id)",
    "seq": "(SELECT kept.seq FROM attempt WHERE id = kept.attempt_id)",
}
MOVE_GUARD_BACK = f"""
DO $$
BEGIN
    IF to_regproc('{KEPT}.audit_event_append_only') IS NOT NULL THEN
        EXECUTE format('ALTER FUNCTION {KEPT}.audit_event_append_only() SET SCHEMA %I', current_schema());
    END IF;
END $$"""
MOVE_OR_DROP_GUARD = f"""
DO $$
BEGIN
    IF to_regclass('{KEPT}.audit_event') IS NOT NULL THEN
        ALTER FUNCTION audit_event_append_only() SET SCHEMA {KEPT};
    ELSE
        DROP FUNCTION audit_event_append_only();
    END IF;
END $$"""
LIVE = "status IN ('offered', 'running')"
MAKE = {
    "access_token": (ACCESS_TOKENS, "CREATE INDEX ix_access_token_user_id ON access_token (user_id)"),
    "audit_event": (
        AUDIT_EVENT,
        "CREATE INDEX ix_audit_event_actor_id ON audit_event (actor_id)",
        "CREATE INDEX ix_audit_event_at_id ON audit_event (at, id)",
        "CREATE INDEX ix_audit_event_object_type_object_id ON audit_event (object_type, object_id)",
        APPEND_ONLY,
        APPEND_ONLY_TRIGGER,
    ),
    "attempt": (
        ATTEMPT,
        f"CREATE INDEX ix_attempt_live_credential ON attempt (credential_id) WHERE {LIVE}",
        f"CREATE INDEX ix_attempt_live_node ON attempt (node_id) WHERE {LIVE}",
        "CREATE INDEX ix_attempt_node_id_claim_id ON attempt (node_id, claim_id)",
        "CREATE UNIQUE INDEX uq_attempt_issue_id_number ON attempt (issue_id, number)",
        f"CREATE UNIQUE INDEX uq_attempt_live_issue ON attempt (issue_id) WHERE {LIVE}",
    ),
    "attempt_usage": (ATTEMPT_USAGE,),
}

NO_WORKER_OUTLIVED_THE_DOWNGRADE = f"""
WITH ended AS (
    UPDATE attempt SET status = CASE WHEN cancel_requested_at IS NULL THEN 'lost' ELSE 'cancelled' END,
        finished_at = now(), error_message = 'The schema was downgraded meanwhile.'
    WHERE {LIVE} RETURNING issue_id, status
)
UPDATE issue SET attempt_count = greatest(attempt_count - 1, 0),
    status = CASE WHEN ended.status = 'cancelled' THEN 'cancelled' ELSE issue.status END
FROM ended WHERE ended.issue_id = issue.id"""


def upgrade() -> None:
    for table, columns in NEW_COLUMNS.items():
        added = (
            f"ADD COLUMN {name} {kind}" + (f" DEFAULT {default} NOT NULL" if default else "")
            for name, (kind, default) in columns.items()
        )
        op.execute(f"ALTER TABLE {table}\n    " + ",\n    ".join(added))
    for table, parameters in STORAGE.items():
        op.execute(f"ALTER TABLE {table} SET ({parameters})")
    for table in NEW_TABLES:
        _make_or_take_back(table)
    op.execute(MOVE_GUARD_BACK)
    for table, columns in NEW_COLUMNS.items():
        give_back_columns(table, table, {name: REFERENCES.get(name, f"kept.{name}") for name in columns})
    op.execute(NO_WORKER_OUTLIVED_THE_DOWNGRADE)


def _make_or_take_back(table: str) -> None:
    statements = "\n".join(f"        EXECUTE $make${statement}$make$;" for statement in MAKE[table])
    op.execute(f"""
DO $outer$
BEGIN
    IF to_regclass('{KEPT}.{table}') IS NOT NULL THEN
        EXECUTE format('ALTER TABLE {KEPT}.{table} SET SCHEMA %I', current_schema());
    ELSE
{statements}
    END IF;
END $outer$""")


def downgrade() -> None:
    for table, columns in reversed(NEW_COLUMNS.items()):
        names = ", ".join(columns)
        changed = " OR ".join(
            f"{name} IS DISTINCT FROM {default}" if default else f"{name} IS NOT NULL"
            for name, (_, default) in columns.items()
        )
        keep(table, f"SELECT id, {names} FROM {table} WHERE {changed}")
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"DROP COLUMN {name}" for name in columns))
    for table in STORAGE:
        names = "fillfactor"
        if table == "issue":
            names += ", autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold"
        op.execute(f"ALTER TABLE {table} RESET ({names})")
    for table in ("attempt_usage", "attempt", "audit_event", "access_token"):
        keep_table(table)
    op.execute(MOVE_OR_DROP_GUARD)
