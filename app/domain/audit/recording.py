"""Writing down who did what to which object. Append-only, and never a secret: only names, ids and counts go in."""

from typing import Any, TypedDict, get_type_hints
from uuid import UUID

from sqlalchemy import Insert, ScalarSelect, bindparam, cast, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.base import new_id
from app.db.models.accounts import AuditEvent
from app.deps import CallingNode, Viewer

Actor = Viewer | CallingNode | None


class _Who(TypedDict):
    actor_kind: str
    actor_id: UUID | None
    actor_name: str | None
    address: str | None


class Event(_Who):
    """All but the object that it is about."""

    id: UUID
    action: str
    object_type: str
    detail: dict[str, Any]


async def record(
    session: AsyncSession,
    actor: Actor,
    action: str,
    object_type: str,
    object_id: UUID | str | None,
    *,
    address: str | None = None,
    **detail: Any,
) -> None:
    """`action` is the domain act, as `issue.cancel`; an actor of None is the system itself.

    Stored within the caller's transaction at once, so that an act and its record stand or fall together.
    """
    event = described(actor, action, object_type, address=address, **detail)
    await session.execute(insert(AuditEvent).values(**event, object_id=None if object_id is None else str(object_id)))


def described(actor: Actor, action: str, object_type: str, *, address: str | None = None, **detail: Any) -> Event:
    """As `record`, for a statement that has `recording` in it."""
    return {
        "id": new_id(),
        **_who(actor, address),
        "action": action,
        "object_type": object_type,
        "detail": _plain(detail),
    }


def recording(object_id: ScalarSelect[UUID]) -> Insert:
    """For a statement that acts and writes it down at once: takes what `described` gives as its parameters."""
    columns = AuditEvent.metadata.tables[AuditEvent.__tablename__].c
    given = {name: bindparam(name, type_=columns[name].type) for name in get_type_hints(Event)}
    event = select(*given.values(), cast(object_id, columns.object_id.type))
    return insert(AuditEvent).from_select([*given, "object_id"], event)


def _who(actor: Actor, address: str | None) -> _Who:
    match actor:
        case Viewer():
            return {
                "actor_kind": "user",
                "actor_id": actor.id,
                "actor_name": actor.email,
                "address": address or actor.address,
            }
        case CallingNode():
            return {"actor_kind": "node", "actor_id": actor.id, "actor_name": actor.name, "address": address}
        case None:
            return {"actor_kind": "system", "actor_id": None, "actor_name": None, "address": address}


def _plain(detail: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in detail.items()}
