"""The rules of tasks. Every statement names the owner in its WHERE: another's task is not found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, case, exists, insert, literal, not_, null, select, tuple_, update
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.core.database import ReadTransaction, Transaction
from taskwell.core.errors import NotFound
from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.task import (
    TASK_COLUMNS,
    TASK_DELETED_COLUMNS,
    TaskCreate,
    TaskDeleted,
    TaskRead,
    TaskToggle,
    TaskUpdate,
)
from taskwell.services.sequence import Number, first_or_next_number, next_number, write
from taskwell.services.users import UserNotFound


class TaskNotFound(NotFound):
    detail = "There is no such task."


async def list_tasks(
    transaction: ReadTransaction,
    user_id: str,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
) -> list[TaskRead]:
    """At most `limit` tasks, newest first; those that follow `after`, the place of a task in that order."""
    place = tuple_(col(Task.created_at), col(Task.id))
    statement = (
        select(*TASK_COLUMNS)
        .where(col(Task.user_id) == user_id, col(Task.deleted_at).is_(None))
        .order_by(col(Task.created_at).desc(), col(Task.id).desc())
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(place < after)
    return [TaskRead.of(row) for row in await transaction.all(statement)]


async def get_task(transaction: ReadTransaction, user_id: str, task_id: UUID) -> TaskRead:
    """Raises TaskNotFound: missing, in the trash, or somebody else's."""
    row = await transaction.first(select(*TASK_COLUMNS).where(*_alive(user_id, task_id)))
    return TaskRead.of(_found(row))


async def create_task(
    transaction: Transaction, user_id: str, new: TaskCreate, *, create_user: bool
) -> TaskRead:
    """Create a task, and its owner at their first one if `create_user`.

    Raises:
        UserNotFound: the owner does not exist and is not to be created.
    """
    now = utc_now()
    values = {
        "user_id": user_id,
        "id": uuid7(),
        "title": new.title,
        "description": new.description,
        "completed": new.completed,
        "completed_at": now if new.completed else None,
        "created_at": now,
        "updated_at": now,
    }
    types = table_of(Task).c
    literals = [literal(value, types[name].type) for name, value in values.items()]

    def statement(number: Number) -> Any:
        return (
            insert(Task).from_select([*values, "version"], select(*literals, number)).returning(*TASK_COLUMNS)
        )

    number = first_or_next_number(transaction, user_id) if create_user else next_number(user_id)
    rows = await write(transaction, number, statement)
    if not rows:
        raise UserNotFound
    return TaskRead.of(rows[0])


async def update_task(transaction: Transaction, user_id: str, task_id: UUID, changes: TaskUpdate) -> TaskRead:
    """Change what is named. Nothing named changes nothing, and takes no number.

    Raises:
        TaskNotFound: missing, in the trash, or somebody else's.
    """
    values = changes.model_dump()
    if not values:
        return await get_task(transaction, user_id, task_id)
    now = utc_now()
    if "completed" in values:
        values |= _set_completed(values["completed"], now)
    return TaskRead.of(await _change(transaction, user_id, task_id, values, now, TASK_COLUMNS))


async def toggle_task(transaction: Transaction, user_id: str, task_id: UUID, state: TaskToggle) -> TaskRead:
    """Turn the task over where it lies, or set the state that is named.

    Raises:
        TaskNotFound: missing, in the trash, or somebody else's.
    """
    now = utc_now()
    named = state.model_dump()
    values = _set_completed(named["completed"], now) if named else _turn_over(now)
    return TaskRead.of(await _change(transaction, user_id, task_id, values, now, TASK_COLUMNS))


async def delete_task(transaction: Transaction, user_id: str, task_id: UUID) -> TaskDeleted:
    """Move the task to the trash.

    Raises:
        TaskNotFound: missing, in the trash already, or somebody else's.
    """
    now = utc_now()
    values = {"deleted_at": now}
    row = await _change(transaction, user_id, task_id, values, now, TASK_DELETED_COLUMNS)
    return TaskDeleted.of(row)


async def _change(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    values: dict[str, Any],
    now: datetime,
    returned: Sequence[ColumnElement[Any]],
) -> Row[Any]:
    alive = _alive(user_id, task_id)

    def statement(number: Number) -> Any:
        return (
            update(Task).where(*alive).values(**values, updated_at=now, version=number).returning(*returned)
        )

    number = next_number(user_id, exists().where(*alive))
    rows = await write(transaction, number, statement)
    return _found(rows[0] if rows else None)


def _alive(user_id: str, task_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        col(Task.user_id) == user_id,
        col(Task.id) == task_id,
        col(Task.deleted_at).is_(None),
    )


def _found(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise TaskNotFound
    return row


def _set_completed(completed: bool, now: datetime) -> dict[str, Any]:
    """A task that is completed already keeps the time at which it was."""
    kept = case((col(Task.completed), col(Task.completed_at)), else_=_instant(now))
    return {"completed": completed, "completed_at": kept if completed else None}


def _turn_over(now: datetime) -> dict[str, Any]:
    return {
        "completed": not_(col(Task.completed)),
        "completed_at": case((col(Task.completed), null()), else_=_instant(now)),
    }


def _instant(now: datetime) -> ColumnElement[datetime]:
    return literal(now, table_of(Task).c.completed_at.type)
