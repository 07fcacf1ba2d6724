"""The file of an SQLite database: checks its identity and opens it."""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event

from taskwell.core.database_url import BadDatabaseUrl
from taskwell.core.errors import FileMoved, InUse
from taskwell.database.connection import InlineConnection

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


class SqliteFile:
    """Checks that the open file is still the one at the path: SQLite would keep using a deleted one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, int] | None = None

    def note(self, connection: Any, _record: Any) -> None:
        """Record the identity of the first file that is opened. (A listener to an engine's "connect".)"""
        if self._opened is None:
            connection.execute("PRAGMA schema_version")  # SQLite opens the file at the first read
            self._opened = _identity(self.path)

    def need(self) -> None:
        """Check that the file is still at its path.

        Raises:
            FileMoved: it was removed or replaced.
            OSError: its folder is missing or not writable.
        """
        found = _identity(self.path)
        folder = self.path.parent
        if found is None and not folder.is_dir():
            # A disk may be unmounted: creating its folder for the lock file would hide that.
            raise FileNotFoundError(folder)
        if self._opened is not None and found != self._opened:
            raise FileMoved
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(folder)


def _identity(path: Path) -> tuple[int, int] | None:
    """A file's identity, which survives a rename; None if there is no file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def absolute(path: Path) -> Path:
    """The absolute path of a file, which need not exist.

    Raises:
        BadDatabaseUrl: it cannot be resolved. The working directory may have been removed.
    """
    try:
        found = path.resolve()
        found.exists()  # raises if a parent folder is not accessible
    except OSError:
        folder = "the working directory" if not path.is_absolute() else "a parent folder"
        raise BadDatabaseUrl(f"{path} cannot be found: {folder} is missing or not accessible") from None
    return found


def closed_files(path: Path) -> list[Path]:
    """The database's existing files that are not readable and writable."""
    files = [path.with_name(f"{path.name}{suffix}") for suffix in ("", "-lock", "-wal", "-shm")]
    return [file for file in files if file.exists() and not os.access(file, os.R_OK | os.W_OK)]


def prepare_connections(engine: Engine, pragmas: Sequence[str]) -> None:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own
        cursor = connection.cursor()
        # FULL: acknowledged writes survive a power cut. NORMAL does not guarantee that under WAL.
        for pragma in ("busy_timeout = 5000", "synchronous = FULL", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


@contextmanager
def lone_file(path: Path, mode: Literal["ro", "rw", "immutable"]) -> Iterator[InlineConnection]:
    """Open a file for exclusive use, on any file system and without -wal and -shm files.

    It is written without a journal, so an interrupted write leaves a file to discard. Foreign keys are not
    enforced. New files are readable by their owner only. "immutable": the file cannot change, so no lock is
    taken.
    """
    if mode == "rw":
        path.touch(mode=0o600)
    how = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    address = f"file:{quote(str(absolute(path)))}?{how}"
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
                yield InlineConnection(connection)
    finally:
        engine.dispose()


@contextmanager
def unwritable_file(path: Path) -> Iterator[InlineConnection]:
    """Open a database in a folder that is not writable: a snapshot, or another user's server's.

    SQLite needs to write the WAL's index beside it, unless there is one. Opened as immutable it ignores the
    WAL, which would lose the latest changes.

    Raises:
        BadDatabaseUrl: the latest changes cannot be read there.
        InUse: the file changed meanwhile.
    """
    wal, index, journal = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal"))
    if wal.exists() and index.exists():
        with lone_file(path, "ro") as connection:
            yield connection
        return
    for file in (wal, journal):
        if file.exists() and file.stat().st_size:
            says = f"its latest changes are in {file.name}, which SQLite reads only in a writable folder"
            raise BadDatabaseUrl(f"{path}: {says}; copy both files to one, and set DATABASE_URL to it")
    before = path.stat()
    with lone_file(path, "immutable") as connection:
        yield connection
    after = path.stat()
    if wal.exists() or (before.st_ino, before.st_size, before.st_mtime_ns) != (
        after.st_ino, after.st_size, after.st_mtime_ns,
    ):  # fmt: skip
        raise InUse(f"{path} was changed while it was read: try again, or run as the server's user")


def refuse_network_file_system(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """Refuse a network file system: WAL needs shared memory, which only processes of one machine have.

    Where the system does not list its mounts (other than Linux), nothing is refused.

    Raises:
        BadDatabaseUrl: the file is on a network file system.
    """
    if str(path).startswith("\\\\"):
        raise BadDatabaseUrl(_remote("a network share"))
    if not mountinfo.exists():
        return
    kind = _file_system_of(absolute(path), mountinfo.read_bytes())
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
        f"the SQLite file is on {kind}, where SQLite can lose data: use a local disk or PostgreSQL, or set "
        "TASKWELL_ALLOW_NETWORK_FILE_SYSTEM=true at your own risk"
    )
