"""Migrations: runs Alembic on the scripts in this package.

A migration checks the revision and runs in a transaction under a lock, so servers that start at the same
time migrate once. Where many rows need a new value, it commits first and fills them in stretches, with a
transaction each: other servers continue to answer, and an interrupted migration continues where it was.
"""

import logging
import re
from collections.abc import Callable
from enum import Enum
from functools import cache
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
from taskwell.migrations.fills import FILLS, START, Fill

logger = logging.getLogger("taskwell")

T = TypeVar("T")

# The tables that the migrations create. This package may not import the models; a test compares the two.
OWN_TABLES = (
    "api_tokens", "erased_users", "housekeeping", "idempotency_keys", "labels", "lists", "reminders",
    "task_history", "tasks", "users", "webhook_deliveries", "webhooks",
)  # fmt: skip
VERSION_TABLE = "taskwell_version"  # `alembic_version` may be another application's
_SCRIPTS = Path(__file__).parents[1] / "migrations"
_PATIENCE_SECONDS = 60.0
_FIRST_NAME = re.compile(r'"(?:[^"]|"")+"|[^",\s]+')


class Schema(Enum):
    CURRENT = "current"
    BEHIND = "behind"
    AHEAD = "ahead"  # of this code: migrated by a newer taskwell


class ConflictingTables(Exception):
    """Tables of another program have the names of taskwell's. The message says what to do."""

    def __init__(self, settings: Settings, names: list[str]) -> None:
        url = settings.migration_database
        schema = "add ?options=-csearch_path%3Dtaskwell to DATABASE_URL, or use another database"
        remedy = "set DATABASE_URL to a new file" if url.is_sqlite else schema
        found = f"{'tables' if len(names) > 1 else 'a table'} of another program, {' and '.join(names)}"
        super().__init__(f"{url} has {found}, where taskwell would create its own: {remedy}")


async def upgrade(settings: Settings, revision: str = "head") -> str:
    """Migrate the schema to a revision. A schema ahead of this code stays unchanged.

    Returns the resulting revision.

    Raises:
        ConflictingTables: another program's tables have the names of taskwell's.
    """
    steps = _Steps(revision)

    def work(connection: Connection) -> str | None:
        if revision_of(connection) is None:
            _create_schema(connection)
            if names := conflicting_tables(connection):
                raise ConflictingTables(settings, names)
        behind = revision != "head" or state_of(connection) is Schema.BEHIND
        if behind and not steps.advance(connection):
            return None
        return _described_revision(connection)

    reached = None
    while reached is None:
        reached = await migrating(settings, work)
    return reached


async def downgrade(settings: Settings, revision: str) -> str:
    """Downgrade the schema to a revision. Returns the resulting revision."""

    def work(connection: Connection) -> str:
        command.downgrade(_config(connection), revision)
        return _described_revision(connection)

    return await migrating(settings, work)


def _described_revision(connection: Connection) -> str:
    """The revision of the schema in words."""
    words = {Schema.CURRENT: " (head)", Schema.BEHIND: "", Schema.AHEAD: " (of a newer taskwell)"}
    return f"{revision_of(connection) or 'base'}{words[state_of(connection)]}"


async def check(settings: Settings) -> str | None:
    """The difference between the database and the models or the head revision; None if there is none."""

    def work(connection: Connection) -> str | None:
        try:
            command.check(_config(connection))
        except CommandError as error:
            return str(error)
        return None

    return await migrating(settings, work)


async def revision(settings: Settings, message: str) -> None:
    """Generate the next script from the difference between the models and the database."""

    def work(connection: Connection) -> None:
        config = _config(connection)
        number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
        command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")

    await migrating(settings, work)


async def state(database: Database) -> Schema:
    """The state of the schema, read without a lock."""
    async with database.backend.reading() as connection:
        return await connection.run_sync(state_of)


def state_of(connection: Connection) -> Schema:
    current, known = revision_of(connection), _revisions()
    if current == known[-1]:
        return Schema.CURRENT
    return Schema.BEHIND if current is None or current in known else Schema.AHEAD


@cache
def _revisions() -> tuple[str, ...]:
    """All revisions, the first one first. Alembic runs every script to learn them, so they are read once."""
    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(script.revision for script in scripts)[::-1]


def revision_of(connection: Connection) -> str | None:
    """The revision of the schema; None if taskwell never migrated it."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def conflicting_tables(connection: Connection) -> list[str]:
    """Tables with the names of taskwell's, in a schema that taskwell never migrated."""
    if revision_of(connection) is not None:
        return []
    schema = _named_schema(connection)
    found = inspect(connection)
    return [
        name for name in OWN_TABLES if found.has_table(name, _unquoted(schema) or found.default_schema_name)
    ]


def _named_schema(connection: Connection) -> str | None:
    """The first schema of the search path, quoted as SQL needs it; None: the user's own, or the default."""
    if connection.dialect.name != "postgresql":
        return None
    path: str = connection.execute(text("SELECT current_setting('search_path')")).scalar_one()
    first = _FIRST_NAME.match(path)
    return None if first is None or first[0] == '"$user"' else first[0]


def _unquoted(name: str | None) -> str | None:
    if name is None or not name.startswith('"'):
        return name and name.lower()
    return name[1:-1].replace('""', '"')


def _create_schema(connection: Connection) -> None:
    """Create the first schema of the search path if it does not exist."""
    if (name := _named_schema(connection)) is None:
        return
    missing = text("SELECT to_regnamespace(:name) IS NULL").bindparams(name=name)
    if connection.execute(missing).scalar_one():
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")


def bring_to(connection: Connection, revision: str) -> None:
    """Migrate an older schema to the revision, in the connection's transaction."""
    steps = _Steps(revision)
    while not steps.advance(connection):
        pass


class _Steps:
    """The way to a revision, in steps that may have a transaction each."""

    def __init__(self, revision: str) -> None:
        self._revision = revision
        self._after: str | None = None  # the place that the present fill has reached
        self._left = 0

    def advance(self, connection: Connection) -> bool:
        """Take a step. False: commit it, and take another."""
        config = _config(connection)
        # A schema without tables has no row to fill.
        for before, fill in FILLS.items() if revision_of(connection) else ():
            if _lies_between(revision_of(connection), before, self._revision):
                command.upgrade(config, before)
                if fill.left(connection):
                    return False
            if revision_of(connection) == before and self._fill(connection, fill):
                return False
        command.upgrade(config, self._revision)
        return True

    def _fill(self, connection: Connection, fill: Fill) -> bool:
        """Fill a stretch. False: no row is left."""
        if self._after is None:
            self._after, self._left = START[connection.dialect.name], fill.left(connection)
        begins = self._after == START[connection.dialect.name]
        count, self._after = fill.stretch(connection, self._after)
        self._left -= count
        if count:
            logger.info("migration: %d rows of %s are left to fill", max(self._left, 0), fill.table)
        elif begins and fill.left(connection):  # others have locked all that are left
            fill.wait(connection)
            return True
        return bool(count) or not begins


def _lies_between(current: str | None, middle: str, target: str) -> bool:
    """Whether the way from the current revision to the target leads over the middle one."""
    order = _revisions()
    end = order[-1] if target == "head" else target
    if current not in order or end not in order:  # relative, or unknown: Alembic knows
        return False
    return order.index(current) < order.index(middle) < order.index(end)


async def migrating(settings: Settings, work: Callable[[Connection], T]) -> T:
    """Run work in a transaction of the migration role, under the migration lock."""
    url = settings.migration_database
    # There may be a pooler that is not known yet, and what runs once need not be prepared.
    backend = open_backend(settings, url if url.is_sqlite else url.through_pooler())
    try:
        return await backend.migrate(work, _PATIENCE_SECONDS)
    finally:
        await backend.close()


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    # Alembic's configuration interpolates; a folder with a % in its name is legal.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("version_path_separator", "newline")
    return config
