"""Startup: migrates the database, and retries while it is unavailable."""

import asyncio
import logging

from taskwell.core.errors import TaskwellError
from taskwell.core.settings import Settings
from taskwell.database import migrate, row_security
from taskwell.database.database import Database
from taskwell.database.faults import lasting_reason, reason_of
from taskwell.database.migrate import ConflictingTables, Schema
from taskwell.database.sqlite_file import absolute, closed_files

logger = logging.getLogger("taskwell")

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0


class StartupError(Exception):
    """The database cannot be used until an operator acts. The message says how; it holds no secret."""


async def start(settings: Settings, database: Database) -> asyncio.Task[None]:
    """Make the database ready; while it is unavailable, the returned task retries.

    Raises:
        StartupError: an operator must fix something first.
    """
    await _try(settings, database)
    return asyncio.create_task(_keep_trying(settings, database))


async def prepare(settings: Settings, database: Database) -> str | None:
    """Make the database `ready`. Returns the obstacle if a later attempt may succeed.

    Raises:
        StartupError: an operator must fix something first.
    """
    try:
        _require_writable_files(settings)
        schema = await migrate.state(database)
        if schema is Schema.BEHIND and settings.migrate_at_start:
            await _migrate(settings)
            schema = await migrate.state(database)
        if schema is not Schema.BEHIND:
            await _isolate_users(settings, database, may_alter=settings.migrate_at_start)
    except StartupError:
        raise
    except Exception as error:
        database.note_pooler(error)
        reason = _reason(settings, error)
        if reason is None:
            raise
        return f"the database cannot be used yet: {reason}"
    if schema is Schema.BEHIND:
        return "the database's schema is behind: run `taskwell db upgrade`"
    if schema is Schema.AHEAD:
        logger.warning("the database was migrated by a newer taskwell")
    database.ready = True
    return None


async def upgrade(settings: Settings, revision: str = "head") -> str:
    """Migrate as a server does at its start. Returns the resulting revision.

    Raises:
        StartupError: another program's tables are in the way, or row-level security cannot be turned on.
    """
    reached = await _migrate(settings, revision)
    if revision != "head" or row_security.required(settings) is None:
        return reached
    database = Database(settings)
    try:
        await _isolate_users(settings, database, may_alter=True)
    finally:
        await database.close()
    return reached


async def _migrate(settings: Settings, revision: str = "head") -> str:
    """Raises StartupError: another program's tables are in the way."""
    try:
        return await migrate.upgrade(settings, revision)
    except ConflictingTables as error:
        raise StartupError(str(error)) from None


async def _keep_trying(settings: Settings, database: Database) -> None:
    pause = _FIRST_PAUSE_SECONDS
    while not database.ready:
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        try:
            await _try(settings, database)
        except StartupError as error:
            logger.error("%s", error)  # noqa: TRY400 (the message suffices)
        except Exception:
            logger.exception("the database cannot be prepared")


async def _try(settings: Settings, database: Database) -> None:
    obstacle = await prepare(settings, database)
    if obstacle is not None:
        logger.warning(obstacle)
    else:
        isolation = ", with row-level security" if database.backend.isolates_users else ""
        logger.info("serving from %s%s", settings.database, isolation)


def _require_writable_files(settings: Settings) -> None:
    """Refuse files that are not writable: SQLite would open them, and every write would fail."""
    closed = closed_files(absolute(settings.database.path)) if settings.database.is_sqlite else []
    if closed:
        sentence = f"{closed[0]} is not writable: check the permissions of the file and its folder"
        raise StartupError(sentence)


async def _isolate_users(settings: Settings, database: Database, *, may_alter: bool) -> None:
    """Raises StartupError: row-level security must be on, and cannot be."""
    obstacle = await row_security.arrange(settings, database, may_alter=may_alter)
    if obstacle is None:
        return
    if settings.row_level_security == "on":
        raise StartupError(obstacle)
    logger.info("%s", obstacle)


def _reason(settings: Settings, error: Exception) -> str | None:
    """Why the database cannot be used yet, or None if the error is not the database's.

    Raises:
        StartupError: an operator must fix it.
    """
    if (lasting := lasting_reason(settings.database, error)) is not None:
        raise StartupError(lasting) from error
    return error.detail if isinstance(error, TaskwellError) else reason_of(settings.database, error)
