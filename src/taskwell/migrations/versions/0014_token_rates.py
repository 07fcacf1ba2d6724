"""Adds the rate of an API token."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("api_tokens", sa.Column("rate", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("api_tokens", "rate")
