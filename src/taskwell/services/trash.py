"""The trash: moves many tasks into it at once, and purges it."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlmodel import col

from taskwell.database.database import Transaction
from taskwell.models import Task, User
from taskwell.schemas.query import TaskFilter
from taskwell.services.sequence import next_numbers
from taskwell.services.task_fields import instant_of_write
from taskwell.services.task_filters import conditions

_PURGED_AT_ONCE = 1_000


async def delete_tasks(
    transaction: Transaction,
    user_id: str,
    task_filter: TaskFilter,
    check: Callable[[int], None] | None = None,
) -> int:
    """Move every task of the filter to the trash, each with its own sequence number. Returns their count.

    `check` gets the user's last sequence number first, and raises to prevent the deletion.
    """
    # This takes no sequence number yet, but locks the row: no other transaction can write these tasks.
    row = await transaction.first(next_numbers(user_id, 0))
    if check is not None:
        check(row[0] if row else 0)
    if row is None:
        return 0
    selected = (
        select(col(Task.id), func.row_number().over(order_by=col(Task.version)).label("ordinal"))
        .where(*conditions(transaction.dialect, user_id, task_filter))
        .subquery()
    )
    now = instant_of_write(transaction.dialect)
    statement = (
        update(Task)
        .where(col(Task.user_id) == user_id, col(Task.id) == selected.c.id)
        .values(deleted_at=now, updated_at=now, version=row[0] + selected.c.ordinal)
        .returning(col(Task.id))
    )
    count = len(await transaction.all(statement))
    if count:
        await transaction.first(next_numbers(user_id, count))
    return count


async def purge(transaction: Transaction, deleted_before: datetime) -> int:
    """Purge some tasks that were deleted before an instant. Returns their count; 0 if none is left.

    The purge takes a sequence number of the user, since the list of the trash changes.
    """
    old = col(Task.deleted_at) < deleted_before
    row = await transaction.first(select(col(Task.user_id)).where(old).limit(1))
    if row is None:
        return 0
    (user_id,) = row
    await transaction.first(next_numbers(user_id, 1))
    expired = (
        select(col(Task.id), col(Task.version))
        .where(col(Task.user_id) == user_id, old)
        .order_by(col(Task.deleted_at))
        .limit(_PURGED_AT_ONCE)
    )
    tasks = await transaction.all(expired)
    if not tasks:
        return 0
    highest = max(task.version for task in tasks)
    await transaction.all(
        delete(Task)
        .where(col(Task.user_id) == user_id, col(Task.id).in_([task.id for task in tasks]), old)
        .returning(col(Task.id))
    )
    await transaction.all(
        update(User)
        .where(col(User.id) == user_id, col(User.purged_seq) < highest)
        .values(purged_seq=highest)
        .returning(col(User.id))
    )
    return len(tasks)
