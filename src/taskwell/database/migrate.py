"""Migrations: Alembic on the scripts inside this package.

A migration runs in one transaction under a lock, and what there is to do is found out inside it: servers that
start at once do the work once.
"""

import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

from taskwell.core.settings import Settings
from taskwell.database.database import Database, open_backend

T = TypeVar("T")

# What the migrations make. The models know it too, and this room does not know them; a test compares.
OWN_TABLES = ("api_tokens", "erased_users", "housekeeping", "idempotency_keys", "tasks", "users")
VERSION_TABLE = "taskwell_version"  # `alembic_version` may be another application's
_SCRIPTS = Path(__file__).parents[1] / "migrations"
_PATIENCE_SECONDS = 60.0
_FIRST_NAME = re.compile(r'"(?:[^"]|"")+"|[^",\s]+')


class Schema(Enum):
    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"  # of this code: a newer taskwell was here


class OthersTables(Exception):
    """Tables that taskwell would make are there already, and are not its own. The message says what to do."""

    def __init__(self, settings: Settings, names: list[str]) -> None:
        url = settings.migration_database
        schema = "give it a schema by ?options=-csearch_path%3Dtaskwell in DATABASE_URL, or another database"
        where = "set DATABASE_URL to a file of its own" if url.is_sqlite else schema
        held = f"{'tables' if len(names) > 1 else 'a table'} of another program, {' and '.join(names)}"
        super().__init__(f"{url} has {held}, where taskwell would make its own: {where}")


async def upgrade(settings: Settings, revision: str = "head") -> str:
    """Bring the schema to a revision. A schema ahead of this code is left as it is.

    Returns where it is then.

    Raises:
        OthersTables: there are such.
    """

    def work(connection: Connection) -> str:
        if revision_of(connection) is None:
            _have_schema(connection)
            if names := others_tables(connection):
                raise OthersTables(settings, names)
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


def others_tables(connection: Connection) -> list[str]:
    """What has the name of a table of ours, where taskwell has never been."""
    if revision_of(connection) is not None:
        return []
    schema = _named_schema(connection)
    found = inspect(connection)
    return [
        name for name in OWN_TABLES if found.has_table(name, _unquoted(schema) or found.default_schema_name)
    ]


def _named_schema(connection: Connection) -> str | None:
    """The first of the search path, quoted as it has to be; None: that of the user, or the usual one."""
    if connection.dialect.name != "postgresql":
        return None
    path: str = connection.execute(text("SELECT current_setting('search_path')")).scalar_one()
    first = _FIRST_NAME.match(path)
    return None if first is None or first[0] == '"$user"' else first[0]


def _unquoted(name: str | None) -> str | None:
    if name is None or not name.startswith('"'):
        return name and name.lower()
    return name[1:-1].replace('""', '"')


def _have_schema(connection: Connection) -> None:
    """Make the schema that the search path begins with, if it is not there."""
    if (name := _named_schema(connection)) is None:
        return
    missing = text("SELECT to_regnamespace(:name) IS NULL").bindparams(name=name)
    if connection.execute(missing).scalar_one():
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")


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
