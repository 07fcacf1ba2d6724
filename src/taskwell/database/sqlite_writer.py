"""The writer of an SQLite file: one thread runs the writes, one transaction at a time.

The thread waits for the lock and for the disk, so that the event loop need not. All writes queued when it
gets the lock share a transaction.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event

from taskwell.core.database_url import DatabaseUrl
from taskwell.core.errors import Busy, TaskwellError
from taskwell.core.histogram import GROUPS, Histogram
from taskwell.database.coalescing import settle, waiting_since
from taskwell.database.connection import InlineConnection, run_inline
from taskwell.database.faults import Fault, fault_of
from taskwell.database.file_lock import FileLock
from taskwell.database.sqlite_file import SqliteFile, prepare_connections

T = TypeVar("T")

LOCK_PATIENCE_SECONDS = 5.0
_YIELD_SECONDS = 0.01
_MAX_GROUP_SIZE = 100  # writes that share a transaction


@dataclass(eq=False, slots=True)
class _Write(Generic[T]):
    """A queued write, and the future of its outcome. `deadline`: on the monotonic clock."""

    work: Callable[[InlineConnection], Awaitable[T]]
    outcome: asyncio.Future[T]
    deadline: float


class SqliteWriter:
    """The only connection of this process that writes.

    While it writes, it holds a lock on the file `<database>-lock`, which excludes the other processes.
    """

    def __init__(self, url: DatabaseUrl, file: SqliteFile, *, coalesce: bool) -> None:
        self._file = file
        self._max_size = _MAX_GROUP_SIZE if coalesce else 1
        self.engine = _engine(url)
        event.listen(self.engine, "connect", file.note)
        self._connection: Connection | None = None
        self._thread_lock = threading.Lock()
        self._file_lock = FileLock(Path(f"{file.path}-lock"))
        self._yield_until = 0.0
        # None ends the thread.
        self._queue: SimpleQueue[_Write[Any] | None] = SimpleQueue()
        self._waiting: list[_Write[Any]] = []
        self._thread: threading.Thread | None = None
        self.group_sizes = Histogram(GROUPS)

    def write(self, work: Callable[[InlineConnection], Awaitable[T]]) -> asyncio.Future[T]:
        """Queue work for a transaction that other writes may share. A failing write undoes only itself.

        Raises:
            Busy: another process held the lock until the deadline.
        """
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Write(work, outcome, waiting_since() + LOCK_PATIENCE_SECONDS))
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="taskwell-writer", daemon=True)
            self._thread.start()
        return outcome

    @property
    def waiting(self) -> int:
        """The number of queued writes."""
        return self._queue.qsize() + len(self._waiting)

    def _serve(self) -> None:
        while (write := self._queue.get()) is not None:
            self._waiting.append(write)
            del write  # or the reference would live until the next write
            while self._waiting:
                self._write_group()

    def _write_group(self) -> None:
        """Run the waiting writes, or a group of them, and settle their outcomes."""
        deadline = min(write.deadline for write in self._waiting)
        group: list[_Write[Any]] = []
        outcomes: list[Any] | None = None
        try:
            with self.alone(deadline):
                group = self._next_group()
                outcomes = self._run_group(group, deadline)
                self._file.need()  # if it was replaced meanwhile, the writes are lost
        except Exception as error:  # noqa: BLE001 (each write raises it)
            if outcomes is None:  # no write has run
                self._waiting = group + self._waiting
                group = self._take_failed(error)
            outcomes = [error] * len(group)
        _settle_all(group, outcomes)

    def _next_group(self) -> list[_Write[Any]]:
        with suppress(Empty):
            while len(self._waiting) < self._max_size:
                write = self._queue.get_nowait()
                if write is None:
                    self._queue.put(None)
                    break
                self._waiting.append(write)
        group, self._waiting = self._waiting[: self._max_size], self._waiting[self._max_size :]
        self.group_sizes.add(len(group))
        return group

    def _run_group(self, group: Sequence[_Write[Any]], deadline: float) -> list[Any]:
        with self._connected() as connection:
            outcomes = _transactions(group, deadline, connection)
        if any(isinstance(it, Exception) and not isinstance(it, TaskwellError) for it in outcomes):
            self._close_connection()
        return outcomes

    def _take_failed(self, error: Exception) -> list[_Write[Any]]:
        """Remove the writes that the error fails. A lock may become free before the others' deadlines."""
        failed, now = self._waiting, time.monotonic()
        if isinstance(error, Busy) or fault_of(error) is Fault.BUSY:
            failed = [write for write in self._waiting if write.deadline <= now]
        self._waiting = [write for write in self._waiting if write not in failed]
        return failed

    async def migrate(self, work: Callable[[Connection], T], patience_seconds: float) -> T:
        """Run work in a transaction under the lock, with foreign keys off, so that it can rebuild tables."""

        def migration() -> T:
            with self.alone(deadline), self._connected() as connection:
                driver = _driver(connection)
                # Replacing a table drops it, which would cascade. The pragma has no effect inside a
                # transaction, so it precedes it.
                driver.execute("PRAGMA foreign_keys = OFF")
                try:
                    with _begin(connection, deadline):
                        return work(connection)
                finally:
                    driver.execute("PRAGMA foreign_keys = ON")

        deadline = time.monotonic() + patience_seconds
        return await asyncio.to_thread(migration)

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """A long transaction. Other writes fail meanwhile, and can be retried."""
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        with self.alone(deadline), self._connected() as connection, _begin(connection, deadline):
            yield connection

    @contextmanager
    def alone(self, deadline: float) -> Generator[None]:
        """Hold the locks against other threads and processes. Raises Busy: not free before the deadline."""
        if not self._thread_lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise Busy
        try:
            self._lock_file(deadline)
            began = self._file_lock.touched()
            try:
                yield
            finally:
                if self._file_lock.touched() != began:
                    self._yield_until = time.monotonic() + _YIELD_SECONDS
                self._file_lock.release()
        finally:
            self._thread_lock.release()

    def _lock_file(self, deadline: float) -> None:
        """Poll for the file lock, as SQLite itself does.

        A process that writes continuously would leave no gap. So a waiting process touches the file, and a
        writer whose file was touched pauses before its next lock.
        """
        self._file.need()
        if (pause := self._yield_until - time.monotonic()) > 0:
            time.sleep(pause)
        pause = 0.001
        while not self._file_lock.acquire():
            if time.monotonic() >= deadline:
                raise Busy
            with suppress(OSError):
                self._file_lock.touch()
            time.sleep(pause)
            pause = min(pause * 2, _YIELD_SECONDS / 2)

    @contextmanager
    def _connected(self) -> Generator[Connection]:
        """The connection, which stays checked out between writes: a checkout takes as long as a statement."""
        if self._connection is None:
            self._connection = self.engine.connect()
        try:
            yield self._connection
        except BaseException:
            self._close_connection()
            raise

    def _close_connection(self) -> None:
        """Return the connection to the pool, which rolls back an open transaction."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def close(self) -> None:
        """Run the queued writes, then close."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._close_connection()
        if self.engine.pool.checkedin():  # type: ignore[attr-defined]
            # If another process holds the lock, it is connected, so closing writes no checkpoint.
            with suppress(TaskwellError, OSError), self.alone(time.monotonic() + LOCK_PATIENCE_SECONDS):
                self.engine.dispose()
        self.engine.dispose()
        self._file_lock.close()


def _settle_all(group: Sequence[_Write[Any]], outcomes: Sequence[Any]) -> None:
    """Settle the futures in the event loop, unless it is closed: then nothing awaits them."""
    if group:
        with suppress(RuntimeError):
            group[0].outcome.get_loop().call_soon_threadsafe(_settle, group, outcomes)


def _settle(group: Sequence[_Write[Any]], outcomes: Sequence[Any]) -> None:
    for write, outcome in zip(group, outcomes, strict=True):
        settle(write.outcome, outcome)


def _transactions(group: Sequence[_Write[Any]], deadline: float, connection: Connection) -> list[Any]:
    """Run each write. Returns its value, or the exception that undid it.

    All writes share one transaction, unless one fails in a way that might end it; then each gets its own. An
    exception that this function raises came before any write ran.
    """
    transaction = _begin(connection, deadline)
    if len(group) == 1:
        return [_run(group[0].work, connection, transaction)]
    try:
        outcomes = [_run_in_savepoint(write.work, connection) for write in group]
    except Exception:  # noqa: BLE001 (the write that caused it raises it again)
        transaction.rollback()
        return [_run_alone(write, connection) for write in group]
    try:
        transaction.commit()
    except Exception as error:  # noqa: BLE001 (each write raises it)
        transaction.rollback()
        return [error] * len(group)
    return outcomes


def _run_alone(write: _Write[T], connection: Connection) -> T | Exception:
    try:
        transaction = _begin(connection, write.deadline)
    except Exception as error:  # noqa: BLE001 (the write raises it)
        return error
    return _run(write.work, connection, transaction)


def _begin(connection: Connection, deadline: float) -> RootTransaction:
    """Begin, waiting until the deadline for SQLite's own lock, which another program may hold."""
    left = max(deadline - time.monotonic(), 0)
    _driver(connection).execute(f"PRAGMA busy_timeout = {left * 1000:.0f}")
    return connection.begin()


def _run(
    work: Callable[[InlineConnection], Awaitable[T]], connection: Connection, transaction: RootTransaction
) -> T | Exception:
    try:
        with transaction:
            return run_inline(work(InlineConnection(connection)))
    except Exception as error:  # noqa: BLE001 (the write raises it)
        return error


def _driver(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None
    return driver


def _run_in_savepoint(
    work: Callable[[InlineConnection], Awaitable[T]], connection: Connection
) -> T | TaskwellError:
    """Raises any exception but TaskwellError: the transaction's state is unknown after it."""
    driver = _driver(connection)
    driver.execute("SAVEPOINT write")
    try:
        outcome: T | TaskwellError = run_inline(work(InlineConnection(connection)))
    except TaskwellError as error:
        driver.execute("ROLLBACK TO write")
        outcome = error
    driver.execute("RELEASE write")
    return outcome


def _engine(url: DatabaseUrl) -> Engine:
    engine = create_engine(url.url, pool_size=1, max_overflow=0)
    # Writes of a killed server may not be synced yet, and repeated requests are answered from them: the
    # checkpoint syncs them.
    prepare_connections(
        engine,
        (
            "foreign_keys = ON",
            "journal_mode = WAL",
            "journal_size_limit = 67108864",
            "wal_checkpoint(PASSIVE)",
        ),
    )

    @event.listens_for(engine, "begin")
    def lock_before_the_first_read(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
