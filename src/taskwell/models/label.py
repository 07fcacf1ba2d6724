"""The colour and the place of a label. Tasks hold the names of their labels: most labels need no row."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, text
from sqlmodel import Field, SQLModel

from taskwell.models.base import SEQUENCE_END, TextKey
from taskwell.models.task import POSITION_MAX_LENGTH

LABEL_MAX_LENGTH = 60
MAX_LABELS = 30  # of a task


class Label(SQLModel, table=True):
    __tablename__ = "labels"
    __table_args__ = (
        CheckConstraint(f"length(name) BETWEEN 1 AND {LABEL_MAX_LENGTH}", name="name_length"),
        CheckConstraint("length(color) = 7", name="color_form"),
        CheckConstraint(f"length(position) BETWEEN 1 AND {POSITION_MAX_LENGTH}", name="position_length"),
        CheckConstraint(f"version >= 1 AND version < {SEQUENCE_END}", name="version_range"),
        Index("ix_labels_user_id_version", "user_id", "version"),
        Index(
            "ix_labels_deleted_at_user_id",
            "deleted_at",
            "user_id",
            sqlite_where=text("deleted_at IS NOT NULL"),
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
    )

    user_id: str = Field(primary_key=True, sa_type=Text, foreign_key="users.id", ondelete="CASCADE")
    key: str = Field(primary_key=True, sa_type=TextKey)  # the case-folded name
    name: str = Field(sa_type=Text)
    color: str | None = Field(default=None, sa_type=Text)  # `#rrggbb`
    position: str | None = Field(default=None, sa_type=TextKey)
    # The user's sequence number at the row's latest write.
    version: int = Field(sa_type=BigInteger)
    deleted_at: datetime | None = None
