"""`taskwell db` as an operator runs it."""

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url

import taskwell
from harness import warm
from harness.databases import admin_url, execute, new_postgres_database
from harness.postgres import free_port
from taskwell.core.settings import Settings
from taskwell.database import migrate
from tests.cli.commands import taskwell as taskwell_in_process

pytestmark = pytest.mark.slow

PACKAGE = Path(taskwell.__file__).parent
VERSIONS = Path("migrations", "versions")
HEAD = f"{max(path.name for path in (PACKAGE / VERSIONS).glob('0*.py'))[:4]} (head)"


def db(url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return warm.run("db", *arguments, environment=os.environ | {"DATABASE_URL": url} | environment)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed has to say: one line, and no traceback."""
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("taskwell: ")
    assert "Traceback" not in done.stdout
    return line.removeprefix("taskwell: ")


def shown(url: str) -> str:
    """How a URL may be shown."""
    return make_url(url).render_as_string(hide_password=True)


def upgrade(url: str) -> None:
    asyncio.run(migrate.upgrade(Settings(database_url=url)))


def scripts(package: Path) -> set[str]:
    return {path.name for path in (package / VERSIONS).glob("*.py")}


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tasks.db"


class TestUpgradeAndDowngrade:
    def test_say_where_the_database_is_now(self, database_url: str) -> None:
        for arguments, place in (
            (("upgrade", "head"), HEAD),
            (("upgrade", "0001"), HEAD),
            (("downgrade", "--yes", "-1"), f"{int(HEAD[:4]) - 1:04}"),
            (("downgrade", "base", "--yes"), "base"),
            (("upgrade", "0001"), "0001"),
        ):
            done = db(database_url, *arguments)
            assert (done.returncode, done.stdout) == (0, f"{shown(database_url)} is at {place}.\n")

    def test_what_is_newer_than_this_is_told(self, sqlite_url: str) -> None:
        upgrade(sqlite_url)
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'")
        assert db(sqlite_url, "upgrade").stdout == f"{sqlite_url} is at 9999 (of a newer taskwell).\n"

    @pytest.mark.parametrize("answer", ["n\n", ""])
    def test_downgrade_asks_before_anything_is_lost(self, sqlite_url: str, answer: str) -> None:
        upgrade(sqlite_url)
        done = taskwell_in_process(sqlite_url, "db", "downgrade", "base", answer=answer)
        assert done.exit_code == 1
        assert "and lose the data that its schema does not store?" in done.stderr
        assert asyncio.run(migrate.check(Settings(database_url=sqlite_url))) is None

    def test_upgrade_goes_to_the_head_by_itself(self, sqlite_url: str) -> None:
        assert db(sqlite_url, "upgrade").stdout == f"{sqlite_url} is at {HEAD}.\n"

    def test_downgrade_can_go_one_step(self, sqlite_url: str) -> None:
        upgrade(sqlite_url)
        assert db(sqlite_url, "downgrade", "-1", "--yes").returncode == 0
        assert asyncio.run(migrate.check(Settings(database_url=sqlite_url))) is not None

    def test_downgrade_has_to_be_told_where_to(self, sqlite_url: str) -> None:
        done = db(sqlite_url, "downgrade")
        assert done.returncode == 2
        assert "revision" in done.stderr

    def test_a_revision_that_does_not_exist(self, database_url: str) -> None:
        upgrade(database_url)
        assert "'nonsense'" in sentence(db(database_url, "downgrade", "nonsense", "--yes"))

    def test_the_migrations_address_is_the_one_that_is_shown(self) -> None:
        elsewhere = f"postgresql://127.0.0.1:{free_port()}/elsewhere"
        with new_postgres_database() as url:
            done = db(elsewhere, "upgrade", MIGRATION_DATABASE_URL=url)
            assert done.stdout == f"{shown(url)} is at {HEAD}.\n"

    def test_a_table_in_the_way(self) -> None:
        with new_postgres_database() as url:
            execute(url, "CREATE TABLE users (word TEXT)")
            told = sentence(db(url, "upgrade"))
        assert told.startswith(shown(url))
        assert "has a table of another program, users, where taskwell would create its own" in told
        assert "?options=-csearch_path%3Dtaskwell" in told

    def test_a_user_who_may_not_create_tables(self) -> None:
        role = f"reader_{uuid4().hex}"
        with new_postgres_database() as url:
            execute(url, f"CREATE ROLE {role} LOGIN PASSWORD 'S3cr3t'")
            try:
                theirs = make_url(url).set(username=role, password="S3cr3t")
                told = sentence(db(theirs.render_as_string(hide_password=False), "upgrade"))
            finally:
                execute(url, f"DROP ROLE {role}")
        assert told.startswith(str(theirs))
        assert told.endswith("permission denied for schema public")


class TestCheck:
    def test_ends_with_0_at_the_head_and_with_1_where_the_database_differs(
        self, database_url: str, database_kind: str
    ) -> None:
        upgrade(database_url)
        done = db(database_url, "check")
        assert done.returncode == 0
        assert done.stdout.endswith(f"{shown(database_url)} matches the models.\n")

        statement = "ALTER TABLE tasks ADD COLUMN colour TEXT"
        if database_kind == "postgresql":
            execute(database_url, statement)
        else:
            with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
                connection.execute(statement)
        assert "colour" in sentence(db(database_url, "check"))

    def test_ends_with_1_where_a_migration_is_missing(self, sqlite_url: str) -> None:
        upgrade(sqlite_url)
        db(sqlite_url, "downgrade", "-1", "--yes")
        assert "not up to date" in sentence(db(sqlite_url, "check"))

    @pytest.mark.parametrize("command", [["check"], ["downgrade", "base", "--yes"], ["new-epoch"]])
    def test_what_is_not_there_is_not_made(self, sqlite_url: str, tmp_path: Path, command: list[str]) -> None:
        assert (
            sentence(db(sqlite_url, *command)) == f"there is no database {tmp_path}/tasks.db: check the URL"
        )
        assert list(tmp_path.iterdir()) == []


class TestRevision:
    @pytest.fixture
    def package(self, tmp_path: Path) -> Path:
        """A copy of the package, since the command writes into it."""
        copy = tmp_path / "source" / "taskwell"
        shutil.copytree(PACKAGE, copy)
        return copy

    def test_writes_what_the_models_have_and_the_database_has_not(
        self, package: Path, database_url: str
    ) -> None:
        task = package / "models" / "task.py"
        task.write_text(task.read_text() + "    colour: str | None = Field(default=None, sa_type=Text)\n")
        before = scripts(PACKAGE)
        upgrade(database_url)
        with warm.warm_python(package.parent) as python:
            environment = os.environ | {"DATABASE_URL": database_url}

            def code(*arguments: str) -> int:
                return python.start(["db", *arguments], Path.cwd(), environment, (1, 2)).wait(timeout=60)

            assert code("revision", "add the colour") == 0
            (name,) = scripts(package) - before
            assert re.fullmatch(r"\d{4}_add_the_colour\.py", name)
            assert "sa.Column('colour', sa.Text()" in (package / VERSIONS / name).read_text()

            assert code("upgrade") == 0
            assert code("check") == 0
        assert scripts(PACKAGE) == before

    def test_needs_a_database_at_the_head(self, package: Path, sqlite_url: str) -> None:
        done = db(sqlite_url, "revision", "add the colour", PYTHONPATH=str(package.parent))
        assert "not up to date" in sentence(done)
        assert scripts(package) == scripts(PACKAGE)


class TestUnreachable:
    """One sentence that names the place, and never the password."""

    def test_a_wrong_password(self) -> None:
        url = make_url(admin_url()).set(password="S3cr3t")
        told = sentence(db(url.render_as_string(hide_password=False), "upgrade"))
        assert told == (
            f"{url} refuses the connection: check the user, the password and the database's name "
            '(its message: password authentication failed for user "postgres")'
        )
        assert "S3cr3t" not in told

    def test_a_database_that_does_not_exist(self) -> None:
        url = make_url(admin_url()).set(database="missing")
        told = sentence(db(url.render_as_string(hide_password=False), "upgrade"))
        assert told == (
            f"{url} refuses the connection: check the user, the password and the database's name "
            '(its message: database "missing" does not exist)'
        )

    @pytest.mark.parametrize(
        "command", [["upgrade"], ["downgrade", "base", "--yes"], ["check"], ["revision", "add"]]
    )
    def test_a_server_that_is_away(self, command: list[str]) -> None:
        place = f"127.0.0.1:{free_port()}/app"
        told = sentence(db(f"postgresql://user:S3cr3t@{place}", *command))
        assert told.startswith(f"postgresql://user:***@{place}: The database cannot be reached")

    def test_a_folder_that_is_missing(self, tmp_path: Path) -> None:
        file = tmp_path / "missing" / "tasks.db"
        told = sentence(db(f"sqlite:///{file}", "upgrade"))
        assert told == f"{file} cannot be opened: check that its folder exists and is writable"
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        file = tmp_path / "tasks.db"
        file.write_text("Buy milk\n" * 1_000)
        told = sentence(db(f"sqlite:///{file}", "upgrade"))
        assert told == f"{file} is damaged or not an SQLite database: restore it from a backup"
        assert file.read_text() == "Buy milk\n" * 1_000


class TestSettings:
    def test_a_bad_url_is_named_and_not_repeated(self) -> None:
        done = db("mysql://user:S3cr3t@db/app", "upgrade")
        assert done.returncode == 2
        assert done.stderr == "DATABASE_URL: it must begin with sqlite: or postgresql:\n"

    def test_every_bad_setting_is_named(self) -> None:
        done = db("sqlite:///tasks.db", "upgrade", TASKWELL_PORT="S3cr3t", TASKWELL_WORKERS="0")
        assert done.returncode == 2
        names = [line.partition(":")[0] for line in done.stderr.splitlines()]
        assert names == ["TASKWELL_PORT", "TASKWELL_WORKERS"]
        assert "S3cr3t" not in done.stderr + done.stdout

    def test_a_network_file_system_is_refused(self) -> None:
        told = sentence(db(r"sqlite:///\\server\share\tasks.db", "upgrade"))
        assert "TASKWELL_ALLOW_NETWORK_FILE_SYSTEM=true" in told
