"""After a change of the tz database: the instants of tasks whose times have a zone.

The local times stay, since they are what the user said. So do tasks that were over before yesterday.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlmodel import col

from taskwell.core import time_zones
from taskwell.core.clock import utc_now
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.models import Housekeeping, Task
from taskwell.services.sequence import lock
from taskwell.services.task_dates import Dates, recomputed
from taskwell.services.task_rows import write_tasks
from taskwell.services.users import UserNotFound

_AT_ONCE = 1_000  # tasks read in a transaction
_PAST = timedelta(days=1)
_BEFORE_ALL = UUID(int=0)


async def recompute_instants(database: Database) -> None:
    """Recompute them once for each version of the tz database, in small transactions.

    A second server that does so at the same time waits for the user's row, and then finds no difference.
    """
    if await database.read(_is_done):
        return
    since = utc_now() - _PAST
    user_id = await database.read(_next_user, "", since)
    while user_id is not None:
        after: UUID | None = _BEFORE_ALL
        while after is not None:
            after = await database.write(_recompute, user_id, after, since)
        user_id = await database.read(_next_user, user_id, since)
    await database.write(_note_done)


def _chore() -> str:
    return f"time zones {time_zones.VERSION}"


async def _is_done(transaction: ReadTransaction) -> bool:
    done = select(col(Housekeeping.chore)).where(col(Housekeeping.chore) == _chore())
    return await transaction.first(done) is not None


async def _note_done(transaction: Transaction) -> None:
    done = transaction.insert(Housekeeping).values(chore=_chore(), done_at=utc_now())
    await transaction.execute(done.on_conflict_do_nothing())


async def _next_user(transaction: ReadTransaction, after: str, since: datetime) -> str | None:
    """The next user with such tasks. The users are read in the order of the primary key: once in all."""
    user_id = col(Task.user_id)
    found = select(user_id).where(user_id > after, *_zoned(since)).order_by(user_id).limit(1)
    row = await transaction.first(found)
    return row[0] if row else None


async def _recompute(transaction: Transaction, user_id: str, after: UUID, since: datetime) -> UUID | None:
    """Write those of the user's next tasks that differ. Returns the last id; None: there are no more."""
    try:
        await lock(transaction, user_id, create_user=False)
    except UserNotFound:  # erased meanwhile
        return None
    columns = (col(Task.id), *(col(getattr(Task, name)) for name in Dates._fields))
    some = (
        select(*columns)
        .where(col(Task.user_id) == user_id, col(Task.id) > after, *_zoned(since))
        .order_by(col(Task.id))
        .limit(_AT_ONCE)
    )
    rows = await transaction.all(some)
    found = ((row[0], Dates(*row[1:])) for row in rows)
    pairs = [(task_id, dates, recomputed(dates)) for task_id, dates in found]
    different = [
        {"id": task_id, "due_at": new.due_at, "start_at": new.start_at}
        for task_id, old, new in pairs
        if new != old
    ]
    await write_tasks(transaction, user_id, different)
    return rows[-1].id if len(rows) == _AT_ONCE else None


def _zoned(since: datetime) -> tuple[ColumnElement[bool], ...]:
    """The tasks that have a zone and are not over at an instant, in the trash too: they may be restored."""
    return (
        col(Task.time_zone).is_not(None),
        or_(col(Task.due_at) > since, col(Task.start_at) > since),
    )
