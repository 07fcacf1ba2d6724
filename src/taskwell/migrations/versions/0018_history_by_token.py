"""An index for what a token wrote.

On PostgreSQL writes wait while it is made.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INDEX = "ix_task_history_user_id_token_id_version"
_BY_TOKEN = sa.text("token_id IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        _INDEX,
        "task_history",
        ["user_id", "token_id", "version"],
        sqlite_where=_BY_TOKEN,
        postgresql_where=_BY_TOKEN,
    )


def downgrade() -> None:
    op.drop_index(_INDEX, "task_history")
