"""SQLite: one file, one writer at a time.

Each process has one connection that writes and a few that only read. Those who want to write wait in a
queue; whoever is in it when the writer is free shares one transaction, and so one commit. The writer holds a
lock on the file `<database>-lock`, which keeps the other processes out. So no two connections ever write or
checkpoint at once, which is what SQLite before 3.51.3 needs to be safe (its WAL-reset bug), and a writer
never meets SQLITE_BUSY from another taskwell.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError

from taskwell.core.database_url import DatabaseUrl
from taskwell.core.errors import InUse
from taskwell.database.connection import DriverConnection, InlineConnection, run_inline
from taskwell.database.sqlite_file import SqliteFile, absolute, prepare_connections, unwritable_file
from taskwell.database.sqlite_writer import LOCK_PATIENCE_SECONDS, SqliteWriter

T = TypeVar("T")

_FILE_SEEN_SECONDS = 0.005  # to look for it takes half as long as to read a row
_READERS = 2  # more only wait for the interpreter's lock


class SqliteBackend:
    """The connections to one file."""

    dialect = "sqlite"
    keeps_users_apart = False
    most_at_once = _READERS
    most_connections = _READERS + 2  # one is at hand, and one for who reads in between

    def __init__(self, url: DatabaseUrl, *, coalesce: bool = True) -> None:
        self.path = absolute(url.path)
        self._url = url
        self._file = SqliteFile(self.path)
        self._file_seen_until = 0.0
        self.writer = SqliteWriter(url, self._file, coalesce=coalesce)
        self._readers = _reading_engine(url, pool_size=self.most_connections)
        event.listen(self._readers, "connect", self._file.note)
        self._at_hand: DriverConnection | None = None  # one of the readers
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="taskwell-reader")

    async def read(self, work: Callable[[InlineConnection], Awaitable[T]]) -> T:
        """Read in a thread of its own, so that others are served meanwhile."""
        self._file.need()

        def in_thread() -> T:
            with self._readers.connect() as connection:
                return run_inline(work(InlineConnection(connection)))

        return await asyncio.get_running_loop().run_in_executor(self._threads, in_thread)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[InlineConnection]:
        """A connection for what takes no time worth a thread."""
        self._file.need()
        with self._readers.connect() as connection:
            yield InlineConnection(connection)

    @asynccontextmanager
    async def asking(self) -> AsyncGenerator[DriverConnection]:
        """A connection for statements that are kept prepared."""
        with self.at_once() as connection:
            yield connection

    @contextmanager
    def at_once(self) -> Generator[DriverConnection]:
        """The same, for who does not even wait for a turn of the event loop."""
        if self._file_seen_until < time.monotonic():
            self._file.need()
            self._file_seen_until = time.monotonic() + _FILE_SEEN_SECONDS
        if self._at_hand is None:
            self._at_hand = DriverConnection(self._readers.dialect, self._readers.pool.connect())
        try:
            yield self._at_hand
        except BaseException:
            self._lay_away()
            raise

    def _lay_away(self) -> None:
        if self._at_hand is not None:
            self._at_hand.pooled.close()
            self._at_hand = None

    def write(self, work: Callable[[InlineConnection], Awaitable[T]]) -> asyncio.Future[T]:
        """Raises Busy: the file was locked by somebody else all the time."""
        return self.writer.write(work)

    write_at_once = write

    async def migrate(self, work: Callable[[Connection], T], patience_seconds: float) -> T:
        return await self.writer.migrate(work, patience_seconds)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[InlineConnection]:
        """One state of everything, however long it is read and whoever writes meanwhile."""
        if self.path.exists() and not os.access(self.path.parent, os.W_OK | os.X_OK):
            with unwritable_file(self.path) as unwritable:
                yield unwritable
            return
        self._file.need()
        with self._readers.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield InlineConnection(connection)
            finally:
                connection.exec_driver_sql("ROLLBACK")

    @asynccontextmanager
    async def frozen(self, _tables: Sequence[str]) -> AsyncGenerator[InlineConnection]:
        """The same, while nobody else has the file open.

        Raises:
            InUse: somebody has.
        """
        engine = _engine_alone(self._url)
        with self.writer.alone(time.monotonic() + LOCK_PATIENCE_SECONDS):
            try:
                with engine.connect() as connection:
                    _take(connection, self.path)
                    yield InlineConnection(connection)
            finally:
                engine.dispose()

    @asynccontextmanager
    async def loading(self, _tables: Sequence[str]) -> AsyncGenerator[InlineConnection]:
        """A transaction that may take its time. Whoever else writes meanwhile is told to try again."""
        with self.writer.transaction() as connection:
            yield InlineConnection(connection)

    def give_up_sessions(self) -> None:
        """A file that may not be written is so for whoever opens it."""

    @property
    def waiting(self) -> int:
        """How many wait to write."""
        return self.writer.waiting

    def pool_numbers(self) -> dict[str, int]:
        at_hand = int(self._at_hand is not None)
        numbers = _numbers(self._readers)
        return numbers | {"in_use": numbers["in_use"] - at_hand, "idle": numbers["idle"] + at_hand}

    async def close(self) -> None:
        """The readers first: whoever closes last writes the checkpoint, and that is the writer's right."""
        self._threads.shutdown()
        self._lay_away()
        self._readers.dispose()
        await self.writer.close()


def _numbers(engine: Engine) -> dict[str, int]:
    pool: Any = engine.pool
    return {"size": pool.size(), "in_use": pool.checkedout(), "idle": pool.checkedin()}


def _reading_engine(url: DatabaseUrl, *, pool_size: int) -> Engine:
    engine = create_engine(
        url.url,
        pool_size=pool_size,
        max_overflow=0,
        pool_reset_on_return=None,  # a reader is in no transaction, so there is nothing to reset
    )
    prepare_connections(engine, ("foreign_keys = ON", "query_only = ON"))
    return engine


def _engine_alone(url: DatabaseUrl) -> Engine:
    """Exclusive from its first look on, which fails while anybody else is connected."""
    engine = create_engine(url.url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("busy_timeout = 1000", "locking_mode = EXCLUSIVE", "query_only = ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _take(connection: Connection, path: Path) -> None:
    try:
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema")
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise InUse(f"{path} is open elsewhere: stop the server first") from error
        raise
