"""A task, alive or in the trash."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, desc, text
from sqlmodel import Field, SQLModel

from taskwell.core.clock import utc_now
from taskwell.models.base import SEQUENCE_END, TextKey

TITLE_MAX_LENGTH = 200
DESCRIPTION_MAX_LENGTH = 2_000


class Task(SQLModel, table=True):
    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(f"length(title) BETWEEN 1 AND {TITLE_MAX_LENGTH}", name="title_length"),
        CheckConstraint("trim(title) <> ''", name="title_not_blank"),
        CheckConstraint(f"length(description) <= {DESCRIPTION_MAX_LENGTH}", name="description_length"),
        CheckConstraint("completed = (completed_at IS NOT NULL)", name="completed_has_its_time"),
        CheckConstraint(f"version >= 1 AND version < {SEQUENCE_END}", name="version_range"),
        # The list, newest first. It excludes the trash, so that a cleared list stays fast.
        Index(
            "ix_tasks_user_id_created_at_id",
            "user_id",
            desc("created_at"),
            desc("id"),
            sqlite_where=text("deleted_at IS NULL"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        # Changes since a sequence number.
        Index("ix_tasks_user_id_version", "user_id", "version"),
        # The trash of a user; and the expired trash of all users.
        Index(
            "ix_tasks_user_id_deleted_at",
            "user_id",
            "deleted_at",
            sqlite_where=text("deleted_at IS NOT NULL"),
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
        Index(
            "ix_tasks_deleted_at_user_id",
            "deleted_at",
            "user_id",
            sqlite_where=text("deleted_at IS NOT NULL"),
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
    )

    user_id: str = Field(primary_key=True, sa_type=Text, foreign_key="users.id", ondelete="CASCADE")
    id: UUID = Field(primary_key=True)
    title: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    completed: bool = Field(default=False)
    completed_at: datetime | None = None
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: datetime = Field(default_factory=utc_now)
    # Sort and search keys, the same on every database: see `schemas.types.fold`.
    title_key: str = Field(sa_type=TextKey, sa_column_kwargs={"server_default": ""})
    description_key: str | None = Field(default=None, sa_type=TextKey)
    # The user's sequence number at the task's latest write: its ETag, and its position in the changes feed.
    version: int = Field(sa_type=BigInteger)
    deleted_at: datetime | None = None
