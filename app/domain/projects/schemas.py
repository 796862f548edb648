from datetime import datetime
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field

from app.protocol import Line255, Text500
from app.schemas import Body, MaxRunning, Page, UsageTotals


class ProjectOut(Struct):
    """`is_active` false: its issues wait. `max_running`: how many of them are worked on at once."""

    id: UUID
    name: str
    description: str | None
    is_active: bool
    max_running: int | None
    owner_id: UUID
    created_at: datetime
    updated_at: datetime


class ProjectDetail(ProjectOut):
    usage: UsageTotals = field(default_factory=UsageTotals)


class ProjectPage(Page):
    items: list[ProjectOut]


class NewProject(Body):
    name: Line255
    description: Text500 | None = None
    is_active: bool = True
    max_running: MaxRunning | None = None


class ProjectChange(Body):
    name: Line255 | UnsetType = UNSET
    description: Text500 | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    max_running: MaxRunning | UnsetType | None = UNSET
