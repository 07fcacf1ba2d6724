"""Claims of tasks.

On PostgreSQL the columns take no time, whatever the number of tasks; writes wait while the index is made.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_COLUMNS = {"claim": sa.BigInteger(), "claimed_until": UTCDateTime(), "claim_by": sa.Text()}
_INDEX = "ix_tasks_user_id_claimed_until"
_MAY_BE_HELD = sa.text("claimed_until IS NOT NULL AND deleted_at IS NULL AND NOT completed")


def upgrade() -> None:
    for name, kind in _COLUMNS.items():
        op.add_column("tasks", sa.Column(name, kind, nullable=True))
    op.create_index(
        _INDEX,
        "tasks",
        ["user_id", "claimed_until"],
        sqlite_where=_MAY_BE_HELD,
        postgresql_where=_MAY_BE_HELD,
    )


def downgrade() -> None:
    op.drop_index(_INDEX, "tasks")
    for name in reversed(_COLUMNS):
        op.drop_column("tasks", name)
