"""SQLite: one file, one writer at a time.

Each process has one connection that writes and a few that only read. A write holds two locks: a queue
inside the process, which is fair, and a lock on the file `<database>-lock`, which keeps the other
processes out. So no two connections ever write or checkpoint at once, which is what SQLite before 3.51.3
needs to be safe (its WAL-reset bug), and a writer never meets SQLITE_BUSY from another taskwell.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from taskwell.core.database_url import BadDatabaseUrl, DatabaseUrl
from taskwell.core.errors import Unavailable

_LOCK_PATIENCE_SECONDS = 5.0
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


class SqliteBackend:
    """The connections to one file."""

    dialect = "sqlite"

    def __init__(self, url: DatabaseUrl) -> None:
        self.path = url.path.resolve()
        self._turn = asyncio.Lock()
        self._file_lock = FileLock(f"{self.path}-lock", thread_local=False)
        self._writer = _engine(url, pool_size=1)
        self._readers = _engine(url, pool_size=_READERS, reads_only=True)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        self._need_folder()
        async with self._readers.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        async with self._alone(_LOCK_PATIENCE_SECONDS), self._writer.connect() as connection:
            yield connection

    @asynccontextmanager
    async def migrating(self, patience_seconds: float) -> AsyncGenerator[AsyncConnection]:
        """A transaction that no other migration shares, in which tables may be rebuilt."""
        async with self._alone(patience_seconds), self._writer.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            # To replace a table is to drop it, which would cascade. The setting has no effect inside a
            # transaction, so it is made before.
            await driver.execute("PRAGMA foreign_keys = OFF")
            try:
                async with connection.begin():
                    yield connection
            finally:
                await driver.execute("PRAGMA foreign_keys = ON")

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
                    raise Unavailable("The database is busy; nothing was changed. Try again.") from None
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
        await self._readers.dispose()
        if not _numbers(self._writer)["idle"]:
            return
        try:
            async with self._alone(_LOCK_PATIENCE_SECONDS):
                await self._writer.dispose()
        except Unavailable:  # another process writes: it is connected, so there is no checkpoint to write
            await self._writer.dispose()


def _numbers(engine: AsyncEngine) -> dict[str, int]:
    pool: Any = engine.pool
    return {"size": pool.size(), "in_use": pool.checkedout(), "idle": pool.checkedin()}


def _engine(url: DatabaseUrl, *, pool_size: int, reads_only: bool = False) -> AsyncEngine:
    engine = create_async_engine(
        url.url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_LOCK_PATIENCE_SECONDS,
        # A reader is in no transaction, so there is nothing to reset when it goes back.
        pool_reset_on_return=None if reads_only else "rollback",
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 5000")
        # FULL: what was acknowledged survives a power cut. NORMAL would not promise that under WAL.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        if reads_only:
            cursor.execute("PRAGMA query_only = ON")
        else:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA journal_size_limit = 67108864")
        cursor.close()

    if not reads_only:

        @event.listens_for(engine.sync_engine, "begin")
        def lock_before_the_first_read(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


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
