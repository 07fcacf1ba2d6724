"""A list of tasks, alive or in the trash. The inbox has no row: its tasks have no list."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, text
from sqlmodel import Field, SQLModel

from taskwell.core.clock import utc_now
from taskwell.models.base import SEQUENCE_END, TextKey
from taskwell.models.task import POSITION_MAX_LENGTH

LIST_NAME_MAX_LENGTH = 100


class TaskList(SQLModel, table=True):
    __tablename__ = "lists"
    __table_args__ = (
        CheckConstraint(f"length(name) BETWEEN 1 AND {LIST_NAME_MAX_LENGTH}", name="name_length"),
        CheckConstraint("length(color) = 7", name="color_form"),
        CheckConstraint(f"length(position) BETWEEN 1 AND {POSITION_MAX_LENGTH}", name="position_length"),
        CheckConstraint(f"version >= 1 AND version < {SEQUENCE_END}", name="version_range"),
        # Changes since a sequence number.
        Index("ix_lists_user_id_version", "user_id", "version"),
        # The expired trash of all users.
        Index(
            "ix_lists_deleted_at_user_id",
            "deleted_at",
            "user_id",
            sqlite_where=text("deleted_at IS NOT NULL"),
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
    )

    user_id: str = Field(primary_key=True, sa_type=Text, foreign_key="users.id", ondelete="CASCADE")
    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    color: str | None = Field(default=None, sa_type=Text)  # `#rrggbb`
    position: str = Field(sa_type=TextKey)  # a key of `core.positions`
    archived_at: datetime | None = None
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: datetime = Field(default_factory=utc_now)
    # The user's sequence number at the list's latest write.
    version: int = Field(sa_type=BigInteger)
    deleted_at: datetime | None = None
