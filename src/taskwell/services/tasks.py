"""The rules of a single task. Every statement has the owner in its WHERE, so users see only their own tasks.

`expected` is the set of versions that the task may have; without it the last write wins. It is part of the
write's own WHERE, so no other write can happen between the check and the change.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, literal, select, true, update
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid, NotFound, PreconditionFailed, TaskwellError, Violation
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import Task, User
from taskwell.models.base import table_of
from taskwell.schemas.history import Op
from taskwell.schemas.task import (
    TASK_COLUMNS,
    TASK_DELETED_COLUMNS,
    TaskAdvanced,
    TaskCreate,
    TaskDeleted,
    TaskRead,
    TaskSkip,
    TaskToggle,
    TaskUpdate,
)
from taskwell.services.completions import (
    Completion,
    NotRecurring,
    Step,
    is_over,
    reopen_parts,
    step_of,
    take_completion,
)
from taskwell.services.history import (
    Occurrence,
    change_record,
    insert_record,
    record_of_new_task,
    write_records,
)
from taskwell.services.placement import Part, Place, moves, parts_of, place_left
from taskwell.services.reminder_rows import DATED, is_reminded_of, reminded_of, write_reminders
from taskwell.services.sequence import (
    SequenceNumber,
    last_number,
    lock,
    take_numbers,
    write,
)
from taskwell.services.subtasks import complete_all, take_subtasks
from taskwell.services.task_fields import (
    contradict,
    contradiction,
    derived_values,
    is_plain,
    new_values,
    sent_values,
    without_unchanged_state,
)
from taskwell.services.task_rows import instant_of_writes, write_tasks
from taskwell.services.task_values import TaskValues, labels_after
from taskwell.services.users import UserNotFound
from taskwell.services.zones import NO_ZONE, ZoneOfRequest

ExpectedVersions = frozenset[int]
_LABEL_CHANGES = ("labels_add", "labels_remove")
_STATE = frozenset({"completed", "status"})
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
    zone: ZoneOfRequest = NO_ZONE,
) -> TaskRead:
    """Create a task, and its owner too if `create_user`. `task_id`: the client's, or None for a new one.

    Raises:
        Invalid: a value contradicts another, or names a list or a task that does not exist.
        UserNotFound: the owner does not exist, and `create_user` is false.
        TaskExists: there is a task with that id, perhaps in the trash.
    """
    if not is_plain(new):
        inputs = [(new, task_id)]
        try:
            return (await create_tasks(transaction, user_id, inputs, create_user=create_user, zone=zone))[0]
        except TaskwellError as error:
            error.index = None
            raise
    values = new_values(user_id, task_id, new, utc_now())
    types = table_of(Task).c
    literals = [literal(value, types[name].type) for name, value in values.items()]

    def statement(number: SequenceNumber) -> Any:
        row = select(*literals, number)
        return (
            transaction.insert(Task)
            .from_select([*values, "version"], row)
            .on_conflict_do_nothing()
            .returning(*TASK_COLUMNS)
        )

    rows = await write(transaction, user_id, statement)
    if not rows and create_user:
        await lock(transaction, user_id, create_user=True)
        rows = await write(transaction, user_id, statement)
    if not rows:
        raise await _why_not_created(transaction, user_id, task_id)
    task = TaskRead.of(rows[0])
    await write_records(transaction, [record_of_new_task(task)], task.version)
    return task


async def create_tasks(
    transaction: Transaction,
    user_id: str,
    inputs: Sequence[tuple[TaskCreate, UUID | None]],
    *,
    create_user: bool,
    zone: ZoneOfRequest = NO_ZONE,
) -> list[TaskRead]:
    """Create tasks in their order, as `create_task` does, in few statements. Each has a number of its own.

    Raises:
        UserNotFound: the owner does not exist, and `create_user` is false.
        Invalid, TaskExists: as `create_task`; the error has the index of the first such input.
    """
    count = len(inputs)
    last = await take_numbers(transaction, user_id, count, create_user=create_user)
    created = await _insert_all(transaction, user_id, inputs, last - count + 1, zone)
    if len(created) == count:
        await write_records(transaction, [record_of_new_task(task) for task in created], created[0].version)
        return created
    taken = next(task_id for _, task_id in inputs[len(created) :] if task_id is not None)
    not_created = await _why_not_created(transaction, user_id, taken)
    not_created.index = len(created)
    raise not_created


async def _insert_all(
    transaction: Transaction,
    user_id: str,
    inputs: Sequence[tuple[TaskCreate, UUID | None]],
    first: int,
    zone: ZoneOfRequest,
) -> list[TaskRead]:
    """Insert tasks with the versions from `first` on. Returns those before the first whose id is taken."""
    now, further = utc_now(), TaskValues(transaction, user_id, zone)
    rows: list[dict[str, Any]] = []
    created: list[TaskRead] = []
    for index, (new, task_id) in enumerate(inputs):
        values = new_values(user_id, task_id, new, now, index)
        if not is_plain(new):
            if any(row["id"] == new.parent_id for row in rows):  # the parent has to be there
                created += await _insert(transaction, rows)
                rows = []
                if len(created) < index:
                    return created
            try:
                sent = sent_values(new)
                moment = take_completion(sent).moment(now)
                sent = await further.of_new(sent)
            except Invalid as error:
                created += await _insert(transaction, rows)
                if len(created) < index:  # an earlier one fails too, and is the one to be told
                    return created
                error.index = index
                raise
            values |= sent | derived_values({"completed": values["completed"]} | sent, moment)
        rows.append({**values, "version": first + index})
    return [*created, *await _insert(transaction, rows)]


async def _insert(transaction: Transaction, rows: Sequence[dict[str, Any]]) -> list[TaskRead]:
    """Insert tasks in one statement. Returns those before the first whose id is taken."""
    if not rows:
        return []
    names = dict.fromkeys(name for row in rows for name in row)
    filled = [{name: row.get(name) for name in names} for row in rows]
    statement = transaction.insert(Task).values(filled).on_conflict_do_nothing().returning(*TASK_COLUMNS)
    created = {record.version: TaskRead.of(record) for record in await transaction.all(statement)}
    reminded = [reminded_of(row) for row in rows if row["version"] in created and is_reminded_of(row)]
    if reminded:
        await write_reminders(transaction, rows[0]["user_id"], reminded, are_new=True)
    return [created[row["version"]] for row in takewhile(lambda row: row["version"] in created, rows)]


async def put_task(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    changes: TaskUpdate,
    *,
    create_user: bool,
    zone: ZoneOfRequest = NO_ZONE,
) -> TaskRead:
    """Create the task with the id that the client chose.

    Raises:
        Invalid: the title is missing, or as `create_task`.
        UserNotFound: the owner does not exist, and `create_user` is false.
        TaskExists: there is a task with that id, perhaps in the trash.
    """
    values = sent_values(changes)
    take_subtasks(values)  # a new task has none,
    values.pop("occurrence", None)  # and no other occurrence
    if "title" not in values:
        raise Invalid(Violation("body", "/title", "required", "is required"))
    if not values.keys().isdisjoint(_LABEL_CHANGES):
        values["labels"] = labels_after(values, [])
        values = {name: value for name, value in values.items() if name not in _LABEL_CHANGES}
    new = TaskCreate.model_construct(**values)
    return await create_task(transaction, user_id, new, create_user=create_user, task_id=task_id, zone=zone)


async def update_task(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    changes: TaskUpdate,
    *,
    expected: ExpectedVersions | None = None,
    zone: ZoneOfRequest = NO_ZONE,
) -> TaskRead:
    """Change the members that the client sent. Without any, the task stays and takes no number.

    Raises:
        Invalid: a value contradicts another, or names a list or a task that does not exist.
        TaskNotFound: missing, in the trash, or of another user.
        PreconditionFailed: the task has none of the expected versions.
        OccurrenceAhead: it has an earlier occurrence than the one that the request completes.
    """
    sent = sent_values(changes)
    if not sent:
        task = await get_task(transaction, user_id, task_id)
        if expected is not None and task.version not in expected:
            raise PreconditionFailed(task.version)
        return task
    if contradict(sent):
        if not changes.is_sent_back:
            raise contradiction()
        stored = await locked(transaction, user_id, task_id, expected)
        sent = without_unchanged_state(sent, stored.completed)
    with_parts, completion = take_subtasks(sent), take_completion(sent)
    stored = await locked(transaction, user_id, task_id, expected)
    return await _change(transaction, stored, sent, zone, completion, with_parts=with_parts)


async def toggle_task(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    state: TaskToggle,
    *,
    expected: ExpectedVersions | None = None,
    zone: ZoneOfRequest = NO_ZONE,
) -> TaskRead:
    """Invert the task's state, or set the state that is sent. An occurrence is completed, never reopened.

    Raises:
        TaskNotFound, PreconditionFailed, OccurrenceAhead: as `update_task`.
    """
    named = state.model_dump()
    if "occurrence" in named:
        named.setdefault("completed", True)
    with_parts, completion = take_subtasks(named), take_completion(named)
    stored = await locked(transaction, user_id, task_id, expected)
    sent = named or {"completed": not stored.completed}
    return await _change(transaction, stored, sent, zone, completion, with_parts=with_parts)


async def skip_task(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    skip: TaskSkip,
    *,
    expected: ExpectedVersions | None = None,
    zone: ZoneOfRequest = NO_ZONE,
) -> TaskRead:
    """Move a recurring task to its next occurrence, without completing this one. The last one is cancelled.

    Raises:
        TaskNotFound, PreconditionFailed, OccurrenceAhead: as `update_task`.
        NotRecurring: it does not recur, or is completed.
    """
    stored = await locked(transaction, user_id, task_id, expected)
    occurrence = skip.model_dump().get("occurrence")
    if await is_over(transaction, stored, occurrence, zone):
        return await get_task(transaction, user_id, task_id)
    if stored.recurrence is None or stored.completed:
        raise NotRecurring
    now = instant_after(stored)
    step = await step_of(transaction, stored._asdict(), now, zone, skips=True)
    cancelled = {"completed": True, "completed_at": now, "status": "cancelled"}
    values = cancelled if step.shift is None else step.columns
    skipped = Occurrence(step.occurrence)
    row = await write_task(transaction, stored, values, now, "skipped", occurrence=skipped)
    return TaskRead.of(row)


async def delete_task(
    transaction: Transaction, user_id: str, task_id: UUID, *, expected: ExpectedVersions | None = None
) -> TaskDeleted:
    """Move the task to the trash, and all tasks below it at the same instant.

    Raises:
        TaskNotFound: missing, in the trash already, or of another user.
        PreconditionFailed: the task has none of the expected versions.
    """
    stored = await locked(transaction, user_id, task_id, expected)
    parts = await parts_of(transaction, user_id, task_id)
    if parts:
        await delete_at_once(transaction, user_id, [stored.id, *(part.id for part in parts)])
        return TaskDeleted.of(await _read(transaction, user_id, task_id, TASK_DELETED_COLUMNS))
    now = instant_after(stored)
    columns = TASK_DELETED_COLUMNS
    return TaskDeleted.of(await write_task(transaction, stored, {"deleted_at": now}, now, "deleted", columns))


async def restore_task(
    transaction: Transaction, user_id: str, task_id: UUID, *, expected: ExpectedVersions | None = None
) -> TaskRead:
    """Move the task out of the trash, with the tasks below it that were deleted with it.

    It comes back without a parent that is not alive or has no room for it, and to the inbox if its list is
    not alive. A task that is not in the trash stays as it is.

    Raises:
        TaskNotFound: missing, purged, or of another user.
        PreconditionFailed: the task has none of the expected versions.
    """
    stored = await locked(transaction, user_id, task_id, expected, in_trash=True)
    if stored.deleted_at is None:
        return await get_task(transaction, user_id, task_id)
    parts = await parts_of(transaction, user_id, task_id, deleted_at=stored.deleted_at)
    place = await place_left(transaction, user_id, Place(stored.list_id, stored.parent_id), parts)
    rows = [{"id": stored.id, "parent_id": place.parent_id}]
    rows += [{"id": part.id, "parent_id": part.parent_id} for part in parts]
    back = {"list_id": place.list_id, "deleted_at": None}
    await write_tasks(transaction, user_id, [row | back for row in rows], op="restored")
    return TaskRead.of(await _read(transaction, user_id, task_id, TASK_COLUMNS))


async def delete_at_once(transaction: Transaction, user_id: str, ids: Sequence[UUID]) -> None:
    """Move tasks to the trash at one instant, by which `restore_task` knows what belongs together."""
    now = await instant_of_writes(transaction, user_id, ids)
    rows = [{"id": task_id, "deleted_at": now} for task_id in ids]
    await write_tasks(transaction, user_id, rows, op="deleted", updated_at=now)


async def _read(
    transaction: Transaction, user_id: str, task_id: UUID, columns: Sequence[ColumnElement[Any]]
) -> Row[Any]:
    row = await transaction.first(select(*columns).where(*_task(user_id, task_id)))
    assert row is not None
    return row


async def _change(
    transaction: Transaction,
    stored: Row[Any],
    sent: dict[str, Any],
    zone: ZoneOfRequest,
    completion: Completion,
    *,
    with_parts: bool,
) -> TaskRead:
    """Change a locked task. Tasks below it move along, each under its number.

    `with_parts`: they are completed with it.
    """
    user_id, task_id = stored.user_id, stored.id
    if await is_over(transaction, stored, completion.occurrence, zone):
        sent = {name: value for name, value in sent.items() if name not in _STATE}
        with_parts = False
        if not sent:
            return await get_task(transaction, user_id, task_id)
    parts = await parts_of(transaction, user_id, task_id) if with_parts or moves(sent) else []
    values = await TaskValues(transaction, user_id, zone).of_change(sent, stored, parts)
    tree = [task_id, *(part.id for part in parts)]
    now = await instant_of_writes(transaction, user_id, tree) if with_parts else instant_after(stored)
    moment = completion.moment(now) if values.get("completed") and not stored.completed else now
    values |= derived_values(values, moment, stored)
    if _completes_occurrence(stored, values):
        step = await step_of(transaction, {**stored._asdict(), **values}, moment, zone)
        return await _complete_occurrence(transaction, stored, values, step, moment, with_parts=with_parts)
    row = await write_task(transaction, stored, values, now)
    await _change_parts(transaction, stored, values, parts, now, with_parts=with_parts)
    return TaskRead.of(row)


def _completes_occurrence(stored: Row[Any], values: Mapping[str, Any]) -> bool:
    """Whether a change completes a recurring task. One that is cancelled does not go on."""
    done = values.get("completed", False) and not stored.completed and values.get("status") is None
    return done and values.get("recurrence", stored.recurrence) is not None


async def _change_parts(
    transaction: Transaction,
    stored: Row[Any],
    values: Mapping[str, Any],
    parts: Sequence[Part],
    now: datetime,
    *,
    with_parts: bool,
) -> None:
    """Take the tasks below a task to its new list, and complete them with it."""
    if values.get("list_id", stored.list_id) != stored.list_id:
        moved = [{"id": part.id, "list_id": values["list_id"]} for part in parts]
        await write_tasks(transaction, stored.user_id, moved)
    if with_parts:
        await complete_all(transaction, stored.user_id, [part.id for part in parts], now)


async def _complete_occurrence(
    transaction: Transaction,
    stored: Row[Any],
    values: Mapping[str, Any],
    step: Step,
    moment: datetime,
    *,
    with_parts: bool,
) -> TaskAdvanced:
    """Write a recurring task that is completed: at its next occurrence, or for good if it was the last."""
    user_id = stored.user_id
    parts = await parts_of(transaction, user_id, stored.id)
    now = await instant_of_writes(transaction, user_id, [stored.id, *(part.id for part in parts)])
    row = await write_task(
        transaction,
        stored,
        {**values, **step.columns},
        now,
        "completed",
        occurrence=Occurrence(step.occurrence, moment),
    )
    if step.shift is None:
        await _change_parts(transaction, stored, values, parts, now, with_parts=with_parts)
    else:
        await _change_parts(transaction, stored, values, parts, now, with_parts=False)
        await reopen_parts(transaction, user_id, parts, step.shift, step.zone, now, with_open=with_parts)
    last = await last_number(transaction, user_id)  # this transaction's, since the user's row is locked
    completion = f"{row.version}-{last}" if last > row.version else str(row.version)
    return TaskAdvanced.of([*row, completion])


async def locked(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    expected: ExpectedVersions | None,
    *,
    in_trash: bool = False,
) -> Row[Any]:
    """All columns of a task, alive or in the trash, which no other transaction can change until the end.

    Raises:
        TaskNotFound, PreconditionFailed: as `update_task`.
    """
    deleted_at = col(Task.deleted_at)
    there = true() if in_trash else deleted_at.is_(None)
    # The user's row first, as every write does. A row that another transaction has changed meanwhile is read
    # as it is then.
    statement = (
        select(*table_of(Task).c)
        .select_from(table_of(User).join(table_of(Task), col(Task.user_id) == col(User.id)))
        .where(*_task(user_id, task_id), there)
        .with_for_update(key_share=True)
    )
    row = await transaction.first(statement)
    if row is None:
        raise TaskNotFound
    if expected is not None and row.version not in expected:
        raise PreconditionFailed(row.version)
    return row


async def write_task(
    transaction: Transaction,
    stored: Row[Any],
    values: Mapping[str, Any],
    now: datetime,
    op: Op = "updated",
    returned: Sequence[ColumnElement[Any]] = TASK_COLUMNS,
    occurrence: Occurrence | None = None,
) -> Row[Any]:
    """Set columns of a locked task under the next number, and record the change.

    `occurrence`: the one that it completes or skips.
    """
    record = change_record("task", stored.id, op, now, stored._asdict(), values)
    record = record._replace(occurrence=occurrence)

    def statement(number: SequenceNumber) -> Any:
        return (
            update(Task)
            .where(*_task(stored.user_id, stored.id))
            .values(**values, updated_at=now, version=number)
            .returning(*returned)
        )

    recorded = partial(insert_record, transaction, record)
    (row,) = await write(transaction, stored.user_id, statement, record=recorded)
    if not DATED.isdisjoint(values):
        await write_reminders(transaction, stored.user_id, [{**stored._asdict(), **values}])
    return row


def instant_after(stored: Row[Any]) -> datetime:
    """The instant of a change of a task, never before its previous change.

    If the clock is set back, clients that sort or poll by `updated_at` would miss the change.
    """
    latest: datetime = stored.updated_at
    return max(utc_now(), latest)


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
