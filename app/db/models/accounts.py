"""People, their tokens, and what they did."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, CreatedAt, Id, UpdatedAt, folded


class User(Base):
    """New emails are stored in lower case; accounts of older installations may differ only in case."""

    __tablename__ = "user"

    id: Mapped[Id]
    email: Mapped[str]
    hashed_password: Mapped[str]
    full_name: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    is_superuser: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    folded: Mapped[str | None] = folded("email", "full_name")

    __table_args__ = (
        Index("ix_user_email", "email", unique=True),
        Index("ix_user_email_lower", func.lower(text("email"))),
        Index("ix_user_created_at_id", "created_at", "id"),
    )


class AccessToken(Base):
    """A login session of the page, or a token that a person made for a script."""

    __tablename__ = "access_token"

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    name: Mapped[str | None]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    last4: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("kind IN ('session', 'token')", name="kind_known"),
        CheckConstraint("kind = 'token' OR expires_at IS NOT NULL", name="session_expires"),
    )


class AuditEvent(Base):
    """Append-only (a trigger refuses anything else), so it names its actor instead of pointing at one."""

    __tablename__ = "audit_event"

    id: Mapped[Id]
    at: Mapped[CreatedAt]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    action: Mapped[str]
    object_type: Mapped[str]
    object_id: Mapped[str | None]
    address: Mapped[str | None]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    folded: Mapped[str | None] = folded(
        "actor_kind", "actor_name", "action", "object_type", "object_id", "address", "detail::text"
    )

    __table_args__ = (
        CheckConstraint("actor_kind IN ('user', 'node', 'system')", name="actor_kind_known"),
        Index("ix_audit_event_at_id", "at", "id"),
        Index("ix_audit_event_object_type_object_id", "object_type", "object_id"),
        Index("ix_audit_event_actor_id", "actor_id"),
    )


class Throttle(Base):
    """Failures of one caller at one door. `key` names both, hashed; a row that is a day old means nothing."""

    __tablename__ = "throttle"

    key: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    window_started_at: Mapped[datetime]
    blocked_until: Mapped[datetime | None]
    strikes: Mapped[int] = mapped_column(server_default=text("0"))
