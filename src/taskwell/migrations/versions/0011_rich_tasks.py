"""Validates the limits of `0010`, and makes its indexes.

On PostgreSQL reads go on meanwhile, and writes wait only while the indexes are made.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_CHECKS = (
    "title_length", "description_length", "position_length", "due_form", "start_form", "priority_range",
    "status", "recurrence_has_date",
)  # fmt: skip
_INDEXES = {
    # For all tasks, but only for statements that say so: without statistics PostgreSQL would take it for the
    # look-up of one task, since few of these wide rows seem to fit into the table.
    "ix_tasks_user_id_version": (["user_id", "version"], "version > 0"),
    "ix_tasks_user_id_completed_due": (
        ["user_id", "completed", "due", sa.text("created_at DESC"), sa.text("id DESC")],
        "due IS NOT NULL AND deleted_at IS NULL",
    ),
    "ix_tasks_user_id_list_id": (
        ["user_id", "list_id", "position", "id"],
        "list_id IS NOT NULL AND deleted_at IS NULL",
    ),
    "ix_tasks_user_id_position": (["user_id", "position", "id"], "list_id IS NULL AND deleted_at IS NULL"),
    "ix_tasks_user_id_parent_id": (
        ["user_id", "parent_id", "position", "id"],
        "parent_id IS NOT NULL AND deleted_at IS NULL",
    ),
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in _CHECKS:
            op.execute(f"ALTER TABLE tasks VALIDATE CONSTRAINT ck_tasks_{name}")
    op.drop_index("ix_tasks_user_id_version", "tasks")
    for name, (columns, where) in _INDEXES.items():
        op.create_index(name, "tasks", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, "tasks")
    op.create_index("ix_tasks_user_id_version", "tasks", ["user_id", "version"])
