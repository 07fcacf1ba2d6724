"""What has to be done now and then: emptying the trash, forgetting old keys."""

import asyncio
import logging
from datetime import timedelta

from taskwell.core.clock import utc_now
from taskwell.core.database import Database
from taskwell.core.errors import TaskwellError
from taskwell.services import idempotency, trash, users

logger = logging.getLogger("taskwell")

KEY_LIFE = timedelta(hours=24)
_PAUSE_SECONDS = 3_600.0
_LOOK_SECONDS = 5.0
_PAUSES = 24  # without anybody using the database, which may be asleep


async def keep_house(database: Database, trash_days: int) -> None:
    """Tidy up after every hour in which somebody was there, and once a day in any case; until cancelled."""
    while True:
        await _while_nobody_is_there(database)
        try:
            await tidy_up(database, trash_days)
        except TaskwellError as error:
            logger.warning("tidying up has to wait: %s", error)


async def name_reserved_users(database: Database) -> None:
    """Say once, as soon as the database serves, which users have an id that no new user gets."""
    found: list[str] | None = None
    while found is None:
        try:
            found = await database.read(users.list_reserved_users)
        except TaskwellError:
            await asyncio.sleep(_LOOK_SECONDS)
    if found:
        logger.warning("these users have ids that are reserved now, and keep them: %s", ", ".join(found[:20]))


async def _while_nobody_is_there(database: Database) -> None:
    uses = database.uses
    for _ in range(_PAUSES):
        await asyncio.sleep(_PAUSE_SECONDS)
        if database.uses != uses:
            return


async def tidy_up(database: Database, trash_days: int) -> None:
    """Purge what has been in the trash for long enough, and forget the keys that have expired."""
    now = utc_now()
    while await database.run(trash.purge, now - timedelta(days=trash_days)):
        pass
    await database.run(idempotency.sweep, now - KEY_LIFE)
