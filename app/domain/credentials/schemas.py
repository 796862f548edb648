from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from app.protocol import ONE_LINE, CredentialCategory, Line255
from app.schemas import Body, MaxRunning, Page, UsageTotals

Pat = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=16_384,
        pattern=ONE_LINE,
        description="The secret. No answer ever shows it again.",
    ),
]
NodeIds = Annotated[list[UUID], Meta(max_length=1000, description="The nodes that may use it.")]


class CredentialOut(Struct, kw_only=True):
    """Shows the last four characters of the secret alone.

    `disabled_reason`: why the fleet disabled it, as a refused key. `cooldown_until`: no node gets it before.
    """

    id: UUID
    title: str
    category: CredentialCategory
    pat_last4: str
    is_disabled: bool
    disabled_reason: str | None
    cooldown_until: datetime | None
    last_used_at: datetime | None
    max_running: int | None
    node_ids: list[UUID] = field(default_factory=list[UUID])
    owner_id: UUID
    created_at: datetime
    updated_at: datetime


class CredentialDetail(CredentialOut, kw_only=True):
    usage: UsageTotals = field(default_factory=UsageTotals)


class CredentialPage(Page):
    items: list[CredentialOut]


class NewCredential(Body):
    title: Line255
    category: CredentialCategory
    pat: Pat
    is_disabled: bool = False
    max_running: MaxRunning | None = None
    node_ids: NodeIds = field(default_factory=list[UUID])


class CredentialChange(Body):
    """`is_disabled` false and a new `pat` end a cool-down and clear the reason why it was disabled."""

    title: Line255 | UnsetType = UNSET
    category: CredentialCategory | UnsetType = UNSET
    pat: Pat | UnsetType = UNSET
    is_disabled: bool | UnsetType = UNSET
    max_running: MaxRunning | UnsetType | None = UNSET
    node_ids: NodeIds | UnsetType = UNSET


class LinkedNode(Struct):
    id: UUID
    name: str
    status: str


class LinkedNodePage(Page):
    items: list[LinkedNode]
