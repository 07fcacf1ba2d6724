"""Records what happened: one record for each sequence number that a task, a list or a label bears.

A record is written in the transaction of its write, and has the old and the new value of each field that
changed. Every writer holds the lock of the user's row, so the old values are those of the record before.
The statements of `task_statements` write the records of theirs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import (
    Insert,
    Text,
    delete,
    insert,
    literal,
    literal_column,
    select,
    update,
)
from sqlmodel import col

from taskwell.database.database import Transaction
from taskwell.models import HistoryRecord, Task, User
from taskwell.models.base import table_of
from taskwell.schemas.base import instant_text
from taskwell.schemas.change import Kind
from taskwell.schemas.history import Op
from taskwell.schemas.task import FIELD_NAMES, TaskRead
from taskwell.services.sequence import SequenceNumber, lock
from taskwell.services.task_fields import id_text_sql
from taskwell.services.users import UserNotFound

Changes = Mapping[str, tuple[Any, Any]]

# A field that no object shows: whether it is in the trash.
DELETED = "deleted"
# The fields that a record says itself, or that never change.
_OWN = frozenset({"id", "user_id", "created_at", "updated_at", "version"})
FIELDS: Mapping[Kind, tuple[str, ...]] = {
    "task": tuple(name for name in FIELD_NAMES if name not in _OWN),
    "list": ("name", "color", "position", "archived_at"),
    "label": ("name", "color", "position"),
}
_TYPES = table_of(HistoryRecord).c
# What a field of a new object is if nothing sets it.
_EMPTY: tuple[Any, ...] = (None, [], {})
_NEW: Mapping[str, tuple[Any, ...]] = {
    "completed": (False,), "status": ("open",), "recurrence_mode": ("next",),
}  # fmt: skip
_ROWS = 1_000  # of a statement
_IN_TRASH = to_json({DELETED: [False, True]}).decode()


class Occurrence(NamedTuple):
    """A date of a recurring task that was completed at an instant, or skipped."""

    date: str
    completed_at: datetime | None = None


class Record(NamedTuple):
    """What a write did to an object. `id`: of a label its key. `undoes`: the versions that it undoes.

    `occurrence`: of a recurring task, which one it completed or skipped.
    """

    user_id: str
    kind: Kind
    id: UUID | str
    op: Op
    at: datetime
    changes: Changes
    undoes: Sequence[int] | None = None
    occurrence: Occurrence | None = None

    def values(self) -> dict[str, Any]:
        """The values of its columns but for `version`, and for those of the actor."""
        return {
            "user_id": self.user_id,
            "kind": self.kind,
            "object_id": str(self.id),
            "op": self.op,
            "at": self.at,
            "changes": changes_json(self.changes),
            "undoes": None if self.undoes is None else to_json(self.undoes).decode(),
            "occurrence": self.occurrence and self.occurrence.date,
            "completed_at": self.occurrence and self.occurrence.completed_at,
        }


def changes_json(changes: Changes) -> str:
    shown = {name: [_shown(old), _shown(new)] for name, (old, new) in changes.items()}
    return to_json(shown).decode()


def _shown(value: Any) -> Any:
    return instant_text(value) if isinstance(value, datetime) else value


def new_record(
    user_id: str, kind: Kind, object_id: UUID | str, at: datetime, values: Mapping[str, Any]
) -> Record:
    """The record of a new object. `values`: of its fields; those that every new object has are left out."""
    if kind == "task":
        values = {"status": "completed" if values["completed"] else "open", **values}
    changes = {name: (None, values[name]) for name in FIELDS[kind] if name in values}
    different = {name: pair for name, pair in changes.items() if pair[1] not in _NEW.get(name, _EMPTY)}
    return Record(user_id, kind, object_id, "created", at, different)


def record_of_new_task(task: TaskRead) -> Record:
    values = {name: getattr(task, name) for name in FIELDS["task"]}
    return new_record(task.user_id, "task", task.id, task.created_at, values)


def change_record(
    kind: Kind, object_id: UUID | str, op: Op, at: datetime, old: Mapping[str, Any], values: Mapping[str, Any]
) -> Record:
    """The record of a change. `old`: the columns before it. `values`: the columns that it sets.

    An update that completes or reopens a task is called so.
    """
    new = {**old, **values}
    names = [name for name in FIELDS[kind] if name in values or (name == "status" and "completed" in values)]
    changes = {name: (_value(old, name), _value(new, name)) for name in names}
    if "deleted_at" in values:
        changes[DELETED] = (old["deleted_at"] is not None, new["deleted_at"] is not None)
    different = {name: (before, after) for name, (before, after) in changes.items() if before != after}
    if op == "updated" and "completed" in different:
        op = "completed" if new["completed"] else "reopened"
    return Record(old["user_id"], kind, object_id, op, at, different)


def _value(values: Mapping[str, Any], name: str) -> Any:
    """The value of a field as the object shows it."""
    if name == "status":
        return values["status"] or ("completed" if values["completed"] else "open")
    if name == "recurrence_mode":
        return values[name] or "next"
    return values[name]


def insert_record(transaction: Transaction, record: Record, version: SequenceNumber) -> Insert:
    """The statement that stores a record under a number that the same transaction takes."""
    values = record.values() | transaction.actor._asdict()
    literals = (literal(value, _TYPES[name].type) for name, value in values.items())
    return insert(HistoryRecord).from_select([*values, "version"], select(*literals, version))


async def write_records(transaction: Transaction, records: Sequence[Record], first: int) -> None:
    """Store records, whose versions are the numbers from `first` on, in their order."""
    who = transaction.actor._asdict()
    rows = [{**record.values(), **who, "version": version} for version, record in enumerate(records, first)]
    for start in range(0, len(rows), _ROWS):
        await transaction.insert_rows(table_of(HistoryRecord), rows[start : start + _ROWS])


async def record_deleted_tasks(transaction: Transaction, user_id: str, *, after: int) -> None:
    """Record the deletion of all tasks that were moved to the trash under the numbers after one."""
    in_trash = {"kind": "task", "op": "deleted", "changes": _IN_TRASH, **transaction.actor._asdict()}
    literals = (literal(value, _TYPES[name].type) for name, value in in_trash.items())
    columns = (
        col(Task.user_id),
        col(Task.version),
        col(Task.updated_at),
        literal_column(id_text_sql(transaction.dialect, "tasks"), Text),
    )
    found = select(*columns, *literals).where(col(Task.user_id) == user_id, col(Task.version) > after)
    names = ["user_id", "version", "at", "object_id", *in_trash]
    await transaction.execute(insert(HistoryRecord).from_select(names, found))


async def forget(transaction: Transaction, user_id: str, ids: Sequence[UUID | str]) -> None:
    """Remove the records of purged objects, whose old values may be what their user meant to remove."""
    of_them = col(HistoryRecord.object_id).in_([str(one) for one in ids])
    await transaction.execute(delete(HistoryRecord).where(col(HistoryRecord.user_id) == user_id, of_them))


async def purge(transaction: Transaction, before: datetime) -> bool:
    """Remove some records that are older than an instant. Returns whether there may be more.

    The records of a user grow older with their numbers, so the oldest one is the first by the primary key.
    Completed occurrences stay as long as their task: nothing else has them.
    """
    oldest = (
        select(col(HistoryRecord.at))
        .where(col(HistoryRecord.user_id) == col(User.id), col(HistoryRecord.version) > col(User.history_seq))
        .order_by(col(HistoryRecord.version))
        .limit(1)
        .scalar_subquery()
    )
    row = await transaction.first(select(col(User.id)).where(oldest < before).limit(1))
    if row is None:
        return False
    (user_id,) = row
    try:
        await lock(transaction, user_id, create_user=False)
    except UserNotFound:  # erased meanwhile
        return True
    version = col(HistoryRecord.version)
    own = col(HistoryRecord.user_id) == user_id
    start = select(col(User.history_seq)).where(col(User.id) == user_id).scalar_subquery()
    some = select(version, col(HistoryRecord.at)).where(own, version > start).order_by(version).limit(_ROWS)
    expired = [row.version for row in await transaction.all(some) if row.at < before]
    if not expired:
        return False
    last = max(expired)
    no_occurrence = col(HistoryRecord.occurrence).is_(None)
    await transaction.execute(delete(HistoryRecord).where(own, version <= last, no_occurrence))
    await transaction.execute(
        update(User).where(col(User.id) == user_id, col(User.history_seq) < last).values(history_seq=last)
    )
    return True
