"""Whether the server lives, whether it can work, and what it is."""

from importlib.metadata import version

from litestar import MediaType, get
from msgspec import Struct

from app.db import migrate
from app.db.engine import Database
from app.deps import Db
from app.errors import Unavailable


class Version(Struct):
    name: str
    version: str
    protocol: int


@get("/healthz", media_type=MediaType.TEXT, tags=["server"], operation_id="healthz", opt={"public": True})
async def healthz() -> str:
    """The process lives. Touches nothing else."""
    return "ok"


@get("/readyz", media_type=MediaType.TEXT, tags=["server"], operation_id="readyz", opt={"public": True})
async def readyz(db: Db) -> str:
    """The database is reachable and at the newest revision; otherwise 503."""
    await require_ready(db)
    return "ready"


@get("/version", tags=["server"], operation_id="version", opt={"public": True})
async def show_version() -> Version:
    return Version("nodeyard", version("nodeyard"), 1)


async def require_ready(db: Database) -> None:
    async with db.engine.connect() as connection:
        if not await migrate.is_at_head(connection):
            raise Unavailable("The database is not at the newest revision; run `nodeyard migrate`.", retry_after_s=5)


HANDLERS = [healthz, readyz, show_version]
