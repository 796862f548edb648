"""What issues refer to: projects, repositories, prompts."""

from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, CreatedAt, Id, UpdatedAt, folded


class Project(Base):
    """`is_active` false: its issues wait. `max_running`: how many of them may be worked on at once."""

    __tablename__ = "project"

    id: Mapped[Id]
    name: Mapped[str]
    description: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    max_running: Mapped[int | None]
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    folded: Mapped[str | None] = folded("name", "description")

    __table_args__ = (
        Index("ix_project_created_at_id", "created_at", "id"),
        CheckConstraint("max_running >= 0", name="max_running_not_negative"),
    )


class Repository(Base):
    """`default_branch` null: whatever the remote's HEAD names."""

    __tablename__ = "repository"

    id: Mapped[Id]
    name: Mapped[str]
    url: Mapped[str]
    description: Mapped[str | None]
    is_public: Mapped[bool] = mapped_column(server_default=text("false"))
    default_branch: Mapped[str | None]
    max_running: Mapped[int | None]
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    folded: Mapped[str | None] = folded("name", "url")

    __table_args__ = (
        Index("ix_repository_created_at_id", "created_at", "id"),
        CheckConstraint("max_running >= 0", name="max_running_not_negative"),
    )


class Prompt(Base):
    """A template. The owner's default one serves their issues that name none."""

    __tablename__ = "prompt"

    id: Mapped[Id]
    name: Mapped[str]
    content: Mapped[str]
    description: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]
    folded: Mapped[str | None] = folded("name", "description")

    __table_args__ = (
        Index("ix_prompt_created_at_id", "created_at", "id"),
        Index("uq_prompt_owner_id_default", "owner_id", unique=True, postgresql_where=text("is_default")),
    )
