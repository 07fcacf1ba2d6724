"""SQLite: one file, one writer at a time.

Each process has one connection that writes and a few that only read. Those who want to write wait in a
queue; whoever is in it when the writer is free shares one transaction, and so one commit. The writer holds a
lock on the file `<database>-lock`, which keeps the other processes out. So no two connections ever write or
checkpoint at once, which is what SQLite before 3.51.3 needs to be safe (its WAL-reset bug), and a writer
never meets SQLITE_BUSY from another taskwell.
"""

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    Connection,
    Engine,
    NullPool,
    RootTransaction,
    create_engine,
    event,
)
from sqlalchemy.exc import OperationalError

from taskwell.core.connection import OnTheDriver, OnTheSpot, driven
from taskwell.core.database_url import BadDatabaseUrl, DatabaseUrl
from taskwell.core.errors import Busy, FileMoved, InUse, TaskwellError
from taskwell.core.faults import Fault, fault_of
from taskwell.core.file_lock import FileLock
from taskwell.core.tally import GROUPS, Histogram
from taskwell.core.together import settle, waiting_since

T = TypeVar("T")

_LOCK_PATIENCE_SECONDS = 5.0
_GIVE_WAY_SECONDS = 0.01
_GROUP = 100  # at most so many writes share a transaction
_FILE_SEEN_SECONDS = 0.005  # to look for it takes half as long as to read a row
_READERS = 2  # more only wait for the interpreter's lock
_REMOTE_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ncpfs",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "fuse.rclone",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.davfs",
        "fuse.ceph",
    ]
)


@dataclass(eq=False, slots=True)
class _Write(Generic[T]):
    """What somebody wants to write, and where the outcome goes. `deadline`: on the monotonic clock."""

    work: Callable[[OnTheSpot], Awaitable[T]]
    answer: asyncio.Future[T]
    deadline: float


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
    work: Callable[[OnTheSpot], Awaitable[T]], connection: Connection, transaction: RootTransaction
) -> T | Exception:
    try:
        with transaction:
            return driven(work(OnTheSpot(connection)))
    except Exception as error:  # noqa: BLE001 (it is raised for whoever wrote)
        return error


def _driver(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None
    return driver


def _part(work: Callable[[OnTheSpot], Awaitable[T]], connection: Connection) -> T | TaskwellError:
    """Raises whatever is not a rule's own refusal: after it nobody knows how the transaction stands."""
    driver = _driver(connection)
    driver.execute("SAVEPOINT part")
    try:
        outcome: T | TaskwellError = driven(work(OnTheSpot(connection)))
    except TaskwellError as error:
        driver.execute("ROLLBACK TO part")
        outcome = error
    driver.execute("RELEASE part")
    return outcome


class SqliteBackend:
    """The connections to one file."""

    dialect = "sqlite"
    keeps_users_apart = False
    most_at_once = _READERS
    most_connections = _READERS + 2  # one is at hand, and one for who reads in between

    def __init__(self, url: DatabaseUrl, *, gathers: bool = True) -> None:
        self._most = _GROUP if gathers else 1
        self.path = url.path.resolve()
        self._url = url
        self._turn = asyncio.Lock()
        self._file_lock = FileLock(Path(f"{self.path}-lock"))
        self._give_way_until = 0.0
        self._file: tuple[int, int] | None = None
        self._file_seen_until = 0.0
        self._writer = _writing_engine(url)
        self._readers = _reading_engine(url, pool_size=self.most_connections)
        self._at_hand: OnTheDriver | None = None  # one of the readers
        self.group_sizes = Histogram(GROUPS)
        for engine in (self._writer, self._readers):
            event.listen(engine, "connect", self._note_file)
        self._waiting: list[_Write[Any]] = []
        self._draining: asyncio.Task[None] | None = None
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="taskwell-writer")
        self._reader_threads = ThreadPoolExecutor(_READERS, thread_name_prefix="taskwell-reader")

    async def read(self, work: Callable[[OnTheSpot], Awaitable[T]]) -> T:
        """Read in a thread of its own, so that others are served meanwhile."""
        self._need_file()

        def in_thread() -> T:
            with self._readers.connect() as connection:
                return driven(work(OnTheSpot(connection)))

        return await asyncio.get_running_loop().run_in_executor(self._reader_threads, in_thread)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[OnTheSpot]:
        """A connection for what takes no time worth a thread."""
        self._need_file()
        with self._readers.connect() as connection:
            yield OnTheSpot(connection)

    @asynccontextmanager
    async def asking(self) -> AsyncGenerator[OnTheDriver]:
        """A connection for statements that are kept prepared."""
        with self.at_once() as connection:
            yield connection

    @contextmanager
    def at_once(self) -> Generator[OnTheDriver]:
        """The same, for who does not even wait for a turn of the event loop."""
        if self._file_seen_until < time.monotonic():
            self._need_file()
            self._file_seen_until = time.monotonic() + _FILE_SEEN_SECONDS
        if self._at_hand is None:
            self._at_hand = OnTheDriver(self._readers.dialect, self._readers.pool.connect())
        try:
            yield self._at_hand
        except BaseException:
            self._lay_away()
            raise

    def _lay_away(self) -> None:
        if self._at_hand is not None:
            self._at_hand.pooled.close()
            self._at_hand = None

    async def write(self, work: Callable[[OnTheSpot], Awaitable[T]]) -> T:
        """A transaction, or a part of one that others share: what raises is undone, and undoes nobody else's.

        Raises:
            Busy: the file was locked by somebody else all the time.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, answer, waiting_since() + _LOCK_PATIENCE_SECONDS))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await answer

    write_at_once = write

    async def _drain(self) -> None:
        """Until nobody waits: all who do so at a time in one transaction."""
        try:
            while self._waiting:
                await self._write_what_waits()
        finally:
            self._draining = None

    async def _write_what_waits(self) -> None:
        """Give all who wait, or a group of them, what they wrote or why it failed."""
        deadline = min(write.deadline for write in self._waiting)
        group: list[_Write[Any]] = []
        outcomes: list[Any] | None = None
        try:
            async with self._alone(deadline):
                group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                self.group_sizes.add(len(group))
                outcomes = await self._in_writer_thread(partial(_transactions, group, deadline))
                self._need_file()  # where it is another by now, they wrote into one that is lost
        except Exception as error:  # noqa: BLE001 (it is raised for those who wrote)
            if outcomes is None:  # nobody has had a turn
                self._waiting = group + self._waiting
                group = self._refused(error)
            outcomes = [error] * len(group)
        for write, outcome in zip(group, outcomes, strict=True):
            settle(write.answer, outcome)

    def _refused(self, error: Exception) -> list[_Write[Any]]:
        """Those whom it concerns that nobody can write. A lock may be free before their time is up."""
        refused, now = self._waiting, time.monotonic()
        if isinstance(error, Busy) or fault_of(error) is Fault.BUSY:
            refused = [write for write in self._waiting if write.deadline <= now]
        self._waiting = [write for write in self._waiting if write not in refused]
        return refused

    async def migrate(self, work: Callable[[Connection], T], patience_seconds: float) -> T:
        """A transaction that no other migration shares, in which tables may be rebuilt."""

        def transaction(connection: Connection) -> T:
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
        async with self._alone(deadline):
            return await self._in_writer_thread(transaction)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[OnTheSpot]:
        """One state of everything, however long it is read and whoever writes meanwhile."""
        self._need_file()
        with self._readers.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield OnTheSpot(connection)
            finally:
                connection.exec_driver_sql("ROLLBACK")

    @asynccontextmanager
    async def frozen(self, _tables: Sequence[str]) -> AsyncGenerator[OnTheSpot]:
        """The same, while nobody else has the file open.

        Raises:
            InUse: somebody has.
        """
        engine = _engine_alone(self._url)
        async with self._alone(time.monotonic() + _LOCK_PATIENCE_SECONDS):
            try:
                with engine.connect() as connection:
                    _take(connection, self.path)
                    yield OnTheSpot(connection)
            finally:
                engine.dispose()

    @asynccontextmanager
    async def loading(self, _tables: Sequence[str]) -> AsyncGenerator[OnTheSpot]:
        """A transaction that may take its time. Whoever else writes meanwhile is told to try again."""
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        async with self._alone(deadline):
            with self._writer.connect() as connection, _begun(connection, deadline):
                yield OnTheSpot(connection)

    async def _in_writer_thread(self, work: Callable[[Connection], T]) -> T:
        def in_thread() -> T:
            with self._writer.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer_thread, in_thread)

    @asynccontextmanager
    async def _alone(self, deadline: float) -> AsyncGenerator[None]:
        """Raises Busy: somebody else wrote all the time."""
        async with self._turn:
            await self._lock_file(deadline)
            began = self._file_lock.touched()
            try:
                yield
            finally:
                if self._file_lock.touched() != began:
                    self._give_way_until = time.monotonic() + _GIVE_WAY_SECONDS
                self._file_lock.release()

    async def _lock_file(self, deadline: float) -> None:
        """Ask again and again, as SQLite itself does: to wait would stop the event loop.

        A process that writes on and on would leave no gap. So whoever has to wait touches the file, and who
        finds it touched gives way before the next turn.
        """
        self._need_file()
        if (pause := self._give_way_until - time.monotonic()) > 0:
            await asyncio.sleep(pause)
        pause = 0.001
        while True:
            if self._file_lock.acquire():
                return
            if time.monotonic() >= deadline:
                raise Busy
            with suppress(OSError):
                self._file_lock.touch()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _GIVE_WAY_SECONDS / 2)

    def _note_file(self, connection: Any, _record: Any) -> None:
        """Which file it is that was opened, as soon as one is."""
        if self._file is None:
            connection.execute("PRAGMA schema_version")  # opened not before it is read
            self._file = _identity(self.path)

    def _need_file(self) -> None:
        """What was opened must be what others will find there: SQLite would go on in one that is deleted.

        Raises:
            FileMoved: it is another one, or gone.
            OSError: there is no folder to write to.
        """
        found = _identity(self.path)
        folder = self.path.parent
        if found is None and not folder.is_dir():
            # A disk may be missing, and its folder would be made anew for the lock.
            raise FileNotFoundError(folder)
        if self._file is not None and found != self._file:
            raise FileMoved
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(folder)

    def give_up_sessions(self) -> None:
        """A file that may not be written is so for whoever opens it."""

    @property
    def waiting(self) -> int:
        """How many wait to write."""
        return len(self._waiting)

    def pool_numbers(self) -> dict[str, int]:
        at_hand = int(self._at_hand is not None)
        numbers = _numbers(self._readers)
        return numbers | {"in_use": numbers["in_use"] - at_hand, "idle": numbers["idle"] + at_hand}

    async def close(self) -> None:
        """The readers first: whoever closes last writes the checkpoint, and that is the writer's right."""
        self._reader_threads.shutdown()
        self._lay_away()
        self._readers.dispose()
        self._writer_thread.shutdown()
        if _numbers(self._writer)["idle"]:
            # Where another process writes, it is connected, so there is no checkpoint to write.
            with suppress(TaskwellError, OSError):
                async with self._alone(time.monotonic() + _LOCK_PATIENCE_SECONDS):
                    self._writer.dispose()
            self._writer.dispose()
        self._file_lock.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others, also when it is renamed; None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _numbers(engine: Engine) -> dict[str, int]:
    pool: Any = engine.pool
    return {"size": pool.size(), "in_use": pool.checkedout(), "idle": pool.checkedin()}


def _writing_engine(url: DatabaseUrl) -> Engine:
    engine = create_engine(url.url, pool_size=1, max_overflow=0, pool_timeout=_LOCK_PATIENCE_SECONDS)
    # What a server that was killed had written may not be synced yet, and repeats are answered from it: the
    # checkpoint syncs it.
    _prepare(
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


def _reading_engine(url: DatabaseUrl, *, pool_size: int) -> Engine:
    engine = create_engine(
        url.url,
        pool_size=pool_size,
        max_overflow=0,
        pool_reset_on_return=None,  # a reader is in no transaction, so there is nothing to reset
    )
    _prepare(engine, ("foreign_keys = ON", "query_only = ON"))
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


@contextmanager
def lone_file(path: Path, mode: Literal["ro", "rw"]) -> Iterator[OnTheSpot]:
    """A file that nobody else uses, on any file system and without companions.

    It is written without a journal: whoever is interrupted throws it away. Foreign keys are not enforced.
    What is made by it is for its owner's eyes alone.
    """
    if mode == "rw":
        path.touch(mode=0o600)
    address = f"file:{quote(str(path.resolve()))}?mode={mode}"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(address, uri=True, isolation_level=None),
        poolclass=NullPool,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    try:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute("PRAGMA journal_mode = OFF" if mode == "rw" else "PRAGMA query_only = ON")
            driver.execute("PRAGMA synchronous = OFF")
            with connection.begin():
                yield OnTheSpot(connection)
    finally:
        engine.dispose()


def _prepare(engine: Engine, pragmas: Sequence[str]) -> None:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own
        cursor = connection.cursor()
        # FULL: what was acknowledged survives a power cut. NORMAL would not promise that under WAL.
        for pragma in ("busy_timeout = 5000", "synchronous = FULL", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def refuse_network_file_system(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """WAL keeps an index in memory that only the processes of one machine share.

    Where the system does not tell its mounts (other than Linux), nothing is refused.

    Raises:
        BadDatabaseUrl: the file would lie on a network file system.
    """
    if str(path).startswith("\\\\"):
        raise BadDatabaseUrl(_remote("a network share"))
    if not mountinfo.exists():
        return
    kind = _file_system_of(path.resolve(), mountinfo.read_bytes())
    if kind in _REMOTE_FILE_SYSTEMS:
        raise BadDatabaseUrl(_remote(kind))


def _file_system_of(path: Path, mounts: bytes) -> str:
    """The type of the innermost mount that holds `path` (format: proc(5), mountinfo)."""
    innermost, kind = Path("/"), ""
    for line in mounts.splitlines():
        before, _, after = line.partition(b" - ")
        name = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), before.split()[4])
        mount = Path(os.fsdecode(name))
        if path.is_relative_to(mount) and len(mount.parts) >= len(innermost.parts):
            innermost, kind = mount, after.split()[0].decode()
    return kind


def _remote(kind: str) -> str:
    return (
        f"the SQLite file would lie on {kind}, where SQLite can lose data; keep it on a local disk, use "
        "PostgreSQL, or set TASKWELL_ALLOW_NETWORK_FILE_SYSTEM=true at your own risk"
    )
