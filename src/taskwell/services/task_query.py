"""Lists of tasks: filtered, sorted, a page at a time.

The index gives the newest first at any size. Any other order, and every filter, costs in the worst case a
walk over the tasks of the one user, whatever the input.
"""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlmodel import col

from taskwell.core.bounded_cache import BoundedCache
from taskwell.database.coalescing import labelled
from taskwell.database.database import ReadTransaction
from taskwell.database.prepared import PreparedStatement
from taskwell.models import Task, User
from taskwell.models.base import table_of
from taskwell.schemas.query import SortKey, TaskFilter, TaskQuery
from taskwell.schemas.types import fold, searched
from taskwell.services.search import contains_text
from taskwell.services.task_fields import BEGINNING, json_column

_FILTER_VALUES = ("q", "created_after", "created_before", "updated_after", "updated_before")

# The values of a task's sort keys, in the order of the list: where it stands there.
Keyset = tuple[Any, ...]

_KEY_COLUMNS: dict[str, Any] = {
    "created_at": col(Task.created_at),
    "updated_at": col(Task.updated_at),
    "title": col(Task.title_key),
    "completed": col(Task.completed),
    "id": col(Task.id),
}
_TYPES = {name: table_of(Task).c[column.key].type for name, column in _KEY_COLUMNS.items()}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some tasks of a list that follow each other: their JSON, with commas between, and how many they are."""

    json: str
    count: int
    number: int | None  # the user's last number of the same instant; None: they have not written yet

    def last(self) -> dict[str, Any]:
        """The last task."""
        task: dict[str, Any] = json.loads(self.json[self.json.rindex(BEGINNING) :])
        return task

    def without_last(self) -> "Chunk":
        return Chunk(self.json[: self.json.rindex(BEGINNING) - 1], self.count - 1, self.number)


class ChunkKey(NamedTuple):
    """At most `limit` tasks of a list in the query's order, those that follow the keyset `after`."""

    user_id: str
    query: TaskQuery
    limit: int
    after: Keyset | None = None


async def list_chunk(transaction: ReadTransaction, key: ChunkKey) -> Chunk:
    (row,) = await transaction.fetch_prepared(prepared(transaction.dialect, key), **values_of(key))
    return Chunk(row[0] or "", row[1], row[2])


@labelled("list_parts")
async def list_chunks(transaction: ReadTransaction, keys: Sequence[ChunkKey]) -> Sequence[Chunk]:
    return [await list_chunk(transaction, key) for key in keys]


# Lists that differ in nothing but values are one statement; these are all there have been of late.
_STATEMENTS: BoundedCache[Hashable, PreparedStatement] = BoundedCache(1_000)


def prepared(dialect: str, key: ChunkKey) -> PreparedStatement:
    task_filter = key.query.filter
    given = tuple(getattr(task_filter, name) is None for name in _FILTER_VALUES)
    shape = (
        dialect, key.query.sort, key.after is None,
        task_filter.completed, task_filter.deleted, given,
    )  # fmt: skip
    if (statement := _STATEMENTS.get(shape)) is None:
        statement = _STATEMENTS[shape] = PreparedStatement(_statement(dialect, key))
    return statement


def _statement(dialect: str, key: ChunkKey) -> Select[Any]:
    task_filter, order = key.query.filter, key.query.order()
    tasks = (
        select(json_column(dialect, deleted=task_filter.deleted))
        .where(*conditions(dialect, key.user_id, task_filter))
        .order_by(*(_directed(sort_key) for sort_key in order))
        .limit(bindparam("limit", key.limit))
    )
    if key.after is not None:
        tasks = tasks.where(_follows(order, key.after))
    chunk = tasks.subquery("chunk")
    number = select(col(User.last_seq)).where(col(User.id) == bindparam("owner")).scalar_subquery()
    joined = func.group_concat if dialect == "sqlite" else func.string_agg
    columns = (joined(chunk.c.json, literal_column("','")), func.count(chunk.c.json))
    return select(*columns, number)


def values_of(key: ChunkKey) -> dict[str, object]:
    """Of the parameters of `_statement`."""
    task_filter = key.query.filter
    values: dict[str, object] = {name: getattr(task_filter, name) for name in _FILTER_VALUES}
    if task_filter.q is not None:
        values["q"] = searched(task_filter.q)
    if key.after is not None:
        names = (f"after_{sort_key.name}" for sort_key in key.query.order())
        values |= zip(names, key.after, strict=True)
    return {**values, "owner": key.user_id, "limit": key.limit}


async def count_tasks(transaction: ReadTransaction, user_id: str, task_filter: TaskFilter) -> int:
    statement = (
        select(func.count()).select_from(Task).where(*conditions(transaction.dialect, user_id, task_filter))
    )
    row = await transaction.first(statement)
    assert row is not None
    count: int = row[0]
    return count


def conditions(dialect: str, user_id: str, task_filter: TaskFilter) -> list[ColumnElement[bool]]:
    """What the tasks of a filter have in common; their owner first."""
    deleted_at = col(Task.deleted_at)
    found = [
        col(Task.user_id) == bindparam("owner", user_id),
        deleted_at.is_not(None) if task_filter.deleted else deleted_at.is_(None),
    ]
    if task_filter.completed is not None:
        found.append(col(Task.completed).is_(task_filter.completed))
    if task_filter.q is not None:
        found.append(contains_text(dialect, bindparam("q", searched(task_filter.q), Text)))
    for name, column in (("created", col(Task.created_at)), ("updated", col(Task.updated_at))):
        if (after := getattr(task_filter, f"{name}_after")) is not None:
            found.append(column > bindparam(f"{name}_after", after))
        if (before := getattr(task_filter, f"{name}_before")) is not None:
            found.append(column < bindparam(f"{name}_before", before))
    return found


def keyset_of(task: Mapping[str, Any], query: TaskQuery) -> Keyset:
    """Where a task stands in a list: the values of its keys."""
    return tuple(_KEY_OF[key.name](task) for key in query.order())


_KEY_OF: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "created_at": lambda task: datetime.fromisoformat(task["created_at"]),
    "updated_at": lambda task: datetime.fromisoformat(task["updated_at"]),
    "title": lambda task: fold(task["title"]),
    "completed": lambda task: task["completed"],
    "id": lambda task: UUID(task["id"]),
}


def _directed(key: SortKey) -> ColumnElement[Any]:
    column: ColumnElement[Any] = _KEY_COLUMNS[key.name]
    return column.desc() if key.descending else column.asc()


def _follows(order: Sequence[SortKey], keyset: Keyset) -> ColumnElement[bool]:
    """Those behind a keyset: equal in the keys before, and further in the next."""
    columns = [_KEY_COLUMNS[key.name] for key in order]
    values: list[Any] = [
        bindparam(f"after_{key.name}", value, _TYPES[key.name])
        for key, value in zip(order, keyset, strict=True)
    ]
    if all(key.descending for key in order):
        return tuple_(*columns) < tuple_(*values)  # the form that an index answers
    ways = []
    for index, key in enumerate(order):
        same = [column == value for column, value in zip(columns[:index], values, strict=False)]
        column, value = columns[index], values[index]
        ways.append(and_(*same, column < value if key.descending else column > value))
    # The first key by itself says the same again, in the form that an index answers.
    first, value = columns[0], values[0]
    return and_(first <= value if order[0].descending else first >= value, or_(*ways))
