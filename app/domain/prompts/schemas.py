from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from app.protocol import Line255, Tags, Text500
from app.schemas import Body, Page

Template = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=65_536,
        pattern=r"^[^\x00]*$",
        description="A Jinja template over `issue`, `repository`, `project`, `attempt` and `earlier`.",
        examples=["Fix this: {{ issue.title }}\n\n{{ issue.description or '' }}"],
    ),
]


class PromptOut(Struct):
    """`is_default`: serves those issues of its owner that name no prompt."""

    id: UUID
    name: str
    content: str
    description: str | None
    tags: list[str]
    is_default: bool
    owner_id: UUID
    created_at: datetime
    updated_at: datetime


class PromptPage(Page):
    items: list[PromptOut]


class NewPrompt(Body):
    name: Line255
    content: Template
    description: Text500 | None = None
    tags: Tags = field(default_factory=list[str])
    is_default: bool = False


class PromptChange(Body):
    name: Line255 | UnsetType = UNSET
    content: Template | UnsetType = UNSET
    description: Text500 | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET
    is_default: bool | UnsetType = UNSET


class Preview(Body):
    """`issue_id` null: for a sample issue."""

    content: Template
    issue_id: UUID | None = None


class Previewed(Struct):
    rendered: str
