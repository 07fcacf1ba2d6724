"""The schema: from nothing to the head and back, on both databases, whoever else is there."""

import asyncio
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from harness.databases import admin_url, execute, new_postgres_database
from harness.lists import list_sql
from harness.postgres import free_port
from harness.servers import LocalServer, local_server, server_process, wait_for
from taskwell.core.clock import utc_now
from taskwell.core.settings import Settings
from taskwell.database import migrate
from taskwell.database.connection import InlineConnection
from taskwell.database.database import Database
from taskwell.database.migrate import ConflictingTables, Schema
from taskwell.models import metadata
from taskwell.schemas.change import KINDS
from taskwell.schemas.query import TaskFilter, TaskQuery, parse_sort
from taskwell.schemas.types import fold
from taskwell.services.changes import select_several

T = TypeVar("T")

# `python -m taskwell db upgrade`, as many times as it is told, all but begun before any of them goes on: so
# many really are there at once. They are forked, since each would import for a second and a half.
UPGRADES_AT_ONCE = """\
import gc, os, runpy, sys
import asyncpg, sqlalchemy.dialects.postgresql.asyncpg
import taskwell.admin.copy, taskwell.app, taskwell.cli, taskwell.database.migrate
begun, begin = os.pipe()
children = []
gc.freeze()  # or each would look through all of that, and copy it
for number in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        os.close(begin)
        os.read(begun, 1)  # until the last of them is there, and the other end is closed
        sys.argv[1:] = ["db", "upgrade"]
        sys.exit(runpy.run_module("taskwell", run_name="__main__", alter_sys=True))
    children.append(pid)
os.close(begin)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in children))
"""

REFUSED = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
TABLES = {"users", "tasks"}


def sql(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement beside taskwell, with the foreign keys that it keeps."""
    if not url.startswith("sqlite"):
        return [tuple(row) for row in execute(url, statement)]
    with closing(sqlite3.connect(Settings(database_url=url).database.path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        return connection.execute(statement).fetchall()


def tables(url: str) -> set[str]:
    if url.startswith("sqlite"):
        return {name for (name,) in sql(url, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {name for (name,) in sql(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


def upgrade(url: str, revision: str = "head") -> None:
    asyncio.run(migrate.upgrade(Settings(database_url=url), revision))


def downgrade(url: str, revision: str) -> None:
    asyncio.run(migrate.downgrade(Settings(database_url=url), revision))


def drift(url: str) -> str | None:
    return asyncio.run(migrate.check(Settings(database_url=url)))


def opened(url: str, work: Callable[[Database], Awaitable[T]]) -> T:
    """What the work makes of the database."""

    async def run() -> T:
        database = Database(Settings(database_url=url))
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def state(url: str) -> Schema:
    return opened(url, migrate.state)


@pytest.fixture
def schema_url(server: LocalServer) -> str:
    """A database at the head, which the test shares: it leaves nothing behind."""
    return server.settings.database_url.get_secret_value()


@pytest.mark.plan("A4")
class TestUpAndDown:
    def test_from_nothing_to_the_head_and_back_and_again(self, database_url: str) -> None:
        upgrade(database_url)
        assert tables(database_url) >= TABLES
        assert state(database_url) is Schema.CURRENT
        downgrade(database_url, "base")
        assert not tables(database_url) & TABLES
        assert state(database_url) is Schema.BEHIND
        upgrade(database_url)
        assert tables(database_url) >= TABLES
        assert drift(database_url) is None

    def test_one_step_back_and_forth(self, database_url: str) -> None:
        upgrade(database_url)
        downgrade(database_url, "-1")
        assert state(database_url) is Schema.BEHIND
        upgrade(database_url, "+1")
        assert state(database_url) is Schema.CURRENT

    def test_again_at_the_head_does_nothing(self, database_url: str) -> None:
        upgrade(database_url)
        insert_user(database_url, "alice")
        upgrade(database_url)
        assert sql(database_url, "SELECT id FROM users") == [("alice",)]

    @pytest.mark.slow
    def test_eight_at_once_do_the_work_once(self, database_url: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", UPGRADES_AT_ONCE, "8"],
            env=os.environ | {"DATABASE_URL": database_url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(re.findall(r" \(head\)\.$", done.stdout, re.MULTILINE)) == 8
        assert len(sql(database_url, f"SELECT version_num FROM {migrate.VERSION_TABLE}")) == 1
        assert state(database_url) is Schema.CURRENT
        assert drift(database_url) is None


class TestTokens:
    """SQLite makes their table anew where what is unique in it changes."""

    @pytest.fixture
    def url(self, database_url: str) -> str:
        upgrade(database_url, "0006")
        insert_user(database_url, "alice")
        insert_token(database_url, digest="'one'")
        return database_url

    def test_tokens_stay_what_they_are(self, url: str) -> None:
        whole = "SELECT user_id, id, name, digest, scopes, created_at, expires_at FROM api_tokens"
        before = sql(url, whole)
        upgrade(url)
        assert sql(url, whole) == before
        assert [tuple(row) for row in sql(url, "SELECT rate FROM api_tokens")] == [(None,)]
        downgrade(url, "0006")
        assert sql(url, whole) == before

    def test_what_is_wrong_is_refused_as_before(self, url: str) -> None:
        for revision in ("0006", "head"):
            upgrade(url, revision)
            for wrong in ({"digest": "'one'"}, {"name": text_of(101)}, {"user_id": "'nobody'"}):
                with pytest.raises(REFUSED):
                    insert_token(url, **wrong)

    def test_tokens_go_with_their_user(self, url: str) -> None:
        upgrade(url)
        sql(url, "DELETE FROM users")
        assert sql(url, "SELECT id FROM api_tokens") == []


class TestKeys:
    """Those of texts that Unicode writes in several ways are made anew."""

    KEPT = "SELECT title_key, description_key FROM tasks ORDER BY title"

    def test_keys_are_those_of_a_new_task_and_back_again(self, database_url: str) -> None:
        upgrade(database_url, "0007")
        insert_user(database_url, "alice")
        texts = ["Buy milk", "Caf\u00e9", "Cafe\u0301", "\u0390", "\u1e9e", "A\nb"]
        for number, title in enumerate(texts[:5]):
            insert_task(
                database_url,
                "alice",
                version=f"{number + 1}",
                title=f"'{title}'",
                title_key=f"'{title.casefold()}'",
                description=f"'{texts[-number]}'",
                description_key=f"'{texts[-number].casefold()}'",
            )
        before = sql(database_url, self.KEPT)
        upgrade(database_url)
        found = sql(database_url, "SELECT title, title_key, description, description_key FROM tasks")
        assert all((fold(row[0]), fold(row[2])) == (row[1], row[3]) for row in found)
        with local_server(Settings(database_url=database_url)) as server:
            answer = httpx2.get(f"{server.url}/api/alice/tasks", params={"q": "caf\u00e9"})
            assert {task["title"] for task in answer.json()} >= {"Caf\u00e9", "Cafe\u0301"}
        downgrade(database_url, "0007")
        assert sql(database_url, self.KEPT) == before

    def test_there_may_be_many(self, database_url: str) -> None:
        upgrade(database_url, "0007")
        insert_user(database_url, "alice")
        count = 2_345
        new = sqlite_or_postgres(
            database_url,
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
            "SELECT printf('%032x', i), 'alice', 'Cafe\u0301', 'cafe\u0301', false, "
            "'2026-11-21 10:00:00', '2026-11-21 10:00:00', i FROM n",
            "SELECT lpad(to_hex(i), 32, '0')::uuid, 'alice', 'Cafe\u0301', 'cafe\u0301', false, now(), "
            f"now(), i FROM generate_series(1, {count}) AS n(i)",
        )
        columns = "id, user_id, title, title_key, completed, created_at, updated_at, version"
        sql(database_url, f"INSERT INTO tasks ({columns}) {new}")
        upgrade(database_url)
        keys = sql(database_url, "SELECT title_key, count(*) FROM tasks GROUP BY title_key")
        assert keys == [(fold("Cafe\u0301"), count)]


def sqlite_or_postgres(url: str, sqlite: str, postgres: str) -> str:
    return sqlite if url.startswith("sqlite") else postgres


class TestReservedIds:
    @pytest.mark.slow
    def test_a_server_names_who_has_one_and_goes_on(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/test.db"
        upgrade(url, "0007")
        for user_id in ("alice", "v1", "search"):
            insert_user(url, user_id)
        with server_process(tmp_path, DATABASE_URL=url) as server:
            httpx2.get(f"{server.url}/api/alice/tasks")
            wait_for(lambda: "reserved" in server.log())
            assert "reserved now: search, v1" in server.log()
            assert httpx2.get(f"{server.url}/api/v1/tasks").json() == []
            assert httpx2.get(f"{server.url}/api/v2/tasks").status_code == 400


class TestDrift:
    def test_the_head_has_none(self, schema_url: str) -> None:
        assert drift(schema_url) is None

    @pytest.mark.parametrize(
        ("statement", "named"),
        [
            ("ALTER TABLE tasks ADD COLUMN colour TEXT", "colour"),
            ("DROP INDEX ix_tasks_user_id_version", "ix_tasks_user_id_version"),
        ],
    )
    def test_what_differs_is_named(self, database_url: str, statement: str, named: str) -> None:
        upgrade(database_url)
        sql(database_url, statement)
        assert named in (drift(database_url) or "")

    def test_the_direction_of_an_index_is_compared_on_postgresql(self) -> None:
        with new_postgres_database() as url:
            upgrade(url)
            sql(url, "DROP INDEX ix_tasks_user_id_created_at_id")
            sql(url, "CREATE INDEX ix_tasks_user_id_created_at_id ON tasks (user_id, created_at, id)")
            assert "ix_tasks_user_id_created_at_id" in (drift(url) or "")

    def test_an_empty_database_is_not_up_to_date(self, database_url: str) -> None:
        assert "not up to date" in (drift(database_url) or "")


@contextmanager
def owned_database(password: str) -> Iterator[str]:
    """A PostgreSQL database that belongs to a user with this password."""
    user = f"user_{uuid4().hex}"
    execute(admin_url(), f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
    try:
        with new_postgres_database() as url:
            parts = make_url(url)
            execute(url, f'ALTER DATABASE "{parts.database}" OWNER TO {user}')
            place = f"{parts.host}:{parts.port}/{parts.database}"
            yield f"postgresql://{user}:{quote(password, safe='')}@{place}"
    finally:
        execute(admin_url(), f"DROP ROLE {user}")


class TestAddresses:
    def test_a_password_with_a_percent_sign(self) -> None:
        with owned_database("50%40%%s:/?#@") as url:
            upgrade(url)
            assert drift(url) is None

    def test_a_path_with_a_percent_sign(self, tmp_path: Path) -> None:
        folder = tmp_path / "100%(here)s %s"
        folder.mkdir()
        url = f"sqlite:///{quote(str(folder))}/50%25.db"
        upgrade(url)
        assert drift(url) is None
        assert (folder / "50%.db").exists()

    def test_migrations_go_past_a_pooler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The names of hosts are resolved here, to the tests' server."""
        asked = set()
        resolve = socket.getaddrinfo

        def remember(host: Any, *arguments: Any, **options: Any) -> Any:
            asked.add(host)
            return resolve("127.0.0.1", *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", remember)
        with owned_database("secret") as url:
            asked.clear()
            upgrade(url.replace("@127.0.0.1:", "@ep-cool-1-pooler.neon.test:"))
            assert asked == {"ep-cool-1.neon.test"}

    def test_migrations_take_their_own_address(self) -> None:
        elsewhere = f"postgresql://127.0.0.1:{free_port()}/elsewhere"
        with new_postgres_database() as url:
            settings = Settings(database_url=elsewhere, migration_database_url=url)
            asyncio.run(migrate.upgrade(settings))
            assert state(url) is Schema.CURRENT


class TestOtherApplications:
    def test_all_tables_that_may_be_in_the_way_are_known(self) -> None:
        assert sorted(migrate.OWN_TABLES) == sorted(metadata.tables)

    def test_their_tables_are_left_alone(self, database_url: str) -> None:
        theirs = {"alembic_version": "abc123", "invoices": "paid", "task": "another"}
        for name, value in theirs.items():
            sql(database_url, f"CREATE TABLE {name} (word TEXT)")
            sql(database_url, f"INSERT INTO {name} VALUES ('{value}')")

        def untouched() -> bool:
            return all(
                sql(database_url, f"SELECT word FROM {name}") == [(word,)] for name, word in theirs.items()
            )

        upgrade(database_url)
        assert untouched()
        assert drift(database_url) is None
        downgrade(database_url, "base")
        assert untouched()

    def test_a_table_in_the_way_leaves_all_as_it_was(self, database_url: str) -> None:
        sql(database_url, "CREATE TABLE tasks (word TEXT)")
        with pytest.raises(ConflictingTables, match="a table of another program, tasks, where"):
            upgrade(database_url)
        assert tables(database_url) == {"tasks"}
        sql(database_url, "SELECT word FROM tasks")

    @pytest.mark.parametrize("name", ["api_tokens", "idempotency_keys", "erased_users"])
    def test_a_view_in_the_way_leaves_all_as_it_was(self, database_url: str, name: str) -> None:
        sql(database_url, f"CREATE VIEW {name} AS SELECT 1 AS word")
        with pytest.raises(ConflictingTables, match=name):
            upgrade(database_url)

    @pytest.mark.parametrize(
        "path", ["taskwell", "taskwell,public", '"Task well",public'], ids=["alone", "first", "quoted"]
    )
    @pytest.mark.parametrize("there", [True, False])
    def test_a_schema_of_its_own_is_the_way_out(self, path: str, there: bool) -> None:
        """It is made, if it is not there."""
        with new_postgres_database() as url:
            execute(url, "CREATE TABLE users (word TEXT)")
            first = path.partition(",")[0]
            if there:
                execute(url, f"CREATE SCHEMA {first}")
            own = f"{url}?options={quote('-csearch_path=' + path.replace(' ', chr(92) + ' '))}"
            upgrade(own)
            assert drift(own) is None
            with local_server(Settings(database_url=own)) as server:
                made = httpx2.post(f"{server.url}/api/tasks", json={"title": "Buy milk"})
                assert made.status_code == 201
            assert execute(url, f"SELECT count(*) FROM {first}.tasks")[0][0] == 1
            assert execute(url, "SELECT count(*) FROM users")[0][0] == 0
            downgrade(own, "base")
            assert tables(url) == {"users"}


class TestAhead:
    @pytest.fixture
    def ahead_url(self, database_url: str) -> str:
        """A database that a newer taskwell has migrated."""
        upgrade(database_url)
        sql(database_url, f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'")
        return database_url

    def test_it_is_known_for_what_it_is(self, ahead_url: str) -> None:
        assert state(ahead_url) is Schema.AHEAD

    def test_upgrade_leaves_it_as_it_is(self, ahead_url: str) -> None:
        upgrade(ahead_url)
        assert sql(ahead_url, f"SELECT version_num FROM {migrate.VERSION_TABLE}") == [("9999",)]

    def test_the_server_still_serves(self, ahead_url: str) -> None:
        with local_server(Settings(database_url=ahead_url)) as server:
            created = httpx2.post(f"{server.url}/api/tasks", json={"title": "Buy milk"})
            assert created.status_code == 201
            assert httpx2.get(f"{server.url}/api/tasks").json() == [created.json()]


def insert_user(url: str, user_id: str, **values: str) -> None:
    row = {"id": f"'{user_id}'", "created_at": "'2026-11-21 10:00:00+00'", "last_seq": "0"} | values
    sql(url, f"INSERT INTO users ({', '.join(row)}) VALUES ({', '.join(row.values())})")


def insert_task(url: str, user_id: str, **values: str) -> None:
    row = {
        "id": f"'{uuid4().hex}'",
        "user_id": f"'{user_id}'",
        "title": "'Buy milk'",
        "completed": "false",
        "created_at": "'2026-11-21 10:00:00+00'",
        "updated_at": "'2026-11-21 10:00:00+00'",
        "version": "1",
    } | values
    sql(url, f"INSERT INTO tasks ({', '.join(row)}) VALUES ({', '.join(row.values())})")


def insert_list_or_label(url: str, table: str, user_id: str, **values: str) -> None:
    at = "'2026-11-21 10:00:00+00'"
    own = {
        "lists": {"id": f"'{uuid4().hex}'", "position": "'a0'", "created_at": at, "updated_at": at},
        "labels": {"key": "'home'"},
    }
    row = {"user_id": f"'{user_id}'", "name": "'Home'", "version": "1", **own[table]} | values
    sql(url, f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})")


def insert_token(url: str, **values: str) -> None:
    digest = values.pop("digest", f"'{uuid4().hex}'")
    row = {
        "id": f"'{uuid4().hex}'",
        "user_id": "'alice'",
        "name": "'backup'",
        "digest": f"CAST({digest} AS BLOB)" if url.startswith("sqlite") else f"{digest}::bytea",
        "scopes": "'tasks:read'",
        "created_at": "'2026-11-21 10:00:00+00'",
    } | values
    sql(url, f"INSERT INTO api_tokens ({', '.join(row)}) VALUES ({', '.join(row.values())})")


@pytest.fixture
def owner(schema_url: str, user: str) -> Iterator[str]:
    insert_user(schema_url, user)
    yield user
    sql(schema_url, f"DELETE FROM users WHERE id = '{user}'")


def text_of(length: int) -> str:
    return f"'{'é' * length}'"


@pytest.mark.plan("B2", "SC-008", "SC-010")
class TestConstraints:
    """What a mistake of ours, or somebody with a database client, cannot write."""

    @pytest.mark.parametrize(
        "row",
        [
            {},
            {"title": text_of(1)},
            {"title": text_of(1_000)},
            {"description": text_of(65_536)},
            {"description": "''"},
            {"completed": "true", "completed_at": "'2026-11-21 10:00:00+00'"},
            {"version": str(2**53 - 1)},
            {"position": text_of(255)},
            {"due": "'2026-11-20'", "start": "'2026-11-19T09:00:00'"},
            {"priority": "1"},
            {"priority": "9"},
            {"status": "'in_progress'"},
            {"status": "'cancelled'", "completed": "true", "completed_at": "'2026-11-21 10:00:00+00'"},
            {"recurrence": "'FREQ=DAILY'", "start": "'2026-11-20'"},
            {"recurrence": "'FREQ=DAILY'", "due": "'2026-11-20'"},
        ],
    )
    def test_a_good_task_is_taken(self, schema_url: str, owner: str, row: dict[str, str]) -> None:
        insert_task(schema_url, owner, **row)

    @pytest.mark.parametrize(
        ("row", "constraint"),
        [
            ({"title": "''"}, "ck_tasks_title_length"),
            ({"title": text_of(1_001)}, "ck_tasks_title_length"),
            ({"title": "'   '"}, "ck_tasks_title_not_blank"),
            ({"description": text_of(65_537)}, "ck_tasks_description_length"),
            ({"completed": "true"}, "ck_tasks_completed_has_its_time"),
            ({"completed_at": "'2026-11-21 10:00:00+00'"}, "ck_tasks_completed_has_its_time"),
            ({"version": "0"}, "ck_tasks_version_range"),
            ({"version": str(2**53)}, "ck_tasks_version_range"),
            ({"position": text_of(256)}, "ck_tasks_position_length"),
            ({"due": "'2026-11-20T09:00'"}, "ck_tasks_due_form"),
            ({"start": "''"}, "ck_tasks_start_form"),
            ({"priority": "0"}, "ck_tasks_priority_range"),
            ({"priority": "10"}, "ck_tasks_priority_range"),
            ({"status": "'open'"}, "ck_tasks_status"),
            ({"status": "'cancelled'"}, "ck_tasks_status"),
            (
                {
                    "status": "'in_progress'",
                    "completed": "true",
                    "completed_at": "'2026-11-21 10:00:00+00'",
                },
                "ck_tasks_status",
            ),
            ({"recurrence": "'FREQ=DAILY'"}, "ck_tasks_recurrence_has_date"),
        ],
    )
    def test_a_bad_task_is_refused(
        self, schema_url: str, owner: str, row: dict[str, str], constraint: str
    ) -> None:
        with pytest.raises(REFUSED, match=constraint):
            insert_task(schema_url, owner, **row)

    @pytest.mark.parametrize("table", ["lists", "labels"])
    @pytest.mark.parametrize(
        "row",
        [{}, {"name": text_of(60)}, {"color": "'#ff0000'"}, {"position": text_of(255)}, {"version": "1"}],
    )
    def test_a_good_list_or_label_is_taken(
        self, schema_url: str, owner: str, table: str, row: dict[str, str]
    ) -> None:
        insert_list_or_label(schema_url, table, owner, **row)

    @pytest.mark.parametrize("table", ["lists", "labels"])
    @pytest.mark.parametrize(
        ("row", "constraint"),
        [
            ({"name": "''"}, "name_length"),
            ({"name": text_of(101)}, "name_length"),
            ({"color": "'red'"}, "color_form"),
            ({"position": "''"}, "position_length"),
            ({"position": text_of(256)}, "position_length"),
            ({"version": "0"}, "version_range"),
            ({"version": str(2**53)}, "version_range"),
        ],
    )
    def test_a_bad_list_or_label_is_refused(
        self, schema_url: str, owner: str, table: str, row: dict[str, str], constraint: str
    ) -> None:
        with pytest.raises(REFUSED, match=f"ck_{table}_{constraint}"):
            insert_list_or_label(schema_url, table, owner, **row)

    def test_a_label_has_the_length_of_a_label(self, schema_url: str, owner: str) -> None:
        with pytest.raises(REFUSED, match="ck_labels_name_length"):
            insert_list_or_label(schema_url, "labels", owner, name=text_of(61))

    @pytest.mark.parametrize(
        ("row", "constraint"),
        [
            ({"id": "''"}, "ck_users_id_length"),
            ({"id": text_of(256)}, "ck_users_id_length"),
            ({"email": "'a@'"}, "ck_users_email_length"),
            ({"email": text_of(255)}, "ck_users_email_length"),
            ({"last_seq": "-1"}, "ck_users_last_seq_range"),
            ({"last_seq": str(2**53)}, "ck_users_last_seq_range"),
        ],
    )
    def test_a_bad_user_is_refused(
        self, schema_url: str, user: str, row: dict[str, str], constraint: str
    ) -> None:
        with pytest.raises(REFUSED, match=constraint):
            insert_user(schema_url, user, **row)

    def test_a_task_of_nobody_is_refused(self, schema_url: str, user: str) -> None:
        with pytest.raises((sqlite3.IntegrityError, asyncpg.ForeignKeyViolationError)):
            insert_task(schema_url, user)

    def test_two_users_cannot_have_one_email(self, schema_url: str, user: str, owner: str) -> None:
        address = f"'{user}@example.com'"
        sql(schema_url, f"UPDATE users SET email = {address} WHERE id = '{owner}'")
        with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
            insert_user(schema_url, f"{user}-2", email=address)

    def test_the_tasks_go_with_their_user(self, schema_url: str, owner: str) -> None:
        insert_task(schema_url, owner)
        insert_task(schema_url, owner, deleted_at="'2026-11-21 10:00:00+00'")
        for table in ("lists", "labels"):
            insert_list_or_label(schema_url, table, owner)
        sql(schema_url, f"DELETE FROM users WHERE id = '{owner}'")
        for table in ("tasks", "lists", "labels"):
            assert sql(schema_url, f"SELECT 1 FROM {table} WHERE user_id = '{owner}'") == []


async def list_plan(database: Database, query: TaskQuery, **page: Any) -> str:
    async with database.backend.reading() as connection:
        statement, values = list_sql(connection.dialect, "alice", query, limit=100, **page)
        return await explained(connection, statement, values)


async def explained(connection: AsyncConnection | InlineConnection, statement: str, values: Any = ()) -> str:
    """How the database would run a statement."""
    explain = "EXPLAIN QUERY PLAN"
    if connection.dialect.name == "postgresql":
        # In a small table the planner would rather read it all, and sort it.
        for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
            await connection.execute(text(f"SET enable_{way} = off"))
        explain = "EXPLAIN"
    sql = f"{explain} {statement}"
    rows = await connection.run_sync(lambda sync: sync.exec_driver_sql(sql, values).all())
    return "\n".join(str(row) for row in rows)


@pytest.mark.plan("A9", "SC-008")
class TestPlans:
    @pytest.mark.parametrize("page", [{}, {"after": (utc_now(), UUID(int=0))}])
    def test_the_list_is_read_from_its_index_in_its_order(
        self, schema_url: str, page: dict[str, Any]
    ) -> None:
        plan = opened(schema_url, lambda database: list_plan(database, TaskQuery(), **page))
        assert "ix_tasks_user_id_created_at_id" in plan
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan

    def test_each_change_of_several_kinds_is_found_by_its_number(self, schema_url: str) -> None:
        """SQLite without statistics took the range of all numbers: each page read all changes, a row each."""

        async def work(database: Database) -> str:
            statement = select_several(database.backend.dialect, "alice", 0, 100, KINDS)
            async with database.backend.reading() as connection:
                written = {"literal_binds": True}
                sql = str(statement.compile(dialect=connection.dialect, compile_kwargs=written))
                return await explained(connection, sql)

        found = re.findall(r"version ?= ?", opened(schema_url, work))
        assert len(found) == len(KINDS)

    @pytest.mark.parametrize(
        "query",
        [
            TaskQuery(TaskFilter(q="mi")),
            TaskQuery(TaskFilter(q="milk bread milk bread")),
            TaskQuery(TaskFilter(completed=True)),
            TaskQuery(TaskFilter(updated_after=datetime(2026, 11, 21, tzinfo=UTC))),
            TaskQuery(TaskFilter(deleted=True)),
            TaskQuery(sort=parse_sort("title")),
            TaskQuery(sort=parse_sort("completed,-updated_at")),
        ],
        ids=lambda query: "-".join(query.fingerprint()),
    )
    def test_no_filter_and_no_order_leads_over_the_tasks_of_others(
        self, schema_url: str, query: TaskQuery
    ) -> None:
        plan = opened(schema_url, lambda database: list_plan(database, query))
        looked_up = "Index Cond: ((user_id = " in plan or "Index Cond: (user_id = " in plan
        assert looked_up or re.search(r"SEARCH tasks USING [A-Z ]*INDEX \w+ \(user_id=\?", plan), plan

    def test_a_later_page_in_the_other_direction_begins_where_it_begins(self, schema_url: str) -> None:
        query = TaskQuery(sort=parse_sort("created_at"))
        page = {"after": (utc_now(), UUID(int=0))}
        plan = opened(schema_url, lambda database: list_plan(database, query, **page))
        assert re.search(r"Index Cond: .*created_at >= |\(user_id=\? AND created_at>\?\)", plan), plan
