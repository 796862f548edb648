"""Machines, the key that lets them in, and the credentials that they may use."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, CreatedAt, Id, UpdatedAt, folded


class Node(Base):
    """A registered machine; `machine_id` is its identity, null only for rows of older installations.

    `last_heartbeat` is written many times a minute and must stay out of every index, even a partial one:
    an index turns PostgreSQL's heap-only updates off. The fill factor leaves them room on the page.
    """

    __tablename__ = "node"

    id: Mapped[Id]
    name: Mapped[str]
    machine_id: Mapped[str | None] = mapped_column(unique=True)
    boot_id: Mapped[str | None]
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary, unique=True)
    ip: Mapped[str | None]
    description: Mapped[str | None]
    version: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    tools: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    tool_categories: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    max_slots: Mapped[int] = mapped_column(server_default=text("1"))
    status: Mapped[str] = mapped_column(server_default=text("'offline'"))
    desired: Mapped[str] = mapped_column(server_default=text("'active'"))
    desired_note: Mapped[str | None]
    paused_until: Mapped[datetime | None]
    last_heartbeat: Mapped[datetime | None]
    disk_free_bytes: Mapped[int | None] = mapped_column(BigInteger)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (
        CheckConstraint("status IN ('online', 'offline')", name="status_known"),
        CheckConstraint("desired IN ('active', 'draining', 'paused')", name="desired_known"),
        CheckConstraint("max_slots BETWEEN 1 AND 1000", name="max_slots_in_range"),
        CheckConstraint("paused_until IS NULL OR desired = 'paused'", name="paused_until_only_while_paused"),
        # Names of older installations may repeat; those rows have no machine yet.
        Index("uq_node_name_of_machine", "name", unique=True, postgresql_where=text("machine_id IS NOT NULL")),
        Index("ix_node_name", "name"),
        Index("ix_node_created_at_id", "created_at", "id"),
        # A beat that changes neither is written in place all the same: what counts is whether the value changes.
        Index("ix_node_status_created_at_id", "status", "created_at", "id"),
        Index("ix_node_desired_created_at_id", "desired", "created_at", "id"),
        {"postgresql_with": {"fillfactor": 50}},
    )


class NodeRegistrationKey(Base):
    """The one key that may register nodes. `secret` is sealed (see `app.vault`); `key_hash` is what is compared."""

    __tablename__ = "node_registration_key"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False, server_default=text("1"))
    secret: Mapped[bytes]
    secret_key_id: Mapped[str | None]
    key_hash: Mapped[bytes]
    previous_key_hash: Mapped[bytes | None]
    previous_expires_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    __table_args__ = (
        CheckConstraint("id = 1", name="only_row_1"),
        CheckConstraint("(previous_key_hash IS NULL) = (previous_expires_at IS NULL)", name="previous_key_expires"),
    )


class Credential(Base):
    """A secret of one tool category. `secret_key_id` null: clear text, until the first server start seals it.

    `former_secrets` is sealed under the same key: attempts that were given one may still write it in their logs.
    """

    __tablename__ = "credential"

    id: Mapped[Id]
    title: Mapped[str]
    category: Mapped[str]
    secret: Mapped[bytes]
    secret_key_id: Mapped[str | None]
    former_secrets: Mapped[bytes | None]
    pat_last4: Mapped[str]
    is_disabled: Mapped[bool] = mapped_column(server_default=text("false"))
    disabled_reason: Mapped[str | None]
    cooldown_until: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    max_running: Mapped[int | None]
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    folded: Mapped[str | None] = folded("title")

    __table_args__ = (
        Index("ix_credential_created_at_id", "created_at", "id"),
        CheckConstraint("category IN ('github-copilot', 'cursor', 'claude-code')", name="category_known"),
        CheckConstraint("max_running >= 0", name="max_running_not_negative"),
        CheckConstraint("is_disabled OR disabled_reason IS NULL", name="reason_only_while_disabled"),
        CheckConstraint("former_secrets IS NULL OR secret_key_id IS NOT NULL", name="former_secrets_sealed"),
    )


class CredentialNodeLink(Base):
    __tablename__ = "credentialnodelink"

    credential_id: Mapped[UUID] = mapped_column(ForeignKey("credential.id", ondelete="CASCADE"), primary_key=True)
    node_id: Mapped[UUID] = mapped_column(ForeignKey("node.id", ondelete="CASCADE"), primary_key=True, index=True)
