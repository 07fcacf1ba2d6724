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
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from filelock import FileLock, Timeout
from sqlalchemy import Connection, CursorResult, Engine, Executable, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError

from taskwell.core.database_url import BadDatabaseUrl, DatabaseUrl
from taskwell.core.errors import Busy, InUse, TaskwellError
from taskwell.core.together import settle

T = TypeVar("T")

_LOCK_PATIENCE_SECONDS = 5.0
_GROUP = 100  # at most so many writes share a transaction
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


class OnTheSpot:
    """A connection that is used where it stands: its methods are awaited like others, and never wait.

    So what awaits nothing but them can run in any thread, a whole transaction at a time.
    """

    def __init__(self, connection: Connection) -> None:
        self.sync_connection = connection
        self.dialect = connection.dialect

    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        return self.sync_connection.execute(statement, values)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        return work(self.sync_connection)


@dataclass(eq=False, slots=True)
class _Write(Generic[T]):
    """What somebody wants to write, and where the outcome goes. `since`: on the monotonic clock."""

    work: Callable[[OnTheSpot], Awaitable[T]]
    answer: asyncio.Future[T]
    since: float = field(default_factory=time.monotonic)


def _transactions(group: Sequence[_Write[Any]], connection: Connection) -> list[Any]:
    """The outcome of each: a value, or the exception that undid it.

    All of them in one transaction, if nothing comes that might end it; else in one each.
    """
    if len(group) == 1:
        return [_alone(group[0].work, connection)]
    transaction = connection.begin()
    try:
        outcomes = [_part(write.work, connection) for write in group]
    except Exception:  # noqa: BLE001 (it comes again, for whom it belongs to)
        transaction.rollback()
        return [_alone(write.work, connection) for write in group]
    try:
        transaction.commit()
    except Exception as error:  # noqa: BLE001 (it is raised for all of them)
        transaction.rollback()
        return [error] * len(group)
    return outcomes


def _alone(work: Callable[[OnTheSpot], Awaitable[T]], connection: Connection) -> T | Exception:
    try:
        with connection.begin():
            return _driven(work(OnTheSpot(connection)))
    except Exception as error:  # noqa: BLE001 (it is raised for whoever wrote)
        return error


def _part(work: Callable[[OnTheSpot], Awaitable[T]], connection: Connection) -> T | TaskwellError:
    """Raises whatever is not a rule's own refusal: after it nobody knows how the transaction stands."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("SAVEPOINT part")
    try:
        outcome: T | TaskwellError = _driven(work(OnTheSpot(connection)))
    except TaskwellError as error:
        driver.execute("ROLLBACK TO part")
        outcome = error
    driver.execute("RELEASE part")
    return outcome


def _driven(work: Awaitable[T]) -> T:
    """What comes of work that awaits nothing that waits."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("it awaits something else than its statements")


class SqliteBackend:
    """The connections to one file."""

    dialect = "sqlite"
    keeps_users_apart = False
    most_at_once = _READERS

    def __init__(self, url: DatabaseUrl, *, gathers: bool = True) -> None:
        self._most = _GROUP if gathers else 1
        self.path = url.path.resolve()
        self._url = url
        self._turn = asyncio.Lock()
        self._file_lock = FileLock(f"{self.path}-lock", thread_local=False)
        self._writer = _writing_engine(url)
        self._readers = _reading_engine(url, pool_size=_READERS + 1)
        self._waiting: list[_Write[Any]] = []
        self._draining: asyncio.Task[None] | None = None
        self._writer_thread = ThreadPoolExecutor(1, thread_name_prefix="taskwell-writer")
        self._reader_threads = ThreadPoolExecutor(_READERS, thread_name_prefix="taskwell-reader")

    async def read(self, work: Callable[[OnTheSpot], Awaitable[T]]) -> T:
        """Read in a thread of its own, so that others are served meanwhile."""
        self._need_folder()

        def in_thread() -> T:
            with self._readers.connect() as connection:
                return _driven(work(OnTheSpot(connection)))

        return await asyncio.get_running_loop().run_in_executor(self._reader_threads, in_thread)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[OnTheSpot]:
        """A connection for what takes no time worth a thread."""
        self._need_folder()
        with self._readers.connect() as connection:
            yield OnTheSpot(connection)

    asking = reading

    async def write(self, work: Callable[[OnTheSpot], Awaitable[T]]) -> T:
        """A transaction, or a part of one that others share: what raises is undone, and undoes nobody else's.

        Raises:
            Busy: the file was locked by somebody else all the time.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, answer))
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
        group: list[_Write[Any]] = []
        try:
            async with self._alone(_LOCK_PATIENCE_SECONDS):
                group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                outcomes = await self._in_writer_thread(partial(_transactions, group))
        except Exception as error:  # noqa: BLE001 (it is raised for those who wrote)
            # Of those who have not had a turn, whoever came late goes on waiting.
            latest = time.monotonic() - _LOCK_PATIENCE_SECONDS
            refused = group or [write for write in self._waiting if write.since <= latest]
            self._waiting = [write for write in self._waiting if write not in refused]
            group, outcomes = refused, [error] * len(refused)
        for write, outcome in zip(group, outcomes, strict=True):
            settle(write.answer, outcome)

    async def migrate(self, work: Callable[[Connection], T], patience_seconds: float) -> T:
        """A transaction that no other migration shares, in which tables may be rebuilt."""

        def transaction(connection: Connection) -> T:
            driver = connection.connection.driver_connection
            assert driver is not None
            # To replace a table is to drop it, which would cascade. The setting has no effect inside a
            # transaction, so it is made before.
            driver.execute("PRAGMA foreign_keys = OFF")
            try:
                with connection.begin():
                    return work(connection)
            finally:
                driver.execute("PRAGMA foreign_keys = ON")

        async with self._alone(patience_seconds):
            return await self._in_writer_thread(transaction)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[OnTheSpot]:
        """One state of everything, however long it is read and whoever writes meanwhile."""
        self._need_folder()
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
        async with self._alone(_LOCK_PATIENCE_SECONDS):
            try:
                with engine.connect() as connection:
                    _take(connection, self.path)
                    yield OnTheSpot(connection)
            finally:
                engine.dispose()

    @asynccontextmanager
    async def loading(self, _tables: Sequence[str]) -> AsyncGenerator[OnTheSpot]:
        """A transaction that may take its time. Whoever else writes meanwhile is told to try again."""
        async with self._alone(_LOCK_PATIENCE_SECONDS):
            with self._writer.connect() as connection, connection.begin():
                yield OnTheSpot(connection)

    async def _in_writer_thread(self, work: Callable[[Connection], T]) -> T:
        def in_thread() -> T:
            with self._writer.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer_thread, in_thread)

    @asynccontextmanager
    async def _alone(self, patience_seconds: float) -> AsyncGenerator[None]:
        async with self._turn:
            await self._lock_file(patience_seconds)
            try:
                yield
            finally:
                self._file_lock.release()

    async def _lock_file(self, patience_seconds: float) -> None:
        """Ask again and again, as SQLite itself does: to wait would stop the event loop."""
        self._need_folder()
        deadline = time.monotonic() + patience_seconds
        pause = 0.001
        while True:
            try:
                self._file_lock.acquire(blocking=False)
            except Timeout:
                if time.monotonic() > deadline:
                    raise Busy from None
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)

    def _need_folder(self) -> None:
        """Where a disk is missing its folder may be too, and would be made anew for the lock."""
        folder = self.path.parent
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(folder)

    def pool_numbers(self) -> dict[str, int]:
        return _numbers(self._readers)

    async def close(self) -> None:
        """The readers first: whoever closes last writes the checkpoint, and that is the writer's right."""
        self._reader_threads.shutdown()
        self._readers.dispose()
        self._writer_thread.shutdown()
        if not _numbers(self._writer)["idle"]:
            return
        try:
            async with self._alone(_LOCK_PATIENCE_SECONDS):
                self._writer.dispose()
        except Busy:  # another process writes: it is connected, so there is no checkpoint to write
            self._writer.dispose()


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
