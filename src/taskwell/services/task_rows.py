"""Writes many tasks at once, each under a sequence number of its own, in a few statements."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, cast, column, func, select, update, values
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.database.database import Transaction
from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.history import Op
from taskwell.services.history import change_record, write_records
from taskwell.services.reminder_rows import DATED, write_reminders
from taskwell.services.reminder_times import REMINDED_BY
from taskwell.services.sequence import next_numbers

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
    transaction: Transaction,
    user_id: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    op: Op = "updated",
    updated_at: datetime | None = None,
    undoes: Mapping[UUID, Sequence[int]] = MappingProxyType({}),
    numbered: Collection[str] = (),
) -> None:
    """Set columns of tasks, whose versions are the user's next numbers in the order of the rows.

    `rows`: each has the `id`, and the same columns. The user's row is locked. `op`: for their records.
    `updated_at`: the instant of the change, or of a task's previous one if that is later; None: the present.
    `undoes`: the versions that a change undoes, by the task. `numbered`: further columns that get the new
    version.
    """
    if not rows:
        return
    taken = await transaction.first(next_numbers(user_id, len(rows)))
    assert taken is not None
    first = taken[0] - len(rows) + 1
    at = updated_at or utc_now()
    for part in stretches(rows):
        old = await _stored(transaction, user_id, part)
        records, new = [], []
        for version, row in enumerate(part, first):
            before = old[row["id"]]
            now = max(at, before["updated_at"])
            values = {name: value for name, value in row.items() if name != "id"}
            record = change_record("task", row["id"], op, now, before, values)
            records.append(record._replace(undoes=undoes.get(row["id"])))
            own = dict.fromkeys((*numbered, "version"), version)
            new.append({**row, "updated_at": now, **own})
        await _update(transaction, user_id, new)
        await write_records(transaction, records, first)
        if not DATED.isdisjoint(part[0]):
            await write_reminders(transaction, user_id, [{**old[row["id"]], **row} for row in part])
        first += len(part)


async def _stored(
    transaction: Transaction, user_id: str, rows: Sequence[Mapping[str, Any]]
) -> Mapping[UUID, Mapping[str, Any]]:
    """The tasks with the columns that a record of their change needs."""
    names = {"user_id", "id", "updated_at", "completed", "status", *rows[0]}
    names |= set() if DATED.isdisjoint(names) else set(REMINDED_BY)
    statement = select(*(_COLUMNS[name] for name in sorted(names))).where(
        col(Task.user_id) == user_id, col(Task.id).in_([row["id"] for row in rows])
    )
    return {row.id: row._asdict() for row in await transaction.all(statement)}


async def _update(transaction: Transaction, user_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    new_columns = [column(f"new_{name}", _COLUMNS[name].type) for name in names]
    new = values(*new_columns, name="new").data([tuple(row[name] for name in names) for row in rows]).cte()
    changed = {name: _typed(transaction, name, new.c[f"new_{name}"]) for name in names if name != "id"}
    same = (col(Task.user_id) == user_id, col(Task.id) == new.c.new_id)
    await transaction.all(update(Task).where(*same).values(**changed).returning(col(Task.id)))


def _typed(transaction: Transaction, name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """PostgreSQL takes a column of nulls for text. SQLite has no types to cast to."""
    return cast(value, _COLUMNS[name].type) if transaction.dialect == "postgresql" else value
