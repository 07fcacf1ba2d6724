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
    Integer,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql.expression import UnaryExpression
from sqlalchemy.sql.operators import custom_op
from sqlmodel import col

from taskwell.core.bounded_cache import BoundedCache
from taskwell.database.coalescing import coalesced
from taskwell.database.database import ReadTransaction
from taskwell.database.prepared import PreparedStatement
from taskwell.models import Task, User
from taskwell.models.base import table_of
from taskwell.schemas.query import Keyset, SortKey, TaskFilter, TaskQuery
from taskwell.services.task_fields import json_column, some_json_column
from taskwell.services.task_filters import (
    Values,
    are_few,
    conditions,
    never_null,
    parameters,
    resolve,
    shape_of,
)

_COLUMNS = table_of(Task).c
# Between the tasks of a list. A line end appears in no task's JSON, whose texts have it escaped.
SEPARATOR = ",\n"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tasks of a list: their JSON, separated by `SEPARATOR`, and their count."""

    json: str
    count: int
    number: int | None  # the user's last number in the same snapshot; None: the user does not exist
    # If the JSON lacks some fields of the order: these, likewise.
    places: str | None = None

    def last(self) -> dict[str, Any]:
        """The fields of the last task by which it is sorted, and perhaps others."""
        tasks = self.json if self.places is None else self.places
        task: dict[str, Any] = json.loads(tasks.rpartition(SEPARATOR)[2])
        return task

    def without_last(self) -> "Chunk":
        places = self.places and self.places.rpartition(SEPARATOR)[0]
        return Chunk(self.json.rpartition(SEPARATOR)[0], self.count - 1, self.number, places)


class Key(NamedTuple):
    """What sorts a list: a column, or the beginning of its text. `name`: of the column."""

    name: str
    column: ColumnElement[Any]
    descending: bool
    nullable: bool


class ChunkKey(NamedTuple):
    """The first `limit` tasks of a list after the keyset `after`, in the query's order."""

    user_id: str
    query: TaskQuery
    limit: int
    after: Keyset | None = None


async def list_chunk(transaction: ReadTransaction, key: ChunkKey) -> Chunk:
    filters = resolve(key.query.filter)
    statement = prepared(transaction.dialect, key, filters)
    (row,) = await transaction.fetch_prepared(statement, **values_of(key, filters))
    return Chunk(row[0] or "", *row[1:])


@coalesced("list_parts", max_size=1)
async def list_chunks(transaction: ReadTransaction, keys: Sequence[ChunkKey]) -> Sequence[Chunk]:
    return [await list_chunk(transaction, key) for key in keys]


@coalesced("list_parts", inline=True, max_size=1)
async def list_short_chunks(transaction: ReadTransaction, keys: Sequence[ChunkKey]) -> Sequence[Chunk]:
    """As `list_chunks`, for chunks that an index returns in microseconds."""
    return await list_chunks(transaction, keys)


def has_index(query: TaskQuery) -> bool:
    """Whether an index has all of it in its order: by age, open tasks by due date, or a list or the inbox."""
    filters, order = query.filter.conditions(), ",".join(term.name for term in query.sort)
    if (
        query.filter.deleted
        or query.fields is not None
        or query.sort[0].descending != (order == "created_at")
    ):
        return False
    match order:
        case "created_at":
            return not filters
        case "due":
            return filters == {"completed": False, "due": ("any",)}
        case "position":
            return filters.keys() == {"list"} and len(filters["list"]) == 1
    return False


# Lists that differ only in values share a statement. The cache has the latest statements.
_STATEMENTS: BoundedCache[Hashable, PreparedStatement] = BoundedCache(1_000)


def prepared(dialect: str, key: ChunkKey, filters: Values) -> PreparedStatement:
    """The statement of a list. `filters`: the resolved values of its filter."""
    query, after = key.query, key.after
    shape = (
        dialect, query.sort, query.fields, after is None or tuple(value is None for value in after),
        query.filter.deleted,
        *((name, shape_of(value)) for name, value in filters.items()),
    )  # fmt: skip
    if (statement := _STATEMENTS.get(shape)) is None:
        statement = _STATEMENTS[shape] = PreparedStatement(_statement(dialect, key))
    return statement


def _statement(dialect: str, key: ChunkKey) -> Select[Any]:
    task_filter, keys = key.query.filter, _keys_of(key.query)
    tasks = (
        select(*_shown(dialect, key.query))
        .where(*conditions(dialect, key.user_id, task_filter))
        .order_by(*_order(dialect, keys, resolve(task_filter)))
        .limit(_limit(dialect, key.limit))
    )
    if key.after is not None:
        tasks = tasks.where(_follows(keys, key.after))
    chunk = tasks.subquery("chunk")
    number = select(col(User.last_seq)).where(col(User.id) == bindparam("owner")).scalar_subquery()
    joined = func.group_concat if dialect == "sqlite" else func.string_agg
    separator: ColumnElement[str] = literal_column(f"'{SEPARATOR}'")
    shown, *places = (joined(column, separator) for column in chunk.c)
    return select(shown, func.count(chunk.c.json), number, *places)


def _order(dialect: str, keys: Sequence[Key], filters: Values) -> list[ColumnElement[Any]]:
    """SQLite, which has no statistics, would walk the whole list in its order to find a few dates.

    The `+` keeps it from using the order of an index.
    """
    first, *others = keys
    if dialect == "sqlite" and are_few(filters):
        first = first._replace(column=UnaryExpression(first.column, operator=custom_op("+")))
    return [_directed(key) for key in (first, *others)]


def _limit(dialect: str, limit: int) -> ColumnElement[int]:
    """On PostgreSQL `(SELECT ...)` hides the number from the planner, so that one plan serves all.

    Otherwise a plan for the number looks cheaper, and planning each page takes longer than running it.
    """
    value = bindparam("limit", limit, Integer)
    return select(value).scalar_subquery() if dialect == "postgresql" else value


def _shown(dialect: str, query: TaskQuery) -> list[ColumnElement[str]]:
    """The JSON of a task; if it has only some fields, also of those by which it is sorted."""
    if query.fields is None:
        return [json_column(dialect, deleted=query.filter.deleted)]
    places = [term.name for term in query.order()]
    if set(places) <= {*query.fields}:
        return [some_json_column(dialect, query.fields)]
    return [some_json_column(dialect, query.fields), some_json_column(dialect, places, "place")]


def values_of(key: ChunkKey, filters: Values) -> dict[str, object]:
    """The values of the parameters of `_statement`."""
    values = {"owner": key.user_id, "limit": key.limit, **parameters(filters)}
    if key.after is not None:
        names = (f"after_{term.key.column}" for term in key.query.order())
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


def order_of(query: TaskQuery) -> list[ColumnElement[Any]]:
    """The terms of ORDER BY."""
    return [_directed(key) for key in _keys_of(query)]


def _keys_of(query: TaskQuery) -> list[Key]:
    """The keys of the query's order. A filter may leave out the tasks without a value."""
    needed = never_null(resolve(query.filter))
    return [
        Key(
            term.key.column,
            _sorted_by(term.key),
            term.descending,
            term.key.nullable and term.key.column not in needed,
        )
        for term in query.order()
    ]


def _sorted_by(key: SortKey) -> ColumnElement[Any]:
    column = _COLUMNS[key.column]
    return column if key.length is None else func.substr(column, 1, literal_column(str(key.length)))


def _directed(key: Key) -> ColumnElement[Any]:
    directed: ColumnElement[Any] = key.column.desc() if key.descending else key.column.asc()
    if not key.nullable:
        return directed  # the form that can use an index
    return directed.nulls_first() if key.descending else directed.nulls_last()


def _follows(keys: Sequence[Key], keyset: Keyset) -> ColumnElement[bool]:
    """The condition for tasks after a keyset: equal in some first keys, and after it in the next key."""
    pairs = list(zip(keys, keyset, strict=True))
    if all(key.descending and value is not None for key, value in pairs):
        # The form that can use an index. Tasks without a value came before.
        return tuple_(*(key.column for key in keys)) < tuple_(*(_after(*pair) for pair in pairs))
    alternatives = []
    for index, pair in enumerate(pairs):
        further = _further(*pair) if index else _differs(*pair)
        if further is not None:
            alternatives.append(and_(*(_equal(*before) for before in pairs[:index]), further))
    # The condition on the first key can use an index, which has the order. Of the alternatives the first
    # cannot, or PostgreSQL would look each one up in an index, and sort all that follows.
    return and_(*_at_least(*pairs[0]), or_(*alternatives))


def _after(key: Key, value: Any) -> ColumnElement[Any]:
    return bindparam(f"after_{key.name}", value, _COLUMNS[key.name].type)


def _equal(key: Key, value: Any) -> ColumnElement[bool]:
    return key.column.is_(None) if value is None else key.column == _after(key, value)


def _differs(key: Key, value: Any) -> ColumnElement[bool] | None:
    """The condition for a later value of the key, of those that are `_at_least` at it."""
    if value is None:
        return _further(key, value)
    after = _after(key, value)
    return key.column.is_distinct_from(after) if key.nullable else key.column != after


def _further(key: Key, value: Any) -> ColumnElement[bool] | None:
    """The condition for a later value of the key; null is greater than every value. None: there is none."""
    if value is None:
        return key.column.is_not(None) if key.descending else None
    if key.descending:
        return key.column < _after(key, value)
    further: ColumnElement[bool] = key.column > _after(key, value)
    return or_(further, key.column.is_(None)) if key.nullable else further


def _at_least(key: Key, value: Any) -> Sequence[ColumnElement[bool]]:
    """Empty: every value is."""
    if value is None:
        return () if key.descending else (key.column.is_(None),)
    if key.descending:
        return (key.column <= _after(key, value),)
    least: ColumnElement[bool] = key.column >= _after(key, value)
    return (or_(least, key.column.is_(None)) if key.nullable else least,)
