"""Values that a migration computes for existing rows, in stretches of a transaction each.

A server on PostgreSQL goes on answering meanwhile, and an interrupted fill continues where it was.
"""

from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa

_ROWS = 10_000
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# Since 1970.
_MICROSECONDS = {
    "sqlite": (
        "max(0, coalesce(strftime('%s', created_at), 0) * 1000000 + CAST(substr(created_at, 21) AS integer))"
    ),
    "postgresql": "greatest(0, CAST(extract(epoch FROM created_at) * 1000000 AS bigint))",
}
# Locks no row that another transaction has locked: the two could wait for each other.
_SKIP_LOCKED = {"sqlite": "", "postgresql": "FOR UPDATE SKIP LOCKED"}


class Fill(NamedTuple):
    """A column to fill. `missing`: the condition of rows that need it; `value`: by the dialect."""

    table: str
    column: str
    missing: str
    value: Mapping[str, str]

    def left(self, connection: sa.Connection) -> int:
        """The number of rows that still need it."""
        count: int = connection.execute(
            sa.text(f"SELECT count(*) FROM {self.table} WHERE {self.missing}")
        ).scalar_one()
        return count

    def stretch(self, connection: sa.Connection) -> int:
        """Fill some rows. Returns their count; 0 if none is left."""
        dialect = connection.dialect.name
        row = "rowid" if dialect == "sqlite" else "ctid"
        statement = (
            f"UPDATE {self.table} SET {self.column} = {self.value[dialect]} WHERE {row} IN"
            f" (SELECT {row} FROM {self.table} WHERE {self.missing} LIMIT {_ROWS} {_SKIP_LOCKED[dialect]})"
        )
        return connection.execute(sa.text(statement)).rowcount


def _in_base_62(number: str) -> str:
    digits = (
        f"substr('{_DIGITS}', 1 + CAST(us / {62**place} % 62 AS integer), 1)" for place in range(8, -1, -1)
    )
    return f"(SELECT 'i' || {' || '.join(digits)} FROM (SELECT {number} AS us) AS at)"


POSITIONS = Fill(
    "tasks",
    "position",
    "position = ''",
    {dialect: _in_base_62(number) for dialect, number in _MICROSECONDS.items()},
)
# By the revision after which a fill runs.
FILLS = {"0010": POSITIONS}
