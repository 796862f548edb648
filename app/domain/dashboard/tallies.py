"""Adding up the counters' differences, so that there are never many."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Database

_MANY = 200
_ADVISORY_KEY = 7_005
_ADD_UP = {
    "issue_tally": """
        WITH gone AS (DELETE FROM issue_tally RETURNING *)
        INSERT INTO issue_tally (owner_id, what, hour, n)
        SELECT owner_id, what, hour, sum(n) FROM gone WHERE hour IS NULL OR hour > now() - interval '2 days'
        GROUP BY 1, 2, 3 HAVING sum(n) <> 0
    """,
    "node_tally": """
        WITH gone AS (DELETE FROM node_tally RETURNING *)
        INSERT INTO node_tally SELECT owner_id, status, desired, sum(n) FROM gone GROUP BY 1, 2, 3 HAVING sum(n) <> 0
    """,
    "usage_tally": """
        WITH gone AS (DELETE FROM usage_tally RETURNING *)
        INSERT INTO usage_tally
        SELECT owner_id, project_id, credential_id, sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
            sum(cache_write_tokens), sum(cost_usd)
        FROM gone GROUP BY 1, 2, 3
    """,
}


async def add_up_once(db: Database) -> None:
    async with db.sessions.begin() as session:
        await add_up(session)


async def add_up(session: AsyncSession) -> None:
    """Whoever reads meanwhile sees the sum of before or of after, which are the same."""
    if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY}):
        return
    for table, statement in _ADD_UP.items():
        few = text(f"SELECT count(*) FROM (SELECT FROM {table} LIMIT {_MANY}) AS few")
        if await session.scalar(few) == _MANY:
            await session.execute(text(statement))
