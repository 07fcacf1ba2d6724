"""Adds to the history when an occurrence of a recurring task was completed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("task_history", sa.Column("completed_at", UTCDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("task_history", "completed_at")
