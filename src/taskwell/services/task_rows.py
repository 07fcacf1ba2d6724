"""Writes many tasks at once, each under a sequence number of its own, in a few statements."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, cast, column, func, select, update, values
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.database.database import Transaction
from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.services.sequence import next_numbers
from taskwell.services.task_fields import instant_of_write

_ROWS = 1_000  # of a statement, whose parameters both databases limit
_COLUMNS = table_of(Task).c

T = TypeVar("T")


def stretches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The parts of a sequence that are not too long for a statement."""
    return (items[start : start + _ROWS] for start in range(0, len(items), _ROWS))


async def instant_of_writes(transaction: Transaction, user_id: str, ids: Sequence[UUID]) -> datetime:
    """One instant for the change of all these tasks, not before the previous change of any."""
    now = utc_now()
    for some in stretches(ids):
        latest = select(func.max(col(Task.updated_at))).where(
            col(Task.user_id) == user_id, col(Task.id).in_(some)
        )
        row = await transaction.first(latest)
        now = max(now, row[0]) if row and row[0] else now
    return now


async def write_tasks(
    transaction: Transaction, user_id: str, rows: Sequence[Mapping[str, Any]], *, updated_at: Any = None
) -> None:
    """Set columns of tasks, whose versions are the user's next numbers in the order of the rows.

    `rows`: each has the `id`, and the same columns. The user's row is locked. `updated_at`: an instant that
    is not before that of any of the tasks; None: the present.
    """
    if not rows:
        return
    taken = await transaction.first(next_numbers(user_id, len(rows)))
    assert taken is not None
    names = list(rows[0])
    now = instant_of_write(transaction.dialect) if updated_at is None else updated_at
    numbered = [
        (*(row[name] for name in names), number) for number, row in enumerate(rows, taken[0] - len(rows) + 1)
    ]
    new_columns = [column(f"new_{name}", _COLUMNS[name].type) for name in names]
    for part in stretches(numbered):
        new = values(*new_columns, column("new_version", BigInteger), name="new").data(part).cte()
        statement = (
            update(Task)
            .where(col(Task.user_id) == user_id, col(Task.id) == new.c.new_id)
            .values(
                **{name: _typed(transaction, name, new.c[f"new_{name}"]) for name in names if name != "id"},
                updated_at=now,
                version=new.c.new_version,
            )
            .returning(col(Task.id))
        )
        await transaction.all(statement)


def _typed(transaction: Transaction, name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """PostgreSQL takes a column of nulls for text. SQLite has no types to cast to."""
    return cast(value, _COLUMNS[name].type) if transaction.dialect == "postgresql" else value
