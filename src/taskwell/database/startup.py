"""Making the database ready to serve: migrations at the start, and patience while it is away."""

import asyncio
import logging

from taskwell.core.errors import TaskwellError
from taskwell.core.settings import Settings
from taskwell.database import migrate, row_security
from taskwell.database.database import Database
from taskwell.database.faults import lasting_reason, reason_of
from taskwell.database.migrate import OthersTables, Schema
from taskwell.database.sqlite_file import absolute, closed_files

logger = logging.getLogger("taskwell")

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0


class StartupError(Exception):
    """Waiting will not help. The message says what will; it holds no secret."""


async def start(settings: Settings, database: Database) -> asyncio.Task[None]:
    """Make the database ready; if it is away, go on trying in the task that is returned.

    Raises:
        StartupError: an operator has to change something first.
    """
    await _try(settings, database)
    return asyncio.create_task(_keep_trying(settings, database))


async def prepare(settings: Settings, database: Database) -> str | None:
    """Make the database ready: then it is `ready`. Returns what is in the way, if it has to be waited for.

    Raises:
        StartupError: an operator has to change something first.
    """
    try:
        _need_open_files(settings)
        schema = await migrate.state(database)
        if schema is Schema.BEHIND and settings.migrate_at_start:
            await _migrate(settings)
            schema = await migrate.state(database)
        if schema is not Schema.BEHIND:
            await _keep_users_apart(settings, database, may_alter=settings.migrate_at_start)
    except StartupError:
        raise
    except Exception as error:
        reason = _reason(settings, error)
        if reason is None:
            raise
        return f"the database cannot be used yet: {reason}"
    if schema is Schema.BEHIND:
        return "the database waits for its migrations: run `taskwell db upgrade`"
    if schema is Schema.AHEAD:
        logger.warning("the database was migrated by a newer taskwell")
    database.ready = True
    return None


async def upgrade(settings: Settings, revision: str = "head") -> str:
    """What a start does to the database, done beforehand. Returns where the schema is then.

    Raises:
        StartupError: tables of another program are in the way, or row-level security cannot be turned on.
    """
    place = await _migrate(settings, revision)
    if revision != "head" or row_security.wanted(settings) is None:
        return place
    database = Database(settings)
    try:
        await _keep_users_apart(settings, database, may_alter=True)
    finally:
        await database.close()
    return place


async def _migrate(settings: Settings, revision: str = "head") -> str:
    """Raises StartupError: tables of another program are in the way."""
    try:
        return await migrate.upgrade(settings, revision)
    except OthersTables as error:
        raise StartupError(str(error)) from None


async def _keep_trying(settings: Settings, database: Database) -> None:
    pause = _FIRST_PAUSE_SECONDS
    while not database.ready:
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        try:
            await _try(settings, database)
        except StartupError as error:
            logger.error("%s", error)  # noqa: TRY400 (the message says it all)
        except Exception:
            logger.exception("the database cannot be prepared")


async def _try(settings: Settings, database: Database) -> None:
    obstacle = await prepare(settings, database)
    if obstacle is not None:
        logger.warning(obstacle)
    else:
        apart = ", with row-level security" if database.backend.keeps_users_apart else ""
        logger.info("serving from %s%s", settings.database, apart)


def _need_open_files(settings: Settings) -> None:
    """SQLite reads a file that may not be written, and every write would fail."""
    closed = closed_files(absolute(settings.database.path)) if settings.database.is_sqlite else []
    if closed:
        sentence = f"{closed[0]} may not be written: check the permissions of the file and its folder"
        raise StartupError(sentence)


async def _keep_users_apart(settings: Settings, database: Database, *, may_alter: bool) -> None:
    """Raises StartupError: row-level security has to be on, and cannot."""
    obstacle = await row_security.arrange(settings, database, may_alter=may_alter)
    if obstacle is None:
        return
    if settings.row_level_security == "on":
        raise StartupError(obstacle)
    logger.info("%s", obstacle)


def _reason(settings: Settings, error: Exception) -> str | None:
    """Why the database cannot be used yet, or None if the error is not the database's.

    Raises:
        StartupError: it will not come right by itself.
    """
    if (lasting := lasting_reason(settings.database, error)) is not None:
        raise StartupError(lasting) from error
    return error.detail if isinstance(error, TaskwellError) else reason_of(settings.database, error)
