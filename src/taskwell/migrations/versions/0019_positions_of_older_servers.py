"""A position for the tasks that servers of before 0010 still write.

On PostgreSQL such a server may run beside newer ones and inserts tasks without a position: the database gives
each one that of its instant. Those already written, which are few, get that of their creation.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from taskwell.migrations.fills import POSITION_OF_NOW, POSITIONS

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _set_default(POSITION_OF_NOW)
    value = POSITIONS.value[op.get_context().dialect.name]
    op.execute(sa.text(f"UPDATE tasks SET position = {value} WHERE {POSITIONS.missing}"))


def downgrade() -> None:
    _set_default("''")


def _set_default(value: str) -> None:
    if op.get_context().dialect.name == "postgresql":
        op.alter_column("tasks", "position", server_default=sa.text(value))
