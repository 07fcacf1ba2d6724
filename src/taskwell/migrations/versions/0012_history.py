"""Adds the history of tasks, lists and labels."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_RULE = (
    "CASE current_setting('taskwell.user_id', true) WHEN '*' THEN true WHEN user_id THEN true ELSE false END"
)


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "task_history",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("object_id", key, nullable=False),
        sa.Column("op", sa.Text(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("token_name", sa.Text(), nullable=True),
        sa.Column("occurrence", sa.Text(), nullable=True),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("undoes", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_task_history_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "version", name=op.f("pk_task_history")),
    )
    op.create_index(
        "ix_task_history_user_id_object_id_version", "task_history", ["user_id", "object_id", "version"]
    )
    op.add_column(
        "users", sa.Column("history_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
    # What was written before has no records.
    op.execute("UPDATE users SET history_seq = last_seq WHERE last_seq > 0")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE POLICY taskwell_owner ON task_history USING ({_RULE}) WITH CHECK ({_RULE})")


def downgrade() -> None:
    op.drop_column("users", "history_seq")
    op.drop_table("task_history")
