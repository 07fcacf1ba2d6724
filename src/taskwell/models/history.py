"""The history: one record for each sequence number that a task, a list or a label bears."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Text, text
from sqlmodel import Field, SQLModel

from taskwell.models.base import TextKey


class HistoryRecord(SQLModel, table=True):
    __tablename__ = "task_history"
    __table_args__ = (
        # What happened to one task. The purge needs no index: `at` grows with `version`.
        Index("ix_task_history_user_id_object_id_version", "user_id", "object_id", "version"),
        # What a token wrote, perhaps long ago and little.
        Index(
            "ix_task_history_user_id_token_id_version",
            "user_id",
            "token_id",
            "version",
            sqlite_where=text("token_id IS NOT NULL"),
            postgresql_where=text("token_id IS NOT NULL"),
        ),
    )

    user_id: str = Field(primary_key=True, sa_type=Text, foreign_key="users.id", ondelete="CASCADE")
    version: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    kind: str = Field(sa_type=Text)  # `task`, `list` or `label`
    # The id in canonical form; of a label its key.
    object_id: str = Field(sa_type=TextKey)
    op: str = Field(sa_type=Text)
    at: datetime
    via: str = Field(sa_type=Text)
    client: str | None = Field(default=None, sa_type=Text)
    token_id: UUID | None = None
    token_name: str | None = Field(default=None, sa_type=Text)
    # Which date of a recurring task was completed or skipped, and when it was completed: the task itself only
    # has its next date.
    occurrence: str | None = Field(default=None, sa_type=Text)
    completed_at: datetime | None = None
    # A JSON object: by the names of the fields, an array of the old and the new value.
    changes: str = Field(default="{}", sa_type=Text)
    # A JSON array of the versions that this one undoes.
    undoes: str | None = Field(default=None, sa_type=Text)
