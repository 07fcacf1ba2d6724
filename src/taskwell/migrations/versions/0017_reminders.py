"""Adds the instants of reminders and due dates. The server computes those of stored tasks at its start."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_RULE = (
    "CASE current_setting('taskwell.user_id', true) WHEN '*' THEN true WHEN user_id THEN true ELSE false END"
)
_WAITS = sa.text("fired_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "reminders",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("fired_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id", "task_id"],
            ["tasks.user_id", "tasks.id"],
            name=op.f("fk_reminders_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_reminders")),
    )
    op.create_index(
        "ix_reminders_at_user_id",
        "reminders",
        ["at", "user_id"],
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    )
    op.create_index("ix_reminders_user_id_task_id", "reminders", ["user_id", "task_id"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE POLICY taskwell_owner ON reminders USING ({_RULE}) WITH CHECK ({_RULE})")


def downgrade() -> None:
    op.drop_table("reminders")
    # Computed anew by the next upgrade.
    op.execute("DELETE FROM housekeeping WHERE chore LIKE 'reminders %'")
