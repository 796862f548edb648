"""/metrics: what this server counted (see `app.metering`), and what the database says of the fleet and its work."""

from collections.abc import Mapping

from litestar import Response, get
from litestar.datastructures import State
from sqlalchemy import text

from app.db.engine import Database
from app.http.problems import is_database_away
from app.metering import Meter

_CONTENT_TYPE = "text/plain; version=0.0.4"
_GAUGES = (
    ("nodeyard_issues", "Issues, pending ones being the depth of the queue.", "status",
     "SELECT what, sum(n) FROM issue_tally WHERE hour IS NULL GROUP BY what"),
    ("nodeyard_attempts_live", "Attempts that nodes hold.", "status",
     "SELECT status, count(*) FROM attempt WHERE status IN ('offered', 'running') GROUP BY status"),
    ("nodeyard_nodes", "Registered machines.", "status", "SELECT status, sum(n) FROM node_tally GROUP BY status"),
)  # fmt: skip


@get("/metrics", media_type=_CONTENT_TYPE, tags=["server"], operation_id="metrics", opt={"public": True})
async def metrics(state: State) -> Response[bytes]:
    """For Prometheus. The database being away shows as `nodeyard_database_up` 0, not as a failed scrape."""
    meter: Meter = state.meter
    gauges: list[tuple[str, str, str, Mapping[str, float]]] = []
    try:
        gauges += await _read(state.db)
    except Exception as problem:
        if not is_database_away(problem):
            raise
    up = {"main": float(bool(gauges))}
    gauges.append(("nodeyard_database_up", "Whether the database answered this scrape.", "database", up))
    return Response(meter.exposition(gauges), media_type=_CONTENT_TYPE)


async def _read(db: Database) -> list[tuple[str, str, str, dict[str, float]]]:
    async with db.engine.connect() as connection:
        return [
            (name, meaning, label, {row[0]: float(row[1]) for row in await connection.execute(text(query))})
            for name, meaning, label, query in _GAUGES
        ]
