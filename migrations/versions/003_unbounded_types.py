"""Columns get types that hold every value: text, timestamptz, arrays, and text instead of the native enum

Data: times are taken as UTC. Tags become arrays without empty entries. `cluade-code` becomes `claude-code`, whichever
way the labels were written. Nodes are offline until they register again; an empty address becomes NULL.
Going down joins tags with commas, and refuses rows that the bounded columns cannot hold.
Large tables are not rewritten: with the time zone at UTC, PostgreSQL changes only its catalogue.

Revision ID: 003_unbounded_types
Revises: 002_one_shape
"""

from alembic import op

from app.db.revision_steps import refuse_rows

revision = "003_unbounded_types"
down_revision = "002_one_shape"
branch_labels = None
depends_on = None

LENGTHS = {
    '"user"': {"email": 255, "hashed_password": 255, "full_name": 255},
    "project": {"name": 255, "description": 500},
    "repository": {"name": 255, "url": 1023, "description": 500},
    "prompt": {"name": 255, "content": 5000, "description": 500},
    "issue": {
        "title": 255,
        "description": 2048,
        "repository_url": 512,
        "status": 32,
        "error_message": 1024,
        "result_branch": 255,
    },
    "node": {"name": 255, "ip": 64, "description": 255, "status": 32},
    "credential": {"title": 255},
    "workflowlog": {"step_name": 100, "status": 32, "command": 512, "output": 4096, "error_message": 2048},
}
TIMES = {
    '"user"': (),
    "project": (),
    "repository": (),
    "prompt": (),
    "issue": ("started_at", "completed_at"),
    "node": ("last_heartbeat",),
    "credential": (),
    "node_registration_key": (),
    "workflowlog": (),
}
DEFAULTS = {
    '"user"': {"is_active": "true", "is_superuser": "false"},
    "project": {"is_active": "true"},
    "repository": {"is_public": "false"},
    "issue": {"status": "'pending'", "priority": "0"},
    "node": {"status": "'offline'"},
    "credential": {"is_disabled": "false"},
}
TAGGED = ("node", "prompt")
SPLIT_TAGS = r"""string_to_array(
    regexp_replace(btrim(coalesce(tags, ''), E', \t\r\n'), '\s*(,\s*)+', ',', 'g'), ',')"""
JOINED_TAGS = "array_to_string(tags, ',')"
MENDED_CATEGORY = """CASE replace(lower(category::text), '_', '-')
    WHEN 'cluade-code' THEN 'claude-code' ELSE replace(lower(category::text), '_', '-') END"""


def _own_times(table: str) -> tuple[str, ...]:
    return ("created_at", *(() if table == "workflowlog" else ("updated_at",)))


def _alter(table: str, *changes: str) -> None:
    op.execute(f"ALTER TABLE {table}\n    " + ",\n    ".join(changes))


def upgrade() -> None:
    op.execute("SET LOCAL TimeZone = 'UTC'")
    _alter(
        "node",
        f"ALTER COLUMN tags TYPE text[] USING {SPLIT_TAGS}",
        "ALTER COLUMN tags SET DEFAULT '{}'",
        "ALTER COLUMN tags SET NOT NULL",
        "ALTER COLUMN status TYPE text USING 'offline'",
        "ALTER COLUMN status SET NOT NULL",
        "ALTER COLUMN ip TYPE text USING nullif(ip, '')",
        "ALTER COLUMN ip DROP NOT NULL",
    )
    _alter(
        "prompt",
        f"ALTER COLUMN tags TYPE text[] USING {SPLIT_TAGS}",
        "ALTER COLUMN tags SET DEFAULT '{}'",
        "ALTER COLUMN tags SET NOT NULL",
    )
    _alter("credential", f"ALTER COLUMN category TYPE text USING {MENDED_CATEGORY}")
    op.execute("DROP TYPE credentialcategory")
    for table, more in TIMES.items():
        _alter(
            table,
            *(f"ALTER COLUMN {column} TYPE timestamptz" for column in (*_own_times(table), *more)),
            *(f"ALTER COLUMN {column} SET DEFAULT now()" for column in _own_times(table)),
            *(f"ALTER COLUMN {column} TYPE text" for column in LENGTHS.get(table, {}) if column != "ip"),
            *(f"ALTER COLUMN {column} SET DEFAULT {value}" for column, value in DEFAULTS.get(table, {}).items()),
        )


def check_downgrade() -> None:
    refuse_rows(
        *(
            f"SELECT '{table.strip(chr(34))} ' || id || ': {column} is longer than {length} characters'"
            f" FROM {table} WHERE char_length({column}) > {length}"
            for table, columns in LENGTHS.items()
            for column, length in columns.items()
        ),
        *(
            f"SELECT '{table} ' || id || ': tags cannot be joined with commas to 255 characters' FROM {table}"
            f" WHERE char_length({JOINED_TAGS}) > 255 OR tags <> {SPLIT_TAGS.replace('tags', JOINED_TAGS)}"
            for table in TAGGED
        ),
    )


def downgrade() -> None:
    op.execute("SET LOCAL TimeZone = 'UTC'")
    for table, more in reversed(TIMES.items()):
        _alter(
            table,
            *(f"ALTER COLUMN {column} DROP DEFAULT" for column in (*_own_times(table), *DEFAULTS.get(table, {}))),
            *(f"ALTER COLUMN {column} TYPE timestamp" for column in (*_own_times(table), *more)),
            *(
                f"ALTER COLUMN {column} TYPE varchar({length})"
                for column, length in LENGTHS.get(table, {}).items()
                if column != "ip"
            ),
        )
    op.execute("CREATE TYPE credentialcategory AS ENUM ('github-copilot', 'cursor', 'cluade-code')")
    _alter(
        "credential",
        "ALTER COLUMN category TYPE credentialcategory"
        " USING replace(category, 'claude-code', 'cluade-code')::credentialcategory",
    )
    for table in TAGGED:
        _alter(
            table,
            "ALTER COLUMN tags DROP DEFAULT",
            "ALTER COLUMN tags DROP NOT NULL",
            f"ALTER COLUMN tags TYPE varchar(255) USING nullif({JOINED_TAGS}, '')",
        )
    _alter(
        "node",
        "ALTER COLUMN ip TYPE varchar(64) USING coalesce(ip, '')",
        "ALTER COLUMN ip SET NOT NULL",
        "ALTER COLUMN status DROP NOT NULL",
    )
