"""Writing down who did what to which object. Append-only, and never a secret: only names, ids and counts go in."""

from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.base import new_id
from app.db.models.accounts import AuditEvent
from app.deps import CallingNode, Viewer

Actor = Viewer | CallingNode | None


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
    await session.execute(
        insert(AuditEvent).values(
            id=new_id(),
            **_who(actor, address),
            action=action,
            object_type=object_type,
            object_id=None if object_id is None else str(object_id),
            detail=_plain(detail),
        )
    )


def _who(actor: Actor, address: str | None) -> dict[str, Any]:
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
