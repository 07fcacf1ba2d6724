"""Who writes to a SQLite file: one at a time, in a thread that may wait.

It alone waits for the lock and for the disk, so that the event loop need not. All who wait when it may write
share a transaction.
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
_GIVE_WAY_SECONDS = 0.01
_GROUP = 100  # at most so many writes share a transaction


@dataclass(eq=False, slots=True)
class _Write(Generic[T]):
    """What somebody wants to write, and where the outcome goes. `deadline`: on the monotonic clock."""

    work: Callable[[InlineConnection], Awaitable[T]]
    answer: asyncio.Future[T]
    deadline: float


class SqliteWriter:
    """The one connection of this process that writes.

    While it does so it holds a lock on the file `<database>-lock`, which keeps the other processes out.
    """

    def __init__(self, url: DatabaseUrl, file: SqliteFile, *, coalesce: bool) -> None:
        self._file = file
        self._most = _GROUP if coalesce else 1
        self.engine = _engine(url)
        event.listen(self.engine, "connect", file.note)
        self._connection: Connection | None = None
        self._turn = threading.Lock()
        self._lock = FileLock(Path(f"{file.path}-lock"))
        self._give_way_until = 0.0
        self._asked: SimpleQueue[_Write[Any] | None] = SimpleQueue()  # None: there will be no more
        self._waiting: list[_Write[Any]] = []
        self._thread: threading.Thread | None = None
        self.group_sizes = Histogram(GROUPS)

    def write(self, work: Callable[[InlineConnection], Awaitable[T]]) -> asyncio.Future[T]:
        """A transaction, or a part of one that others share: what raises is undone, and undoes nobody else's.

        Raises:
            Busy: the file was locked by somebody else all the time.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.put(_Write(work, answer, waiting_since() + LOCK_PATIENCE_SECONDS))
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="taskwell-writer", daemon=True)
            self._thread.start()
        return answer

    @property
    def waiting(self) -> int:
        """How many wait to write."""
        return self._asked.qsize() + len(self._waiting)

    def _serve(self) -> None:
        while (write := self._asked.get()) is not None:
            self._waiting.append(write)
            del write  # or it would be kept until the next one comes
            while self._waiting:
                self._write_what_waits()

    def _write_what_waits(self) -> None:
        """Give all who wait, or a group of them, what they wrote or why it failed."""
        deadline = min(write.deadline for write in self._waiting)
        group: list[_Write[Any]] = []
        outcomes: list[Any] | None = None
        try:
            with self.alone(deadline):
                group = self._next_group()
                outcomes = self._written(group, deadline)
                self._file.need()  # where it is another by now, they wrote into one that is lost
        except Exception as error:  # noqa: BLE001 (it is raised for those who wrote)
            if outcomes is None:  # nobody has had a turn
                self._waiting = group + self._waiting
                group = self._refused(error)
            outcomes = [error] * len(group)
        _settle_all(group, outcomes)

    def _next_group(self) -> list[_Write[Any]]:
        with suppress(Empty):
            while len(self._waiting) < self._most:
                write = self._asked.get_nowait()
                if write is None:
                    self._asked.put(None)
                    break
                self._waiting.append(write)
        group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        self.group_sizes.add(len(group))
        return group

    def _written(self, group: Sequence[_Write[Any]], deadline: float) -> list[Any]:
        with self._connected() as connection:
            outcomes = _transactions(group, deadline, connection)
        if any(isinstance(it, Exception) and not isinstance(it, TaskwellError) for it in outcomes):
            self._lay_away()
        return outcomes

    def _refused(self, error: Exception) -> list[_Write[Any]]:
        """Those whom it concerns that nobody can write. A lock may be free before their time is up."""
        refused, now = self._waiting, time.monotonic()
        if isinstance(error, Busy) or fault_of(error) is Fault.BUSY:
            refused = [write for write in self._waiting if write.deadline <= now]
        self._waiting = [write for write in self._waiting if write not in refused]
        return refused

    async def migrate(self, work: Callable[[Connection], T], patience_seconds: float) -> T:
        """A transaction that no other migration shares, in which tables may be rebuilt."""

        def migration() -> T:
            with self.alone(deadline), self._connected() as connection:
                driver = _driver(connection)
                # To replace a table is to drop it, which would cascade. The setting has no effect inside a
                # transaction, so it is made before.
                driver.execute("PRAGMA foreign_keys = OFF")
                try:
                    with _begun(connection, deadline):
                        return work(connection)
                finally:
                    driver.execute("PRAGMA foreign_keys = ON")

        deadline = time.monotonic() + patience_seconds
        return await asyncio.to_thread(migration)

    @contextmanager
    def transaction(self) -> Generator[Connection]:
        """One that may take its time. Whoever else writes meanwhile is told to try again."""
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        with self.alone(deadline), self._connected() as connection, _begun(connection, deadline):
            yield connection

    @contextmanager
    def alone(self, deadline: float) -> Generator[None]:
        """While nobody else writes. Raises Busy: somebody did all the time."""
        if not self._turn.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise Busy
        try:
            self._lock_file(deadline)
            began = self._lock.touched()
            try:
                yield
            finally:
                if self._lock.touched() != began:
                    self._give_way_until = time.monotonic() + _GIVE_WAY_SECONDS
                self._lock.release()
        finally:
            self._turn.release()

    def _lock_file(self, deadline: float) -> None:
        """Ask again and again, as SQLite itself does.

        A process that writes on and on would leave no gap. So whoever has to wait touches the file, and who
        finds it touched gives way before the next turn.
        """
        self._file.need()
        if (pause := self._give_way_until - time.monotonic()) > 0:
            time.sleep(pause)
        pause = 0.001
        while not self._lock.acquire():
            if time.monotonic() >= deadline:
                raise Busy
            with suppress(OSError):
                self._lock.touch()
            time.sleep(pause)
            pause = min(pause * 2, _GIVE_WAY_SECONDS / 2)

    @contextmanager
    def _connected(self) -> Generator[Connection]:
        """It stays checked out from one write to the next: that takes as long as a statement."""
        if self._connection is None:
            self._connection = self.engine.connect()
        try:
            yield self._connection
        except BaseException:
            self._lay_away()
            raise

    def _lay_away(self) -> None:
        """The pool ends what may be left of a transaction."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def close(self) -> None:
        """Once all who wait have their answers."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()
            self._thread = None
        self._lay_away()
        if self.engine.pool.checkedin():  # type: ignore[attr-defined]
            # Where another process writes, it is connected, so there is no checkpoint to write.
            with suppress(TaskwellError, OSError), self.alone(time.monotonic() + LOCK_PATIENCE_SECONDS):
                self.engine.dispose()
        self.engine.dispose()
        self._lock.close()


def _settle_all(group: Sequence[_Write[Any]], outcomes: Sequence[Any]) -> None:
    """In the event loop, unless it is closed: then nobody waits any more."""
    if group:
        with suppress(RuntimeError):
            group[0].answer.get_loop().call_soon_threadsafe(_settle, group, outcomes)


def _settle(group: Sequence[_Write[Any]], outcomes: Sequence[Any]) -> None:
    for write, outcome in zip(group, outcomes, strict=True):
        settle(write.answer, outcome)


def _transactions(group: Sequence[_Write[Any]], deadline: float, connection: Connection) -> list[Any]:
    """The outcome of each: a value, or the exception that undid it.

    All of them in one transaction, if nothing comes that might end it; else in one each. What it raises
    itself was raised before anybody had a turn.
    """
    transaction = _begun(connection, deadline)
    if len(group) == 1:
        return [_carried_out(group[0].work, connection, transaction)]
    try:
        outcomes = [_part(write.work, connection) for write in group]
    except Exception:  # noqa: BLE001 (it comes again, for whom it belongs to)
        transaction.rollback()
        return [_alone(write, connection) for write in group]
    try:
        transaction.commit()
    except Exception as error:  # noqa: BLE001 (it is raised for all of them)
        transaction.rollback()
        return [error] * len(group)
    return outcomes


def _alone(write: _Write[T], connection: Connection) -> T | Exception:
    try:
        transaction = _begun(connection, write.deadline)
    except Exception as error:  # noqa: BLE001 (it is raised for whoever wrote)
        return error
    return _carried_out(write.work, connection, transaction)


def _begun(connection: Connection, deadline: float) -> RootTransaction:
    """Wait no longer for SQLite's own lock, which a program may hold that knows nothing of ours."""
    left = max(deadline - time.monotonic(), 0)
    _driver(connection).execute(f"PRAGMA busy_timeout = {left * 1000:.0f}")
    return connection.begin()


def _carried_out(
    work: Callable[[InlineConnection], Awaitable[T]], connection: Connection, transaction: RootTransaction
) -> T | Exception:
    try:
        with transaction:
            return run_inline(work(InlineConnection(connection)))
    except Exception as error:  # noqa: BLE001 (it is raised for whoever wrote)
        return error


def _driver(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None
    return driver


def _part(work: Callable[[InlineConnection], Awaitable[T]], connection: Connection) -> T | TaskwellError:
    """Raises whatever is not a rule's own refusal: after it nobody knows how the transaction stands."""
    driver = _driver(connection)
    driver.execute("SAVEPOINT part")
    try:
        outcome: T | TaskwellError = run_inline(work(InlineConnection(connection)))
    except TaskwellError as error:
        driver.execute("ROLLBACK TO part")
        outcome = error
    driver.execute("RELEASE part")
    return outcome


def _engine(url: DatabaseUrl) -> Engine:
    engine = create_engine(url.url, pool_size=1, max_overflow=0)
    # What a server that was killed had written may not be synced yet, and repeats are answered from it: the
    # checkpoint syncs it.
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
