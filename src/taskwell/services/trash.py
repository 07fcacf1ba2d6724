"""Many tasks at once into the trash, and out of it for ever."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlmodel import col

from taskwell.database.database import Transaction
from taskwell.models import Task, User
from taskwell.schemas.query import TaskFilter
from taskwell.services.sequence import next_numbers
from taskwell.services.task_fields import instant_of_write
from taskwell.services.task_query import conditions

_PURGED_AT_ONCE = 1_000


async def delete_tasks(
    transaction: Transaction,
    user_id: str,
    task_filter: TaskFilter,
    check: Callable[[int], None] | None = None,
) -> int:
    """Move every task of the filter to the trash, each under its own number. Returns how many.

    `check` is called with the user's last number before, and raises if nothing is to be done.
    """
    # No number is taken yet, but the row is locked: nobody else can write these tasks until the end.
    row = await transaction.first(next_numbers(user_id, 0))
    if check is not None:
        check(row[0] if row else 0)
    if row is None:
        return 0
    meant = (
        select(col(Task.id), func.row_number().over(order_by=col(Task.version)).label("place"))
        .where(*conditions(transaction.dialect, user_id, task_filter))
        .subquery()
    )
    now = instant_of_write(transaction.dialect)
    statement = (
        update(Task)
        .where(col(Task.user_id) == user_id, col(Task.id) == meant.c.id)
        .values(deleted_at=now, updated_at=now, version=row[0] + meant.c.place)
        .returning(col(Task.id))
    )
    count = len(await transaction.all(statement))
    if count:
        await transaction.first(next_numbers(user_id, count))
    return count


async def purge(transaction: Transaction, deleted_before: datetime) -> int:
    """Remove for ever some tasks that went to the trash before an instant. Returns how many; 0 at the end.

    A user's number is taken too, since the list of the trash changes.
    """
    old = col(Task.deleted_at) < deleted_before
    row = await transaction.first(select(col(Task.user_id)).where(old).limit(1))
    if row is None:
        return 0
    (user_id,) = row
    await transaction.first(next_numbers(user_id, 1))
    doomed = (
        select(col(Task.id), col(Task.version))
        .where(col(Task.user_id) == user_id, old)
        .order_by(col(Task.deleted_at))
        .limit(_PURGED_AT_ONCE)
    )
    tasks = await transaction.all(doomed)
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
