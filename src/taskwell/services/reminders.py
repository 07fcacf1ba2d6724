"""Reminds of tasks when their time has come: each reminder takes a number and has a record, once.

Each process waits for the earliest instant that it knows: of its own writes, and of a look at the database.
It looks at its start, when an instant has come, and once a minute while the database is in use, never at an
idle database: a suspended one is woken by what is due alone.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, delete, select, update
from sqlmodel import col

from taskwell.core import time_zones
from taskwell.core.clock import utc_now
from taskwell.core.errors import TaskwellError
from taskwell.database.database import Database, ReadTransaction, Transaction, count_no_use
from taskwell.models import Housekeeping, Reminder, Task
from taskwell.models.base import table_of
from taskwell.services.history import Record, write_records
from taskwell.services.reminder_rows import (
    may_remind,
    rewrite_some,
    write_reminders,
    zone_for_reminders,
)
from taskwell.services.reminder_times import REMINDED_BY, Alarm, alarms_of
from taskwell.services.sequence import lock, next_numbers
from taskwell.services.users import UserNotFound

logger = logging.getLogger("taskwell")

_AT_ONCE = 100
_LATEST = timedelta(days=7)  # a restored backup does not remind of last year
_LOOK_SECONDS = 60.0  # while the database is in use: what other processes wrote
_POLL_SECONDS = 1.0  # between checks, within this process
_LONGEST_PAUSE_SECONDS = 60.0  # after an error
_COLUMNS = table_of(Reminder).c
_TASKS = table_of(Task).c
_WAITS = _COLUMNS.fired_at.is_(None)
_CHORE = "reminders "


class Reminders:
    """Reminds of the tasks of all users, in one of several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: datetime | None = None
        self._are_written = False
        database.look_at = self.look_at

    def look_at(self, instant: datetime) -> None:
        """Look at the database at an instant."""
        self._next = instant if self._next is None else min(self._next, instant)

    async def run_forever(self) -> None:
        count_no_use()  # or each look would make for another one, and for housekeeping
        while not self._database.ready:  # noqa: ASYNC110 (nothing announces it)
            await asyncio.sleep(_POLL_SECONDS)
        pause = _POLL_SECONDS
        while True:
            try:
                await self._look()
            except TaskwellError as error:
                logger.warning("reminders wait, and will be sent later: %s", error)
            except Exception:
                logger.exception("reminders failed, and will be sent later")
            else:
                pause = _POLL_SECONDS
                await self._wait()
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _look(self) -> None:
        """Send what is due, and note when the next one is."""
        self._next = None
        if not self._are_written:
            await write_once(self._database)
            self._are_written = True
        await send_due(self._database)
        earliest = await self._database.read(_earliest)
        if earliest is not None:
            self.look_at(earliest)

    async def _wait(self) -> None:
        uses, look = self._database.uses, time.monotonic() + _LOOK_SECONDS
        while not (self._is_due() or (self._database.uses != uses and time.monotonic() >= look)):
            until = _POLL_SECONDS if self._next is None else (self._next - utc_now()).total_seconds()
            await asyncio.sleep(min(max(until, 0.0), _POLL_SECONDS))

    def _is_due(self) -> bool:
        return self._next is not None and self._next <= utc_now()


async def send_due(database: Database) -> None:
    """Send everything that is due, in a transaction for each user of some."""
    while due := await database.read(_due, utc_now()):
        sent = 0
        for user_id, rows in groupby(sorted(due, key=lambda row: row.user_id), lambda row: row.user_id):
            ids = [row.id for row in rows]
            async with database.serialized(user_id):
                sent += await database.write(_send, user_id, ids)
        if not sent:  # another process does it
            await asyncio.sleep(random.uniform(0.01, 0.1))  # noqa: S311 (jitter, no secret)


async def _due(transaction: ReadTransaction, now: datetime) -> Sequence[Row[Any]]:
    statement = select(_COLUMNS.user_id, _COLUMNS.id).where(_WAITS, _COLUMNS.at <= now)
    return await transaction.all(statement.order_by(_COLUMNS.at, _COLUMNS.user_id).limit(_AT_ONCE))


async def _earliest(transaction: ReadTransaction) -> datetime | None:
    """The next instant, without tasks that are completed or deleted: they wake no database."""
    own = and_(_TASKS.user_id == _COLUMNS.user_id, _TASKS.id == _COLUMNS.task_id)
    # Not EXISTS, which PostgreSQL without statistics joins with all tasks, instead of stopping at the first.
    is_open = select(and_(*_is_open())).where(own).correlate(table_of(Reminder)).scalar_subquery()
    statement = select(_COLUMNS.at).where(_WAITS, is_open)
    row = await transaction.first(statement.order_by(_COLUMNS.at).limit(1))
    return row[0] if row else None


def _is_open() -> tuple[ColumnElement[bool], ...]:
    return (_TASKS.deleted_at.is_(None), _TASKS.completed.is_(False))


async def _send(transaction: Transaction, user_id: str, ids: Sequence[UUID]) -> int:
    """Mark those of a user's reminders that are not, and record those of open tasks.

    What another process has sent is left. So is, with a mark but without a record, what is of a task that is
    completed or deleted or has other dates by now, and what is very late. Returns the number of marks.
    """
    try:
        await lock(transaction, user_id, create_user=False)
    except UserNotFound:  # erased meanwhile
        return 0
    now = utc_now()
    marked = await transaction.all(
        update(Reminder)
        .where(_COLUMNS.user_id == user_id, _COLUMNS.id.in_(ids), _WAITS)
        .values(fired_at=now)
        .returning(_COLUMNS.task_id, _COLUMNS.kind, _COLUMNS.at)
    )
    in_time = [row for row in marked if row.at >= now - _LATEST]
    tasks = await _open_tasks(transaction, user_id, {row.task_id for row in in_time})
    zone = await zone_for_reminders(transaction, user_id, list(tasks.values()))
    alarms = {task_id: alarms_of(task, zone) for task_id, task in tasks.items()}
    found = [(row.task_id, Alarm(row.kind, row.at)) for row in in_time if row.task_id in tasks]
    sent = [(task_id, alarm) for task_id, alarm in found if alarm in alarms[task_id]]
    await _record(transaction, user_id, sent, now)
    others = {task_id for task_id, alarm in found if alarm not in alarms[task_id]}
    if others:
        await write_reminders(transaction, user_id, [tasks[task_id] for task_id in others])
    return len(marked)


async def _open_tasks(transaction: Transaction, user_id: str, ids: set[UUID]) -> dict[UUID, dict[str, Any]]:
    if not ids:
        return {}
    columns = (_TASKS[name] for name in ("id", *REMINDED_BY))
    statement = select(*columns).where(_TASKS.user_id == user_id, _TASKS.id.in_(ids), *_is_open())
    return {row.id: row._asdict() for row in await transaction.all(statement)}


async def _record(
    transaction: Transaction, user_id: str, sent: Sequence[tuple[UUID, Alarm]], now: datetime
) -> None:
    if not sent:
        return
    row = await transaction.first(next_numbers(user_id, len(sent)))
    assert row is not None
    in_order = sorted(sent, key=lambda one: (one[1].at, one[1].kind, one[0]))
    records = [
        Record(user_id, "task", task_id, alarm.kind, now, {"at": (None, alarm.at)})
        for task_id, alarm in in_order
    ]
    await write_records(transaction, records, row[0] - len(sent) + 1)


# What the instants follow from beside the tasks: the tz database, and the zone of users who have none.


async def write_once(database: Database) -> None:
    """Write the reminders of all tasks, once for what they follow from, in small transactions."""
    if await database.read(_is_done):
        return
    user_id = await database.read(_next_user, "")
    while user_id is not None:
        after: UUID | None = UUID(int=0)
        while after is not None:
            async with database.serialized(user_id):
                after = await database.write(_rewrite, user_id, after)
        user_id = await database.read(_next_user, user_id)
    await database.write(_note_done)


def _chore(transaction: ReadTransaction) -> str:
    return f"{_CHORE}{time_zones.VERSION} {transaction.default_zone}"


async def _is_done(transaction: ReadTransaction) -> bool:
    done = select(col(Housekeeping.chore)).where(col(Housekeeping.chore) == _chore(transaction))
    return await transaction.first(done) is not None


async def _next_user(transaction: ReadTransaction, after: str) -> str | None:
    """The next user with such tasks. The users are read in the order of the primary key: once in all."""
    found = select(_TASKS.user_id).where(_TASKS.user_id > after, may_remind())
    row = await transaction.first(found.order_by(_TASKS.user_id).limit(1))
    return row[0] if row else None


async def _rewrite(transaction: Transaction, user_id: str, after: UUID) -> UUID | None:
    try:
        await lock(transaction, user_id, create_user=False)
    except UserNotFound:  # erased meanwhile
        return None
    return await rewrite_some(transaction, user_id, after)


async def _note_done(transaction: Transaction) -> None:
    chore = col(Housekeeping.chore)
    own = _chore(transaction)
    await transaction.execute(delete(Housekeeping).where(chore.startswith(_CHORE), chore != own))
    done = transaction.insert(Housekeeping).values(chore=own, done_at=utc_now())
    await transaction.execute(done.on_conflict_do_nothing())
