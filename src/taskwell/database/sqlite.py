"""SQLite: one file, one writer at a time.

Each process has one connection that writes and a few that only read. Writes wait in a queue; all that are
queued when the writer is free share one transaction, and so one commit. The writer holds a lock on the file
`<database>-lock`, which excludes the other processes. So no two connections ever write or checkpoint at once,
as SQLite before 3.51.3 needs to be safe (its WAL-reset bug), and a writer never gets SQLITE_BUSY from another
taskwell.
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

_FILE_CHECK_SECONDS = 0.005  # checking the file takes half as long as reading a row
_READERS = 2  # more would only wait for the interpreter's lock


class SqliteBackend:
    """The connections to one file."""

    dialect = "sqlite"
    isolates_users = False
    max_in_flight = _READERS
    max_connections = _READERS + 2  # one for inline reads, and one for reads while all readers are busy

    def __init__(self, url: DatabaseUrl, *, coalesce: bool = True) -> None:
        self.path = absolute(url.path)
        self._url = url
        self._file = SqliteFile(self.path)
        self._file_checked_until = 0.0
        self.writer = SqliteWriter(url, self._file, coalesce=coalesce)
        self._readers = _reading_engine(url, pool_size=self.max_connections)
        event.listen(self._readers, "connect", self._file.note)
        self._inline_reader: DriverConnection | None = None
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="taskwell-reader")

    async def read(self, work: Callable[[InlineConnection], Awaitable[T]]) -> T:
        """Read in a thread, so that the event loop is free meanwhile."""
        self._file.need()

        def in_thread() -> T:
            with self._readers.connect() as connection:
                return run_inline(work(InlineConnection(connection)))

        return await asyncio.get_running_loop().run_in_executor(self._threads, in_thread)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[InlineConnection]:
        """A connection for reads that are too short for a thread."""
        self._file.need()
        with self._readers.connect() as connection:
            yield InlineConnection(connection)

    @asynccontextmanager
    async def prepared_connection(self) -> AsyncGenerator[DriverConnection]:
        """A connection for prepared statements."""
        with self.inline_connection() as connection:
            yield connection

    @contextmanager
    def inline_connection(self) -> Generator[DriverConnection]:
        """A prepared connection for synchronous callers, which do not yield to the event loop."""
        if self._file_checked_until < time.monotonic():
            self._file.need()
            self._file_checked_until = time.monotonic() + _FILE_CHECK_SECONDS
        if self._inline_reader is None:
            self._inline_reader = DriverConnection(self._readers.dialect, self._readers.pool.connect())
        try:
            yield self._inline_reader
        except BaseException:
            self._release_inline_reader()
            raise

    def _release_inline_reader(self) -> None:
        if self._inline_reader is not None:
            self._inline_reader.pooled.close()
            self._inline_reader = None

    def write(self, work: Callable[[InlineConnection], Awaitable[T]]) -> asyncio.Future[T]:
        """Run work in a transaction. Raises Busy: another process held the lock until the deadline."""
        return self.writer.write(work)

    write_prepared = write

    async def migrate(self, work: Callable[[Connection], T], patience_seconds: float) -> T:
        return await self.writer.migrate(work, patience_seconds)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[InlineConnection]:
        """A read transaction on one snapshot, however long it takes and whatever is written meanwhile."""
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
        """A snapshot with exclusive use of the file.

        Raises:
            InUse: another connection has the file open.
        """
        engine = _exclusive_engine(self._url)
        with self.writer.alone(time.monotonic() + LOCK_PATIENCE_SECONDS):
            try:
                with engine.connect() as connection:
                    _lock_exclusively(connection, self.path)
                    yield InlineConnection(connection)
            finally:
                engine.dispose()

    @asynccontextmanager
    async def loading(self, _tables: Sequence[str]) -> AsyncGenerator[InlineConnection]:
        """A long write transaction. Other writes fail meanwhile, and can be retried."""
        with self.writer.transaction() as connection:
            yield InlineConnection(connection)

    def give_up_sessions(self) -> None:
        """Do nothing: a file that is read-only stays so for new connections."""

    @property
    def waiting(self) -> int:
        """The number of queued writes."""
        return self.writer.waiting

    def pool_numbers(self) -> dict[str, int]:
        inline = int(self._inline_reader is not None)
        numbers = _numbers(self._readers)
        return numbers | {"in_use": numbers["in_use"] - inline, "idle": numbers["idle"] + inline}

    async def close(self) -> None:
        """Close the readers first: the last connection writes the checkpoint, which only the writer may."""
        self._threads.shutdown()
        self._release_inline_reader()
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
        pool_reset_on_return=None,  # a reader has no open transaction to reset
    )
    prepare_connections(engine, ("foreign_keys = ON", "query_only = ON"))
    return engine


def _exclusive_engine(url: DatabaseUrl) -> Engine:
    """An engine whose first query locks the file exclusively, and fails while another connection is open."""
    engine = create_engine(url.url, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("busy_timeout = 1000", "locking_mode = EXCLUSIVE", "query_only = ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _lock_exclusively(connection: Connection, path: Path) -> None:
    try:
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema")
    except OperationalError as error:
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise InUse(f"{path} is open in another program: stop the server first") from error
        raise
