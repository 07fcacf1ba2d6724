"""Columns for dates, lists, labels, subtasks and order; the tables of lists and labels.

On PostgreSQL this takes no time, whatever the number of tasks: `fills` and `0011` do what reads all rows.
SQLite cannot change a constraint, so the table is made anew.
"""

import logging
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

from taskwell.migrations.fills import POSITIONS

logger = logging.getLogger("taskwell")

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROWS = 100_000  # of a statement, after which a large migration says how far it is
_COLUMNS = {
    "status": sa.Text(),
    "list_id": sa.Uuid(),
    "parent_id": sa.Uuid(),
    "start": _KEY,
    "due": _KEY,
    "time_zone": sa.Text(),
    "start_at": UTCDateTime(),
    "due_at": UTCDateTime(),
    "recurrence": sa.Text(),
    "recurrence_mode": sa.Text(),
    "recurrence_exclude": sa.Text(),
    "priority": sa.SmallInteger(),
    "labels": sa.Text(),
    "labels_key": sa.Text(),
    "reminders": sa.Text(),
    "link": sa.Text(),
    "extra": sa.Text(),
}
_OLD_CHECKS = {
    "title_length": "length(title) BETWEEN 1 AND 200",
    "description_length": "length(description) <= 2000",
}
_NEW_CHECKS = {
    "title_length": "length(title) BETWEEN 1 AND 1000",
    "description_length": "length(description) <= 65536",
    "position_length": "length(position) <= 255",
    "due_form": "length(due) IN (10, 19)",
    "start_form": "length(start) IN (10, 19)",
    "priority_range": "priority BETWEEN 1 AND 9",
    "status": "status = CASE WHEN completed THEN 'cancelled' ELSE 'in_progress' END",
    "recurrence_has_date": "recurrence IS NULL OR coalesce(due, start) IS NOT NULL",
}
_RULE = (
    "CASE current_setting('taskwell.user_id', true) WHEN '*' THEN true WHEN user_id THEN true ELSE false END"
)


def upgrade() -> None:
    op.add_column("users", sa.Column("time_zone", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        for column in _new_columns():
            op.add_column("tasks", column)
        _replace_checks(_OLD_CHECKS, _NEW_CHECKS)
    else:
        _rebuild(_new_columns(), _NEW_CHECKS)
    _create_table(
        "lists",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", _KEY, nullable=False),
        sa.Column("archived_at", UTCDateTime(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        name_length=100,
    )
    _create_table(
        "labels",
        sa.Column("key", _KEY, nullable=False),
        sa.Column("position", _KEY, nullable=True),
        name_length=60,
    )


def _create_table(table: str, key: sa.Column[Any], *columns: sa.Column[Any], name_length: int) -> None:
    op.create_table(
        table,
        sa.Column("user_id", sa.Text(), nullable=False),
        key,
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("color", sa.Text(), nullable=True),
        *columns,
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint(f"length(name) BETWEEN 1 AND {name_length}", name=op.f(f"ck_{table}_name_length")),
        sa.CheckConstraint("length(color) = 7", name=op.f(f"ck_{table}_color_form")),
        sa.CheckConstraint("length(position) BETWEEN 1 AND 255", name=op.f(f"ck_{table}_position_length")),
        sa.CheckConstraint(
            "version >= 1 AND version < 9007199254740992", name=op.f(f"ck_{table}_version_range")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f(f"fk_{table}_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", key.name, name=op.f(f"pk_{table}")),
    )
    op.create_index(f"ix_{table}_user_id_version", table, ["user_id", "version"])
    op.create_index(
        f"ix_{table}_deleted_at_user_id",
        table,
        ["deleted_at", "user_id"],
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE POLICY taskwell_owner ON {table} USING ({_RULE}) WITH CHECK ({_RULE})")


def downgrade() -> None:
    op.drop_table("labels")
    op.drop_table("lists")
    if op.get_bind().dialect.name == "postgresql":
        _replace_checks(_NEW_CHECKS, _OLD_CHECKS)
        for column in _new_columns():
            op.drop_column("tasks", column.name)
    else:
        _rebuild([], _OLD_CHECKS)
    op.drop_column("users", "time_zone")


def _new_columns() -> list[sa.Column[Any]]:
    position: sa.Column[Any] = sa.Column("position", _KEY, server_default="", nullable=False)
    return [position, *(sa.Column(name, kind, nullable=True) for name, kind in _COLUMNS.items())]


def _replace_checks(old: dict[str, str], new: dict[str, str]) -> None:
    """Rows are not read here: NOT VALID applies to later writes, and `0011` validates the others."""
    parts = [f"DROP CONSTRAINT ck_tasks_{name}" for name in old]
    parts += [f"ADD CONSTRAINT ck_tasks_{name} CHECK ({check}) NOT VALID" for name, check in new.items()]
    op.execute(f"ALTER TABLE tasks {', '.join(parts)}")


def _rebuild(columns: list[sa.Column[Any]], checks: dict[str, str]) -> None:
    """Make SQLite's table anew, with the columns beside those of before."""
    connection = op.get_bind()
    indexes = connection.execute(
        sa.text(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'tasks' AND sql IS NOT NULL"
        )
    ).scalars()
    statements = indexes.all()
    op.rename_table("tasks", "old_tasks")
    op.create_table(
        "tasks",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("completed", sa.Boolean(), nullable=False),
        sa.Column("completed_at", UTCDateTime(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("updated_at", UTCDateTime(), nullable=False),
        sa.Column("title_key", sa.Text(), server_default="", nullable=False),
        sa.Column("description_key", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", UTCDateTime(), nullable=True),
        *columns,
        *(sa.CheckConstraint(check, name=op.f(f"ck_tasks_{name}")) for name, check in checks.items()),
        sa.CheckConstraint("trim(title) <> ''", name=op.f("ck_tasks_title_not_blank")),
        sa.CheckConstraint(
            "completed = (completed_at IS NOT NULL)", name=op.f("ck_tasks_completed_has_its_time")
        ),
        sa.CheckConstraint(
            "version >= 1 AND version < 9007199254740992", name=op.f("ck_tasks_version_range")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tasks_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_tasks")),
    )
    kept = (
        "user_id, id, title, description, completed, completed_at, created_at, updated_at, title_key,"
        " description_key, version, deleted_at"
    )
    names = f"{kept}, position" if columns else kept
    filled = f", {POSITIONS.value['sqlite']}" if columns else ""
    last = connection.execute(sa.text("SELECT coalesce(max(rowid), 0) FROM old_tasks")).scalar_one()
    for start in range(0, last, _ROWS):
        op.execute(
            f"INSERT INTO tasks ({names}) SELECT {kept}{filled} FROM old_tasks"
            f" WHERE rowid > {start} AND rowid <= {start + _ROWS}"
        )
        if last > _ROWS:
            logger.info("migration: %d rows of tasks are left to copy", max(last - start - _ROWS, 0))
    op.drop_table("old_tasks")
    for statement in statements:
        op.execute(statement)
