"""Fresh databases of both kinds, and SQL beside the server."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url

from taskwell.core.settings import Settings
from taskwell.database import migrate

# What the templates hold, until `drop_templates`.
_templates = ExitStack()


def execute(url: str, statement: str) -> list[Any]:
    """Run one statement on a PostgreSQL, as an administrator would."""

    async def work() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(work())


@contextmanager
def open_transaction(url: str, statements: str) -> Iterator[Callable[[str], object]]:
    """Another session's transaction on a PostgreSQL, which holds locks. What is yielded runs more statements.

    It is rolled back at the end, unless a statement was COMMIT.
    """
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        try:
            runner.run(connection.execute(f"BEGIN; {statements}"))
            yield lambda more: runner.run(connection.execute(more))
        finally:
            runner.run(connection.close())


def waiting_sessions(url: str) -> int:
    """How many of the servers' sessions wait for a lock.

    A connection in use says less: the first try of a write never waits.
    """
    return len(
        execute(
            url,
            "SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'taskwell' AND wait_event_type = 'Lock'",
        )
    )


def admin_url() -> str:
    return os.environ["TEST_DATABASE_URL"]


@contextmanager
def new_postgres_database(template: str | None = None) -> Iterator[str]:
    """The URL of a database on the tests' server: an empty one, or a copy of the template."""
    name = f"taskwell_{uuid4().hex}"
    # Without fsync, to copy the files takes a fifth of the time of the default, which logs each page.
    source = f"TEMPLATE {template or 'template1'} STRATEGY file_copy"
    execute(admin_url(), f'CREATE DATABASE "{name}" {source}')
    try:
        yield make_url(admin_url()).set(database=name).render_as_string(hide_password=False)
    finally:
        execute(admin_url(), f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def new_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of either kind; SQLite's file is in the folder."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/test.db"
    else:
        with new_postgres_database() as url:
            yield url


@contextmanager
def copied_database(kind: str, original: str, folder: Path) -> Iterator[str]:
    """The URL of a copy. `original`: SQLite's file, or the name of an idle PostgreSQL database."""
    if kind == "sqlite":
        shutil.copyfile(original, folder / "test.db")
        yield f"sqlite:///{folder}/test.db"
    else:
        with new_postgres_database(original) as url:
            yield url


@contextmanager
def migrated_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a database with all tables and no row: a copy, since the migrations take a second."""
    with copied_database(kind, _template(kind), folder) as url:
        yield url


def drop_templates() -> None:
    _templates.close()


@cache
def _template(kind: str) -> str:
    """A database that is at the head, as `copied_database` takes it."""
    folder = _templates.enter_context(tempfile.TemporaryDirectory(prefix="taskwell-template-"))
    url = _templates.enter_context(new_database(kind, Path(folder)))
    _migrate(url)
    return str(make_url(url).database)


def _migrate(url: str) -> None:
    asyncio.run(migrate.upgrade(Settings(database_url=url)))
