"""Runs work on a database, reports errors in one sentence, and shows progress."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from taskwell.cli.settings import fail, load_settings

if TYPE_CHECKING:
    from taskwell.admin.copy import Progress
    from taskwell.core.database_url import DatabaseUrl
    from taskwell.database.database import Database

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], url: "DatabaseUrl") -> T:
    """Run work. `url`: of the database, for its errors."""
    from alembic.util import CommandError

    from taskwell.admin.copy import CannotCopy, Differs
    from taskwell.core.database_url import BadDatabaseUrl
    from taskwell.core.errors import TaskwellError
    from taskwell.database.faults import reason_of
    from taskwell.database.startup import StartupError

    try:
        return asyncio.run(work)
    except (CommandError, BadDatabaseUrl, StartupError, CannotCopy, Differs, TaskwellError) as error:
        fail(error)
    except Exception as error:
        if (reason := reason_of(url, error)) is None:
            raise
        fail(reason)


def need_database(url: "DatabaseUrl") -> None:
    """Fail if an SQLite file is missing: opening it would create an empty database."""
    from taskwell.core.database_url import BadDatabaseUrl
    from taskwell.database.sqlite_file import absolute

    try:
        there = not url.is_sqlite or absolute(url.path).exists()
    except BadDatabaseUrl as error:
        fail(error)
    if not there:
        fail(f"there is no database {url.path}: check the URL")


def on_database(work: "Callable[[Database], Awaitable[T]]", *, creates: bool = False) -> T:
    """Run work on the database, made ready as by a server. `creates`: create it if there is none."""
    from taskwell.core.principal import ALL_USERS, as_user
    from taskwell.database.database import Database
    from taskwell.database.startup import prepare

    settings = load_settings()
    if not creates:
        need_database(settings.database)

    async def main() -> T:
        database = Database(settings)
        try:
            if (obstacle := await prepare(settings, database)) is not None:
                fail(obstacle)
            with as_user(ALL_USERS):
                return await work(database)
        finally:
            await database.close()

    return run(main(), settings.database)


@contextmanager
def progress_shown(label: str) -> "Iterator[Progress]":
    """A progress bar on standard error, if that is a terminal."""
    from taskwell.admin.copy import Progress

    if not sys.stderr.isatty():
        yield Progress()
        return

    class Shown(Progress):
        def expect(self, rows: int) -> None:
            bar.length = rows

        def advance(self, rows: int) -> None:
            bar.update(rows)

    with typer.progressbar(length=1, label=label, file=sys.stderr) as bar:
        yield Shown()
