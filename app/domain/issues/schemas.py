from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from app.protocol import (
    AttemptStatus,
    Category,
    Int32,
    IssueStatus,
    Line255,
    ModelUsage,
    RefName,
    RepositoryUrl,
    Tags,
    Text64K,
    require_utc,
)
from app.schemas import Body, Page, UsageTotals

Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset.", examples=["2026-11-23T06:00:00Z"])]
IssueNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]
MaxAttempts = Annotated[int, Meta(ge=1, le=100)]
BULK_MAX = 1000


class IssueOut(Struct, kw_only=True):
    """`attempt_count` counts the attempts that used up one of `max_attempts`."""

    id: UUID
    title: str
    description: str | None
    repository_url: str | None
    repository_id: UUID | None
    project_id: UUID | None
    prompt_id: UUID | None
    issue_number: int | None
    status: IssueStatus
    priority: int
    requires: list[str]
    tool: str | None
    base_branch: str | None
    assigned_node_id: UUID | None
    owner_id: UUID
    attempt_count: int
    max_attempts: int
    not_before: datetime | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    result_branch: str | None


class IssueDetail(IssueOut, kw_only=True):
    usage: UsageTotals = field(default_factory=UsageTotals)


class IssuePage(Page):
    items: list[IssueOut]


class NewIssue(Body):
    """Work on a repository that is either named by `repository_id` or given as a URL."""

    title: Line255
    description: Text64K | None = None
    repository_url: RepositoryUrl | None = None
    repository_id: UUID | None = None
    project_id: UUID | None = None
    prompt_id: UUID | None = None
    issue_number: IssueNumber | None = None
    priority: Int32 = 0
    requires: Tags = field(default_factory=list[str])
    tool: Category | None = None
    max_attempts: MaxAttempts = 3
    not_before: Moment | None = None
    base_branch: RefName | None = None

    def __post_init__(self) -> None:
        if self.not_before is not None:
            require_utc(self.not_before, "not_before")


class NewIssues(Body):
    issues: Annotated[list[NewIssue], Meta(min_length=1, max_length=BULK_MAX)]


class CreatedIssues(Struct):
    """In the order given."""

    items: list[IssueOut]


class IssueChange(Body):
    """A change reaches the next attempt; one that runs goes on with what it was given."""

    title: Line255 | UnsetType = UNSET
    description: Text64K | UnsetType | None = UNSET
    repository_url: RepositoryUrl | UnsetType | None = UNSET
    repository_id: UUID | UnsetType | None = UNSET
    project_id: UUID | UnsetType | None = UNSET
    prompt_id: UUID | UnsetType | None = UNSET
    issue_number: IssueNumber | UnsetType | None = UNSET
    priority: Int32 | UnsetType = UNSET
    requires: Tags | UnsetType = UNSET
    tool: Category | UnsetType | None = UNSET
    max_attempts: MaxAttempts | UnsetType = UNSET
    not_before: Moment | UnsetType | None = UNSET
    base_branch: RefName | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if isinstance(self.not_before, datetime):
            require_utc(self.not_before, "not_before")


class Rejection(Body):
    """Null: a plain sentence stands in."""

    reason: Annotated[str, Meta(min_length=1, max_length=1024, pattern=r"^[^\x00]*$")] | None = None


class AttemptOut(Struct, kw_only=True):
    """`adopted`: its result came after it was given up, and was taken all the same."""

    id: UUID
    issue_id: UUID
    node_id: UUID | None
    node_name: str
    number: int
    status: AttemptStatus
    branch: str
    credential_id: UUID | None
    base_sha: str | None
    head_sha: str | None
    summary: str | None
    error_message: str | None
    failure_code: str | None
    adopted: bool
    usage: list[ModelUsage] = field(default_factory=list[ModelUsage])
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class AttemptPage(Page):
    items: list[AttemptOut]


class LogOut(Struct):
    """`attempt_id` and `seq` are null for entries of older installations; `node_id` may name a node deleted since."""

    id: UUID
    issue_id: UUID
    attempt_id: UUID | None
    node_id: UUID | None
    seq: int | None
    step_name: str
    status: str
    command: str | None
    output: str | None
    error_message: str | None
    duration_ms: int | None
    created_at: datetime


class LogPage(Page):
    items: list[LogOut]
