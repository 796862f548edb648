"""What revisions are written with.

Each function gives the same SQL to a database and to `--sql`. Within `nodeyard adopt` everything is one transaction:
there batches do not commit and indexes are not built concurrently.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from alembic import op

from app.db.revisions import LOCK_TIMEOUT_MS

KEPT = "nodeyard_kept"
"""The schema that holds, while a database stands at an older revision, what that revision has no room for."""
NAMED_ROWS_MAX = 100
_DROP_SCHEMA_IF_EMPTY = f"""
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('{KEPT}')) THEN
        DROP SCHEMA IF EXISTS {KEPT};
    END IF;"""


def is_one_transaction() -> bool:
    return bool(op.get_context().opts["one_transaction"])


def keys() -> tuple[str, ...]:
    """NODEYARD_SECRET_KEYS, or nothing: then secrets stay as they are until the server starts."""
    return tuple(op.get_context().opts["keys"])


@contextmanager
def outside_transaction() -> Generator[None]:
    """For statements that commit or that must not run in a transaction. What stands inside must bear a second run.

    It waits for locks as long as it takes: these statements hold none that traffic would queue behind.
    """
    if is_one_transaction():
        yield
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")


def commit() -> str:
    """Ends a batch inside a DO block that runs within `outside_transaction`."""
    return "" if is_one_transaction() else "COMMIT;"


def update_in_batches(table: str, assignments: str, where: str, size: int = 5000) -> None:
    """Updates the rows for which `where` holds, `size` at a time in the order of their ids; the row is `row`."""
    op.execute(f"""
DO $$
DECLARE
    first_id uuid;
    last_id uuid;
BEGIN
    SELECT id INTO first_id FROM {table} ORDER BY id LIMIT 1;
    WHILE first_id IS NOT NULL LOOP
        SELECT id INTO last_id
        FROM (SELECT id FROM {table} WHERE id >= first_id ORDER BY id LIMIT {size}) AS batch
        ORDER BY id DESC LIMIT 1;
        UPDATE {table} AS row SET {assignments}
        WHERE row.id BETWEEN first_id AND last_id AND ({where});
        {commit()}
        SELECT id INTO first_id FROM {table} WHERE id > last_id ORDER BY id LIMIT 1;
        IF NOT FOUND THEN first_id := NULL; END IF;
    END LOOP;
END $$""")


def build_index(name: str, definition: str, *, unique: bool = False) -> None:
    """Builds it without stopping writers; one that an interrupted run left behind, perhaps invalid, is replaced."""
    concurrently = "" if is_one_transaction() else "CONCURRENTLY "
    op.execute(f"DROP INDEX {concurrently}IF EXISTS {name}")
    op.execute(f"CREATE {'UNIQUE ' if unique else ''}INDEX {concurrently}{name} ON {definition}")


def refuse_rows(*offenders: str) -> None:
    """Stops the run, naming them, when any of the queries finds rows. Each gives one text column that names a row."""
    union = "\n        UNION ALL ".join(f"({query})" for query in offenders)
    op.execute(f"""
DO $$
DECLARE
    named text;
    total bigint;
BEGIN
    SELECT string_agg(found.what, '; ') FILTER (WHERE found.number <= {NAMED_ROWS_MAX}), count(*) INTO named, total
    FROM (SELECT what, row_number() OVER () AS number FROM (
        {union}
    ) AS each(what)) AS found;
    IF total > {NAMED_ROWS_MAX} THEN named := named || '; and ' || total - {NAMED_ROWS_MAX} || ' more'; END IF;
    IF total > 0 THEN
        RAISE EXCEPTION 'Nothing was changed. These rows do not fit: %', named;
    END IF;
END $$""")


def keep(name: str, query: str) -> None:
    """Stores what `query` finds, if anything, until `give_back`."""
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {KEPT}")
    op.execute(f"CREATE TABLE {KEPT}.{name} AS {query}")
    _forget_if_empty(name)


def keep_table(table: str) -> None:
    """Moves a table that the older schema does not know, with its indexes and foreign keys; drops it when empty."""
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {KEPT}")
    op.execute(f"ALTER TABLE {table} SET SCHEMA {KEPT}")
    _forget_if_empty(table)


def give_back(name: str, statement: str) -> None:
    """Runs `statement`, which reads `nodeyard_kept.<name>`, when there is such a table, and drops the table."""
    op.execute(f"""
DO $$
BEGIN
    IF to_regclass('{KEPT}.{name}') IS NOT NULL THEN
        EXECUTE $give$ {statement} $give$;
        DROP TABLE {KEPT}.{name};
    END IF;
    {_DROP_SCHEMA_IF_EMPTY}
END $$""")


def give_back_columns(table: str, name: str, values: Mapping[str, str]) -> None:
    """`values`: what each column becomes, as SQL over the row `kept`."""
    assignments = ", ".join(f"{column} = {value}" for column, value in values.items())
    give_back(name, f"UPDATE {table} AS row SET {assignments} FROM {KEPT}.{name} AS kept WHERE kept.id = row.id")


def forget_everything_kept() -> None:
    op.execute(f"DROP SCHEMA IF EXISTS {KEPT} CASCADE")


def _forget_if_empty(name: str) -> None:
    op.execute(f"""
DO $$
DECLARE
    has_rows boolean;
BEGIN
    EXECUTE 'SELECT EXISTS (SELECT FROM {KEPT}.{name})' INTO has_rows;
    IF NOT has_rows THEN DROP TABLE {KEPT}.{name} CASCADE; END IF;
    {_DROP_SCHEMA_IF_EMPTY}
END $$""")
