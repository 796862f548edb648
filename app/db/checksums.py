"""Counts and checksums of every table, the same before and after an adoption when no value was lost.

Both sides are written down independently of the revisions: what a value must become stands in the first expression,
what it has become in the second.
"""

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, text

from app.db.sealing import open_secret
from app.vault import Vault

Pair = tuple[str, str]

_SPLIT_TAGS = (
    "ARRAY(SELECT btrim(tag) FROM unnest(string_to_array(tags, ',')) WITH ORDINALITY AS each(tag, n)"
    " WHERE btrim(tag) <> '' ORDER BY n)"
)
_TAGS: Pair = (_SPLIT_TAGS, "tags")
_MENDED_STATUS = (
    "CASE row.status WHEN 'processing' THEN 'pending' WHEN 'terminated' THEN"
    " CASE WHEN row.error_message <> '' THEN 'failed' ELSE 'cancelled' END ELSE row.status END"
)
_LIVING_NODE = f"(SELECT node.id FROM node WHERE node.id = row.assigned_node_id AND {_MENDED_STATUS} <> 'pending')"


def _same(columns: str) -> list[Pair]:
    return [(f"{column}::text", f"{column}::text") for column in columns.split()]


def _times(columns: str) -> list[Pair]:
    return [(f"{column}::text", f"({column} AT TIME ZONE 'UTC')::text") for column in columns.split()]


_OWNED = [*_same("id owner_id"), *_times("created_at updated_at")]
_TABLES: dict[str, list[Pair]] = {
    "user": [
        *_same("id email hashed_password full_name is_active is_superuser"),
        *_times("created_at updated_at"),
    ],
    "project": [*_OWNED, *_same("name description is_active")],
    "repository": [*_OWNED, *_same("name url description is_public")],
    "prompt": [*_OWNED, *_same("name content description"), _TAGS],
    "issue": [
        *_OWNED,
        *_same("title description repository_url issue_number priority error_message result_branch"),
        *_times("started_at completed_at"),
        (_MENDED_STATUS, "status"),
        (_LIVING_NODE, "assigned_node_id"),
    ],
    "node": [
        *_OWNED,
        *_same("name description"),
        *_times("last_heartbeat"),
        ("nullif(ip, '')", "ip"),
        ("'offline'", "status"),
        _TAGS,
    ],
    "credential": [
        *_OWNED,
        *_same("title is_disabled"),
        (
            "replace(replace(lower(category::text), '_', '-'), 'cluade', 'claude')",
            "category",
        ),
    ],
    "node_registration_key": [
        *_same("id"),
        *_times("created_at updated_at"),
        ("encode(sha256(convert_to(key, 'UTF8')), 'hex')", "encode(key_hash, 'hex')"),
    ],
    "workflowlog": [
        *_same("id issue_id node_id step_name status command output error_message duration_ms"),
        *_times("created_at"),
        (
            "row_number() OVER (PARTITION BY issue_id ORDER BY created_at, row.ctid)",
            "row_number() OVER (PARTITION BY issue_id ORDER BY position)",
        ),
    ],
    "credentialnodelink": _same("credential_id node_id"),
}
_SECRETS = {"credential": "pat", "node_registration_key": "key"}


@dataclass(frozen=True)
class Sum:
    rows: int
    checksum: str


def before(connection: Connection, names: dict[str, str]) -> dict[str, Sum]:
    """Of a database in an older shape; `names` are its tables by ours, where they differ."""
    sums = {
        table: _sum(connection, names.get(table, table), [old for old, _ in pairs]) for table, pairs in _TABLES.items()
    }
    return sums | _secrets(connection, None) | _items(connection)


def after(connection: Connection, vault: Vault | None) -> dict[str, Sum]:
    """Of a database at head; `vault` opens what the upgrade sealed."""
    sums = {table: _sum(connection, table, [new for _, new in pairs]) for table, pairs in _TABLES.items()}
    return sums | _secrets(connection, vault, at_head=True) | _items(connection)


def _sum(connection: Connection, table: str, expressions: list[str]) -> Sum:
    """The order of rows plays no part, and memory does not grow with their number."""
    row = connection.execute(
        text(
            "SELECT count(*) AS rows, coalesce(sum(hashtextextended(line, 0)), 0)::text AS checksum"
            f' FROM (SELECT ROW({", ".join(expressions)})::text AS line FROM "{table}" AS row) AS lines'
        )
    ).one()
    return Sum(row.rows, row.checksum)


def _items(connection: Connection) -> dict[str, Sum]:
    if connection.scalar(text("SELECT to_regclass('item') IS NULL")):
        return {}
    return {"item": _sum(connection, "item", ["row.*"])}


def _secrets(connection: Connection, vault: Vault | None, *, at_head: bool = False) -> dict[str, Sum]:
    sums: dict[str, Sum] = {}
    for table, column in _SECRETS.items():
        columns = (
            "secret, secret_key_id" if at_head else f"convert_to({column}, 'UTF8') AS secret, NULL AS secret_key_id"
        )
        lines: list[str] = []
        for row in connection.execute(text(f"SELECT id, {columns} FROM {table}")):
            secret = bytes(row.secret)
            if row.secret_key_id is not None and vault is not None:
                secret = open_secret(vault, table, row.id, secret, row.secret_key_id).encode()
            lines.append(f"{row.id} {hashlib.sha256(secret).hexdigest()}")
        sums[f"{table}, secrets"] = Sum(len(lines), hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest())
    return sums
