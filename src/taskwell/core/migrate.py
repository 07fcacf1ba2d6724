"""Migrations: Alembic on the scripts inside this package.

A migration runs in one transaction under a lock, and what there is to do is found out inside it: servers that
start at once do the work once.
"""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from taskwell.core.config import Settings
from taskwell.core.database import Database, open_backend

T = TypeVar("T")

VERSION_TABLE = "taskwell_version"  # `alembic_version` may be another application's
_SCRIPTS = Path(__file__).parents[1] / "migrations"
_PATIENCE_SECONDS = 60.0


class Schema(Enum):
    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"  # of this code: a newer taskwell was here


async def upgrade(settings: Settings, revision: str = "head") -> str:
    """Bring the schema to a revision. A schema ahead of this code is left as it is.

    Returns where it is then.
    """

    def work(connection: Connection) -> str:
        if revision != "head" or state_of(connection) is Schema.BEHIND:
            bring_to(connection, revision)
        return _place(connection)

    return await migrating(settings, work)


async def downgrade(settings: Settings, revision: str) -> str:
    """Take the schema back to a revision. Returns where it is then."""

    def work(connection: Connection) -> str:
        command.downgrade(_config(connection), revision)
        return _place(connection)

    return await migrating(settings, work)


def _place(connection: Connection) -> str:
    """The revision of the schema in words."""
    words = {Schema.CURRENT: " (head)", Schema.BEHIND: "", Schema.AHEAD: " (of a newer taskwell)"}
    return f"{revision_of(connection) or 'base'}{words[state_of(connection)]}"


async def check(settings: Settings) -> str | None:
    """What differs between the database and the models, or that it is not at the head; else None."""

    def work(connection: Connection) -> str | None:
        try:
            command.check(_config(connection))
        except CommandError as error:
            return str(error)
        return None

    return await migrating(settings, work)


async def revision(settings: Settings, message: str) -> None:
    """Write the next script from the difference between the models and the database."""

    def work(connection: Connection) -> None:
        config = _config(connection)
        number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")

    await migrating(settings, work)


async def state(database: Database) -> Schema:
    """Where the schema stands, read without any lock."""
    async with database.backend.reading() as connection:
        return await connection.run_sync(state_of)


def state_of(connection: Connection) -> Schema:
    current = revision_of(connection)
    scripts = ScriptDirectory.from_config(_config(connection))
    if current == scripts.get_current_head():
        return Schema.CURRENT
    known = {script.revision for script in scripts.walk_revisions()}
    return Schema.BEHIND if current is None or current in known else Schema.AHEAD


def revision_of(connection: Connection) -> str | None:
    """The revision of the schema; None where taskwell has never been."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def bring_to(connection: Connection, revision: str) -> None:
    """Migrate what is behind the revision, in the transaction of the connection."""
    command.upgrade(_config(connection), revision)


async def migrating(settings: Settings, work: Callable[[Connection], T]) -> T:
    """Work in a transaction of the migrations' role, which no other one shares."""
    backend = open_backend(settings, settings.migration_database)
    try:
        return await backend.migrate(work, _PATIENCE_SECONDS)
    finally:
        await backend.close()


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    # Alembic's configuration interpolates; a folder with a % in its name is legal.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("version_path_separator", "newline")
    return config
