"""A task, alive or in the trash."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, Text, desc, text
from sqlmodel import Field, SQLModel

from taskwell.core.clock import utc_now
from taskwell.models.base import SEQUENCE_END, JsonText, TextKey

# What REST accepts. The table holds more, so that other protocols and imports lose nothing.
TITLE_MAX_LENGTH = 200
DESCRIPTION_MAX_LENGTH = 2_000
STORED_TITLE_MAX_LENGTH = 1_000
STORED_DESCRIPTION_MAX_LENGTH = 65_536
POSITION_MAX_LENGTH = 255
HIGHEST_PRIORITY, LOWEST_PRIORITY = 1, 9  # RFC 5545, 3.8.1.9

HAS_VERSION = "version > 0"
_HAS_DUE = "due IS NOT NULL AND deleted_at IS NULL"
_IN_INBOX = "list_id IS NULL AND deleted_at IS NULL"
_IN_LIST = "list_id IS NOT NULL AND deleted_at IS NULL"
_HAS_PARENT = "parent_id IS NOT NULL AND deleted_at IS NULL"
# Without tasks that are done: they keep their claim, which is void.
_MAY_BE_HELD = "claimed_until IS NOT NULL AND deleted_at IS NULL AND NOT completed"


class Task(SQLModel, table=True):
    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(f"length(title) BETWEEN 1 AND {STORED_TITLE_MAX_LENGTH}", name="title_length"),
        CheckConstraint("trim(title) <> ''", name="title_not_blank"),
        CheckConstraint(f"length(description) <= {STORED_DESCRIPTION_MAX_LENGTH}", name="description_length"),
        CheckConstraint("completed = (completed_at IS NOT NULL)", name="completed_has_its_time"),
        CheckConstraint(f"version >= 1 AND version < {SEQUENCE_END}", name="version_range"),
        CheckConstraint(f"length(position) <= {POSITION_MAX_LENGTH}", name="position_length"),
        # A date, or a date with a time.
        CheckConstraint("length(due) IN (10, 19)", name="due_form"),
        CheckConstraint("length(start) IN (10, 19)", name="start_form"),
        CheckConstraint(f"priority BETWEEN {HIGHEST_PRIORITY} AND {LOWEST_PRIORITY}", name="priority_range"),
        CheckConstraint(
            "status = CASE WHEN completed THEN 'cancelled' ELSE 'in_progress' END", name="status"
        ),
        CheckConstraint("recurrence IS NULL OR coalesce(due, start) IS NOT NULL", name="recurrence_has_date"),
        # The list, newest first. It excludes the trash, so that a cleared list stays fast.
        Index(
            "ix_tasks_user_id_created_at_id",
            "user_id",
            desc("created_at"),
            desc("id"),
            sqlite_where=text("deleted_at IS NULL"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        # Changes since a sequence number. It has every task, but only statements with this condition use it:
        # PostgreSQL, without statistics, would look up a task by it instead of by the primary key.
        Index(
            "ix_tasks_user_id_version",
            "user_id",
            "version",
            sqlite_where=text(HAS_VERSION),
            postgresql_where=text(HAS_VERSION),
        ),
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
        # What is due, open and completed apart: of the latter there are more and more, and few are asked for.
        Index(
            "ix_tasks_user_id_completed_due",
            "user_id",
            "completed",
            "due",
            desc("created_at"),
            desc("id"),
            sqlite_where=text(_HAS_DUE),
            postgresql_where=text(_HAS_DUE),
        ),
        # A list in its order, and the children of a task; and the inbox, whose order PostgreSQL would not see
        # in an index with `list_id`.
        Index(
            "ix_tasks_user_id_list_id",
            "user_id",
            "list_id",
            "position",
            "id",
            sqlite_where=text(_IN_LIST),
            postgresql_where=text(_IN_LIST),
        ),
        Index(
            "ix_tasks_user_id_position",
            "user_id",
            "position",
            "id",
            sqlite_where=text(_IN_INBOX),
            postgresql_where=text(_IN_INBOX),
        ),
        Index(
            "ix_tasks_user_id_parent_id",
            "user_id",
            "parent_id",
            "position",
            "id",
            sqlite_where=text(_HAS_PARENT),
            postgresql_where=text(_HAS_PARENT),
        ),
        Index(
            "ix_tasks_user_id_claimed_until",
            "user_id",
            "claimed_until",
            sqlite_where=text(_MAY_BE_HELD),
            postgresql_where=text(_MAY_BE_HELD),
        ),
    )

    user_id: str = Field(primary_key=True, sa_type=Text, foreign_key="users.id", ondelete="CASCADE")
    id: UUID = Field(primary_key=True)
    title: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    completed: bool = Field(default=False)
    completed_at: datetime | None = None
    # `in_progress` or `cancelled`, which `completed` alone cannot say.
    status: str | None = Field(default=None, sa_type=Text)
    # Neither has a foreign key, which the trash would violate: services keep them.
    list_id: UUID | None = None
    parent_id: UUID | None = None
    # A key of `core.positions`; rows of before this column are filled by its migration.
    position: str = Field(sa_type=TextKey, sa_column_kwargs={"server_default": ""})
    # ISO 8601: a date, or a local time in `time_zone`. The instants are those of a time with a zone.
    start: str | None = Field(default=None, sa_type=TextKey)
    due: str | None = Field(default=None, sa_type=TextKey)
    time_zone: str | None = Field(default=None, sa_type=Text)
    start_at: datetime | None = None
    due_at: datetime | None = None
    # An RRULE of RFC 5545, of which a COUNT is counted down. The mode is null for `next`.
    recurrence: str | None = Field(default=None, sa_type=Text)
    recurrence_mode: str | None = Field(default=None, sa_type=Text)
    recurrence_exclude: list[str] | None = Field(default=None, sa_type=JsonText("[]"))
    priority: int | None = Field(default=None, sa_type=SmallInteger)
    labels: list[str] | None = Field(default=None, sa_type=JsonText("[]"))
    # Their case-folded form, for filters.
    labels_key: list[str] | None = Field(default=None, sa_type=JsonText("[]"))
    # As `schemas.reminder` has them; their instants are in `models.reminder`.
    reminders: list[dict[str, str]] | None = Field(default=None, sa_type=JsonText("[]"))
    link: str | None = Field(default=None, sa_type=Text)
    extra: dict[str, Any] | None = Field(default=None, sa_type=JsonText("{}"))
    # The number under which it was claimed, until when, and by whom: `schemas.claim.Claimant` as JSON.
    claim: int | None = Field(default=None, sa_type=BigInteger)
    claimed_until: datetime | None = None
    claim_by: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(default_factory=utc_now)
    updated_at: datetime = Field(default_factory=utc_now)
    # Sort and search keys, the same on every database: see `schemas.types.fold`.
    title_key: str = Field(sa_type=TextKey, sa_column_kwargs={"server_default": ""})
    description_key: str | None = Field(default=None, sa_type=TextKey)
    # The user's sequence number at the task's latest write: its ETag, and its position in the changes feed.
    version: int = Field(sa_type=BigInteger)
    deleted_at: datetime | None = None
