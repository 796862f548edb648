"""The tables of the models as a Mermaid diagram, which Markdown viewers draw."""

import re

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from app.db.metadata import METADATA

_POSTGRESQL = postgresql.dialect()
BEGIN, END = "<!-- diagram: make diagram -->", "<!-- end of diagram -->"


def redraw(document: str) -> str:
    """The document with the diagram between its marks drawn anew; a document without marks stays as it is."""
    drawn = f"{BEGIN}\n```mermaid\n{diagram()}\n```\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: drawn, document, flags=re.DOTALL)


def diagram() -> str:
    """Tables with their keys, and how they point at each other; the other columns would hide that."""
    lines = ["erDiagram"]
    for table in METADATA.sorted_tables:
        keys = [each for each in table.columns if each.primary_key or each.foreign_keys]
        if keys:
            lines += [f"    {table.name} {{", *(f"        {_column(each)}" for each in keys), "    }"]
        else:
            lines.append(f"    {table.name}")
    for table in METADATA.sorted_tables:
        lines += [_relation(table, each) for each in table.columns if each.foreign_keys]
    return "\n".join(lines)


def _column(column: Column[object]) -> str:
    kind = str(column.type.compile(dialect=_POSTGRESQL)).lower()
    marks = (("PK", column.primary_key), ("FK", bool(column.foreign_keys)))
    return f"{kind} {column.name} {', '.join(mark for mark, holds in marks if holds)}"


def _relation(table: Table, column: Column[object]) -> str:
    """`||`: always one; `|o`: perhaps none; `o{`: any number."""
    key = next(iter(column.foreign_keys))
    return f"    {key.column.table.name} {'|o' if column.nullable else '||'}--o{{ {table.name} : {column.name}"
