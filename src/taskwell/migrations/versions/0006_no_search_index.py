"""No index for `q` any more, and one for what has been in the trash long enough."""

from collections.abc import Sequence
from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SEARCH = "taskwell.migrations.versions.0003_search_index"


def upgrade() -> None:
    import_module(_SEARCH).downgrade()
    op.create_index(
        "ix_tasks_deleted_at",
        "tasks",
        ["deleted_at"],
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_tasks_deleted_at", "tasks")
    import_module(_SEARCH).upgrade()
