"""`taskwell backup` as an operator runs it."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path

import httpx2
import pytest

from harness import warm
from harness.databases import execute, new_postgres_database
from harness.responses import create
from harness.servers import local_server, server_process
from taskwell.core.settings import Settings
from tests.cli.commands import done, refused, taskwell
from tests.cli.conftest import FilledCopy
from tests.cli.contents import contents, empty

pytestmark = pytest.mark.slow


def rows(file: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


class TestBackup:
    def test_holds_everything(self, filled: str, tmp_path: Path) -> None:
        file = tmp_path / "tasks.bak"
        told = done(filled, "backup", str(file))
        held = contents(f"sqlite:///{file}")
        assert held == contents(filled)
        assert all(table.rows for table in held.values())
        assert told == f"{file} contains 4 users, {held['tasks'].rows} tasks, 1 api tokens.\n"

    def test_says_what_it_holds_as_json(self, filled: str, tmp_path: Path) -> None:
        file = tmp_path / "tasks.bak"
        told = json.loads(done(filled, "backup", str(file), "--json"))
        assert told["file"] == str(file)
        assert told["revision"] == rows(file, "SELECT * FROM taskwell_version")[0][0]
        assert told["rows"] == {name: table.rows for name, table in contents(filled).items()}

    def test_is_one_whole_file_for_its_owner_alone(self, filled: str, tmp_path: Path) -> None:
        file = tmp_path / "a folder with %20 and ?" / "tasks.bak"
        file.parent.mkdir()
        done(filled, "backup", str(file))
        assert list(file.parent.iterdir()) == [file]
        assert rows(file, "PRAGMA integrity_check") == [("ok",)]
        assert rows(file, "PRAGMA journal_mode") == [("delete",)]
        assert os.name == "nt" or stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_serves_as_a_database(self, filled: str, tmp_path: Path) -> None:
        file = tmp_path / "tasks.bak"
        done(filled, "backup", str(file))
        with (
            local_server(Settings(database_url=f"sqlite:///{file}")) as server,
            httpx2.Client(base_url=server.url) as client,
        ):
            assert "Once" in {task["title"] for task in client.get("/api/ada/tasks").json()}

    def test_leaves_the_database_as_it_is(self, filled: str, tmp_path: Path) -> None:
        before = contents(filled)
        done(filled, "backup", str(tmp_path / "tasks.bak"))
        assert contents(filled) == before

    def test_of_an_empty_database_is_one_too(self, database_url: str, tmp_path: Path) -> None:
        empty(database_url)
        told = done(database_url, "backup", str(tmp_path / "tasks.bak"))
        assert told.endswith(" contains 0 users, 0 tasks, 0 api tokens.\n")

    def test_has_the_revision_of_the_database(self, database_url: str, tmp_path: Path) -> None:
        """So that one can be made before an upgrade."""
        done(database_url, "db", "upgrade", "0003")
        file = tmp_path / "tasks.bak"
        told = json.loads(done(database_url, "backup", str(file), "--json"))
        assert told["revision"] == "0003"
        assert list(told["rows"]) == ["idempotency_keys", "users", "tasks"]
        assert rows(file, "SELECT * FROM taskwell_version") == [("0003",)]


class TestLive:
    def test_holds_what_was_acknowledged_when_it_was_begun(self, database_url: str, tmp_path: Path) -> None:
        acknowledged: list[list[str]] = [[] for _ in range(4)]
        ended = threading.Event()

        def write(number: int, url: str) -> None:
            with httpx2.Client(base_url=url) as client:
                while not ended.is_set():
                    tasks = f"/api/user-{number % 2}/tasks"
                    acknowledged[number].append(create(client, tasks)["id"].replace("-", ""))

        with local_server(Settings(database_url=database_url)) as server:
            threads = [threading.Thread(target=write, args=(number, server.url)) for number in range(4)]
            for thread in threads:
                thread.start()
            try:
                for number in range(5):
                    file = tmp_path / f"{number}.bak"
                    before = {task for tasks in acknowledged for task in tasks}
                    done(database_url, "backup", str(file))
                    held = {task for (task,) in rows(file, "SELECT id FROM tasks")}
                    assert before <= held
                    # A number without its task, or a task beyond the number, would be half a write.
                    latest = "SELECT max(version) FROM tasks WHERE user_id = users.id"
                    assert rows(file, f"SELECT id FROM users WHERE last_seq <> ({latest})") == []
            finally:
                ended.set()
                for thread in threads:
                    thread.join()
        assert sum(map(len, acknowledged)) > 0


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A folder as a snapshot is mounted. Root may write whatever the permissions say, but not there."""
    if os.geteuid():
        files = [folder, *folder.iterdir()]
        for file in files:
            file.chmod(0o555 if file.is_dir() else 0o444)
        try:
            yield folder
        finally:
            for file in files:
                file.chmod(0o755 if file.is_dir() else 0o644)
        return
    view = folder.with_name(f"{folder.name}-read-only")
    view.mkdir()
    if subprocess.run(["mount", "--bind", folder, view], check=False, capture_output=True).returncode:
        pytest.skip("needs a user other than root, or the right to mount")
    subprocess.run(["mount", "-o", "remount,ro,bind", view], check=True)
    try:
        yield view
    finally:
        subprocess.run(["umount", view], check=True)


@pytest.fixture
def snapshot(tmp_path: Path, filled_copy: FilledCopy) -> Path:
    """What a disk's snapshot has of a database that is being written: the last changes are in its WAL."""
    live, taken = tmp_path / "live", tmp_path / "snapshot"
    live.mkdir()
    with filled_copy("sqlite", live), closing(sqlite3.connect(live / "test.db")) as connection:
        connection.execute("UPDATE tasks SET title = 'In the WAL'")
        connection.commit()
        shutil.copytree(live, taken)
    return taken


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not closed in this way there")
class TestOfASnapshotThatMayNotBeWritten:
    def back_up(self, snapshot: Path, file: Path) -> set[object]:
        before = {path.name: path.read_bytes() for path in snapshot.iterdir()}
        with read_only(snapshot) as view:
            done(f"sqlite:///{view}/test.db", "backup", str(file))
        assert {path.name: path.read_bytes() for path in snapshot.iterdir()} == before
        return {title for (title,) in rows(file, "SELECT title FROM tasks")}

    def test_with_its_wal_and_the_index(self, snapshot: Path, tmp_path: Path) -> None:
        assert self.back_up(snapshot, tmp_path / "tasks.bak") == {"In the WAL"}

    def test_of_a_server_that_was_stopped(self, snapshot: Path, tmp_path: Path) -> None:
        with closing(sqlite3.connect(snapshot / "test.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert not (snapshot / "test.db-wal").exists()
        assert self.back_up(snapshot, tmp_path / "tasks.bak") == {"In the WAL"}

    def test_without_the_index_nothing_is_left_out(self, snapshot: Path, tmp_path: Path) -> None:
        (snapshot / "test.db-shm").unlink()
        file = tmp_path / "tasks.bak"
        with read_only(snapshot) as view:
            told = refused(f"sqlite:///{view}/test.db", "backup", str(file))
        assert "its latest changes are in test.db-wal" in told
        assert "copy both files to one" in told
        assert not file.exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount")
    def test_of_a_server_that_is_up(self, tmp_path: Path) -> None:
        """As a user who may read its folder and no more."""
        folder, file = tmp_path / "live", tmp_path / "tasks.bak"
        folder.mkdir()
        with server_process(folder) as server, httpx2.Client(base_url=server.url) as client:
            create(client, "/api/tasks", title="Acknowledged")
            with read_only(folder) as view:
                done(f"sqlite:///{view}/taskwell.db", "backup", str(file))
        assert rows(file, "SELECT title FROM tasks") == [("Acknowledged",)]

    def test_others_commands_say_so(self, snapshot: Path, tmp_path: Path) -> None:
        file = tmp_path / "tasks.bak"
        done(f"sqlite:///{snapshot}/test.db", "backup", str(file))
        with read_only(snapshot) as view:
            url = f"sqlite:///{view}/test.db"
            assert "is writable" in refused(url, "restore", str(file), "--replace", "--yes")
            assert "is not writable" in taskwell(url, "doctor").stdout
            assert "is not writable" in refused(url, "backup", str(view / "tasks.bak"))


class TestRefusals:
    def test_of_a_file_that_exists(self, filled: str, tmp_path: Path) -> None:
        file = tmp_path / "tasks.bak"
        file.write_text("precious")
        told = refused(filled, "backup", str(file))
        assert told == f"{file} exists already: choose another name"
        assert file.read_text() == "precious"

    def test_of_a_folder_that_is_missing(self, filled: str, tmp_path: Path) -> None:
        told = refused(filled, "backup", str(tmp_path / "missing" / "tasks.bak"))
        assert told == f"{tmp_path / 'missing'} is not a folder: choose another"

    def test_of_a_database_that_is_missing(self, tmp_path: Path) -> None:
        missing = tmp_path / "missing.db"
        told = refused(f"sqlite:///{missing}", "backup", str(tmp_path / "tasks.bak"))
        assert told == f"there is no database {missing}: check the URL"
        assert list(tmp_path.iterdir()) == []

    def test_of_a_database_that_is_not_taskwells(self, tmp_path: Path) -> None:
        with new_postgres_database() as url:
            told = refused(url, "backup", str(tmp_path / "tasks.bak"))
        assert told.endswith(" is not a database of taskwell: check the URL")
        assert list(tmp_path.iterdir()) == []

    def test_of_a_newer_schema(self, tmp_path: Path) -> None:
        with new_postgres_database() as url:
            empty(url)
            execute(url, "UPDATE taskwell_version SET version_num = '9999'")
            told = refused(url, "backup", str(tmp_path / "tasks.bak"))
        assert told.endswith(" was migrated by a newer taskwell: use that version")

    def test_of_a_column_that_nobody_knows(self, tmp_path: Path) -> None:
        """It would be lost."""
        with new_postgres_database() as url:
            empty(url)
            execute(url, "ALTER TABLE tasks ADD COLUMN colour TEXT")
            told = refused(url, "backup", str(tmp_path / "tasks.bak"))
        assert told == "these tables differ: tasks"
        assert list(tmp_path.iterdir()) == []

    def test_of_a_wrong_password_name_no_password(self, tmp_path: Path) -> None:
        url = "postgresql://user:S3cr3t@127.0.0.1:1/app"
        told = refused(url, "backup", str(tmp_path / "tasks.bak"))
        assert told.startswith("postgresql://user:***@127.0.0.1:1/app: ")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
class TestProgress:
    def test_is_shown_on_a_terminal_only(self, filled: str, tmp_path: Path) -> None:
        pty = import_module("pty")  # not on Windows
        terminal, end = pty.openpty()
        environment = os.environ | {"DATABASE_URL": filled, "TERM": "xterm"}
        with Path(os.devnull).open("wb") as nothing:
            files = nothing.fileno(), end
            assert warm.start(["backup", str(tmp_path / "1.bak")], tmp_path, environment, files).wait(60) == 0
        os.close(end)
        shown = os.read(terminal, 65_536).decode()
        os.close(terminal)
        assert "Backing up" in shown
        assert "100%" in shown
        quiet = warm.run("backup", str(tmp_path / "2.bak"), environment=environment)
        assert (quiet.returncode, quiet.stderr) == (0, "")
