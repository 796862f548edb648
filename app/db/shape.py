"""What a database really holds: the tables of one schema as comparable text, and the differences between two."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

_COLUMNS = """
SELECT table_of.relname AS table_name, owned.attname AS name,
    format_type(owned.atttypid, owned.atttypmod)
    || CASE WHEN owned.attnotnull THEN ' NOT NULL' ELSE '' END
    || CASE owned.attidentity WHEN 'd' THEN ' BY DEFAULT AS IDENTITY' WHEN 'a' THEN ' ALWAYS AS IDENTITY' ELSE '' END
    || CASE WHEN owned.attgenerated = 's' THEN ' STORED' ELSE '' END
    || coalesce(' DEFAULT ' || pg_get_expr(value.adbin, value.adrelid), '') AS definition
FROM pg_attribute AS owned
JOIN pg_class AS table_of ON table_of.oid = owned.attrelid
LEFT JOIN pg_attrdef AS value ON value.adrelid = owned.attrelid AND value.adnum = owned.attnum
WHERE table_of.relnamespace = current_schema()::regnamespace AND table_of.relkind IN ('r', 'p')
    AND owned.attnum > 0 AND NOT owned.attisdropped"""
_CONSTRAINTS = """
SELECT table_of.relname AS table_name, owned.conname AS name,
    pg_get_constraintdef(owned.oid) AS definition
FROM pg_constraint AS owned JOIN pg_class AS table_of ON table_of.oid = owned.conrelid
WHERE owned.connamespace = current_schema()::regnamespace"""
_INDEXES = """
SELECT table_of.relname AS table_name, index_of.relname AS name,
    pg_get_indexdef(owned.indexrelid) || CASE WHEN owned.indisvalid THEN '' ELSE ' INVALID' END AS definition
FROM pg_index AS owned
JOIN pg_class AS table_of ON table_of.oid = owned.indrelid
JOIN pg_class AS index_of ON index_of.oid = owned.indexrelid
WHERE table_of.relnamespace = current_schema()::regnamespace"""
_OPTIONS = """
SELECT relname AS table_name, 'storage' AS name,
    array_to_string(ARRAY(SELECT unnest(reloptions) ORDER BY 1), ', ') AS definition
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND reloptions IS NOT NULL AND relkind = 'r'"""
_SEQUENCES = """
SELECT relname AS table_name, 'sequence' AS name, 'sequence' AS definition
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'S'"""
_ENUMS = """
SELECT 'type ' || typname AS table_name, 'labels' AS name,
    (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = pg_type.oid) AS definition
FROM pg_type WHERE typnamespace = current_schema()::regnamespace AND typtype = 'e'"""

Facts = Mapping[str, str]


@dataclass(frozen=True)
class Shape:
    """`facts` of a table are named `column id`, `constraint pk_issue`, `index ix_issue_ready`, `storage`."""

    tables: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def differences(self, wanted: "Shape") -> list[str]:
        """One sentence each; none when both hold the same, whatever the order of the columns."""
        found: list[str] = []
        for table in sorted(self.tables.keys() | wanted.tables.keys()):
            mine, theirs = self.tables.get(table), wanted.tables.get(table)
            if mine is None or theirs is None:
                found.append(f"{table}: {'missing' if mine is None else 'not expected'}")
                continue
            found += [f"{table}: {difference}" for difference in _differing_facts(mine, theirs)]
        return found


def _differing_facts(mine: Facts, theirs: Facts) -> list[str]:
    found: list[str] = []
    for fact in sorted(mine.keys() | theirs.keys()):
        has, wants = mine.get(fact), theirs.get(fact)
        if has is None:
            found.append(f"{fact} is missing ({wants})")
        elif wants is None:
            found.append(f"{fact} is not expected ({has})")
        elif has != wants:
            found.append(f"{fact} is {has}, not {wants}")
    return found


def read(connection: Connection, without: frozenset[str] = frozenset({"alembic_version", "item"})) -> Shape:
    """The tables of the current schema, except `without`: Alembic's own, and the left-over of the second shape."""
    tables: dict[str, dict[str, str]] = {}
    for kind, query in (
        ("column", _COLUMNS),
        ("constraint", _CONSTRAINTS),
        ("index", _INDEXES),
        ("table", _OPTIONS),
        ("a", _SEQUENCES),
        ("its", _ENUMS),
    ):
        for row in connection.execute(text(query)):
            if row.table_name not in without:
                tables.setdefault(row.table_name, {})[f"{kind} {row.name}"] = row.definition
    return Shape(tables)
