"""What a handler may ask for by name: session, settings, vault, viewer, node."""

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from msgspec import Struct
from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Database
from app.db.models.accounts import AccessToken, User
from app.db.models.fleet import Node
from app.errors import Forbidden, Unauthorized
from app.settings import Settings
from app.tokens import Prefix, digest, is_well_formed
from app.vault import Vault

SESSION_COOKIE = "nodeyard_session"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class Viewer(Struct, frozen=True):
    """The person who calls. `token_id` is the session or token that they used."""

    id: UUID
    email: str
    is_superuser: bool
    token_id: UUID
    address: str


class CallingNode(Struct, frozen=True):
    id: UUID
    name: str
    boot_id: str | None


AnyRequest = Request[Any, Any, State]
Session = NamedDependency[AsyncSession]
Config = NamedDependency[Settings]
Secrets = NamedDependency[Vault]
Db = NamedDependency[Database]
CurrentViewer = NamedDependency[Viewer]
CurrentNode = NamedDependency[CallingNode]


async def provide_session(db: Db) -> AsyncGenerator[AsyncSession, None]:
    """One request, one transaction: committed before the answer leaves, rolled back on any exception."""
    async with db.sessions.begin() as session:
        yield session


def bearer(request: AnyRequest) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def client_address(request: AnyRequest) -> str:
    return request.client.host if request.client else "unknown"


async def provide_viewer(request: AnyRequest, session: Session) -> Viewer:
    """The active person behind a bearer token or the page's cookie. Raises `Unauthorized`, `Forbidden`."""
    token = bearer(request)
    if token is None:
        token = request.cookies.get(SESSION_COOKIE)
        if token is not None:
            _require_same_origin(request)
    if token is None or not is_well_formed(token, Prefix.USER):
        _refuse_other_tokens(token)
        raise Unauthorized
    return await viewer_of(session, token, client_address(request))


async def viewer_of(session: AsyncSession, token: str, address: str) -> Viewer:
    row = (
        await session.execute(
            select(User.id, User.email, User.is_superuser, AccessToken.id)
            .join(AccessToken, AccessToken.user_id == User.id)
            .where(
                AccessToken.token_hash == digest(token),
                or_(AccessToken.expires_at.is_(None), AccessToken.expires_at > func.now()),
                User.is_active,
            )
        )
    ).one_or_none()
    if row is None:
        raise Unauthorized
    await _note_use(session, row[3])
    return Viewer(row[0], row[1], row[2], row[3], address)


async def _note_use(session: AsyncSession, token_id: UUID) -> None:
    """At most once a minute, so that reading does not become writing."""
    stale = func.now() - timedelta(minutes=1)
    await session.execute(
        update(AccessToken)
        .where(AccessToken.id == token_id, or_(AccessToken.last_used_at.is_(None), AccessToken.last_used_at < stale))
        .values(last_used_at=func.now())
    )


async def provide_node(request: AnyRequest, session: Session) -> CallingNode:
    """The node whose token is sent. Raises `Unauthorized`, `Forbidden` for a person's token."""
    token = bearer(request)
    if token is None or not is_well_formed(token, Prefix.NODE):
        _refuse_other_tokens(token)
        raise Unauthorized("The node token is missing or unknown; register again.")
    row = (
        await session.execute(select(Node.id, Node.name, Node.boot_id).where(Node.token_hash == digest(token)))
    ).one_or_none()
    if row is None:
        raise Unauthorized("The node token is missing or unknown; register again.")
    return CallingNode(*row)


def require_superuser(viewer: Viewer) -> None:
    if not viewer.is_superuser:
        raise Forbidden("Only a superuser may do this.")


def _refuse_other_tokens(token: str | None) -> None:
    """A known kind of token that opens another door is 401 all the same: its holder is not known here."""
    if token is not None and any(is_well_formed(token, prefix) for prefix in Prefix):
        raise Unauthorized("This token is of another kind: nodes use nyn_, people nyu_, registration nyr_.")


def _require_same_origin(request: AnyRequest) -> None:
    """Another site's page can send our cookie along, but it cannot choose its Origin (Fetch, section 3.2)."""
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    if origin is None or origin.partition("://")[2] != request.headers.get("host"):
        raise Forbidden("Requests with the session cookie must come from the page itself (Origin).")
