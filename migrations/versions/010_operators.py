"""What the operators' API keeps: failures at the doors, counters, and what searches read

Data: the counters start with what the tables hold; issues become searchable in 011.
Going down forgets the counters, the search and who was slowed down; all of it is made anew on the way up. What was
spent on issues that were deleted is kept.

Revision ID: 010_operators
Revises: 009_indexes
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER

from app.db.revision_steps import KEPT, give_back, keep

revision = "010_operators"
down_revision = "009_indexes"
branch_labels = None
depends_on = None

COUNTERS = {"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 2000}

# A claim is one UPDATE for many issues; so is its share of the counters one INSERT.
TALLY_ISSUES = """
CREATE FUNCTION tally_issues() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO issue_tally (owner_id, what, n) SELECT owner_id, status, count(*) FROM new_rows GROUP BY 1, 2;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO issue_tally (owner_id, what, n) SELECT owner_id, status, -count(*) FROM old_rows GROUP BY 1, 2;
    ELSE
        INSERT INTO issue_tally (owner_id, what, hour, n)
        SELECT owner_id, what, hour, sum(n) FROM (
            SELECT owner_id, status AS what, NULL::timestamptz AS hour, 1 AS n FROM new_rows
            UNION ALL
            SELECT owner_id, status, NULL, -1 FROM old_rows
            UNION ALL
            SELECT after.owner_id, CASE after.status WHEN 'failed' THEN 'ended:failed' ELSE 'ended:completed' END,
                date_trunc('hour', clock_timestamp(), 'UTC'), 1
            FROM new_rows AS after JOIN old_rows AS before ON before.id = after.id
            WHERE after.status IN ('completed', 'pending_merge', 'failed')
                AND before.status IN ('pending', 'processing')
        ) AS change
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0;
    END IF;
    RETURN NULL;
END $$
"""
COUNT_ISSUES = """
INSERT INTO issue_tally (owner_id, what, hour, n)
SELECT owner_id, status, NULL, count(*) FROM issue GROUP BY 1, 2
UNION ALL
SELECT owner_id, CASE status WHEN 'failed' THEN 'ended:failed' ELSE 'ended:completed' END,
    date_trunc('hour', completed_at, 'UTC'), count(*)
FROM issue
WHERE status IN ('completed', 'pending_merge', 'merged', 'failed') AND completed_at > now() - interval '2 days'
GROUP BY 1, 2, 3
"""
TALLY_USAGE = """
CREATE FUNCTION tally_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO usage_tally
        SELECT issue.owner_id, issue.project_id, attempt.credential_id, sum(input_tokens), sum(output_tokens),
            sum(cache_read_tokens), sum(cache_write_tokens), sum(cost_usd)
        FROM new_rows JOIN attempt ON attempt.id = new_rows.attempt_id JOIN issue ON issue.id = attempt.issue_id
        GROUP BY 1, 2, 3;
    END IF;
    -- When an issue is deleted its attempts are gone before this runs: what was spent on it stays counted.
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO usage_tally
        SELECT issue.owner_id, issue.project_id, attempt.credential_id, -sum(input_tokens), -sum(output_tokens),
            -sum(cache_read_tokens), -sum(cache_write_tokens), -sum(cost_usd)
        FROM old_rows JOIN attempt ON attempt.id = old_rows.attempt_id JOIN issue ON issue.id = attempt.issue_id
        GROUP BY 1, 2, 3;
    END IF;
    RETURN NULL;
END $$
"""
COUNT_USAGE = """
INSERT INTO usage_tally
SELECT issue.owner_id, issue.project_id, attempt.credential_id, sum(input_tokens), sum(output_tokens),
    sum(cache_read_tokens), sum(cache_write_tokens), sum(cost_usd)
FROM attempt_usage JOIN attempt ON attempt.id = attempt_id JOIN issue ON issue.id = issue_id GROUP BY 1, 2, 3
"""
# Folded as a search folds its words: lower case, blanks as one space. A description is searchable up to its 4000th
# character, which bounds what one issue costs.
CONTENT = """
CREATE FUNCTION issue_search_content(title text, description text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(regexp_replace(title || ' ' || coalesce(left(description, 4000), ''), '[[:space:]]+', ' ', 'g'))
$$
"""
# Runs of three characters; where they are not ASCII also of two and one, since a word of Chinese is that short.
GRAMS = """
CREATE FUNCTION issue_search_grams(content text) RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT hashtext(gram)), '{}')
    FROM (
        SELECT letter AS a, lead(letter) OVER w AS b, lead(letter, 2) OVER w AS c
        FROM unnest(string_to_array(content, NULL)) WITH ORDINALITY AS letters (letter, place)
        WINDOW w AS (ORDER BY place)
    ) AS runs CROSS JOIN LATERAL (VALUES
        (a || b || c),
        (CASE WHEN octet_length(a || b) > 2 THEN a || b END),
        (CASE WHEN octet_length(a) > 1 THEN a END)
    ) AS grams (gram)
    WHERE gram IS NOT NULL
$$
"""
# Of what is looked for the runs that are kept; none for one or two letters of ASCII, which are everywhere.
WANTED = """
CREATE FUNCTION issue_search_wanted(content text) RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT hashtext(gram)), '{}')
    FROM (
        SELECT substr(content, place, least(3, char_length(content))) AS gram
        FROM generate_series(1, greatest(1, char_length(content) - 2)) AS place
    ) AS runs
    WHERE char_length(gram) = 3 OR octet_length(gram) > char_length(gram)
$$
"""
KEEP_SEARCHABLE = """
CREATE FUNCTION keep_issue_searchable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO issue_search (issue_id, owner_id, content, grams)
    SELECT id, owner_id, content, issue_search_grams(content)
    FROM (SELECT id, owner_id, issue_search_content(title, description) AS content FROM new_rows) AS texts
    ON CONFLICT (issue_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE FUNCTION update_issue_search() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    folded text := issue_search_content(NEW.title, NEW.description);
BEGIN
    INSERT INTO issue_search (issue_id, owner_id, content, grams)
    VALUES (NEW.id, NEW.owner_id, folded, issue_search_grams(folded))
    ON CONFLICT (issue_id) DO UPDATE SET content = excluded.content, grams = excluded.grams;
    RETURN NULL;
END $$
"""
TRIGGERS = """
CREATE TRIGGER tally_insert AFTER INSERT ON issue REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_issues();
CREATE TRIGGER tally_update AFTER UPDATE ON issue REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_issues();
CREATE TRIGGER tally_delete AFTER DELETE ON issue REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_issues();
CREATE TRIGGER tally_insert AFTER INSERT ON attempt_usage REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_usage();
CREATE TRIGGER tally_update AFTER UPDATE ON attempt_usage REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_usage();
CREATE TRIGGER tally_delete AFTER DELETE ON attempt_usage REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION tally_usage();
CREATE TRIGGER search_insert AFTER INSERT ON issue REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_issue_searchable();
CREATE TRIGGER search_update AFTER UPDATE OF title, description ON issue
    FOR EACH ROW WHEN (OLD.title IS DISTINCT FROM NEW.title OR OLD.description IS DISTINCT FROM NEW.description)
    EXECUTE FUNCTION update_issue_search()
"""
FUNCTIONS = (
    "tally_issues()",
    "tally_usage()",
    "keep_issue_searchable()",
    "update_issue_search()",
    "issue_search_wanted(text)",
    "issue_search_grams(text)",
    "issue_search_content(text, text)",
)


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
    _create_counters()
    op.create_table(
        "issue_search",
        sa.Column("issue_id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("grams", ARRAY(INTEGER()), nullable=False),
        sa.PrimaryKeyConstraint("issue_id", name="pk_issue_search"),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"], name="fk_issue_search_issue_id_issue", ondelete="CASCADE"),
    )
    for definition in (TALLY_ISSUES, TALLY_USAGE, CONTENT, GRAMS, WANTED):
        op.execute(definition)
    for definition in (*KEEP_SEARCHABLE.split(";\nCREATE"), *TRIGGERS.split(";\nCREATE")):
        op.execute(definition if definition.lstrip().startswith("CREATE") else f"CREATE{definition}")
    # The triggers' lock holds writers off until the commit, so nothing is counted twice or not at all.
    op.execute(COUNT_ISSUES)
    op.execute(COUNT_USAGE)
    give_back("usage_tally", f"INSERT INTO usage_tally SELECT * FROM {KEPT}.usage_tally")


def _create_counters() -> None:
    op.create_table(
        "issue_tally",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True)),
        sa.Column("n", sa.BigInteger(), nullable=False),
        comment="what: a status, or ended:completed and ended:failed with the hour in which it ended",
        postgresql_with=COUNTERS,
    )
    amounts = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    op.create_table(
        "usage_tally",
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid()),
        sa.Column("credential_id", sa.Uuid()),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in amounts),
        sa.Column("cost_usd", sa.Numeric(18, 6), nullable=False),
        comment="what was spent; it stays when the issue is deleted",
        postgresql_with=COUNTERS,
    )


# What was spent on issues that are gone: the counters less what their rows can be counted from again.
SPENT_ON_DELETED_ISSUES = """
SELECT owner_id, project_id, credential_id, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
    sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_tokens) AS cache_write_tokens,
    sum(cost_usd) AS cost_usd
FROM (
    SELECT * FROM usage_tally
    UNION ALL
    SELECT issue.owner_id, issue.project_id, attempt.credential_id, -input_tokens, -output_tokens, -cache_read_tokens,
        -cache_write_tokens, -cost_usd
    FROM attempt_usage JOIN attempt ON attempt.id = attempt_id JOIN issue ON issue.id = issue_id
) AS spent
GROUP BY 1, 2, 3
HAVING sum(input_tokens) <> 0 OR sum(output_tokens) <> 0 OR sum(cache_read_tokens) <> 0
    OR sum(cache_write_tokens) <> 0 OR sum(cost_usd) <> 0"""


def downgrade() -> None:
    keep("usage_tally", SPENT_ON_DELETED_ISSUES)
    for table, trigger in (
        ("issue", "tally_insert"),
        ("issue", "tally_update"),
        ("issue", "tally_delete"),
        ("attempt_usage", "tally_insert"),
        ("attempt_usage", "tally_update"),
        ("attempt_usage", "tally_delete"),
        ("issue", "search_insert"),
        ("issue", "search_update"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    for table in ("issue_search", "usage_tally", "issue_tally", "throttle"):
        op.drop_table(table)
