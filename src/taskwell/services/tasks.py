"""The rules of a single task. Every statement has the owner in its WHERE, so users see only their own tasks.

`expected` is the set of versions that the task may have; without it the last write wins. It is part of the
write's own WHERE, so no other write can happen between the check and the change.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, exists, literal, not_, select, update
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid, NotFound, PreconditionFailed, Violation
from taskwell.database.database import ReadTransaction, Transaction
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
from taskwell.services.sequence import SequenceNumber, first_or_next_number, next_number, next_numbers, write
from taskwell.services.task_fields import derived_values, instant_of_write, new_values, toggled_values
from taskwell.services.users import UserNotFound

ExpectedVersions = frozenset[int]
Conditions = tuple[ColumnElement[bool], ...]


class TaskNotFound(NotFound):
    detail = "There is no such task."


class TaskExists(PreconditionFailed):
    detail = "There is a task with this id already, perhaps in the trash."


async def get_task(transaction: ReadTransaction, user_id: str, task_id: UUID) -> TaskRead:
    """Raises TaskNotFound: missing, in the trash, or of another user."""
    row = await transaction.first(select(*TASK_COLUMNS).where(*_alive(user_id, task_id)))
    if row is None:
        raise TaskNotFound
    return TaskRead.of(row)


async def create_task(
    transaction: Transaction,
    user_id: str,
    new: TaskCreate,
    *,
    create_user: bool,
    task_id: UUID | None = None,
) -> TaskRead:
    """Create a task, and its owner too if `create_user`. `task_id`: the client's, or None for a new one.

    Raises:
        UserNotFound: the owner does not exist, and `create_user` is false.
        TaskExists: there is a task with that id, perhaps in the trash.
    """
    values = new_values(user_id, task_id, new, utc_now())
    types = table_of(Task).c
    literals = [literal(value, types[name].type) for name, value in values.items()]

    def statement(number: SequenceNumber) -> Any:
        row = select(*literals, number)
        # The NOT EXISTS below does not see a task that a concurrent request with the same id inserts.
        return (
            transaction.insert(Task)
            .from_select([*values, "version"], row)
            .on_conflict_do_nothing()
            .returning(*TASK_COLUMNS)
        )

    free = not_(exists().where(*_task(user_id, task_id))) if task_id else None
    number = (
        first_or_next_number(transaction, user_id, free)
        if create_user
        else next_number(user_id, *(() if free is None else (free,)))
    )
    rows = await write(transaction, number, statement)
    if not rows:
        raise await _why_not_created(transaction, user_id, task_id)
    return TaskRead.of(rows[0])


async def create_tasks(
    transaction: Transaction,
    user_id: str,
    inputs: Sequence[tuple[TaskCreate, UUID | None]],
    *,
    create_user: bool,
) -> list[TaskRead]:
    """Create tasks in their order, as `create_task` does, in two statements. Each has a number of its own.

    Raises:
        UserNotFound: the owner does not exist, and `create_user` is false.
        TaskExists: there is a task with a chosen id; the error has the index of the first such input.
    """
    count = len(inputs)
    number = (
        first_or_next_number(transaction, user_id, count=count)
        if create_user
        else next_numbers(user_id, count)
    )
    row = await transaction.first(number)
    if row is None:
        raise UserNotFound
    now, first = utc_now(), row[0] - count + 1
    rows = [
        {**new_values(user_id, task_id, new, now), "version": first + index}
        for index, (new, task_id) in enumerate(inputs)
    ]
    statement = transaction.insert(Task).values(rows).on_conflict_do_nothing().returning(*TASK_COLUMNS)
    created = {record.version: TaskRead.of(record) for record in await transaction.all(statement)}
    if len(created) < count:
        index = next(index for index in range(count) if first + index not in created)
        error = await _why_not_created(transaction, user_id, inputs[index][1])
        error.index = index
        raise error
    return [created[first + index] for index in range(count)]


async def put_task(
    transaction: Transaction, user_id: str, task_id: UUID, changes: TaskUpdate, *, create_user: bool
) -> TaskRead:
    """Create the task with the id that the client chose.

    Raises:
        Invalid: the title is missing.
        UserNotFound: the owner does not exist, and `create_user` is false.
        TaskExists: there is a task with that id, perhaps in the trash.
    """
    values = changes.model_dump()
    if "title" not in values:
        raise Invalid(Violation("body", "/title", "required", "is required"))
    new = TaskCreate.model_construct(**values)
    return await create_task(transaction, user_id, new, create_user=create_user, task_id=task_id)


async def update_task(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    changes: TaskUpdate,
    *,
    expected: ExpectedVersions | None = None,
) -> TaskRead:
    """Change the members that the client sent. Without any, the task stays and takes no number.

    Raises:
        TaskNotFound: missing, in the trash, or of another user.
        PreconditionFailed: the task has none of the expected versions.
    """
    values = changes.model_dump()
    if not values:
        task = await get_task(transaction, user_id, task_id)
        if expected is not None and task.version not in expected:
            raise PreconditionFailed(task.version)
        return task
    now = instant_of_write(transaction.dialect)
    values |= derived_values(values, now)
    return TaskRead.of(await _change(transaction, user_id, task_id, values, now, expected, TASK_COLUMNS))


async def toggle_task(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    state: TaskToggle,
    *,
    expected: ExpectedVersions | None = None,
) -> TaskRead:
    """Invert the task's state, or set the state that is sent.

    Raises:
        TaskNotFound: missing, in the trash, or of another user.
        PreconditionFailed: the task has none of the expected versions.
    """
    now = instant_of_write(transaction.dialect)
    named = state.model_dump()
    values = named | derived_values(named, now) if named else toggled_values(now)
    return TaskRead.of(await _change(transaction, user_id, task_id, values, now, expected, TASK_COLUMNS))


async def delete_task(
    transaction: Transaction, user_id: str, task_id: UUID, *, expected: ExpectedVersions | None = None
) -> TaskDeleted:
    """Move the task to the trash.

    Raises:
        TaskNotFound: missing, in the trash already, or of another user.
        PreconditionFailed: the task has none of the expected versions.
    """
    now = instant_of_write(transaction.dialect)
    values = {"deleted_at": now}
    row = await _change(transaction, user_id, task_id, values, now, expected, TASK_DELETED_COLUMNS)
    return TaskDeleted.of(row)


async def restore_task(
    transaction: Transaction, user_id: str, task_id: UUID, *, expected: ExpectedVersions | None = None
) -> TaskRead:
    """Move the task out of the trash. A task that is not in it stays as it is.

    Raises:
        TaskNotFound: missing, purged, or of another user.
        PreconditionFailed: the task has none of the expected versions.
    """
    in_trash = (*_task(user_id, task_id), col(Task.deleted_at).is_not(None))
    now = instant_of_write(transaction.dialect)
    rows = await _write(
        transaction, user_id, _with_expected(in_trash, expected), {"deleted_at": None}, now, TASK_COLUMNS
    )
    if rows:
        return TaskRead.of(rows[0])
    row = await transaction.first(select(*TASK_COLUMNS).where(*_task(user_id, task_id)))
    if row is None:
        raise TaskNotFound
    task = TaskRead.of(row)
    if expected is not None and task.version not in expected:
        raise PreconditionFailed(task.version)
    return task


async def _change(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    values: dict[str, Any],
    now: ColumnElement[datetime],
    expected: ExpectedVersions | None,
    returned: Sequence[ColumnElement[Any]],
) -> Row[Any]:
    alive = _alive(user_id, task_id)
    rows = await _write(transaction, user_id, _with_expected(alive, expected), values, now, returned)
    if rows:
        return rows[0]
    row = await transaction.first(select(col(Task.version)).where(*alive)) if expected is not None else None
    raise PreconditionFailed(row[0]) if row else TaskNotFound


async def _write(
    transaction: Transaction,
    user_id: str,
    conditions: Conditions,
    values: dict[str, Any],
    now: ColumnElement[datetime],
    returned: Sequence[ColumnElement[Any]],
) -> Sequence[Row[Any]]:
    def statement(number: SequenceNumber) -> Any:
        return (
            update(Task)
            .where(*conditions)
            .values(**values, updated_at=now, version=number)
            .returning(*returned)
        )

    return await write(transaction, next_number(user_id, exists().where(*conditions)), statement)


async def _why_not_created(
    transaction: Transaction, user_id: str, task_id: UUID | None
) -> UserNotFound | TaskExists:
    if task_id is not None:
        row = await transaction.first(select(col(Task.version)).where(*_task(user_id, task_id)))
        if row is not None:
            return TaskExists(row[0])
    return UserNotFound()


def _task(user_id: str, task_id: UUID) -> Conditions:
    return (col(Task.user_id) == user_id, col(Task.id) == task_id)


def _alive(user_id: str, task_id: UUID) -> Conditions:
    return (*_task(user_id, task_id), col(Task.deleted_at).is_(None))


def _with_expected(conditions: Conditions, expected: ExpectedVersions | None) -> Conditions:
    return conditions if expected is None else (*conditions, col(Task.version).in_(expected))
