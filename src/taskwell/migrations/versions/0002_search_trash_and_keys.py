"""Keys for sorting and searching, the trash's index, purged numbers, idempotency keys."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROWS = 1_000


def upgrade() -> None:
    op.add_column("users", sa.Column("purged_seq", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("tasks", sa.Column("title_key", _KEY, server_default="", nullable=False))
    op.add_column("tasks", sa.Column("description_key", _KEY, nullable=True))
    _fill_keys(op.get_bind())
    op.create_index(
        "ix_tasks_user_id_deleted_at",
        "tasks",
        ["user_id", "deleted_at"],
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _fill_keys(connection: sa.Connection) -> None:
    """Case-folding is Python's on every database, so the rows come here once."""
    tasks = sa.table(
        "tasks",
        sa.column("user_id", sa.Text()),
        sa.column("id", sa.Uuid()),
        sa.column("title", sa.Text()),
        sa.column("description", sa.Text()),
        sa.column("title_key", sa.Text()),
        sa.column("description_key", sa.Text()),
    )
    missing = sa.select(tasks).where(tasks.c.title_key == "").limit(_ROWS)
    fill = (
        sa.update(tasks)
        .where(tasks.c.user_id == sa.bindparam("of_user"), tasks.c.id == sa.bindparam("of_task"))
        .values(title_key=sa.bindparam("folded_title"), description_key=sa.bindparam("folded_description"))
    )
    while rows := connection.execute(missing).all():
        connection.execute(
            fill,
            [
                {
                    "of_user": row.user_id,
                    "of_task": row.id,
                    "folded_title": row.title.casefold(),
                    "folded_description": None if row.description is None else row.description.casefold(),
                }
                for row in rows
            ],
        )


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_index("ix_tasks_user_id_deleted_at", "tasks")
    op.drop_column("tasks", "description_key")
    op.drop_column("tasks", "title_key")
    op.drop_column("users", "purged_seq")
