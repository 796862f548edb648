"""The contract between server and node, and the bounded types that every body is made of.

The agent imports nothing else of the server. Nodes' bodies ignore unknown fields, so that a fleet can be
upgraded piece by piece; operators' bodies refuse them (see `Body` in `app.domain`'s schemas).
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, field

# PostgreSQL's text cannot hold NUL, so every stored string refuses it here instead of failing there.
NO_NUL = r"^[^\x00]*$"
# Python's `$` stands before a line feed at the end too, and OpenAPI's dialect has no `\Z`.
END = r"$(?!\n)"
ONE_LINE = rf"^[^\x00-\x1f\x7f]*{END}"
TAG = rf"^[^\x00-\x20\x7f,]+{END}"
CATEGORY = rf"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?{END}"
SHA = rf"^(?:[0-9a-f]{{40}}|[0-9a-f]{{64}}){END}"
Line255 = Annotated[str, Meta(min_length=1, max_length=255, pattern=ONE_LINE)]
Text500 = Annotated[str, Meta(max_length=500, pattern=NO_NUL)]
Text64K = Annotated[str, Meta(max_length=65_536, pattern=NO_NUL)]
Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=TAG)]
Tags = Annotated[list[Tag], Meta(max_length=64)]
Category = Annotated[str, Meta(max_length=32, pattern=CATEGORY, examples=["claude-code"])]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Sha = Annotated[str, Meta(pattern=SHA, examples=["9fceb02d0ae598e95dc970b74767f19372d61af8"])]

# git check-ref-format(1), and no leading "-", which git would read as an option.
REF = (
    r"^(?![-/.])(?!@$)(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)|[/.]$))"
    rf"[^\x00-\x20\x7f~^:?*\[\\]+{END}"
)
RefName = Annotated[str, Meta(min_length=1, max_length=255, pattern=REF, examples=["main"])]

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_PATH = r"[^\x00-\x20\x7f]+"
# No user:password@ in https: a secret belongs in a credential, where it is encrypted.
REMOTE_URL = (
    rf"^(?:https://{_HOST}(?::\d{{1,5}})?/{_PATH}"
    rf"|ssh://(?:[A-Za-z0-9_][\w.-]*@)?{_HOST}(?::\d{{1,5}})?/{_PATH}"
    rf"|[A-Za-z0-9_][\w.-]*@{_HOST}:(?![-:]){_PATH}){END}"
)
LOCAL_URL = rf"^(?:file://)?/{_PATH}{END}"
REPOSITORY_URL = f"{REMOTE_URL}|{LOCAL_URL}"
RepositoryUrl = Annotated[
    str,
    Meta(
        max_length=1023,
        pattern=REPOSITORY_URL,
        description="https://, ssh:// or user@host:path; a local path or file:// in development only.",
        examples=["https://github.com/acme/shop.git"],
    ),
]

FORMS = {
    NO_NUL: "must not contain the character NUL",
    ONE_LINE: "must be one line without control characters",
    TAG: "must be one word without commas",
    CATEGORY: "must be lower-case letters, digits and hyphens, as claude-code",
    SHA: "must be a full commit id of 40 or 64 lower-case hexadecimal digits",
    REF: "must be a name that git accepts for a branch, as main",
    REPOSITORY_URL: "must be https://host/path, ssh://host/path or user@host:path, without a password",
}
"""What each pattern means to a person, who is not shown the expression."""

HEARTBEATS_MISSED_UNTIL_OFFLINE = 3
LOG_ENTRIES_MAX = 1000
BODY_MAX_BYTES = 1024 * 1024
LOG_BODY_MAX_BYTES = BODY_MAX_BYTES
LOG_OUTPUT_MAX = 64 * 1024


def require_utc(moment: datetime, field_name: str) -> None:
    """Raises `ValueError` for one that an offset takes off the calendar, since everything is stored in UTC."""
    try:
        moment.astimezone(UTC)
    except OverflowError as problem:
        raise ValueError(f"The time in field `{field_name}` must lie in the years 1 to 9999 of UTC.") from problem


class IssueStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    PENDING_MERGE = "pending_merge"
    MERGED = "merged"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptStatus(StrEnum):
    OFFERED = "offered"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class NodeStatus(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"


class Desired(StrEnum):
    """What operators want of a node: draining finishes what runs, paused takes nothing new."""

    ACTIVE = "active"
    DRAINING = "draining"
    PAUSED = "paused"


class Action(StrEnum):
    """What a node shall do with an attempt that it holds."""

    CONTINUE = "continue"
    CANCEL = "cancel"
    ABANDON = "abandon"


class StepStatus(StrEnum):
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class Result(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FailureCode(StrEnum):
    CLONE_FAILED = "clone_failed"
    TOOL_FAILED = "tool_failed"
    TESTS_FAILED = "tests_failed"
    NO_CHANGES = "no_changes"
    PUSH_FAILED = "push_failed"
    TIMEOUT = "timeout"
    QUOTA = "quota"
    AUTH = "auth"
    INVALID_WORK = "invalid_work"
    INTERNAL = "internal"


class CredentialCategory(StrEnum):
    GITHUB_COPILOT = "github-copilot"
    CURSOR = "cursor"
    CLAUDE_CODE = "claude-code"


class Tool(Struct):
    category: Category
    version: Annotated[str, Meta(max_length=255, pattern=NO_NUL)] | None = None


class Register(Struct):
    name: Line255
    machine_id: Annotated[str, Meta(min_length=8, max_length=128, pattern=ONE_LINE)]
    boot_id: Annotated[str, Meta(min_length=1, max_length=128, pattern=ONE_LINE)]
    version: Annotated[str, Meta(max_length=64, pattern=ONE_LINE)] | None = None
    max_slots: Annotated[int, Meta(ge=1, le=1000)] = 1
    tags: Tags = field(default_factory=list[str])
    tools: Annotated[list[Tool], Meta(max_length=64)] = field(default_factory=list[Tool])
    ip: Annotated[str, Meta(max_length=64, pattern=ONE_LINE)] | None = None
    description: Annotated[str, Meta(max_length=255, pattern=NO_NUL)] | None = None


class Registered(Struct):
    node_id: UUID
    node_token: str
    heartbeat_interval_s: float
    lease_s: float
    claim_wait_s: int
    start_within_s: float


class HeldAttempt(Struct):
    attempt_id: UUID
    state: Annotated[str, Meta(max_length=32)] = ""


class Heartbeat(Struct):
    boot_id: Annotated[str, Meta(min_length=1, max_length=128, pattern=ONE_LINE)]
    free_slots: Annotated[int, Meta(ge=0, le=1000)] = 0
    attempts: Annotated[list[HeldAttempt], Meta(max_length=2000)] = field(default_factory=list[HeldAttempt])
    disk_free_bytes: Count | None = None


class AttemptAction(Struct):
    attempt_id: UUID
    action: Action


class HeartbeatAnswer(Struct):
    desired: Desired
    heartbeat_interval_s: float
    attempts: list[AttemptAction]


class Claim(Struct):
    claim_id: UUID
    boot_id: Annotated[str, Meta(min_length=1, max_length=128, pattern=ONE_LINE)]
    max: Annotated[int, Meta(ge=1, le=100)] = 1


class OfferedIssue(Struct):
    id: UUID
    title: str
    description: str | None
    issue_number: int | None
    repository_url: str | None
    priority: int
    requires: list[str]
    tool: str | None


class OfferedRepository(Struct):
    id: UUID
    name: str
    url: str
    default_branch: str | None


class OfferedPrompt(Struct):
    """`content` is rendered for the issue; a node passes it on as it is."""

    id: UUID
    name: str
    content: str


class OfferedCredential(Struct):
    id: UUID
    category: str


class Offer(Struct):
    attempt_id: UUID
    number: int
    start_within_s: float
    lease_s: float
    max_runtime_s: float
    branch: str
    issue: OfferedIssue
    repository: OfferedRepository | None
    base_branch: str | None
    prompt: OfferedPrompt | None
    credential: OfferedCredential | None


class Offers(Struct):
    attempts: list[Offer]


class Started(Struct):
    status: AttemptStatus


class Secret(Struct):
    category: str
    secret: str


class LogEntry(Struct):
    """Texts may hold anything: what PostgreSQL cannot store is replaced, never refused."""

    step_name: Annotated[str, Meta(min_length=1, max_length=100)]
    status: StepStatus
    command: Annotated[str, Meta(max_length=LOG_OUTPUT_MAX)] | None = None
    output: Annotated[str, Meta(max_length=LOG_OUTPUT_MAX)] | None = None
    error_message: Annotated[str, Meta(max_length=LOG_OUTPUT_MAX)] | None = None
    duration_ms: Count | None = None
    created_at: Annotated[datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        if self.created_at is not None:
            require_utc(self.created_at, "created_at")


class LogBatch(Struct):
    first_seq: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    entries: Annotated[list[LogEntry], Meta(max_length=LOG_ENTRIES_MAX)]


class LogAnswer(Struct):
    next_seq: int
    action: Action


class ModelUsage(Struct):
    """Totals so far of one model within one attempt."""

    provider: Line255
    model: Line255
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    cost_usd: Annotated[float, Meta(ge=0, le=1e9)] = 0.0


class Usage(Struct):
    usage: Annotated[list[ModelUsage], Meta(max_length=100)]


class UsageAnswer(Struct):
    action: Action


class Finish(Struct):
    result: Result
    next_seq: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    branch: RefName | None = None
    base_sha: Sha | None = None
    head_sha: Sha | None = None
    summary: Text64K | None = None
    error_message: Text64K | None = None
    failure_code: FailureCode | None = None
    retry_after_s: Annotated[float, Meta(ge=0, le=31_536_000)] | None = None


class Finished(Struct):
    issue_status: IssueStatus
    adopted: bool


class Release(Struct):
    reason: Annotated[str, Meta(max_length=1024, pattern=NO_NUL)] | None = None
