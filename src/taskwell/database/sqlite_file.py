"""The file of a SQLite database: that it is still the one, and how it is opened."""

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
    """What was opened must be what others will find there: SQLite would go on in one that is deleted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, int] | None = None

    def note(self, connection: Any, _record: Any) -> None:
        """Which one it is that was opened, as soon as one is. (A listener to an engine's "connect".)"""
        if self._opened is None:
            connection.execute("PRAGMA schema_version")  # opened not before it is read
            self._opened = _identity(self.path)

    def need(self) -> None:
        """See that it is there.

        Raises:
            FileMoved: it is another one, or gone.
            OSError: there is no folder to write to.
        """
        found = _identity(self.path)
        folder = self.path.parent
        if found is None and not folder.is_dir():
            # A disk may be missing, and its folder would be made anew for the lock.
            raise FileNotFoundError(folder)
        if self._opened is not None and found != self._opened:
            raise FileMoved
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(folder)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others, also when it is renamed; None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def absolute(path: Path) -> Path:
    """Where a file is, or would be.

    Raises:
        BadDatabaseUrl: there is no telling. The working folder may have been removed.
    """
    try:
        found = path.resolve()
        found.exists()  # raises, where a folder on the way is closed
    except OSError:
        way = "the working folder" if not path.is_absolute() else "a folder on the way"
        raise BadDatabaseUrl(f"{path} cannot be looked for: {way} is gone, or may not be entered") from None
    return found


def closed_files(path: Path) -> list[Path]:
    """Which of a database's files are there, and may not be read and written."""
    files = [path.with_name(f"{path.name}{suffix}") for suffix in ("", "-lock", "-wal", "-shm")]
    return [file for file in files if file.exists() and not os.access(file, os.R_OK | os.W_OK)]


def prepare_connections(engine: Engine, pragmas: Sequence[str]) -> None:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver opens no transactions of its own
        cursor = connection.cursor()
        # FULL: what was acknowledged survives a power cut. NORMAL would not promise that under WAL.
        for pragma in ("busy_timeout = 5000", "synchronous = FULL", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


@contextmanager
def lone_file(path: Path, mode: Literal["ro", "rw", "immutable"]) -> Iterator[InlineConnection]:
    """A file that nobody else uses, on any file system and without companions.

    It is written without a journal: whoever is interrupted throws it away. Foreign keys are not enforced.
    What is made by it is for its owner's eyes alone. "immutable": nobody can change it, and no lock is taken.
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
    """A database in a folder where nothing may be written: a snapshot, or that of another user's server.

    SQLite writes an index of the WAL beside it, unless there is one. It can be told that there is no WAL,
    which would lose what is in it.

    Raises:
        BadDatabaseUrl: what was changed last cannot be read there.
        InUse: somebody has changed it meanwhile.
    """
    wal, index, journal = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal"))
    if wal.exists() and index.exists():
        with lone_file(path, "ro") as connection:
            yield connection
        return
    for file in (wal, journal):
        if file.exists() and file.stat().st_size:
            says = f"its last changes are in {file.name}, which can only be read where files may be written"
            raise BadDatabaseUrl(f"{path}: {says}; copy both files to such a folder, and name that one")
    before = path.stat()
    with lone_file(path, "immutable") as connection:
        yield connection
    after = path.stat()
    if wal.exists() or (before.st_ino, before.st_size, before.st_mtime_ns) != (
        after.st_ino, after.st_size, after.st_mtime_ns,
    ):  # fmt: skip
        raise InUse(f"{path} was changed while it was read: try again, or as the user of the server")


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
        f"the SQLite file would lie on {kind}, where SQLite can lose data; keep it on a local disk, use "
        "PostgreSQL, or set TASKWELL_ALLOW_NETWORK_FILE_SYSTEM=true at your own risk"
    )
