"""SQLite: its promises of durability, and one writer at a time, whoever else is there."""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from filelock import FileLock, Timeout
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from taskwell.core.database_url import BadDatabaseUrl, parse_database_url
from taskwell.core.errors import Unavailable
from taskwell.core.settings import Settings
from taskwell.database import migrate, sqlite, sqlite_writer
from taskwell.database.coalescing import coalesced, never
from taskwell.database.database import Database, ReadTransaction, Transaction, inline
from taskwell.database.prepared import PreparedStatement
from taskwell.database.sqlite import SqliteBackend
from taskwell.database.sqlite_file import refuse_network_file_system

PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "query_only")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@asynccontextmanager
async def backend_of(path: Path) -> AsyncGenerator[SqliteBackend]:
    backend = SqliteBackend(parse_database_url(f"sqlite:///{path}"))
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def database_of(path: Path, more_expected: Callable[[], bool] = never) -> AsyncGenerator[Database]:
    """A database with a table of one number."""
    database = Database(Settings(database_url=f"sqlite:///{path}"), more_expected=more_expected)
    database.ready = True
    await database.backend.write(make_counter)
    try:
        yield database
    finally:
        await database.close()


async def make_counter(connection: Any) -> None:
    await connection.execute(text("CREATE TABLE IF NOT EXISTS counter (n INTEGER)"))
    await connection.execute(text("INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter)"))


async def pragmas(connection: Any) -> list[object]:
    return [(await connection.execute(text(f"PRAGMA {name}"))).scalar() for name in PRAGMAS]


async def read(transaction: ReadTransaction) -> int:
    row = await transaction.first(text("SELECT n FROM counter"))
    assert row is not None
    n: int = row[0]
    return n


async def increment(transaction: Transaction) -> None:
    """Reads, lets others have a turn, and writes what it read plus one."""
    n = await read(transaction)
    time.sleep(0.001)  # noqa: ASYNC251 (it is in a thread)
    await transaction.all(text(f"UPDATE counter SET n = {n + 1} RETURNING n"))


HOLD = """\
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
WRITE = """\
import asyncio, sys
from pathlib import Path
from tests.database.test_sqlite import database_of, increment

async def work():
    async with database_of(Path(sys.argv[1])) as database:
        for _ in range(50):
            await database.write(increment)

asyncio.run(work())
"""


def python(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def refuse(_connection: object) -> Any:
    raise AssertionError("it must not come to this")


class OtherWriter:
    """Another process that holds the lock of a write."""

    def __init__(self, path: Path) -> None:
        self._process = python(HOLD, f"{path}-lock")
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"held\n"

    def finish(self) -> None:
        self._process.communicate()


@contextmanager
def other_writer(path: Path) -> Iterator[OtherWriter]:
    writer = OtherWriter(path)
    try:
        yield writer
    finally:
        writer.finish()


class TestConnections:
    def test_the_writer_is_durable_and_keeps_foreign_keys(self, path: Path) -> None:
        async def work() -> list[object]:
            async with backend_of(path) as backend:
                return await backend.write(pragmas)

        assert asyncio.run(work()) == ["wal", 2, 1, 0]  # 2 is FULL

    def test_a_reader_is_the_same_but_can_only_read(self, path: Path) -> None:
        async def work() -> list[object]:
            async with backend_of(path) as backend:
                await backend.write(pragmas)
                return await backend.read(pragmas)

        assert asyncio.run(work()) == ["wal", 2, 1, 1]

    def test_a_write_by_a_reader_is_refused(self, path: Path) -> None:
        async def work() -> None:
            async with backend_of(path) as backend, backend.reading() as connection:
                await connection.execute(text("CREATE TABLE surprise (n INTEGER)"))

        with pytest.raises(OperationalError, match="readonly"):
            asyncio.run(work())

    def test_what_a_killed_server_left_unsynced_is_on_the_disk_before_the_first_answer(
        self, path: Path, tmp_path: Path
    ) -> None:
        """A repeat is answered from it, so it must not be lost afterwards."""
        killed = tmp_path / "killed.db"
        with closing(connect(killed, isolation_level=None)) as connection:
            for statement in (
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = OFF",
                "CREATE TABLE told (n)",
            ):
                connection.execute(statement)
            for end in ("", "-wal"):
                shutil.copy(f"{killed}{end}", f"{path}{end}")

        async def work() -> None:
            async with backend_of(path) as backend:
                await backend.write(lambda connection: connection.execute(text("SELECT 1")))
                shutil.copy(path, tmp_path / "synced.db")

        asyncio.run(work())
        with closing(connect(tmp_path / "synced.db")) as connection:
            assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("told",)]

    def test_foreign_keys_hold_again_after_a_migration(self, path: Path) -> None:
        async def work() -> list[object]:
            async with backend_of(path) as backend:
                keys = text("PRAGMA foreign_keys")
                during = await backend.migrate(lambda connection: connection.execute(keys).scalar(), 1)
                return [during, (await backend.write(pragmas))[2]]

        assert asyncio.run(work()) == [0, 1]

    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("my tasks.db", "my tasks.db"),
            ("my tasks.db", "my%20tasks.db"),
            ("100%.db", "100%25.db"),
            ("100%.db", "100%.db"),
            ("a%20b.db", "a%2520b.db"),
            ("aufgäbchen 📝.db", "aufgäbchen 📝.db"),
        ],
    )
    def test_the_file_may_have_any_name(self, name: str, written: str, tmp_path: Path) -> None:
        folder = tmp_path / "100% mine"
        folder.mkdir()
        url = f"sqlite:///{str(folder).replace('%', '%25')}/{written}"
        asyncio.run(migrate.upgrade(Settings(database_url=url)))
        assert (folder / name).stat().st_size > 0
        assert {file.name for file in folder.iterdir()} == {name, f"{name}-lock"}


class TestOneWriter:
    def test_writes_of_two_databases_on_one_file_take_turns(self, path: Path) -> None:
        async def work() -> int:
            async with database_of(path) as one, database_of(path) as other:
                await asyncio.gather(*(database.write(increment) for database in [one, other] * 20))
                return await one.read(read)

        assert asyncio.run(work()) == 40

    @pytest.mark.slow
    def test_writes_of_two_processes_take_turns(self, path: Path) -> None:
        async def count() -> int:
            async with database_of(path) as database:
                return await database.read(read)

        assert asyncio.run(count()) == 0
        processes = [python(WRITE, str(path)) for _ in range(2)]
        for process in processes:
            process.communicate()
        assert [process.returncode for process in processes] == [0, 0]
        assert asyncio.run(count()) == 100

    def test_a_write_holds_the_lock_on_the_file_until_its_end(self, path: Path) -> None:
        lock = FileLock(f"{path}-lock")

        async def work() -> None:
            async with database_of(path) as database:
                await database.write(keeps_out(lock))
                with lock.acquire(blocking=False):
                    pass

        asyncio.run(work())

    def test_a_lock_file_that_was_removed_is_made_anew(self, path: Path) -> None:
        lock = FileLock(f"{path}-lock")

        async def work() -> None:
            async with database_of(path) as database:
                await database.write(increment)
                await asyncio.to_thread(Path(f"{path}-lock").unlink)
                await database.write(keeps_out(lock))
                with lock.acquire(blocking=False):
                    pass

        asyncio.run(work())

    def test_who_reads_in_between_waits_for_no_long_read(self, path: Path) -> None:
        """The event loop would stand still."""
        reading, go_on = threading.Barrier(sqlite._READERS + 1), threading.Event()

        @inline
        async def read_few(transaction: ReadTransaction) -> int:
            return await read(transaction)

        async def read_long(transaction: ReadTransaction) -> int:
            reading.wait(timeout=10)
            go_on.wait(timeout=10)
            return await read(transaction)

        @coalesced("look_at", inline=True)
        async def look_at(_transaction: ReadTransaction, keys: Sequence[str]) -> Sequence[str]:
            return keys

        async def work() -> None:
            async with database_of(path) as database:
                await database.write(increment)
                assert await database.read_coalesced(look_at, "key") == "key"
                long = [asyncio.create_task(database.read(read_long)) for _ in range(sqlite._READERS)]
                await asyncio.to_thread(reading.wait, 10)
                start = time.monotonic()
                assert await database.read(read_few) == 1
                assert await database.read_coalesced(look_at, "key") == "key"
                assert time.monotonic() - start < 1
                go_on.set()
                assert await asyncio.gather(*long) == [1] * sqlite._READERS

        asyncio.run(work())

    def test_what_is_looked_up_in_one_turn_of_the_event_loop_is_looked_up_once(self, path: Path) -> None:
        looks: list[str] = []

        @coalesced("look_at", inline=True)
        async def look_at(_transaction: ReadTransaction, keys: Sequence[str]) -> Sequence[str]:
            looks.extend(keys)
            return keys

        async def work() -> None:
            async with database_of(path) as database:
                for _ in range(2):
                    answers = [database.read_coalesced(look_at, key) for key in ("a", "b", "a", "a")]
                    assert await asyncio.gather(*answers) == ["a", "b", "a", "a"]

        asyncio.run(work())
        assert looks == ["a", "b"] * 2

    def test_while_more_are_to_come_what_they_want_as_well_is_looked_up_once(self, path: Path) -> None:
        looks: list[str] = []
        more = iter([True] * 10)

        @coalesced("look_at", inline=True)
        async def look_at(_transaction: ReadTransaction, keys: Sequence[str]) -> Sequence[str]:
            looks.extend(keys)
            return keys

        async def work() -> None:
            async with database_of(path, lambda: next(more, False)) as database:
                first = database.read_coalesced(look_at, "a")
                await asyncio.sleep(0)
                second = database.read_coalesced(look_at, "a")
                assert [await first, await second] == ["a", "a"]

        asyncio.run(work())
        assert looks == ["a"]

    def test_who_wrote_finds_it_whatever_others_look_up_meanwhile(self, path: Path) -> None:
        counter = PreparedStatement(text("SELECT n FROM counter"))

        @coalesced("look", inline=True)
        async def look(transaction: ReadTransaction, _keys: Sequence[str]) -> Sequence[int]:
            return (await transaction.fetch_prepared(counter))[0]

        async def look_on_and_on(database: Database) -> None:
            while True:
                database.read_coalesced(look, "n")
                await asyncio.sleep(0)

        async def work() -> None:
            async with database_of(path) as database:
                others = asyncio.create_task(look_on_and_on(database))
                for n in range(1, 201):
                    await database.write(increment)
                    assert await database.read_coalesced(look, "n") == n
                others.cancel()

        asyncio.run(work())

    def test_closing_leaves_no_file_open(self, path: Path) -> None:
        def still_open() -> list[str]:
            return [link for file in Path("/proc/self/fd").iterdir() if str(path) in (link := target(file))]

        async def work() -> None:
            async with database_of(path) as database:
                await database.write(increment)
                assert await database.read(read) == 1
                assert f"{path}-lock" in still_open()

        asyncio.run(work())
        assert still_open() == []

    def test_a_write_waits_for_another_process_and_then_succeeds(self, path: Path) -> None:
        async def work() -> int:
            async with database_of(path) as database:
                with other_writer(path) as other:
                    write = asyncio.create_task(database.write(increment))
                    done, _ = await asyncio.wait([write], timeout=0.2)
                    assert not done
                    other.finish()
                    await write
                return await database.read(read)

        assert asyncio.run(work()) == 1

    def test_a_read_waits_for_no_writer(self, path: Path) -> None:
        async def work() -> int:
            async with database_of(path) as database:
                with other_writer(path):
                    return await database.read(read)

        assert asyncio.run(work()) == 0

    def test_a_write_that_waits_too_long_is_told_that_nothing_was_changed(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite_writer, "LOCK_PATIENCE_SECONDS", 0.1)

        async def work() -> int:
            async with database_of(path) as database:
                with other_writer(path), pytest.raises(Unavailable, match="busy; nothing was changed"):
                    await database.write(increment)
                assert await database.read(read) == 0
                await database.write(increment)
                return await database.read(read)

        assert asyncio.run(work()) == 1

    def test_a_migration_waits_as_long_as_it_is_told(self, path: Path) -> None:
        async def work() -> None:
            async with backend_of(path) as backend:
                with other_writer(path), pytest.raises(Unavailable):
                    await backend.migrate(refuse, 0.1)

        asyncio.run(work())

    def test_who_is_gone_leaves_the_others_their_turns(self, path: Path) -> None:
        async def work() -> int:
            async with database_of(path) as database:
                with other_writer(path) as other:
                    writes = [asyncio.ensure_future(database.backend.write(make_counter)) for _ in range(3)]
                    await asyncio.sleep(0.05)
                    writes[0].cancel()
                    writes[1].cancel()
                    write = asyncio.create_task(database.write(increment))
                    await asyncio.sleep(0.05)
                    other.finish()
                    await asyncio.gather(writes[2], write)
                return await database.read(read)

        assert asyncio.run(work()) == 1

    def test_closing_leaves_nobody_who_waits_without_an_answer(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite_writer, "LOCK_PATIENCE_SECONDS", 0.2)

        async def work() -> None:
            async with database_of(path) as database:
                with other_writer(path):
                    write = asyncio.ensure_future(database.backend.write(make_counter))
                    await asyncio.sleep(0.05)
                    await database.close()
                    async with asyncio.timeout(2):
                        with pytest.raises(Unavailable):
                            await write

        asyncio.run(work())

    def test_a_lock_file_that_cannot_be_opened_is_told_at_once(self, path: Path) -> None:
        def make_unusable(lock: Path) -> None:
            lock.unlink()
            lock.mkdir()

        async def work() -> None:
            async with database_of(path) as database:
                make_unusable(Path(f"{path}-lock"))
                async with asyncio.timeout(1):
                    with pytest.raises(Unavailable, match="nothing was changed"):
                        await database.write(increment)

        asyncio.run(work())

    def test_closing_waits_for_no_writer_for_ever(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_writer, "LOCK_PATIENCE_SECONDS", 0.1)

        async def work() -> None:
            async with database_of(path) as database:
                await database.write(increment)
                with other_writer(path):
                    await database.close()

        asyncio.run(work())


class TestMissingFolder:
    def test_is_not_made_up(self, tmp_path: Path) -> None:
        """A volume that is not mounted yet would get an empty database in its place."""

        async def work() -> None:
            async with backend_of(tmp_path / "missing" / "tasks.db") as backend:
                with pytest.raises(FileNotFoundError):
                    async with asyncio.timeout(1):
                        await backend.write(refuse)

        asyncio.run(work())
        assert list(tmp_path.iterdir()) == []


def mountinfo(folder: Path, *mounts: tuple[str, str]) -> Path:
    """What Linux says of its mounts: a local root, and these."""
    lines = ["21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    for number, (point, kind) in enumerate(mounts, 30):
        lines.append(
            f"{number} 21 0:{number} / {point} rw,relatime shared:{number} master:1 - {kind} source rw"
        )
    file = folder / "mountinfo"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


class TestNetworkFileSystems:
    @pytest.mark.parametrize(
        "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "fuse.rclone"]
    )
    def test_are_refused_by_name(self, kind: str, tmp_path: Path) -> None:
        mounts = mountinfo(tmp_path, ("/data", kind))
        with pytest.raises(BadDatabaseUrl, match=f"is on {kind}, where SQLite can lose data"):
            refuse_network_file_system(Path("/data/tasks.db"), mounts)

    @pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk"])
    def test_others_are_accepted(self, kind: str, tmp_path: Path) -> None:
        refuse_network_file_system(Path("/data/tasks.db"), mountinfo(tmp_path, ("/data", kind)))

    def test_the_innermost_mount_counts(self, tmp_path: Path) -> None:
        mounts = mountinfo(tmp_path, ("/data", "nfs4"), ("/data/local", "ext4"), ("/data/local/far", "cifs"))
        refuse_network_file_system(Path("/data/local/tasks.db"), mounts)
        for path in ("/data/tasks.db", "/data/local/far/away/tasks.db"):
            with pytest.raises(BadDatabaseUrl):
                refuse_network_file_system(Path(path), mounts)

    def test_the_order_of_the_list_does_not_count(self, tmp_path: Path) -> None:
        mounts = mountinfo(tmp_path, ("/data/local", "ext4"), ("/data", "nfs4"))
        refuse_network_file_system(Path("/data/local/tasks.db"), mounts)

    def test_the_latest_of_two_mounts_at_one_place_counts(self, tmp_path: Path) -> None:
        mounts = mountinfo(tmp_path, ("/data", "nfs4"), ("/data", "ext4"))
        refuse_network_file_system(Path("/data/tasks.db"), mounts)

    def test_a_folder_whose_name_only_begins_alike_is_another(self, tmp_path: Path) -> None:
        refuse_network_file_system(Path("/database/tasks.db"), mountinfo(tmp_path, ("/data", "nfs4")))

    @pytest.mark.parametrize(
        ("written", "folder"),
        [(r"/my\040data", "/my data"), (r"/a\134b", "/a\\b"), ("/daten_für_uns", "/daten_für_uns")],
    )
    def test_the_name_of_a_mount_is_read_as_it_is_written(
        self, written: str, folder: str, tmp_path: Path
    ) -> None:
        with pytest.raises(BadDatabaseUrl):
            refuse_network_file_system(Path(f"{folder}/tasks.db"), mountinfo(tmp_path, (written, "nfs4")))

    def test_a_mount_whose_name_is_no_utf_8_hinders_nobody(self, tmp_path: Path) -> None:
        mounts = mountinfo(tmp_path, ("/data", "nfs4"))
        mounts.write_bytes(mounts.read_bytes().replace(b"/data", b"/data\xff"))
        refuse_network_file_system(Path("/srv/tasks.db"), mounts)

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to("/data")
        with pytest.raises(BadDatabaseUrl):
            refuse_network_file_system(link / "tasks.db", mountinfo(tmp_path, ("/data", "nfs4")))

    def test_where_the_mounts_are_not_told_nothing_is_refused(self, tmp_path: Path) -> None:
        refuse_network_file_system(Path("/data/tasks.db"), tmp_path / "missing")

    def test_the_server_refuses_them_unless_told_otherwise(self) -> None:
        url = r"sqlite:///\\server\share\tasks.db"
        with pytest.raises(BadDatabaseUrl, match="TASKWELL_ALLOW_NETWORK_FILE_SYSTEM=true"):
            Database(Settings(database_url=url))
        Database(Settings(database_url=url, allow_network_file_system=True))


def keeps_out(lock: FileLock) -> Callable[[Transaction], Awaitable[None]]:
    """A write that looks whether others can have the lock meanwhile."""

    async def look(transaction: Transaction) -> None:
        await increment(transaction)
        with pytest.raises(Timeout):
            lock.acquire(blocking=False)

    return look


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # it was the one that the folder was read by
        return ""
