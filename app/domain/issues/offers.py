"""What a node is given: the offer, and the attempt that stands for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import asyncpg
import msgspec

from app.db.base import new_id
from app.domain.prompts import rendering
from app.protocol import Offer, OfferedCredential, OfferedIssue, OfferedPrompt, OfferedRepository
from app.settings import Settings

NO_PROMPT = UUID(int=0)
"""The id of the prompt that is built in, for issues that have none."""
_ISSUE_FIELDS = ("title", "description", "issue_number", "priority", "requires", "tool", "base_branch")
ADVISORY_CLASS = 7_001
"""The first half of the advisory lock keys of claims; the second is of the node."""

# The owner's default prompt serves issues that name none.
LANE_JOINS = """
LEFT JOIN repository ON repository.id = demand.repository_id
LEFT JOIN project ON project.id = demand.project_id
LEFT JOIN prompt ON prompt.owner_id = demand.owner_id AND prompt.is_default
"""
LANE_COLUMNS = """
    repository.name AS repository_name, repository.url AS repository_url,
    repository.description AS repository_description, repository.default_branch AS repository_default_branch,
    project.name AS project_name, project.description AS project_description,
    prompt.id AS prompt_id, prompt.name AS prompt_name, prompt.content AS prompt_content
"""
COLUMNS = """
    issue.id, issue.title, issue.description, issue.issue_number, issue.repository_url AS url, issue.priority,
    issue.requires, issue.tool, issue.base_branch, issue.last_number AS number,
    prompt.id AS prompt_id, prompt.name AS prompt_name, prompt.content AS prompt_content,
    CASE WHEN issue.last_number > 1 THEN (
        SELECT json_agg(json_build_object('number', number, 'status', status, 'failure_code', failure_code,
                                          'error_message', error_message, 'summary', summary) ORDER BY number)
        FROM attempt WHERE issue_id = issue.id) END AS earlier
"""
INSERT = """
INSERT INTO attempt (id, issue_id, node_id, node_name, credential_id, number, branch, claim_id, offer, start_by)
SELECT new.*, clock_timestamp() + $10::interval FROM unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::int[], $7::text[], $8::uuid[], $9::text[]) AS new
"""


@dataclass(frozen=True, slots=True)
class _Template:
    id: UUID
    name: str
    content: str

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self | None:
        """Older installations took empty ones, which the built-in one stands in for."""
        if row["prompt_id"] is None:
            return None
        return cls(row["prompt_id"], row["prompt_name"], row["prompt_content"] or rendering.DEFAULT)


_BUILT_IN = _Template(NO_PROMPT, "default", rendering.DEFAULT)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the issues of a lane have in common; `repository_fields` and `project_fields` are for the prompt."""

    repository: OfferedRepository | None
    repository_fields: rendering.Fields | None
    project_fields: rendering.Fields | None
    default_template: _Template

    @classmethod
    def of(cls, lane: asyncpg.Record) -> Self:
        return cls(
            _repository(lane),
            _fields(lane, "repository", ("name", "url", "description", "default_branch")),
            _fields(lane, "project", ("name", "description")),
            _Template.of(lane) or _BUILT_IN,
        )


@dataclass(frozen=True, slots=True)
class NewAttempt:
    id: UUID
    issue_id: UUID
    node_id: UUID
    node_name: str
    credential_id: UUID | None
    number: int
    branch: str
    claim_id: UUID
    offer: str


def make(
    row: asyncpg.Record,
    surroundings: Surroundings,
    node: asyncpg.Record,
    claim_id: UUID,
    credential_id: UUID | None,
    settings: Settings,
) -> NewAttempt:
    attempt_id = new_id()
    branch = f"nodeyard/{row['issue_number'] or row['id'].hex[:8]}-a{row['number']}"
    offer = Offer(
        attempt_id=attempt_id,
        number=row["number"],
        start_within_s=settings.start_within.total_seconds(),
        lease_s=settings.lease.total_seconds(),
        max_runtime_s=settings.max_runtime.total_seconds(),
        branch=branch,
        issue=_issue(row, surroundings),
        repository=surroundings.repository,
        base_branch=row["base_branch"],
        prompt=_prompt(row, surroundings, attempt_id, branch),
        credential=_credential(row, node, credential_id),
    )
    return NewAttempt(
        id=attempt_id,
        issue_id=row["id"],
        node_id=node["id"],
        node_name=node["name"],
        credential_id=credential_id,
        number=row["number"],
        branch=branch,
        claim_id=claim_id,
        offer=msgspec.json.encode(offer).decode(),
    )


async def store(connection: asyncpg.Connection, attempts: Sequence[NewAttempt], start_within: timedelta) -> None:
    columns = zip(*(
        (a.id, a.issue_id, a.node_id, a.node_name, a.credential_id, a.number, a.branch, a.claim_id, a.offer)
        for a in attempts
    ), strict=True)  # fmt: skip
    await connection.execute(INSERT, *(list(column) for column in columns), start_within)


def _issue(row: asyncpg.Record, surroundings: Surroundings) -> OfferedIssue:
    return OfferedIssue(
        id=row["id"],
        title=row["title"],
        description=row["description"],
        issue_number=row["issue_number"],
        repository_url=row["url"] or (surroundings.repository and surroundings.repository.url),
        priority=row["priority"],
        requires=row["requires"],
        tool=row["tool"],
    )


def _repository(lane: asyncpg.Record) -> OfferedRepository | None:
    if lane["repository_id"] is None:
        return None
    return OfferedRepository(
        id=lane["repository_id"],
        name=lane["repository_name"],
        url=lane["repository_url"],
        default_branch=lane["repository_default_branch"],
    )


def _credential(row: asyncpg.Record, node: asyncpg.Record, credential_id: UUID | None) -> OfferedCredential | None:
    return (
        None if credential_id is None else OfferedCredential(credential_id, row["tool"] or node["tool_categories"][0])
    )


def _prompt(row: asyncpg.Record, surroundings: Surroundings, attempt_id: UUID, branch: str) -> OfferedPrompt:
    template = _Template.of(row) or surroundings.default_template
    content = rendering.render(
        template.content,
        issue={name: row[name] for name in _ISSUE_FIELDS} | {"id": str(row["id"]), "repository_url": row["url"]},
        repository=surroundings.repository_fields,
        project=surroundings.project_fields,
        attempt={"id": str(attempt_id), "number": row["number"], "branch": branch},
        earlier=msgspec.json.decode(row["earlier"]) if row["earlier"] else [],
    )
    return OfferedPrompt(template.id, template.name, content)


def _fields(lane: asyncpg.Record, of: str, names: Sequence[str]) -> dict[str, Any] | None:
    if lane[f"{of}_id"] is None:
        return None
    return {"id": str(lane[f"{of}_id"])} | {name: lane[f"{of}_{name}"] for name in names}
