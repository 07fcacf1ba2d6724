"""Queries of task lists: filters, sorting, and pages by keyset.

An index returns the newest tasks first, at a cost that does not depend on the number of tasks. Any other
order or filter scans the tasks of one user in the worst case, whatever the input.
"""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from taskwell.database.coalescing import coalesced
from taskwell.database.database import ReadTransaction
from taskwell.database.prepared import PreparedStatement
from taskwell.models import Task, User
from taskwell.models.base import table_of
from taskwell.schemas.query import CONDITIONS, Keyset, OrderTerm, TaskFilter, TaskQuery, Where
from taskwell.schemas.types import searched
from taskwell.services.search import contains_text
from taskwell.services.task_fields import json_column

_COLUMNS = table_of(Task).c
# Between the tasks of a list. A line end appears in no task's JSON, whose texts have it escaped.
SEPARATOR = ",\n"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tasks of a list: their JSON, separated by `SEPARATOR`, and their count."""

    json: str
    count: int
    number: int | None  # the user's last number in the same snapshot; None: the user does not exist

    def last(self) -> dict[str, Any]:
        """The JSON of the last task, parsed."""
        task: dict[str, Any] = json.loads(self.json.rpartition(SEPARATOR)[2])
        return task

    def without_last(self) -> "Chunk":
        return Chunk(self.json.rpartition(SEPARATOR)[0], self.count - 1, self.number)


class ChunkKey(NamedTuple):
    """The first `limit` tasks of a list after the keyset `after`, in the query's order."""

    user_id: str
    query: TaskQuery
    limit: int
    after: Keyset | None = None


async def list_chunk(transaction: ReadTransaction, key: ChunkKey) -> Chunk:
    (row,) = await transaction.fetch_prepared(prepared(transaction.dialect, key), **values_of(key))
    return Chunk(row[0] or "", row[1], row[2])


@coalesced("list_parts", max_size=1)
async def list_chunks(transaction: ReadTransaction, keys: Sequence[ChunkKey]) -> Sequence[Chunk]:
    return [await list_chunk(transaction, key) for key in keys]


@coalesced("list_parts", inline=True, max_size=1)
async def list_short_chunks(transaction: ReadTransaction, keys: Sequence[ChunkKey]) -> Sequence[Chunk]:
    """As `list_chunks`, for chunks that an index returns in microseconds."""
    return await list_chunks(transaction, keys)


# Lists that differ only in values share a statement. The cache has the latest statements.
_STATEMENTS: BoundedCache[Hashable, PreparedStatement] = BoundedCache(1_000)


def prepared(dialect: str, key: ChunkKey) -> PreparedStatement:
    query, after = key.query, key.after
    shape = (
        dialect, query.sort, after is None or tuple(value is None for value in after),
        query.filter.deleted, *(_shape(value) for value in _set_of(query.filter)),
    )  # fmt: skip
    if (statement := _STATEMENTS.get(shape)) is None:
        statement = _STATEMENTS[shape] = PreparedStatement(_statement(dialect, key))
    return statement


def _set_of(task_filter: TaskFilter) -> list[Any]:
    values = task_filter.__dict__
    return [values[name] for name in CONDITIONS]


def _shape(value: Any) -> bool | type | None:
    """The part of a filter's value that the SQL depends on: a bool itself; of others, whether it is set."""
    return value if value is None or isinstance(value, bool) else type(value)


def _statement(dialect: str, key: ChunkKey) -> Select[Any]:
    task_filter, order = key.query.filter, key.query.order()
    tasks = (
        select(json_column(dialect, deleted=task_filter.deleted))
        .where(*conditions(dialect, key.user_id, task_filter))
        .order_by(*(_directed(term) for term in order))
        .limit(bindparam("limit", key.limit))
    )
    if key.after is not None:
        tasks = tasks.where(_follows(order, key.after))
    chunk = tasks.subquery("chunk")
    number = select(col(User.last_seq)).where(col(User.id) == bindparam("owner")).scalar_subquery()
    joined = func.group_concat if dialect == "sqlite" else func.string_agg
    columns = (joined(chunk.c.json, literal_column(f"'{SEPARATOR}'")), func.count(chunk.c.json))
    return select(*columns, number)


def values_of(key: ChunkKey) -> dict[str, object]:
    """The values of the parameters of `_statement`."""
    values: dict[str, object] = {"owner": key.user_id, "limit": key.limit}
    for name, value in zip(CONDITIONS, _set_of(key.query.filter), strict=True):
        if value is not None:
            values[name] = _value(CONDITIONS[name], value)
    if key.after is not None:
        names = (f"after_{term.name}" for term in key.query.order())
        values |= zip(names, key.after, strict=True)
    return values


async def count_tasks(transaction: ReadTransaction, user_id: str, task_filter: TaskFilter) -> int:
    statement = (
        select(func.count()).select_from(Task).where(*conditions(transaction.dialect, user_id, task_filter))
    )
    row = await transaction.first(statement)
    assert row is not None
    count: int = row[0]
    return count


def conditions(dialect: str, user_id: str, task_filter: TaskFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter, the owner's first."""
    deleted_at = col(Task.deleted_at)
    return [
        col(Task.user_id) == bindparam("owner", user_id),
        deleted_at.is_not(None) if task_filter.deleted else deleted_at.is_(None),
        *(
            or_(*(_compared(dialect, name, _COLUMNS[column], value) for column in CONDITIONS[name].columns))
            for name, value in zip(CONDITIONS, _set_of(task_filter), strict=True)
            if value is not None
        ),
    ]


def _compared(dialect: str, name: str, column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    where = CONDITIONS[name]
    match where.operator:
        case "is":
            return column.is_(value) if isinstance(value, bool) else column == bindparam(name, value)
        case "contains":
            return contains_text(dialect, column, bindparam(name, _value(where, value), Text))
        case "<":
            return column < bindparam(name, value)
        case ">":
            return column > bindparam(name, value)


def _value(where: Where, value: Any) -> Any:
    """The value to compare the column with."""
    return searched(value) if where.operator == "contains" else value


def _directed(term: OrderTerm) -> ColumnElement[Any]:
    column = _COLUMNS[term.key.column]
    directed: ColumnElement[Any] = column.desc() if term.descending else column.asc()
    return directed.nulls_last() if term.key.nullable else directed


def _follows(order: Sequence[OrderTerm], keyset: Keyset) -> ColumnElement[bool]:
    """The condition for tasks after a keyset: equal in some first keys, and after it in the next key."""
    if all(term.descending and not term.key.nullable for term in order):
        columns = [_COLUMNS[term.key.column] for term in order]
        values = [_after(term, value) for term, value in zip(order, keyset, strict=True)]
        return tuple_(*columns) < tuple_(*values)  # the form that can use an index
    terms = list(zip(order, keyset, strict=True))
    alternatives = []
    for index, (term, value) in enumerate(terms):
        further = _further(term, value)
        if further is not None:
            alternatives.append(and_(*(_equal(*before) for before in terms[:index]), further))
    # The condition on the first key is redundant, but can use an index.
    return and_(_at_least(*terms[0]), or_(*alternatives))


def _after(term: OrderTerm, value: Any) -> ColumnElement[Any]:
    return bindparam(f"after_{term.name}", value, _COLUMNS[term.key.column].type)


def _equal(term: OrderTerm, value: Any) -> ColumnElement[bool]:
    column = _COLUMNS[term.key.column]
    return column.is_(None) if value is None else column == _after(term, value)


def _further(term: OrderTerm, value: Any) -> ColumnElement[bool] | None:
    """The condition for a later value of the key. None: no value is later than null."""
    if value is None:
        return None
    column, after = _COLUMNS[term.key.column], _after(term, value)
    further: ColumnElement[bool] = column < after if term.descending else column > after
    return or_(further, column.is_(None)) if term.key.nullable else further


def _at_least(term: OrderTerm, value: Any) -> ColumnElement[bool]:
    column = _COLUMNS[term.key.column]
    if value is None:
        return column.is_(None)
    after = _after(term, value)
    least: ColumnElement[bool] = column <= after if term.descending else column >= after
    return or_(least, column.is_(None)) if term.key.nullable else least
