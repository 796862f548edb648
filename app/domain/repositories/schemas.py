from datetime import datetime
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from app.protocol import Line255, RefName, RepositoryUrl, Text500
from app.schemas import Body, MaxRunning, Page


class RepositoryOut(Struct):
    """`default_branch` null: whatever the remote's HEAD names."""

    id: UUID
    name: str
    url: str
    description: str | None
    is_public: bool
    default_branch: str | None
    max_running: int | None
    owner_id: UUID
    created_at: datetime
    updated_at: datetime


class RepositoryPage(Page):
    items: list[RepositoryOut]


class NewRepository(Body):
    name: Line255
    url: RepositoryUrl
    description: Text500 | None = None
    is_public: bool = False
    default_branch: RefName | None = None
    max_running: MaxRunning | None = None


class RepositoryChange(Body):
    name: Line255 | UnsetType = UNSET
    url: RepositoryUrl | UnsetType = UNSET
    description: Text500 | UnsetType | None = UNSET
    is_public: bool | UnsetType = UNSET
    default_branch: RefName | UnsetType | None = UNSET
    max_running: MaxRunning | UnsetType | None = UNSET
