"""Both shapes of existing installations, as their own DDL, and rows that hold everything odd met in the field."""

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import asyncpg

NAMES = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
START = datetime(2026, 1, 2, 3, 4, 5, 678901)  # noqa: DTZ001 - The shapes hold UTC without saying so.
HYPHENS = ("github-copilot", "cursor", "cluade-code")
CAPITALS = ("GITHUB_COPILOT", "CURSOR", "CLUADE_CODE")
REGISTRATION_KEY = "legacy-registration-key-0123456789"
PATS = ("ghp_legacySecretOfTheFirstNode42", "geheimnis-密钥-second-secret", "third-secret-of-claude", "short")
PASSWORD = "old password 密码"
# bcrypt of PASSWORD, as the older application stored it.
BCRYPT = "$2b$04$zpUKxUZpxWFCCW9vzql41.szFfFi82dIRU1JLZ7OSEVSoR22lby0G"

SHAPE_A = """
CREATE TYPE credentialcategory AS ENUM ({labels});
CREATE TABLE "user" (
    id uuid PRIMARY KEY, email varchar(255) NOT NULL, hashed_password varchar(255) NOT NULL, full_name varchar(255),
    is_active boolean NOT NULL, is_superuser boolean NOT NULL,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE UNIQUE INDEX ix_user_email ON "user" (email);
CREATE TABLE project (
    id uuid PRIMARY KEY, name varchar(255) NOT NULL, description varchar(500), is_active boolean NOT NULL,
    owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE TABLE repository (
    id uuid PRIMARY KEY, name varchar(255) NOT NULL, url varchar(1023) NOT NULL, description varchar(500),
    is_public boolean NOT NULL, owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE TABLE issue (
    id uuid PRIMARY KEY, title varchar(255) NOT NULL, description varchar(2048), repository_url varchar(512),
    issue_number int, status varchar(32) NOT NULL, priority int NOT NULL, assigned_node_id uuid,
    owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE, created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL, started_at timestamp, completed_at timestamp, error_message varchar(1024),
    result_branch varchar(255)
);
CREATE TABLE node (
    id uuid PRIMARY KEY, name varchar(255) NOT NULL, ip varchar(64) NOT NULL, description varchar(255),
    tags varchar(255), status varchar(32), owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    last_heartbeat timestamp, created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE INDEX ix_node_name ON node (name);
CREATE TABLE credential (
    id uuid PRIMARY KEY, title varchar(255) NOT NULL, category credentialcategory NOT NULL, pat varchar(255) NOT NULL,
    is_disabled boolean NOT NULL, owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE TABLE prompt (
    id uuid PRIMARY KEY, name varchar(255) NOT NULL, content varchar(5000) NOT NULL, description varchar(500),
    tags varchar(255), owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE TABLE node_registration_key (
    id serial PRIMARY KEY, key varchar(255) NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE INDEX ix_node_registration_key_key ON node_registration_key (key);
CREATE TABLE workflowlog (
    id uuid PRIMARY KEY, issue_id uuid NOT NULL REFERENCES issue (id), node_id uuid REFERENCES node (id),
    step_name varchar(100) NOT NULL, status varchar(32) NOT NULL, command varchar(512), output varchar(4096),
    error_message varchar(2048), duration_ms int, created_at timestamp NOT NULL
);
CREATE TABLE credentialnodelink (
    credential_id uuid REFERENCES credential (id), node_id uuid REFERENCES node (id),
    PRIMARY KEY (credential_id, node_id)
);
CREATE TABLE alembic_version (
    version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('001_initial_schema');
"""

SHAPE_B = """
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE TYPE credentialcategory AS ENUM ({labels});
CREATE TABLE "user" (
    email varchar(255) NOT NULL, is_active boolean NOT NULL, is_superuser boolean NOT NULL, full_name varchar(255),
    hashed_password varchar NOT NULL, id uuid PRIMARY KEY, created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE UNIQUE INDEX ix_user_email ON "user" (email);
CREATE TABLE item (
    id uuid PRIMARY KEY, title varchar(255) NOT NULL, description varchar(255), owner_id uuid NOT NULL,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    CONSTRAINT item_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES "user" (id)
);
CREATE TABLE project (
    name varchar(255) NOT NULL, description varchar(500), id uuid PRIMARY KEY, is_active boolean NOT NULL,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE TABLE repository (
    id uuid PRIMARY KEY, url varchar(500) NOT NULL, name varchar(255) NOT NULL, description varchar(500),
    is_public boolean NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE TABLE issue (
    title varchar(255) NOT NULL, description varchar(2048), status varchar(32) NOT NULL, priority int NOT NULL,
    id uuid PRIMARY KEY, owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL, assigned_node_id uuid, repository_url varchar(512),
    issue_number int, started_at timestamp, completed_at timestamp, error_message varchar(1024),
    result_branch varchar(255)
);
CREATE TABLE node (
    id uuid PRIMARY KEY, name varchar(255) NOT NULL, ip varchar(64) NOT NULL, description varchar(255),
    status varchar(32), tags varchar(255), created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    last_heartbeat timestamp, owner_id uuid NOT NULL,
    CONSTRAINT fk_node_owner_id_user FOREIGN KEY (owner_id) REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE INDEX ix_node_name ON node (name);
CREATE TABLE credential (
    id uuid PRIMARY KEY, title varchar(255) NOT NULL, pat varchar(255) NOT NULL, category credentialcategory NOT NULL,
    is_disabled boolean NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE TABLE prompt (
    id uuid PRIMARY KEY, name varchar(255) NOT NULL, content varchar(5000) NOT NULL, description varchar(500),
    tags varchar(255), created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    owner_id uuid NOT NULL REFERENCES "user" (id) ON DELETE CASCADE
);
CREATE TABLE node_registration_key (
    id serial PRIMARY KEY, key varchar(255) NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE INDEX ix_node_registration_key_key ON node_registration_key (key);
CREATE TABLE workflow_log (
    id uuid PRIMARY KEY, issue_id uuid NOT NULL REFERENCES issue (id) ON DELETE CASCADE,
    node_id uuid REFERENCES node (id) ON DELETE SET NULL, step_name varchar(100) NOT NULL, status varchar(32) NOT NULL,
    duration_ms int, command varchar(512), output varchar(4096), error_message varchar(2048),
    created_at timestamp NOT NULL
);
CREATE TABLE credential_node_link (
    credential_id uuid REFERENCES credential (id) ON DELETE CASCADE,
    node_id uuid REFERENCES node (id) ON DELETE CASCADE,
    PRIMARY KEY (credential_id, node_id)
);
CREATE TABLE alembic_version (
    version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('19be435a02b1');
"""


@dataclass(frozen=True)
class LegacyShape:
    name: str
    ddl: str
    labels: tuple[str, str, str]

    @property
    def log_table(self) -> str:
        return "workflow_log" if self.name == "B" else "workflowlog"

    @property
    def link_table(self) -> str:
        return "credential_node_link" if self.name == "B" else "credentialnodelink"


A = LegacyShape("A", SHAPE_A, HYPHENS)
B = LegacyShape("B", SHAPE_B, CAPITALS)
SHAPES = (A, B)


def key(word: str) -> UUID:
    """The same id in every database, so that rows can be compared across shapes."""
    return uuid5(NAMES, word)


async def create(connection: asyncpg.Connection, shape: LegacyShape) -> None:
    labels = ", ".join(f"'{label}'" for label in shape.labels)
    ddl = shape.ddl.format(labels=labels)
    if not await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'uuid-ossp'"):
        ddl = ddl.replace('CREATE EXTENSION IF NOT EXISTS "uuid-ossp";', "")
    await connection.execute(ddl)


async def fill(connection: asyncpg.Connection, shape: LegacyShape) -> None:
    """One row at least for each sentence on what existing rows hold."""
    await _fill_people(connection, shape)
    await _fill_fleet(connection, shape)
    await _fill_issues(connection)
    await _fill_logs(connection, shape)


async def insert(connection: asyncpg.Connection, table: str, rows: Iterable[dict[str, object]]) -> None:
    for row in rows:
        columns = ", ".join(row)
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", *row.values())


def _times(minutes: int = 0) -> dict[str, object]:
    at = START + timedelta(minutes=minutes)
    return {"created_at": at, "updated_at": at + timedelta(seconds=1)}


async def _fill_people(connection: asyncpg.Connection, shape: LegacyShape) -> None:
    people = [
        ("boss", "boss@example.com", "老板", True, True),
        ("ann", "Ann@Example.com", None, True, False),
        ("ann-lower", "ann@example.com", "Ann the other", True, False),
        ("gone", "gone@example.com", "", False, False),
    ]
    await insert(
        connection,
        '"user"',
        (
            {"id": key(word), "email": email, "hashed_password": BCRYPT, "full_name": name}
            | {"is_active": active, "is_superuser": superuser, **_times()}
            for word, email, name, active, superuser in people
        ),
    )
    owner = {"owner_id": key("ann"), **_times()}
    await insert(
        connection,
        "project",
        [
            {"id": key("project"), "name": "项目", "description": "x" * 500, "is_active": True, **owner},
            {"id": key("idle"), "name": "", "description": None, "is_active": False, **owner},
        ],
    )
    url = "https://example.com/" + "r" * 480
    await insert(
        connection,
        "repository",
        [{"id": key("repo"), "name": "repo", "url": url, "description": None, "is_public": True, **owner}],
    )
    tags = {"none": None, "empty": "", "commas": ",,", "spaced": " a, b ,,中文标签,"}
    await insert(
        connection,
        "prompt",
        (
            {"id": key(f"prompt-{word}"), "name": word, "content": "提示" * 2500, "description": None, "tags": tag}
            | owner
            for word, tag in tags.items()
        ),
    )
    if shape is B:
        await insert(
            connection,
            "item",
            [{"id": key("item"), "title": "left over", "description": None, "owner_id": key("ann"), **_times()}],
        )


async def _fill_fleet(connection: asyncpg.Connection, shape: LegacyShape) -> None:
    nodes = [
        ("node-1", "twin", "online", "gpu,linux", START),
        ("node-2", "twin", "error", ",,", None),
        ("node-3", "节点", None, None, None),
        ("node-4", "four", "offline", "", START + timedelta(days=1)),
    ]
    await insert(
        connection,
        "node",
        (
            {"id": key(word), "name": name, "ip": "10.0.0.1", "description": None, "tags": tags, "status": status}
            | {"owner_id": key("boss"), "last_heartbeat": beat, **_times()}
            for word, name, status, tags, beat in nodes
        ),
    )
    categories = (*shape.labels, shape.labels[0])
    await insert(
        connection,
        "credential",
        (
            {"id": key(f"credential-{number}"), "title": f"凭证 {number}", "category": category, "pat": pat}
            | {"is_disabled": number == 1, "owner_id": key("ann"), **_times()}
            for number, (category, pat) in enumerate(zip(categories, PATS, strict=True))
        ),
    )
    await insert(connection, "node_registration_key", [{"key": REGISTRATION_KEY, **_times()}])
    await insert(
        connection,
        shape.link_table,
        [
            {"credential_id": key("credential-0"), "node_id": key("node-1")},
            {"credential_id": key("credential-0"), "node_id": key("node-2")},
            {"credential_id": key("credential-1"), "node_id": key("node-1")},
        ],
    )


# Name: status, error message, node. What becomes of each stands in `STATUSES_AT_HEAD`.
ISSUES = {
    "waiting": ("pending", None, None),
    "picked": ("pending", None, "node-1"),
    "working": ("processing", None, "node-1"),
    "orphan": ("processing", "lost", "nobody"),
    "done": ("completed", None, "node-2"),
    "broken": ("failed", "错" * 1024, "nobody"),
    "to-merge": ("pending_merge", None, "node-1"),
    "merged": ("merged", None, None),
    "stopped": ("terminated", None, None),
    "stopped-blank": ("terminated", "", None),
    "stopped-broken": ("terminated", "killed", "node-1"),
}
STATUSES_AT_HEAD = {
    "waiting": "pending",
    "picked": "pending",
    "working": "pending",
    "orphan": "pending",
    "done": "completed",
    "broken": "failed",
    "to-merge": "pending_merge",
    "merged": "merged",
    "stopped": "cancelled",
    "stopped-blank": "cancelled",
    "stopped-broken": "failed",
}


async def _fill_issues(connection: asyncpg.Connection) -> None:
    await insert(
        connection,
        "issue",
        (
            {"id": key(word), "title": "" if word == "merged" else f"问题 {word}", "description": "描" * 2048}
            | {"repository_url": "https://example.com/" + "u" * 492, "issue_number": number or None, "status": status}
            | {"priority": number - 2, "assigned_node_id": key(node) if node else None, "owner_id": key("ann")}
            | {**_times(number), "started_at": START, "completed_at": None, "error_message": error}
            | {"result_branch": "b" * 255}
            for number, (word, (status, error, node)) in enumerate(ISSUES.items())
        ),
    )


LOGS_PER_ISSUE = 7


async def _fill_logs(connection: asyncpg.Connection, shape: LegacyShape) -> None:
    """Inserted in an order that neither ids nor issues follow; some entries share their time."""
    await insert(
        connection,
        shape.log_table,
        (
            {"id": key(f"log-{word}-{number}"), "issue_id": key(word), "node_id": key("node-1") if number % 2 else None}
            | {"step_name": "步骤" * 50, "status": "success", "command": "c" * 512 if number else None}
            | {"output": "输" * 4096 if number == 2 else f"entry {number}", "error_message": None}
            | {"duration_ms": 2**31 - 1 if number == 3 else None, "created_at": START + timedelta(seconds=number // 2)}
            for number in range(LOGS_PER_ISSUE)
            for word in ISSUES
        ),
    )


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def rows(connection: asyncpg.Connection, table: str) -> list[dict[str, object]]:
    """Every row of a table as JSON values, so that databases compare whatever the order of their columns."""
    found = await connection.fetch(f"SELECT to_jsonb(row)::text AS row FROM {table} AS row")
    return sorted((json.loads(each["row"]) for each in found), key=lambda row: json.dumps(row, sort_keys=True))


def utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
