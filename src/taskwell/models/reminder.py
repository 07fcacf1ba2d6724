"""The instants at which the server reminds of tasks: of their reminders, and of their due dates.

They follow from the task and its user's zone, and are written with them. Whether the task is alive and open
is asked when its instant has come.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, Text, text
from sqlmodel import Field, SQLModel

_WAITS = "fired_at IS NULL"


class Reminder(SQLModel, table=True):
    __tablename__ = "reminders"
    __table_args__ = (
        ForeignKeyConstraint(["user_id", "task_id"], ["tasks.user_id", "tasks.id"], ondelete="CASCADE"),
        # What is due, of all users.
        Index(
            "ix_reminders_at_user_id",
            "at",
            "user_id",
            sqlite_where=text(_WAITS),
            postgresql_where=text(_WAITS),
        ),
        Index("ix_reminders_user_id_task_id", "user_id", "task_id"),
    )

    user_id: str = Field(primary_key=True, sa_type=Text)
    id: UUID = Field(primary_key=True)
    task_id: UUID
    kind: str = Field(sa_type=Text)  # `reminder` or `due`
    at: datetime
    # When it was sent, or passed over. It stays for a while, so that no clock behind sends it again.
    fired_at: datetime | None = None
