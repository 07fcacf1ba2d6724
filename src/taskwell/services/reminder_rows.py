"""Writes when the server is to remind of tasks, in the transaction that changes their dates."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, delete, or_, select
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import Reminder, Task
from taskwell.models.base import table_of
from taskwell.services.reminder_times import REMINDED_BY, alarms_of, depends_on_user
from taskwell.services.zones import zone_of_user

# Setting one of these columns changes when the server reminds of a task.
DATED = frozenset({*REMINDED_BY, "due_at", "start_at"})
# The clocks of servers differ by less.
_KEPT = timedelta(hours=1)
_AT_ONCE = 1_000
_BEFORE_ALL = UUID(int=0)
_COLUMNS = table_of(Reminder).c
_TASKS = table_of(Task).c


async def write_reminders(
    transaction: Transaction, user_id: str, tasks: Sequence[Mapping[str, Any]], *, are_new: bool = False
) -> None:
    """Write the instants of tasks that are not past.

    `tasks`: each with its `id` and the columns `REMINDED_BY`. What was sent, and what is due and about to be,
    stays. The user's row is locked.
    """
    zone = await zone_for_reminders(transaction, user_id, tasks)
    wanted = {task["id"]: alarms_of(task, zone) for task in tasks}
    now = utc_now()
    there = [] if are_new else await _stored(transaction, user_id, wanted)
    known = {(row.task_id, row.kind, row.at) for row in there}
    gone = [
        row.id
        for row in there
        if (
            (row.kind, row.at) not in wanted[row.task_id]
            if row.fired_at is None
            else row.fired_at < now - _KEPT
        )
    ]
    rows = [
        {"user_id": user_id, "id": uuid7(), "task_id": task_id, **alarm._asdict(), "fired_at": None}
        for task_id, alarms in wanted.items()
        for alarm in alarms
        if alarm.at > now and (task_id, *alarm) not in known
    ]
    if gone:
        await transaction.execute(delete(Reminder).where(_COLUMNS.user_id == user_id, _COLUMNS.id.in_(gone)))
    if rows:
        await transaction.insert_rows(table_of(Reminder), rows)
        transaction.looks.append(min(row["at"] for row in rows))


async def zone_for_reminders(
    transaction: ReadTransaction, user_id: str, tasks: Sequence[Mapping[str, Any]]
) -> str:
    """The zone of the user, or else the server's; that of a request is for the request alone."""
    if not any(map(depends_on_user, tasks)):
        return transaction.default_zone
    return await zone_of_user(transaction, user_id) or transaction.default_zone


async def _stored(transaction: Transaction, user_id: str, task_ids: Collection[UUID]) -> Sequence[Row[Any]]:
    own = (_COLUMNS.user_id == user_id, _COLUMNS.task_id.in_(task_ids))
    return await transaction.all(select(*_COLUMNS).where(*own))


async def rewrite_reminders(transaction: Transaction, user_id: str) -> None:
    """Write those of all tasks of a user, whose row is locked."""
    after: UUID | None = _BEFORE_ALL
    while after is not None:
        after = await rewrite_some(transaction, user_id, after)


async def rewrite_some(transaction: Transaction, user_id: str, after: UUID = _BEFORE_ALL) -> UUID | None:
    """Write those of the next tasks of a user, whose row is locked.

    Returns the id of the last one; None: there are no more.
    """
    columns = (_TASKS[name] for name in ("id", *REMINDED_BY))
    some = select(*columns).where(_TASKS.user_id == user_id, _TASKS.id > after, may_remind())
    rows = await transaction.all(some.order_by(_TASKS.id).limit(_AT_ONCE))
    if rows:
        await write_reminders(transaction, user_id, [row._asdict() for row in rows])
    return rows[-1].id if len(rows) == _AT_ONCE else None


def may_remind() -> ColumnElement[bool]:
    """The tasks that may have an instant in the future, whatever the zone."""
    day_before = (utc_now() - timedelta(days=2)).date().isoformat()
    return or_(_TASKS.due >= day_before, _TASKS.reminders.is_not(None))


def reminded_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that `write_reminders` needs, of a task that may lack some."""
    return {name: row.get(name) for name in ("id", *REMINDED_BY)}


def is_reminded_of(row: Mapping[str, Any]) -> bool:
    return bool(row.get("due") or row.get("reminders"))
