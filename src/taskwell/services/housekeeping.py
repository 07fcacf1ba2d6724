"""Housekeeping: purges what has expired, and follows changes of the tz database.

It runs when it is due and the database is in use, never on an idle database: a suspended one stays suspended.
The database stores when it last ran, since a server may live for one request.
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
from taskwell.services import deliveries, history, idempotency, trash, users
from taskwell.services.zone_changes import recompute_instants

logger = logging.getLogger("taskwell")

KEY_LIFE = timedelta(hours=24)
_PERIOD = timedelta(hours=1)
_POLL_SECONDS = 1.0  # between checks, within this process, whether the database was used
_SWEEP = "sweep"


async def run_forever(database: Database, trash_days: int, history_days: int) -> None:
    """Do what is due at the first use after it is due, in one of several processes; until cancelled."""
    await _used(database)
    await name_reserved_users(database)
    while True:
        pause = _PERIOD
        try:
            if await database.write(claim, utc_now()):
                await purge_expired(database, trash_days, history_days)
            await recompute_instants(database)
            pause = await database.read(_due_in, utc_now())
        except TaskwellError as error:
            logger.warning("housekeeping failed, and will be retried: %s", error)
        except Exception:
            logger.exception("housekeeping failed, and will be retried")
        await asyncio.sleep(pause.total_seconds())
        await _used(database)


async def name_reserved_users(database: Database) -> None:
    """Log once which users have reserved ids. At the first use, since the query would wake the database."""
    found: list[str] | None = None
    while found is None:
        try:
            found = await database.read(users.list_reserved_users)
        except TaskwellError:
            await asyncio.sleep(_POLL_SECONDS)
    if found:
        logger.warning("these users keep ids that are reserved now: %s", ", ".join(found[:20]))


async def _used(database: Database) -> None:
    """Wait until the database is used."""
    uses = database.uses
    while database.uses == uses:  # noqa: ASYNC110 (an event would cost time at each use)
        await asyncio.sleep(_POLL_SECONDS)


async def claim(transaction: Transaction, now: datetime) -> bool:
    """Claim the run if it is due. Returns whether this process has it: the others find it done."""
    if await _due_in(transaction, now) > timedelta():
        return False  # without a write, which would wait for other writers
    done_at = col(Housekeeping.done_at)
    statement = transaction.insert(Housekeeping).values(chore=_SWEEP, done_at=now)
    due = or_(done_at <= now - _PERIOD, done_at > now)
    claimed = statement.on_conflict_do_update(index_elements=["chore"], set_={"done_at": now}, where=due)
    return await transaction.first(claimed.returning(col(Housekeeping.chore))) is not None


async def _due_in(transaction: ReadTransaction, now: datetime) -> timedelta:
    """The time until it is due; 0 if a wrong clock stored a time in the future."""
    row = await transaction.first(select(col(Housekeeping.done_at)).where(col(Housekeeping.chore) == _SWEEP))
    if row is None or row[0] > now:
        return timedelta()
    done_at: datetime = row[0]
    return max(done_at + _PERIOD - now, timedelta())


async def purge_expired(database: Database, trash_days: int, history_days: int) -> None:
    """Purge expired trash, history, keys and logs, in small transactions that let other writes in between."""
    now = utc_now()
    while await database.write(trash.purge, now - timedelta(days=trash_days)):
        pass
    while await database.write(history.purge, now - timedelta(days=history_days)):
        pass
    while await database.write(idempotency.purge_expired, now - KEY_LIFE):
        pass
    while await database.write(deliveries.purge_log, now - deliveries.LOG_LIFE):
        pass
