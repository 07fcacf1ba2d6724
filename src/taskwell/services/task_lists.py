"""Lists of tasks: filtered, sorted, a page at a time.

The index gives the newest first at any size. Any other order, and every filter, costs in the worst case a
walk over the tasks of the one user, whatever the input.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select, tuple_
from sqlmodel import col

from taskwell.core.database import ReadTransaction
from taskwell.models import Task, User
from taskwell.models.base import table_of
from taskwell.schemas.query import SortKey, TaskFilter, TaskQuery
from taskwell.schemas.task import TASK_COLUMNS, TASK_DELETED_COLUMNS, TaskDeleted, TaskRead
from taskwell.schemas.text import fold
from taskwell.services.search import contains_text
from taskwell.services.sequence import last_number

# The values of a task's sort keys, in the order of the list: where it stands there.
Place = Sequence[Any]

_KEY_COLUMNS: dict[str, Any] = {
    "created_at": col(Task.created_at),
    "updated_at": col(Task.updated_at),
    "title": col(Task.title_key),
    "completed": col(Task.completed),
    "id": col(Task.id),
}
_TYPES = {name: table_of(Task).c[column.key].type for name, column in _KEY_COLUMNS.items()}


async def first_tasks(
    transaction: ReadTransaction,
    user_id: str,
    query: TaskQuery,
    *,
    limit: int,
    after: Place | None = None,
) -> tuple[list[TaskRead], int]:
    """As `list_tasks`, with the user's last number of the same instant."""
    number = select(col(User.last_seq)).where(col(User.id) == user_id).scalar_subquery()
    statement = _statement(transaction, user_id, query, limit, after).add_columns(number)
    rows = await transaction.all(statement)
    if not rows:
        return [], await last_number(transaction, user_id)
    return [_record(query).of(row[:-1]) for row in rows], rows[0][-1]


async def list_tasks(
    transaction: ReadTransaction,
    user_id: str,
    query: TaskQuery,
    *,
    limit: int,
    after: Place | None = None,
) -> list[TaskRead]:
    """At most `limit` tasks in the query's order, those that follow the place `after`."""
    rows = await transaction.all(_statement(transaction, user_id, query, limit, after))
    return [_record(query).of(row) for row in rows]


def _record(query: TaskQuery) -> type[TaskRead]:
    return TaskDeleted if query.filter.deleted else TaskRead


def _statement(
    transaction: ReadTransaction, user_id: str, query: TaskQuery, limit: int, after: Place | None
) -> Select[Any]:
    columns = TASK_DELETED_COLUMNS if query.filter.deleted else TASK_COLUMNS
    order = query.order()
    statement = (
        select(*columns)
        .where(*conditions(transaction, user_id, query.filter))
        .order_by(*(_directed(key) for key in order))
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(_follows(order, after))
    return statement


async def count_tasks(transaction: ReadTransaction, user_id: str, task_filter: TaskFilter) -> int:
    statement = select(func.count()).select_from(Task).where(*conditions(transaction, user_id, task_filter))
    row = await transaction.first(statement)
    assert row is not None
    count: int = row[0]
    return count


def conditions(
    transaction: ReadTransaction, user_id: str, task_filter: TaskFilter
) -> list[ColumnElement[bool]]:
    """What the tasks of a filter have in common; their owner first."""
    deleted_at = col(Task.deleted_at)
    found = [
        col(Task.user_id) == user_id,
        deleted_at.is_not(None) if task_filter.deleted else deleted_at.is_(None),
    ]
    if task_filter.completed is not None:
        found.append(col(Task.completed).is_(task_filter.completed))
    if task_filter.q is not None:
        found.append(contains_text(transaction, task_filter.q))
    for name, column in (("created", col(Task.created_at)), ("updated", col(Task.updated_at))):
        if (after := getattr(task_filter, f"{name}_after")) is not None:
            found.append(column > after)
        if (before := getattr(task_filter, f"{name}_before")) is not None:
            found.append(column < before)
    return found


def place_of(task: TaskRead, query: TaskQuery) -> Place:
    """Where a task stands in a list: the values of its keys."""
    values = {
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "title": fold(task.title),
        "completed": task.completed,
        "id": task.id,
    }
    return [values[key.name] for key in query.order()]


def _directed(key: SortKey) -> ColumnElement[Any]:
    column: ColumnElement[Any] = _KEY_COLUMNS[key.name]
    return column.desc() if key.descending else column.asc()


def _follows(order: Sequence[SortKey], place: Place) -> ColumnElement[bool]:
    """Those behind a place: equal in the keys before, and further in the next."""
    columns = [_KEY_COLUMNS[key.name] for key in order]
    values = [literal(value, _TYPES[key.name]) for key, value in zip(order, place, strict=True)]
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
