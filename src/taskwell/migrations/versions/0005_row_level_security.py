"""Policies by which PostgreSQL itself keeps users apart. They are enforced where the settings want it."""

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OWNERS = {"users": "id", "tasks": "user_id", "idempotency_keys": "user_id", "api_tokens": "user_id"}
# Who acts: a user, or '*' for everybody; unset or empty it is nobody. In this form the planner takes half of
# the rows to pass. As an OR of comparisons it would expect hardly any, and read and sort all tasks of a user
# where the index has them in their order.
_RULE = "CASE current_setting('taskwell.user_id', true) WHEN '*' THEN true WHEN {} THEN true ELSE false END"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, owner in _OWNERS.items():
        rule = _RULE.format(owner)
        op.execute(f"CREATE POLICY taskwell_owner ON {table} USING ({rule}) WITH CHECK ({rule})")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in _OWNERS:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
        op.execute(f"DROP POLICY taskwell_owner ON {table}")
