from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

from app.schemas import Page


class AuditOut(Struct):
    """`detail` names what changed; it never holds a secret."""

    id: UUID
    at: datetime
    actor_kind: Literal["user", "node", "system"]
    actor_id: UUID | None
    actor_name: str | None
    action: str
    object_type: str
    object_id: str | None
    address: str | None
    detail: dict[str, Any]


class AuditPage(Page):
    items: list[AuditOut]
