"""Which waiting issues a node may have, decided once a lane: issues of one lane ask the same of a node.

The claim and `explain` share these pieces of SQL, so that what is said is what is done. Caps are the exception: they
are checked by locking the row and then counting in a second statement (see `claim.py`), since a count inside the
claim reads a stale snapshot and overshoots.
"""

READY = "status = 'pending' AND NOT deferred"

# A loose index scan over ix_issue_ready: as many steps as there are lanes, however many issues wait in each.
LANES = f"""
WITH RECURSIVE lane AS (
    (SELECT lane, rank, owner_id, project_id, repository_id, tool, requires FROM issue
     WHERE {READY} ORDER BY lane, rank DESC, id LIMIT 1)
    UNION ALL
    SELECT next.* FROM lane CROSS JOIN LATERAL (
        SELECT lane, rank, owner_id, project_id, repository_id, tool, requires FROM issue
        WHERE {READY} AND lane > lane.lane ORDER BY lane, rank DESC, id LIMIT 1
    ) AS next
)
"""
# The same from `$2` and `$3` on, lanes and where they began (see `heads`).
LANES_FROM = f"""
WITH lane AS (
    SELECT head.* FROM unnest($2::bigint[], $3::float8[]) AS known (lane, rank) CROSS JOIN LATERAL (
        SELECT lane, rank, owner_id, project_id, repository_id, tool, requires FROM issue
        WHERE {READY} AND lane = known.lane AND rank <= known.rank ORDER BY rank DESC, id LIMIT 1
    ) AS head
)
"""

# `demand` is what an issue or a lane asks, `node` what a machine offers.
TAGS_MATCH = "demand.requires <@ node.tags"
TOOL_MATCHES = "(demand.tool IS NULL OR demand.tool = ANY (node.tool_categories))"
PROJECT_RUNS = "coalesce(project.is_active, true)"
EFFECTIVE_DESIRED = """CASE WHEN node.desired = 'paused' AND node.paused_until <= clock_timestamp()
    THEN 'active' ELSE node.desired END"""

# Without a tool named, the only tool of the node is the one that will run.
CATEGORY = """coalesce(demand.tool,
    CASE WHEN cardinality(node.tool_categories) = 1 THEN node.tool_categories[1] END)"""

# Of the credentials linked to the node that serve this owner: whether there are any, and the best usable one.
# Where none is linked the tool runs with the node's own login; where all are barred the issue waits.
CREDENTIAL = f"""
SELECT count(*) AS linked, bool_or(c.max_running IS NOT NULL) AS is_capped,
    (array_agg(c.id ORDER BY (c.owner_id = demand.owner_id) DESC, c.last_used_at NULLS FIRST, c.id)
        FILTER (WHERE NOT c.is_disabled AND (c.cooldown_until IS NULL OR c.cooldown_until <= clock_timestamp())
                  AND (c.max_running IS NULL OR c.max_running > (
                      SELECT count(*) FROM attempt a
                      WHERE a.credential_id = c.id AND a.status IN ('offered', 'running')))))[1] AS id
FROM credentialnodelink l
JOIN credential c ON c.id = l.credential_id
JOIN "user" u ON u.id = c.owner_id
WHERE l.node_id = node.id AND c.category = {CATEGORY} AND (c.owner_id = demand.owner_id OR u.is_superuser)
"""
CREDENTIAL_USABLE = "(credential.linked = 0 OR credential.id IS NOT NULL)"

ELIGIBLE = f"{TAGS_MATCH} AND {TOOL_MATCHES} AND {PROJECT_RUNS} AND {CREDENTIAL_USABLE}"
