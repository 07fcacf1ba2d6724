"""What has to be done now and then: emptying the trash, forgetting old keys.

It is done when the database is used and it is due, never while nobody uses it: a database that has been
suspended stays so. The database itself knows when it was done last, since a server may live for one request.
"""

import asyncio
import logging
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.errors import TaskwellError
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.models import Housekeeping
from taskwell.services import idempotency, trash, users

logger = logging.getLogger("taskwell")

KEY_LIFE = timedelta(hours=24)
_PERIOD = timedelta(hours=1)
_LOOK_SECONDS = 1.0  # how often to see, in this process alone, whether somebody has used the database
_SWEEP = "sweep"


async def run_forever(database: Database, trash_days: int) -> None:
    """Tidy up at the first use after it is due, in one of several processes; until cancelled."""
    await _used(database)
    await name_reserved_users(database)
    while True:
        pause = _PERIOD
        try:
            if await database.run(claim, utc_now()):
                await purge_expired(database, trash_days)
            pause = await database.read(_due_in, utc_now())
        except TaskwellError as error:
            logger.warning("tidying up has to wait: %s", error)
        except Exception:
            logger.exception("tidying up has to wait")
        await asyncio.sleep(pause.total_seconds())
        await _used(database)


async def name_reserved_users(database: Database) -> None:
    """Say once which users have an id that no new user gets. At the first use: it would wake the database."""
    found: list[str] | None = None
    while found is None:
        try:
            found = await database.read(users.list_reserved_users)
        except TaskwellError:
            await asyncio.sleep(_LOOK_SECONDS)
    if found:
        logger.warning("these users have ids that are reserved now, and keep them: %s", ", ".join(found[:20]))


async def _used(database: Database) -> None:
    """Until somebody uses the database."""
    uses = database.uses
    while database.uses == uses:  # noqa: ASYNC110 (an event would cost something at each use)
        await asyncio.sleep(_LOOK_SECONDS)


async def claim(transaction: Transaction, now: datetime) -> bool:
    """Whether it is due, and this process the one to do it: others find it done already."""
    if await _due_in(transaction, now) > timedelta():
        return False  # without writing, which would wait for others who write
    done_at = col(Housekeeping.done_at)
    statement = transaction.insert(Housekeeping).values(chore=_SWEEP, done_at=now)
    due = or_(done_at <= now - _PERIOD, done_at > now)
    claimed = statement.on_conflict_do_update(index_elements=["chore"], set_={"done_at": now}, where=due)
    return await transaction.first(claimed.returning(col(Housekeeping.chore))) is not None


async def _due_in(transaction: ReadTransaction, now: datetime) -> timedelta:
    """How long it may wait. Where a clock was wrong, and it was done in times to come, not at all."""
    row = await transaction.first(select(col(Housekeeping.done_at)).where(col(Housekeeping.chore) == _SWEEP))
    if row is None or row[0] > now:
        return timedelta()
    done_at: datetime = row[0]
    return max(done_at + _PERIOD - now, timedelta())


async def purge_expired(database: Database, trash_days: int) -> None:
    """Purge what has been in the trash for long enough, and forget the keys that have expired.

    Some at a time: whoever writes meanwhile comes in between.
    """
    now = utc_now()
    while await database.run(trash.purge, now - timedelta(days=trash_days)):
        pass
    while await database.run(idempotency.purge_expired, now - KEY_LIFE):
        pass
