"""Why an issue waits: the first thing that every node fails at, in the words of the claim's own conditions."""

from uuid import UUID

from msgspec import Struct
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.issues.eligibility import (
    CREDENTIAL,
    CREDENTIAL_USABLE,
    EFFECTIVE_DESIRED,
    READY,
    TAGS_MATCH,
    TOOL_MATCHES,
)
from app.protocol import IssueStatus

_AHEAD_MAX = 1000
_ISSUE = text(f"""
SELECT demand.status, demand.requires, demand.tool,
    CASE WHEN demand.not_before > clock_timestamp() THEN demand.not_before END AS later,
    project.name AS project, project.is_active AS project_is_active, project.max_running AS project_cap,
    (SELECT count(*) FROM issue WHERE project_id = project.id AND status = 'processing') AS project_running,
    repository.name AS repository, repository.max_running AS repository_cap,
    (SELECT count(*) FROM issue WHERE repository_id = repository.id AND status = 'processing') AS repository_running,
    (SELECT count(*) FROM (
        SELECT 1 FROM issue WHERE {READY} AND lane = demand.lane AND rank > demand.rank LIMIT {_AHEAD_MAX}
    ) AS before) AS ahead
FROM issue AS demand
LEFT JOIN project ON project.id = demand.project_id
LEFT JOIN repository ON repository.id = demand.repository_id
WHERE demand.id = :issue_id
""")
# Each step counts the nodes that have passed all steps before it.
_NODES = text(f"""
SELECT count(*) AS registered,
    count(*) FILTER (WHERE tagged) AS tagged,
    count(*) FILTER (WHERE tagged AND equipped) AS equipped,
    count(*) FILTER (WHERE tagged AND equipped AND online) AS online,
    count(*) FILTER (WHERE tagged AND equipped AND online AND active) AS active,
    count(*) FILTER (WHERE tagged AND equipped AND online AND active AND allowed) AS allowed,
    count(*) FILTER (WHERE tagged AND equipped AND online AND active AND allowed AND free) AS free
FROM (
    SELECT {TAGS_MATCH} AS tagged, {TOOL_MATCHES} AS equipped, node.status = 'online' AS online,
        {EFFECTIVE_DESIRED} = 'active' AS active, {CREDENTIAL_USABLE} AS allowed,
        node.max_slots > (SELECT count(*) FROM attempt
                          WHERE node_id = node.id AND status IN ('offered', 'running')) AS free
    FROM issue AS demand CROSS JOIN node CROSS JOIN LATERAL ({CREDENTIAL}) AS credential
    WHERE demand.id = :issue_id
) AS step
""")


class Reason(Struct):
    """`code` is stable; `detail` is one sentence for people."""

    code: str
    detail: str


class Explanation(Struct):
    """`reasons` is empty for an issue that does not wait; `ahead`: how many like it go first, at most 1000."""

    issue_id: UUID
    status: IssueStatus
    reasons: list[Reason]
    ahead: int


async def explain(session: AsyncSession, issue_id: UUID) -> Explanation:
    """The issue must exist."""
    row = (await session.execute(_ISSUE, {"issue_id": issue_id})).mappings().one()
    status = IssueStatus(row["status"])
    if status is not IssueStatus.PENDING:
        return Explanation(issue_id, status, [], 0)
    nodes = (await session.execute(_NODES, {"issue_id": issue_id})).mappings().one()
    found = [*_own_reasons(row), *_node_reasons(row, nodes)]
    return Explanation(issue_id, status, found or [_next(row, nodes)], row["ahead"])


def _own_reasons(row: RowMapping) -> list[Reason]:
    reasons: list[Reason] = []
    if row["later"] is not None:
        reasons.append(Reason("not_before", f"It waits until {row['later']:%Y-%m-%d %H:%M:%S} UTC."))
    if row["project_is_active"] is False:
        reasons.append(Reason("project_paused", f"Its project, {row['project']}, is paused."))
    for kind in ("project", "repository"):
        cap, running = row[f"{kind}_cap"], row[f"{kind}_running"]
        if cap is not None and running >= cap:
            reasons.append(
                Reason(f"{kind}_cap", f"{running} issues of its {kind} run; {row[kind]} allows {cap} at once.")
            )
    return reasons


def _node_reasons(row: RowMapping, nodes: RowMapping) -> list[Reason]:
    tags, tool = ", ".join(row["requires"]), row["tool"]
    steps = (
        ("registered", "no_node", "No node is registered."),
        ("tagged", "no_node_with_tags", f"No node has all of its tags: {tags}."),
        ("equipped", "no_node_with_tool", f"No node that has its tags has the tool {tool}."),
        ("online", "nodes_offline", f"All nodes that fit are offline ({nodes['equipped']})."),
        ("active", "nodes_held", f"All nodes that fit are paused or draining ({nodes['online']})."),
        ("allowed", "no_credential", "Every credential that it could use is disabled, cooling down or fully used."),
        ("free", "no_free_slot", f"All slots of the nodes that fit are taken ({nodes['allowed']})."),
    )
    return [Reason(code, detail) for step, code, detail in steps if nodes[step] == 0][:1]


def _next(row: RowMapping, nodes: RowMapping) -> Reason:
    if row["ahead"]:
        more = "+" if row["ahead"] == _AHEAD_MAX else ""
        return Reason("queued", f"{row['ahead']}{more} issues that ask for the same go first.")
    return Reason("next", f"It is next: a node that fits takes it when it asks ({nodes['free']} could).")
