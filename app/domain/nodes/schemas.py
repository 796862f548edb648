from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from app.protocol import Desired, Line255, NodeStatus, Tags, Tool
from app.schemas import Body, Page

Note = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00]*$", examples=["Disk is being replaced"])]
Slots = Annotated[int, Meta(ge=1, le=1000)]
PauseSeconds = Annotated[float, Meta(gt=0, le=31_536_000, description="The node resumes by itself after so long.")]
GraceSeconds = Annotated[
    float, Meta(ge=0, le=31_536_000, description="How long the former key still registers nodes; 0: not at all.")
]


class NodeOut(Struct, kw_only=True):
    """`running`: how many attempts it holds. `desired` is what operators want of it."""

    id: UUID
    name: str
    ip: str | None
    description: str | None
    tags: list[str]
    tools: list[Tool]
    status: NodeStatus
    desired: Desired
    desired_note: str | None
    paused_until: datetime | None
    max_slots: int
    running: int = 0
    version: str | None
    last_heartbeat: datetime | None
    disk_free_bytes: int | None
    owner_id: UUID
    created_at: datetime
    updated_at: datetime


class NodePage(Page):
    items: list[NodeOut]


class NodeChange(Body):
    """The next registration of the machine brings its own name, tags and slots again."""

    name: Line255 | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=255, pattern=r"^[^\x00]*$")] | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET
    max_slots: Slots | UnsetType = UNSET


class Pause(Body):
    note: Note | None = None
    for_s: PauseSeconds | None = None


class Drain(Body):
    note: Note | None = None


class RegistrationKeyOut(Struct):
    """`previous_expires_at`: until then the former key registers nodes too; null: no longer."""

    key: str
    created_at: datetime
    previous_expires_at: datetime | None


class Rotation(Body):
    grace_s: GraceSeconds = 0
