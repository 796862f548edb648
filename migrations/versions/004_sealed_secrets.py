"""Credentials and the registration key are sealed; the key is compared by its hash

Data: with NODEYARD_SECRET_KEYS set, secrets are encrypted here; without, and with --sql, they stay in clear text until
the first server start seals them. The last four characters of secrets of twelve and more stay readable.
Going down needs the keys, and refuses before it changes anything when they do not open every secret.

Revision ID: 004_sealed_secrets
Revises: 003_unbounded_types
"""

from alembic import op

from app.db.revision_steps import give_back_columns, keep, keys, refuse_rows
from app.db.sealing import forget_clear_text, open_secret, seal_batch
from app.vault import UnknownKey, Vault

revision = "004_sealed_secrets"
down_revision = "003_unbounded_types"
branch_labels = None
depends_on = None

KEPT_OF_CREDENTIAL = ("disabled_reason", "cooldown_until", "last_used_at", "max_running")
KEPT_OF_KEY = ("previous_key_hash", "previous_expires_at")


def upgrade() -> None:
    op.execute("""
ALTER TABLE credential
    ADD COLUMN pat_last4 text,
    ADD COLUMN secret_key_id text,
    ADD COLUMN disabled_reason text,
    ADD COLUMN cooldown_until timestamptz,
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN max_running integer""")
    op.execute("UPDATE credential SET pat_last4 = CASE WHEN char_length(pat) >= 12 THEN right(pat, 4) ELSE '' END")
    # A new type and not a new column: the rewrite leaves no clear text behind in a dropped column.
    op.execute("ALTER TABLE credential ALTER COLUMN pat TYPE bytea USING convert_to(pat, 'UTF8')")
    op.execute("ALTER TABLE credential RENAME COLUMN pat TO secret")
    op.execute("ALTER TABLE credential ALTER COLUMN pat_last4 SET NOT NULL")
    _upgrade_registration_key()
    give_back_columns("credential", "credential", {name: f"kept.{name}" for name in KEPT_OF_CREDENTIAL})
    give_back_columns("node_registration_key", "node_registration_key", {name: f"kept.{name}" for name in KEPT_OF_KEY})
    if keys():
        vault = Vault(keys())
        while seal_batch(op.get_bind(), vault):
            pass
        forget_clear_text(op.get_bind())


def _upgrade_registration_key() -> None:
    op.execute("""
ALTER TABLE node_registration_key
    ADD COLUMN key_hash bytea,
    ADD COLUMN secret_key_id text,
    ADD COLUMN previous_key_hash bytea,
    ADD COLUMN previous_expires_at timestamptz""")
    op.execute("UPDATE node_registration_key SET key_hash = sha256(convert_to(key, 'UTF8'))")
    op.execute("DROP INDEX ix_node_registration_key_key")
    op.execute("ALTER TABLE node_registration_key ALTER COLUMN key TYPE bytea USING convert_to(key, 'UTF8')")
    op.execute("ALTER TABLE node_registration_key RENAME COLUMN key TO secret")
    op.execute(
        "ALTER TABLE node_registration_key ALTER COLUMN key_hash SET NOT NULL, ALTER COLUMN id DROP IDENTITY IF EXISTS"
    )
    op.execute("ALTER TABLE node_registration_key ALTER COLUMN id DROP DEFAULT")
    op.execute("DROP SEQUENCE IF EXISTS node_registration_key_id_seq")
    op.execute("ALTER TABLE node_registration_key ALTER COLUMN id TYPE smallint, ALTER COLUMN id SET DEFAULT 1")
    op.execute(RENAME_NOT_NULL)


# A renamed column keeps the name of its constraint, which PostgreSQL has from 18 on.
RENAME_NOT_NULL = """
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT conrelid::regclass AS table_name, conname, relname || '_' || attname || '_not_null' AS new_name
        FROM pg_constraint
        JOIN pg_class ON pg_class.oid = conrelid
        JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
        WHERE contype = 'n' AND conrelid IN ('credential'::regclass, 'node_registration_key'::regclass)
    LOOP
        IF found.conname <> found.new_name THEN
            EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I',
                found.table_name, found.conname, found.new_name);
        END IF;
    END LOOP;
END $$"""


def check_downgrade() -> None:
    if op.get_context().as_sql or not keys():
        refuse_rows(
            "SELECT 'credential ' || id || ': sealed, and NODEYARD_SECRET_KEYS is not set'"
            " FROM credential WHERE secret_key_id IS NOT NULL",
            "SELECT 'node_registration_key ' || id || ': sealed, and NODEYARD_SECRET_KEYS is not set'"
            " FROM node_registration_key WHERE secret_key_id IS NOT NULL",
        )
    too_long = [f"{table} {row_id}" for table, row_id, secret in _opened() if len(secret) > 255]
    if too_long:
        refuse_rows(f"SELECT '{'; '.join(too_long)}: the secret is longer than 255 characters'")


def _opened() -> list[tuple[str, object, str]]:
    """Every secret in clear text; with --sql there is nobody to ask, and they are in clear text already."""
    if op.get_context().as_sql:
        return []
    found: list[tuple[str, object, str]] = []
    for table in ("credential", "node_registration_key"):
        for row in op.get_bind().exec_driver_sql(f"SELECT id, secret, secret_key_id FROM {table}").all():
            if row.secret_key_id is None:
                found.append((table, row.id, bytes(row.secret).decode()))
                continue
            try:
                secret = open_secret(Vault(keys()), table, row.id, bytes(row.secret), row.secret_key_id)
            except UnknownKey as problem:
                refuse_rows(f"SELECT '{table} {row.id}: {str(problem).replace(chr(39), chr(39) * 2)}'")
                raise
            found.append((table, row.id, secret))
    return found


def downgrade() -> None:
    opened = _opened()
    keep("credential", _kept("credential", KEPT_OF_CREDENTIAL))
    keep("node_registration_key", _kept("node_registration_key", KEPT_OF_KEY))
    for table, column in (("credential", "pat"), ("node_registration_key", "key")):
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} varchar(255)")
        op.execute(f"UPDATE {table} SET {column} = convert_from(secret, 'UTF8') WHERE secret_key_id IS NULL")
        for of_table, row_id, secret in opened:
            if of_table == table:
                op.get_bind().exec_driver_sql(f"UPDATE {table} SET {column} = $1 WHERE id = $2", (secret, row_id))
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
    dropped = ("secret", "pat_last4", "secret_key_id", *KEPT_OF_CREDENTIAL)
    op.execute("ALTER TABLE credential " + ", ".join(f"DROP COLUMN {column}" for column in dropped))
    dropped = ("secret", "key_hash", "secret_key_id", *KEPT_OF_KEY)
    op.execute("ALTER TABLE node_registration_key " + ", ".join(f"DROP COLUMN {column}" for column in dropped))
    _downgrade_registration_key()


def _kept(table: str, columns: tuple[str, ...]) -> str:
    return f"SELECT id, {', '.join(columns)} FROM {table} WHERE num_nonnulls({', '.join(columns)}) > 0"


def _downgrade_registration_key() -> None:
    op.execute("CREATE INDEX ix_node_registration_key_key ON node_registration_key (key)")
    op.execute("ALTER TABLE node_registration_key ALTER COLUMN id DROP DEFAULT, ALTER COLUMN id TYPE integer")
    op.execute("CREATE SEQUENCE node_registration_key_id_seq AS integer OWNED BY node_registration_key.id")
    op.execute(
        "SELECT setval('node_registration_key_id_seq', greatest(max(id), 1), max(id) IS NOT NULL)"
        " FROM node_registration_key"
    )
    op.execute(
        "ALTER TABLE node_registration_key"
        " ALTER COLUMN id SET DEFAULT nextval('node_registration_key_id_seq'::regclass)"
    )
