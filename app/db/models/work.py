"""The queue: issues, the attempts at them, and what happened in each."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Double,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    SmallInteger,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, CreatedAt, Id, RandomId, UpdatedAt

IS_PENDING = text("status = 'pending'")
IS_PROCESSING = text("status = 'processing'")
IS_ENDED = text("status NOT IN ('pending', 'processing')")
IS_READY = text("status = 'pending' AND NOT deferred")

# Issues that ask the same of a node share a lane, so that a claim decides once a lane and not once an issue.
LANE = "hash_record_extended(ROW(owner_id, project_id, repository_id, tool, requires), 0)"


class Issue(Base):
    """`status` is written by `app.domain.issues.lifecycle` alone.

    `rank` orders the queue, larger first: priority in units of the ageing setting, less the time of creation.
    `deferred` keeps issues that wait for `not_before` out of the index that claims walk.
    `attempt_count` is how many attempts count against `max_attempts`; `last_number` numbers all of them.
    """

    __tablename__ = "issue"

    id: Mapped[RandomId]
    title: Mapped[str]
    description: Mapped[str | None]
    repository_url: Mapped[str | None]
    repository_id: Mapped[UUID | None] = mapped_column(ForeignKey("repository.id", ondelete="SET NULL"))
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("project.id", ondelete="SET NULL"))
    prompt_id: Mapped[UUID | None] = mapped_column(ForeignKey("prompt.id", ondelete="SET NULL"))
    issue_number: Mapped[int | None]
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    rank: Mapped[float] = mapped_column(Double)
    requires: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    tool: Mapped[str | None]
    lane: Mapped[int] = mapped_column(BigInteger, Computed(LANE, persisted=True))
    base_branch: Mapped[str | None]
    not_before: Mapped[datetime | None]
    deferred: Mapped[bool] = mapped_column(server_default=text("false"))
    max_attempts: Mapped[int] = mapped_column(server_default=text("3"))
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    last_number: Mapped[int] = mapped_column(server_default=text("0"))
    assigned_node_id: Mapped[UUID | None] = mapped_column(ForeignKey("node.id", ondelete="SET NULL"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    error_message: Mapped[str | None]
    result_branch: Mapped[str | None]

    __table_args__ = (
        CheckConstraint(
            "status IN ('pending', 'processing', 'pending_merge', 'merged', 'completed', 'failed', 'cancelled')",
            name="status_known",
        ),
        # Titles of older installations may be empty; new ones are not (see `app.protocol`).
        CheckConstraint("char_length(title) <= 255", name="title_length"),
        CheckConstraint("char_length(description) <= 65536", name="description_length"),
        CheckConstraint("max_attempts BETWEEN 1 AND 100", name="max_attempts_in_range"),
        CheckConstraint("attempt_count >= 0 AND attempt_count <= max_attempts", name="attempts_within_maximum"),
        CheckConstraint("NOT deferred OR not_before IS NOT NULL", name="deferred_until_a_time"),
        CheckConstraint("assigned_node_id IS NULL OR status <> 'pending'", name="pending_is_on_no_node"),
        Index("ix_issue_ready", "lane", text("rank DESC"), "id", postgresql_where=IS_READY),
        Index("ix_issue_deferred", "not_before", postgresql_where=text("status = 'pending' AND deferred")),
        Index("ix_issue_owner_id_created_at_id", "owner_id", "created_at", "id"),
        Index("ix_issue_created_at_id", "created_at", "id"),
        # Lists by status. A claim pays for an entry in the first of them alone.
        Index("ix_issue_processing_created_at_id", "created_at", "id", postgresql_where=IS_PROCESSING),
        Index(
            "ix_issue_pending_owner_id_created_at_id",
            "owner_id",
            "created_at",
            "id",
            postgresql_where=IS_PENDING,
        ),
        Index(
            "ix_issue_pending_priority_created_at_id",
            "priority",
            "created_at",
            "id",
            postgresql_where=IS_PENDING,
        ),
        Index("ix_issue_ended_status_created_at_id", "status", "created_at", "id", postgresql_where=IS_ENDED),
        Index("ix_issue_ended_priority_created_at_id", "priority", "created_at", "id", postgresql_where=IS_ENDED),
        Index(
            "ix_issue_ended_owner_id_status_created_at_id",
            "owner_id",
            "status",
            "created_at",
            "id",
            postgresql_where=IS_ENDED,
        ),
        Index(
            "ix_issue_repository_id_status",
            "repository_id",
            "status",
            postgresql_where=text("repository_id IS NOT NULL"),
        ),
        Index("ix_issue_project_id_status", "project_id", "status", postgresql_where=text("project_id IS NOT NULL")),
        Index("ix_issue_prompt_id", "prompt_id", postgresql_where=text("prompt_id IS NOT NULL")),
        Index("ix_issue_assigned_node_id", "assigned_node_id", postgresql_where=text("assigned_node_id IS NOT NULL")),
        {
            # A queue's dead rows cost every claim: vacuum after a few thousand, however large the table is.
            "postgresql_with": {
                "autovacuum_vacuum_scale_factor": 0,
                "autovacuum_vacuum_threshold": 5000,
                "fillfactor": 80,
            }
        },
    )


IS_LIVE = text("status IN ('offered', 'running')")


class Attempt(Base):
    """One try of one node at one issue; its id is the fence that every write of the node names.

    `offer` is what the node was given, word for word, so that a repeated claim gets the same answer.
    `next_seq` is how many log entries are stored; `missed` how many heartbeats in a row left the attempt out.
    """

    __tablename__ = "attempt"

    id: Mapped[Id]
    issue_id: Mapped[UUID] = mapped_column(ForeignKey("issue.id", ondelete="CASCADE"))
    node_id: Mapped[UUID | None] = mapped_column(ForeignKey("node.id", ondelete="SET NULL"))
    node_name: Mapped[str]
    credential_id: Mapped[UUID | None] = mapped_column(ForeignKey("credential.id", ondelete="SET NULL"))
    number: Mapped[int]
    status: Mapped[str] = mapped_column(server_default=text("'offered'"))
    branch: Mapped[str]
    claim_id: Mapped[UUID]
    offer: Mapped[str]
    start_by: Mapped[datetime]
    cancel_requested_at: Mapped[datetime | None]
    missed: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    next_seq: Mapped[int] = mapped_column(server_default=text("0"))
    base_sha: Mapped[str | None]
    head_sha: Mapped[str | None]
    summary: Mapped[str | None]
    error_message: Mapped[str | None]
    failure_code: Mapped[str | None]
    adopted: Mapped[bool] = mapped_column(server_default=text("false"))
    finish_digest: Mapped[bytes | None]
    finish_status: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "status IN ('offered', 'running', 'succeeded', 'failed', 'cancelled', 'lost')", name="status_known"
        ),
        CheckConstraint("(status IN ('offered', 'running')) = (finished_at IS NULL)", name="live_until_finished"),
        CheckConstraint("status <> 'running' OR started_at IS NOT NULL", name="running_was_started"),
        CheckConstraint("(finish_digest IS NULL) = (finish_status IS NULL)", name="finish_has_its_answer"),
        Index("uq_attempt_issue_id_number", "issue_id", "number", unique=True),
        Index("uq_attempt_live_issue", "issue_id", unique=True, postgresql_where=IS_LIVE),
        Index("ix_attempt_live_node", "node_id", postgresql_where=IS_LIVE),
        Index("ix_attempt_live_credential", "credential_id", postgresql_where=IS_LIVE),
        Index("ix_attempt_node_id_claim_id", "node_id", "claim_id"),
        Index(
            "ix_attempt_live_cancel_requested_at",
            "cancel_requested_at",
            postgresql_where=text("status IN ('offered', 'running') AND cancel_requested_at IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": 80}},
    )


class AttemptUsage(Base):
    """Totals of one model within one attempt, as the node last reported them."""

    __tablename__ = "attempt_usage"

    attempt_id: Mapped[UUID] = mapped_column(ForeignKey("attempt.id", ondelete="CASCADE"), primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger)
    cost_usd: Mapped[Decimal] = mapped_column(Numeric(18, 6))


class WorkflowLog(Base):
    """One entry of an attempt's log; `attempt_id` and `seq` are null for entries of older installations.

    `position` orders the entries of an issue as they arrived. It has gaps, and means nothing across issues.
    `node_id` is who wrote it, perhaps a node that was deleted since.
    """

    __tablename__ = "workflowlog"

    id: Mapped[Id]
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=False))
    issue_id: Mapped[UUID] = mapped_column(ForeignKey("issue.id", ondelete="CASCADE"))
    attempt_id: Mapped[UUID | None] = mapped_column(ForeignKey("attempt.id", ondelete="CASCADE"))
    node_id: Mapped[UUID | None]
    seq: Mapped[int | None]
    step_name: Mapped[str]
    status: Mapped[str]
    command: Mapped[str | None]
    output: Mapped[str | None]
    error_message: Mapped[str | None]
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        CheckConstraint("(attempt_id IS NULL) = (seq IS NULL)", name="numbered_within_attempt"),
        Index("ix_workflowlog_issue_id_position", "issue_id", "position"),
        Index("uq_workflowlog_attempt_id_seq", "attempt_id", "seq", unique=True),
    )
