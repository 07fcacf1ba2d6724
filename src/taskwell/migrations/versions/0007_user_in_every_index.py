"""The user is in every key and index of their rows: a PostgreSQL that is spread over nodes asks for it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_IN_TRASH = {
    "sqlite_where": sa.text("deleted_at IS NOT NULL"),
    "postgresql_where": sa.text("deleted_at IS NOT NULL"),
}


def upgrade() -> None:
    _have_unique("digest", "user_id")
    op.create_index("ix_tasks_deleted_at_user_id", "tasks", ["deleted_at", "user_id"], **_IN_TRASH)
    op.drop_index("ix_tasks_deleted_at", "tasks")
    op.create_index("ix_idempotency_keys_created_at_user_id", "idempotency_keys", ["created_at", "user_id"])
    op.drop_index("ix_idempotency_keys_created_at", "idempotency_keys")


def downgrade() -> None:
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.drop_index("ix_idempotency_keys_created_at_user_id", "idempotency_keys")
    op.create_index("ix_tasks_deleted_at", "tasks", ["deleted_at"], **_IN_TRASH)
    op.drop_index("ix_tasks_deleted_at_user_id", "tasks")
    _have_unique("digest")


def _have_unique(*columns: str) -> None:
    with op.batch_alter_table("api_tokens") as table:  # SQLite makes the table anew, with its rows
        table.drop_constraint(op.f("uq_api_tokens_digest"), type_="unique")
        table.create_unique_constraint(op.f("uq_api_tokens_digest"), list(columns))
