"""What happens beside a test's own requests: SQL, the server's tidying, other clients."""

import asyncio
import random
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx2
from filelock import FileLock

from harness import databases
from harness.responses import create
from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.services import housekeeping

T = TypeVar("T")


def execute(settings: Settings, *statements: str) -> None:
    """Run statements on the server's database, each by itself."""
    if not settings.database.is_sqlite:
        for statement in statements:
            databases.execute(settings.database_url.get_secret_value(), statement)
        return
    path = settings.database.path
    # The server's own rule: whoever writes holds this lock.
    with FileLock(f"{path}-lock"), closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def rows(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    """What a statement finds in the server's database."""
    if not settings.database.is_sqlite:
        return list(map(tuple, databases.execute(settings.database_url.get_secret_value(), statement)))
    with closing(sqlite3.connect(settings.database.path)) as connection:
        return connection.execute(statement).fetchall()


def instant(settings: Settings, when: datetime) -> str:
    """An instant as SQL."""
    text = when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return f"'{text}'" if settings.database.is_sqlite else f"TIMESTAMPTZ '{text}+00'"


@asynccontextmanager
async def beside(settings: Settings) -> AsyncGenerator[Database]:
    """The database of a running server, which has checked its schema."""
    database = Database(settings)
    database.ready = True
    try:
        yield database
    finally:
        await database.close()


def purge_expired(settings: Settings) -> None:
    async def work() -> None:
        async with beside(settings) as database:
            await housekeeping.purge_expired(database, settings.trash_days, settings.history_days)

    asyncio.run(work())


def at_once(number: int, call: Callable[[int], T]) -> list[T]:
    """Call it in as many threads, which begin together; what each returned."""
    barrier = threading.Barrier(number)

    def work(index: int) -> T:
        barrier.wait(timeout=30)
        return call(index)

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(work, range(number)))


def scribble(client: httpx2.Client, tasks: str, seed: int, writes: int) -> None:
    """So many writes of every kind, of tasks of one's own."""
    dice = random.Random(seed)
    made: list[str] = []
    for number in range(writes):
        way = dice.choice(["create", "change", "toggle", "delete", "restore", "clear"])
        if way == "create" or not made:
            made.append(create(client, tasks, title=f"{seed}: {number}")["id"])
            continue
        path = f"{tasks}/{dice.choice(made)}"
        match way:
            case "change":
                client.patch(path, json={"description": f"{number}"})
            case "delete":
                client.delete(path)
            case "clear":
                client.delete(f"{tasks}?completed=true&q={seed}: ")
            case _:
                client.post(f"{path}/{way}")


def fold(copy: dict[str, Any], change: dict[str, Any]) -> None:
    """Bring a client's copy of the tasks up to a change."""
    if "deleted" in change:
        copy.pop(change["id"], None)
    else:
        copy[change["id"]] = change
