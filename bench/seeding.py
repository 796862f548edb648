"""Rows for the tables, written beside the API: a fleet of nodes, a queue of issues, attempts under way.

What claims have to decide is real: two projects and four repositories, a credential that every node is linked to, and
issues that ask nothing, a tag, or a tool, which makes twelve lanes.
"""

from dataclasses import dataclass
from hashlib import md5
from uuid import UUID

import asyncpg

from app.db.base import new_id
from app.settings import Settings
from app.tokens import Prefix, digest, mint
from app.vault import credential_binding, open_vault

SECRET_KEY = "0" * 64
NO_TRIGGERS = "SET session_replication_role = replica"


@dataclass(frozen=True, slots=True)
class Fleet:
    owner: UUID
    operator_token: str
    node_ids: list[UUID]
    tokens: list[str]


_FAR_AHEAD = "clock_timestamp() + interval '1 day'"  # Nodes stay fresh however long a run takes.
_NODES = f"""
INSERT INTO node (id, name, machine_id, boot_id, token_hash, version, tags, tools, tool_categories, max_slots, status,
                  desired, last_heartbeat, owner_id)
SELECT id, 'node-' || n, 'machine-' || n, 'boot-1', token_hash, '1', '{{linux,python}}',
    '[{{"category": "claude-code"}}]', '{{claude-code}}', 10, 'online', 'active', {_FAR_AHEAD}, $3
FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS new (id, token_hash, n)
"""
# Lanes: repository × (nothing asked | a tag | a tool).
_ISSUES = """
INSERT INTO issue (id, title, description, repository_url, repository_id, project_id, status, priority, rank, requires,
                   tool, owner_id, created_at, updated_at)
SELECT gen_random_uuid(), 'Sums are off by one, number ' || n, 'add(1, 2) gives 4. Seen in version 1.' || n,
    'https://example.com/acme/shop.git', r.id, p.id, 'pending', 0,
    -extract(epoch FROM clock_timestamp()) + ($2::int - n) * 1e-6,
    CASE WHEN its.lane % 3 = 1 THEN '{python}'::text[] ELSE '{}' END, CASE WHEN its.lane % 3 = 2 THEN 'claude-code' END,
    $1, clock_timestamp(), clock_timestamp()
FROM generate_series(1, $2::int) AS n CROSS JOIN LATERAL (SELECT n % $3::int AS lane) AS its
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS k FROM repository) AS r ON r.k = its.lane % 4
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS k FROM project) AS p ON p.k = its.lane % 2
"""
_INELIGIBLE = """
INSERT INTO issue (id, title, status, priority, rank, requires, owner_id)
SELECT gen_random_uuid(), 'For machines that are not here', 'pending', 9,
    9 * 86400.0 - extract(epoch FROM clock_timestamp()), ARRAY['gpu-' || n % 8], $1
FROM generate_series(1, $2::int) AS n
"""
_ATTEMPTS = """
WITH worked_on AS (
    INSERT INTO issue (id, title, status, rank, attempt_count, last_number, assigned_node_id, owner_id, started_at)
    SELECT md5('issue' || n)::uuid, 'Under way', 'processing', 0, 1, 1, md5('node' || n)::uuid, $1, clock_timestamp()
    FROM generate_series(1, $2::int) AS n)
INSERT INTO attempt (id, issue_id, node_id, node_name, number, status, branch, claim_id, offer, start_by, started_at)
SELECT md5('attempt' || n)::uuid, md5('issue' || n)::uuid, md5('node' || n)::uuid, 'node', 1, 'running',
    'nodeyard/x-a1', gen_random_uuid(), '{}', clock_timestamp(), clock_timestamp()
FROM generate_series(1, $2::int) AS n
"""


async def fleet(connection: asyncpg.Connection, count: int) -> Fleet:
    owner, operator = new_id(), mint(Prefix.USER)
    await connection.execute(
        'INSERT INTO "user" (id, email, hashed_password, is_superuser) VALUES ($1, $2, $3, true)',
        owner, "bench@example.com", "x",
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO access_token (id, user_id, token_hash, kind, last4) VALUES ($1, $2, $3, 'token', $4)",
        new_id(), owner, digest(operator), operator[-4:],
    )  # fmt: skip
    for n in range(2):
        await connection.execute(
            "INSERT INTO project (id, name, owner_id) VALUES ($1, $2, $3)", new_id(), f"Project {n}", owner
        )
    for n in range(4):
        await connection.execute(
            "INSERT INTO repository (id, name, url, default_branch, owner_id) VALUES ($1, $2, $3, 'main', $4)",
            new_id(), f"shop-{n}", f"https://example.com/acme/shop-{n}.git", owner,
        )  # fmt: skip
    tokens = [mint(Prefix.NODE) for _ in range(count)]
    ids = [named("node", n) for n in range(1, count + 1)]
    await connection.execute(_NODES, ids, [digest(token) for token in tokens], owner)
    credential = new_id()
    vault = open_vault(Settings(secret_keys=(SECRET_KEY,)))
    sealed = vault.seal("a-secret-of-24-characters", credential_binding(credential))
    await connection.execute(
        """INSERT INTO credential (id, title, category, secret, secret_key_id, pat_last4, owner_id)
           VALUES ($1, 'A key', 'claude-code', $2, $3, '', $4)""",
        credential, sealed.data, sealed.key_id, owner,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO credentialnodelink (credential_id, node_id) SELECT $1, unnest($2::uuid[])", credential, ids
    )
    return Fleet(owner, operator, ids, tokens)


async def issues(connection: asyncpg.Connection, owner: UUID, count: int, lanes: int = 12) -> None:
    await _quickly(connection, _ISSUES, owner, count, lanes)


async def ineligible(connection: asyncpg.Connection, owner: UUID, count: int) -> None:
    """More urgent than all others, and for no node of the fleet."""
    await _quickly(connection, _INELIGIBLE, owner, count)


async def attempts(connection: asyncpg.Connection, owner: UUID, count: int) -> list[str]:
    """The ids of running attempts, the nth one held by the nth node."""
    await _quickly(connection, _ATTEMPTS, owner, count)
    return [str(named("attempt", n)) for n in range(1, count + 1)]


def named(kind: str, n: int) -> UUID:
    """The same id as `md5(kind || n)::uuid` in SQL, so that pgbench knows it too."""
    return UUID(md5(f"{kind}{n}".encode(), usedforsecurity=False).hexdigest())


async def _quickly(connection: asyncpg.Connection, statement: str, *arguments: object) -> None:
    """Without checking the references of each row, which are known to hold."""
    await connection.execute(NO_TRIGGERS)
    await connection.execute(statement, *arguments, timeout=600)
    await connection.execute("RESET session_replication_role")
