"""What a handler may ask for by name: session, settings, vault, viewer, node."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct
from sqlalchemy import and_, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.crud import Paging
from app.db.engine import Database, one_by_one
from app.db.models.accounts import AccessToken, User
from app.db.models.fleet import Node
from app.errors import Forbidden, InvalidInput, Unauthorized
from app.schemas import Cursor, Limit
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


# Noted at most once a minute, so that reading does not become writing.
_UNNOTED = or_(AccessToken.last_used_at.is_(None), AccessToken.last_used_at < func.now() - timedelta(minutes=1))

_IS_VALID = and_(or_(AccessToken.expires_at.is_(None), AccessToken.expires_at > func.now()), User.is_active)
_HOLDER = (
    select(User.id, User.email, User.is_superuser, AccessToken.id, _UNNOTED)
    .join(AccessToken, AccessToken.user_id == User.id)
    .where(AccessToken.token_hash == bindparam("token_hash"), _IS_VALID)
)
_NOTE_USE = update(AccessToken).where(AccessToken.id == bindparam("token_id"), _UNNOTED).values(last_used_at=func.now())

AnyRequest = Request[Any, Any, State]
Session = NamedDependency[AsyncSession]
Config = NamedDependency[Settings]
Secrets = NamedDependency[Vault]
Db = NamedDependency[Database]
CurrentViewer = NamedDependency[Viewer]
Visitor = NamedDependency[Viewer]
CurrentNode = NamedDependency[CallingNode]
Stopping = NamedDependency[asyncio.Event]
CurrentPaging = NamedDependency[Paging]
NodeToken = NamedDependency[bytes]


async def provide_session(db: Db) -> AsyncGenerator[AsyncSession, None]:
    """One request, one transaction: committed before the answer leaves, rolled back on any exception."""
    async with db.sessions() as session:
        yield session
        await session.commit()


async def provide_reserved_session(db: Db) -> AsyncGenerator[AsyncSession, None]:
    """As `provide_session`, on the connections that are kept for nodes. Put it into a controller's dependencies."""
    async with db.reserved.begin() as session:
        yield session


def bearer(request: AnyRequest) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def client_address(request: AnyRequest, settings: Settings) -> str:
    """Who is at the other end; behind proxies of ours, whom the outermost of them saw."""
    return _way_here(request, settings)[0]


def is_encrypted(request: AnyRequest, settings: Settings) -> bool:
    """Whether the person's browser speaks TLS, to us or to a proxy of ours."""
    proxies = _way_here(request, settings)[1]
    told = _told(request, "x-forwarded-proto")
    if not proxies or not told:
        return request.scope["scheme"] == "https"
    # What stands in front of our proxies' own entries anyone may have sent. A proxy that replaces the header leaves
    # fewer entries than there are proxies.
    return told[-min(proxies, len(told))].lower() == "https"


def _way_here(request: AnyRequest, settings: Settings) -> tuple[str, int]:
    """The address that the outermost of our proxies saw, and how many of ours the request came through."""
    address = request.client.host if request.client else "unknown"
    named = _told(request, "x-forwarded-for")
    proxies = 0
    while _is_trusted(address, settings):
        proxies += 1
        if not named:
            break
        address = named.pop()[:64]
    return address, proxies


def _told(request: AnyRequest, header: str) -> list[str]:
    """Some proxies add a header of their own behind the caller's, which are one list (RFC 9110, section 5.2)."""
    return [part.strip() for part in ",".join(request.headers.getall(header, [])).split(",") if part.strip()]


def _is_trusted(address: str, settings: Settings) -> bool:
    try:
        return any(ip_address(address) in ip_network(proxy, strict=False) for proxy in settings.trusted_proxies)
    except ValueError:
        return False


async def provide_viewer(request: AnyRequest, session: Session, settings: Config) -> Viewer:
    """The active person behind a bearer token or the page's cookie. Raises `Unauthorized`, `Forbidden`."""
    return await viewer_of(session, persons_token(request), client_address(request, settings))


async def provide_visitor(request: AnyRequest, db: Db, settings: Config) -> Viewer:
    """As `viewer`, for handlers that must hold no connection: streams, and whatever hashes passwords."""
    token = persons_token(request)
    async with db.sessions() as session:
        return await viewer_of(session, token, client_address(request, settings))


def persons_token(request: AnyRequest) -> str:
    token = bearer(request)
    if token is None:
        token = request.cookies.get(SESSION_COOKIE)
        if token is not None:
            _require_same_origin(request)
    if token is None or not is_well_formed(token, Prefix.USER):
        _refuse_other_tokens(token)
        raise Unauthorized
    return token


async def viewer_of(session: AsyncSession, token: str, address: str) -> Viewer:
    """Leaves the session without a transaction: whatever the person asks for begins one of its own."""
    connection = await one_by_one(session)
    row = (await connection.execute(_HOLDER, {"token_hash": digest(token)})).one_or_none()
    if row is not None and row[4]:
        await connection.execute(_NOTE_USE, {"token_id": row[3]})
    await session.commit()
    if row is None:
        raise Unauthorized
    return Viewer(row[0], row[1], row[2], row[3], address)


async def is_still_valid(db: Database, viewer: Viewer) -> bool:
    """Whether the session or token that a stream began with still stands, with the same rights."""
    async with db.sessions() as session:
        known = await session.scalar(
            select(User.is_superuser)
            .join(AccessToken, AccessToken.user_id == User.id)
            .where(AccessToken.id == viewer.token_id, _IS_VALID)
        )
    return known == viewer.is_superuser


def provide_paging(request: AnyRequest, vault: Secrets, limit: Limit = 50, cursor: Cursor = None) -> Paging:
    """A cursor opens only the list that made it: the same path with the same filters.

    Raises `InvalidInput` for a parameter that the list does not have: a misspelt filter would let everything through.
    """
    known = _query_parameters(request.route_handler, frozenset(request.path_params))
    for name in request.query_params:
        if name not in known:
            choices = ", ".join(sorted(known))
            raise InvalidInput(f"This list has no such parameter; it takes {choices}.", field=name[:100])
    filters = sorted(item for item in request.query_params.multi_items() if item[0] not in {"limit", "cursor"})
    return Paging(limit, cursor, f"{request.scope['path']}?{urlencode(filters)}", vault)


@lru_cache(maxsize=256)
def _query_parameters(handler: HTTPRouteHandler, in_path: frozenset[str]) -> frozenset[str]:
    """What the handler and its dependencies read of a query."""
    read = handler.create_kwargs_model({}).expected_query_params
    return frozenset(parameter.field_alias for parameter in read) - in_path


def provide_node_token(request: AnyRequest) -> bytes:
    """The hash of a well-formed node token; the statement that uses it decides whether a node has it."""
    token = bearer(request)
    if token is None or not is_well_formed(token, Prefix.NODE):
        raise Unauthorized("The node token is missing or unknown; register again.")
    return digest(token)


async def provide_node(request: AnyRequest, session: Session) -> CallingNode:
    """The node whose token is sent. Raises `Unauthorized`."""
    found = select(Node.id, Node.name, Node.boot_id).where(Node.token_hash == provide_node_token(request))
    row = (await session.execute(found)).one_or_none()
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
