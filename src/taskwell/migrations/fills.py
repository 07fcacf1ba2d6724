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
        # Without the fraction, which strftime would round.
        "max(0, coalesce(strftime('%s', substr(created_at, 1, 19)), 0) * 1000000"
        " + CAST(substr(created_at, 21) AS integer))"
    ),
    "postgresql": "greatest(0, CAST(extract(epoch FROM created_at) * 1000000 AS bigint))",
}
# Before every row.
START = {"sqlite": "0", "postgresql": "(0,0)"}
# Where a row is, and how a statement names one place and several.
_PLACES = {
    "sqlite": (
        "rowid",
        "CAST(:place AS integer)",
        "IN (SELECT CAST(value AS integer) FROM json_each(:places))",
    ),
    "postgresql": (
        "ctid",
        "CAST(CAST(:place AS text) AS tid)",
        "= ANY (CAST(CAST(:places AS text) AS tid[]))",
    ),
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
        count = sa.text(f"SELECT count(*) FROM {self.table} WHERE {self.missing}")
        left: int = connection.execute(count).scalar_one()
        return left

    def stretch(self, connection: sa.Connection, after: str) -> tuple[int, str]:
        """Fill rows that follow a place in the table, first `START`. Returns their count and the last place.

        Rows that others lock are left: once the end is reached, it begins again.
        """
        row, place, several = _PLACES[connection.dialect.name]
        found = connection.execute(
            sa.text(
                f"SELECT CAST({row} AS text) FROM {self.table} WHERE {self.missing} AND {row} > {place}"
                f" ORDER BY {row} LIMIT {_ROWS} {_SKIP_LOCKED[connection.dialect.name]}"
            ),
            {"place": after},
        )
        places = found.scalars().all()
        if not places:
            return 0, START[connection.dialect.name]
        value = self.value[connection.dialect.name]
        fill = sa.text(f"UPDATE {self.table} SET {self.column} = {value} WHERE {row} {several}")
        quoted = ",".join(f'"{each}"' for each in places)
        connection.execute(fill, {"places": f"[{quoted}]" if row == "rowid" else f"{{{quoted}}}"})
        return len(places), places[-1]

    def wait(self, connection: sa.Connection) -> None:
        """Wait for one row that another transaction has locked. This locks no other row meanwhile."""
        connection.execute(sa.text(f"SELECT 1 FROM {self.table} WHERE {self.missing} LIMIT 1 FOR UPDATE"))


def _in_base_62(number: str) -> str:
    return f"(SELECT {_key_of('us')} FROM (SELECT {number} AS us) AS at)"


def _key_of(microseconds: str) -> str:
    """The position of an instant, as `core.positions.key_of`."""
    digits = (
        f"substr('{_DIGITS}', 1 + CAST({microseconds} / {62**place} % 62 AS integer), 1)"
        for place in range(8, -1, -1)
    )
    return f"'i' || {' || '.join(digits)}"


POSITIONS = Fill(
    "tasks",
    "position",
    "position = ''",
    {dialect: _in_base_62(number) for dialect, number in _MICROSECONDS.items()},
)
# For PostgreSQL, where a default has no subquery.
POSITION_OF_NOW = _key_of("CAST(extract(epoch FROM now()) * 1000000 AS bigint)")
# By the revision after which a fill runs.
FILLS = {"0010": POSITIONS}
