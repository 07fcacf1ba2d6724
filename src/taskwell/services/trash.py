"""The trash: moves many tasks into it at once, and purges it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, delete, func, literal, select, update
from sqlalchemy.orm import Mapped
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.database.database import Transaction
from taskwell.models import Label, Task, TaskList, User
from taskwell.models.base import table_of
from taskwell.schemas.query import TaskFilter
from taskwell.services.history import forget, record_deleted_tasks
from taskwell.services.sequence import next_numbers, take_number
from taskwell.services.task_fields import later_of
from taskwell.services.task_filters import conditions

Kind = type[Task] | type[TaskList] | type[Label]

_PURGED_AT_ONCE = 1_000
_INSTANT = table_of(Task).c.updated_at.type


async def delete_tasks(
    transaction: Transaction,
    user_id: str,
    task_filter: TaskFilter,
    check: Callable[[int], None] | None = None,
) -> int:
    """Move every task of the filter to the trash, and all tasks below it. Returns their count.

    Each has its own sequence number, and all have one instant, by which `restore_task` knows what belongs
    together.

    `check` gets the user's last sequence number first, and raises to prevent the deletion.
    """
    # This takes no sequence number yet, but locks the row: no other transaction can write these tasks.
    row = await transaction.first(next_numbers(user_id, 0))
    if check is not None:
        check(row[0] if row else 0)
    if row is None:
        return 0
    where = conditions(transaction.dialect, user_id, task_filter)
    if await _has_subtasks(transaction, user_id):
        where = [col(Task.user_id) == user_id, col(Task.id).in_(select(_trees(user_id, where).c.id))]
    selected = (
        select(
            col(Task.id),
            func.row_number().over(order_by=col(Task.version)).label("ordinal"),
            func.max(col(Task.updated_at)).over().label("latest"),
        )
        .where(*where)
        .subquery()
    )
    now = later_of(transaction.dialect, literal(utc_now(), _INSTANT), selected.c.latest)
    statement = (
        update(Task)
        .where(col(Task.user_id) == user_id, col(Task.id) == selected.c.id)
        .values(deleted_at=now, updated_at=now, version=row[0] + selected.c.ordinal)
        .returning(col(Task.id))
    )
    count = len(await transaction.all(statement))
    if count:
        await transaction.first(next_numbers(user_id, count))
        await record_deleted_tasks(transaction, user_id, after=row[0])
    return count


async def _has_subtasks(transaction: Transaction, user_id: str) -> bool:
    """Whether the user has any task below another, by an index that most users have no entry in."""
    subtask = select(col(Task.id)).where(
        col(Task.user_id) == user_id, col(Task.parent_id).is_not(None), col(Task.deleted_at).is_(None)
    )
    return await transaction.first(subtask.limit(1)) is not None


def _trees(user_id: str, where: Sequence[ColumnElement[bool]]) -> CTE:
    """The ids of the tasks that meet the conditions, and of all tasks below them."""
    trees = select(col(Task.id)).where(*where).cte("trees", recursive=True)
    below = select(col(Task.id)).join(trees, col(Task.parent_id) == trees.c.id)
    return trees.union(below.where(col(Task.user_id) == user_id, col(Task.deleted_at).is_(None)))


async def purge(transaction: Transaction, deleted_before: datetime) -> int:
    """Purge some tasks, lists or labels that were deleted before an instant.

    Returns their count; 0 if none is left. The purge takes a sequence number of the user, since the list of
    the trash changes.
    """
    for model, key in _KEYS:
        if count := await _purge(transaction, model, key, deleted_before):
            return count
    return 0


# What has a trash, and its key beside the owner.
_KEYS: tuple[tuple[Kind, Mapped[Any]], ...] = (
    (Task, col(Task.id)),
    (TaskList, col(TaskList.id)),
    (Label, col(Label.key)),
)


async def _purge(transaction: Transaction, model: Kind, key: Mapped[Any], deleted_before: datetime) -> int:
    deleted_at = col(model.deleted_at)
    row = await transaction.first(select(col(model.user_id)).where(deleted_at < deleted_before).limit(1))
    if row is None:
        return 0
    (user_id,) = row
    await transaction.first(next_numbers(user_id, 0))
    old = (col(model.user_id) == user_id, deleted_at < deleted_before)
    columns: tuple[Any, ...] = (key.label("key"), col(model.version))
    expired = select(*columns).where(*old).order_by(deleted_at).limit(_PURGED_AT_ONCE)
    found = await transaction.all(expired)
    if not found:  # restored meanwhile, or the user is erased: another one may have some
        return 1
    await take_number(transaction, user_id)
    highest = max(row.version for row in found)
    await transaction.all(delete(model).where(*old, key.in_([row.key for row in found])).returning(key))
    await forget(transaction, user_id, [row.key for row in found])
    await transaction.all(
        update(User)
        .where(col(User.id) == user_id, col(User.purged_seq) < highest)
        .values(purged_seq=highest)
        .returning(col(User.id))
    )
    return len(found)
