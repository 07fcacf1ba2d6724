"""`taskwell doctor` as an operator runs it."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from harness.databases import admin_url, execute, new_postgres_database
from harness.issuer import AUDIENCE, running_issuer
from harness.postgres import free_port
from harness.seed import seed
from taskwell.admin import doctor
from taskwell.core.clock import utc_now
from taskwell.database.database import ReadTransaction
from tests.cli.commands import taskwell
from tests.cli.contents import empty
from tests.database.test_row_security import by, role
from tests.http.test_security import REDIS, RedisServer

JWT = {"TASKWELL_AUTH": "jwt", "TASKWELL_JWT_SECRET": "known to these tests alone, 32 bytes or more"}


def examined(url: str, **environment: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """The exit status, and what each check found: level and words."""
    done = taskwell(url, "doctor", "--json", **environment)
    told = json.loads(done.stdout)
    assert told["healthy"] is (done.exit_code == 0)
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in told["findings"]:
        assert set(finding) == {"check", "level", "says"}
        found.setdefault(finding["check"], []).append((finding["level"], finding["says"]))
    wrong = [level for levels in found.values() for level, _ in levels if level == "wrong"]
    assert bool(wrong) is (done.exit_code == 1)
    return done.exit_code, found


def wrong(url: str, check: str, **environment: str) -> str:
    """What is wrong, and nothing else is."""
    _, found = examined(url, **environment)
    ((where, says),) = [
        (where, says) for where, levels in found.items() for level, says in levels if level == "wrong"
    ]
    assert where == check
    return says


def noted(url: str, check: str, **environment: str) -> str:
    """What is worth a note, where nothing is wrong."""
    status, found = examined(url, **environment)
    assert status == 0, found
    (says,) = [says for level, says in found[check] if level == "note"]
    return says


@pytest.fixture
def healthy(database_url: str) -> str:
    """A database as it has to be."""
    empty(database_url)
    return database_url


@pytest.fixture
def postgres() -> Iterator[str]:
    with new_postgres_database() as url:
        empty(url)
        yield url


class TestHealth:
    def test_is_told_in_plain_words(self, healthy: str) -> None:
        done = taskwell(healthy, "doctor")
        assert done.exit_code == 0
        assert {line.split()[0] for line in done.stdout.splitlines()} == {"good"}
        assert f"database: {make_url(healthy).render_as_string(hide_password=True)} answers" in done.stdout
        assert str(make_url(healthy).password) not in done.stdout

    def test_is_1_where_something_is_wrong(self, tmp_path: Path) -> None:
        done = taskwell(f"sqlite:///{tmp_path}/missing/tasks.db", "doctor")
        assert done.exit_code == 1
        assert f"wrong  files: there is no folder {tmp_path / 'missing'}: create it" in done.stdout

    def test_changes_nothing(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/tasks.db"
        assert "the server creates it" in noted(url, "database")
        assert list(tmp_path.iterdir()) == []

    def test_settings_that_are_none(self, healthy: str) -> None:
        says = wrong(healthy, "settings", TASKWELL_PORT="S3cr3t")
        assert says.startswith("TASKWELL_PORT: ")
        assert "S3cr3t" not in says


class TestSettings:
    def test_users_whose_ids_were_reserved_later(self, healthy: str) -> None:
        rows = ", ".join(
            f"('{name}', '2026-11-21 10:00:00+00', 0)" for name in ("v1", "V20", "v1x", "labels")
        )
        insert = f"INSERT INTO users (id, created_at, last_seq) VALUES {rows}"
        if healthy.startswith("sqlite"):
            with closing(sqlite3.connect(make_url(healthy).database or "")) as connection, connection:
                connection.execute(insert)
        else:
            execute(healthy, insert)
        named = set(noted(healthy, "users").partition(": ")[2].split(", "))
        assert named == {"v1", "V20", "labels"}

    def test_tasks_of_a_list_that_does_not_exist(self, healthy: str) -> None:
        ids = [uuid4() for _ in range(3)]
        columns = "user_id, id, title, completed, created_at, updated_at, version, list_id, parent_id"
        at = "'2026-11-21 10:00:00.000000+00'"
        rows = [
            f"('alice', '{one.hex}', 'x', false, {at}, {at}, {n + 1}, {place})"
            for n, (one, place) in enumerate(
                zip(ids, ("NULL, NULL", f"'{uuid4().hex}', NULL", f"NULL, '{uuid4().hex}'"), strict=True)
            )
        ]
        statements = [
            f"INSERT INTO users (id, created_at, last_seq) VALUES ('alice', {at}, 3)",
            f"INSERT INTO tasks ({columns}) VALUES {', '.join(rows)}",
        ]
        for statement in statements:
            if healthy.startswith("sqlite"):
                with closing(sqlite3.connect(make_url(healthy).database or "")) as connection, connection:
                    connection.execute(statement)
            else:
                execute(healthy, statement)
        assert wrong(healthy, "tasks").startswith("2 tasks have a list or a parent that does not exist")

    def test_no_credentials_on_a_public_address(self, healthy: str) -> None:
        public = {"TASKWELL_HOST": "0.0.0.0"}
        assert "TASKWELL_AUTH=jwt" in wrong(healthy, "settings", **public)
        allowed = public | {"TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS": "true"}
        assert "any client that reaches the port" in noted(healthy, "settings", **allowed)

    def test_what_is_named_like_a_setting_and_is_none(self, healthy: str) -> None:
        says = noted(healthy, "settings", TASKWELL_AUHT="S3cr3t")
        assert says == "TASKWELL_AUHT is not a setting of taskwell and has no effect: see `taskwell config`"

    def test_tokens_that_nobody_asks_for(self, healthy: str) -> None:
        assert "set TASKWELL_AUTH=jwt" in wrong(healthy, "settings", TASKWELL_JWT_SECRET="x" * 32)

    def test_migrations_of_another_database(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/tasks.db"
        assert "remove it" in wrong(url, "settings", MIGRATION_DATABASE_URL=f"sqlite:///{tmp_path}/other.db")

    def test_migrations_through_a_pooler(self, postgres: str) -> None:
        says = noted(postgres, "settings", TASKWELL_DB_POOLER="transaction")
        assert "MIGRATION_DATABASE_URL" in says

    def test_row_level_security_on_sqlite(self, tmp_path: Path) -> None:
        says = noted(f"sqlite:///{tmp_path}/tasks.db", "settings", TASKWELL_ROW_LEVEL_SECURITY="on")
        assert "no effect on SQLite" in says

    def test_requests_counted_by_each_process(self, healthy: str) -> None:
        says = noted(healthy, "settings", TASKWELL_WORKERS="4", TASKWELL_ROW_LEVEL_SECURITY="off", **JWT)
        assert "TASKWELL_RATE_LIMIT_STORAGE" in says


class TestSqlite:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        empty(f"sqlite:///{tmp_path}/tasks.db")
        return tmp_path / "tasks.db"

    def test_a_file_that_may_not_be_written(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        access = os.access
        for closed in (file, Path(f"{file}-lock"), file.parent):
            monkeypatch.setattr(
                os, "access", lambda path, mode, closed=closed: path != closed and access(path, mode)
            )
            says = wrong(f"sqlite:///{file}", "files")
            assert says == f"{closed} is not writable: make the server's user its owner"

    def test_a_disk_that_is_almost_full(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 2**20))
        assert wrong(f"sqlite:///{file}", "disk").startswith("1 MiB are free")
        monkeypatch.setattr(doctor, "_MIN_FREE", 1)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 2))
        assert "too little for a backup" in noted(f"sqlite:///{file}", "disk")

    def test_a_network_file_system(self) -> None:
        url = r"sqlite:///\\server\share\tasks.db"
        assert "a network share" in wrong(url, "file system")
        allowed = {"TASKWELL_ALLOW_NETWORK_FILE_SYSTEM": "true"}
        assert "a network share" in noted(url, "file system", **allowed)

    def test_a_file_that_is_no_database(self, file: Path) -> None:
        file.write_text("Buy milk\n" * 1_000)
        assert "is damaged or not an SQLite database" in wrong(f"sqlite:///{file}", "database")

    def test_an_index_that_is_damaged(self, file: Path) -> None:
        seed(f"sqlite:///{file}", {"ada": 10})
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET sql = replace(sql, ', version', ', title') "
                "WHERE name = 'ix_tasks_user_id_version'"
            )
        assert "run `taskwell restore` with a backup" in wrong(f"sqlite:///{file}", "integrity")

    def test_rows_that_refer_to_nothing(self, file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(
                "INSERT INTO api_tokens (user_id, id, name, digest, scopes, created_at) "
                "VALUES ('nobody', 'x', 'x', x'00', 'x', '2026-11-21 10:00:00')"
            )
        assert "refer to missing rows" in wrong(f"sqlite:///{file}", "integrity")


def test_tables_of_another_program(database_url: str) -> None:
    create = "CREATE TABLE tasks (word TEXT)"
    if database_url.startswith("sqlite"):
        path = make_url(database_url).database
        assert path is not None
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(create)
    else:
        execute(database_url, create)
    says = wrong(database_url, "schema")
    assert "has a table of another program, tasks, where taskwell would create its own: " in says
    assert ("a new file" if database_url.startswith("sqlite") else "search_path%3Dtaskwell") in says


class TestPostgres:
    def test_a_server_that_is_away(self) -> None:
        url = f"postgresql://user:S3cr3t@127.0.0.1:{free_port()}/app"
        says = wrong(url, "database")
        assert says.startswith(f"{make_url(url)} cannot be reached: check ")

    def test_a_wrong_password(self) -> None:
        url = make_url(admin_url()).set(password="S3cr3t").render_as_string(hide_password=False)
        says = wrong(url, "database")
        assert "check the user, the password" in says
        assert 'password authentication failed for user "postgres"' in says
        assert "S3cr3t" not in says

    def test_one_that_takes_no_changes(self, postgres: str) -> None:
        execute(
            postgres, f'ALTER DATABASE "{make_url(postgres).database}" SET default_transaction_read_only = on'
        )
        assert "default_transaction_read_only" in wrong(postgres, "server")

    def test_an_encoding_that_lacks_characters(self) -> None:
        name = f"latin_{free_port()}"
        make = f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        execute(admin_url(), make)
        try:
            url = make_url(admin_url()).set(database=name).render_as_string(hide_password=False)
            assert "LATIN1" in wrong(url, "server")
        finally:
            execute(admin_url(), f"DROP DATABASE {name}")

    def test_more_connections_than_there_are(self, postgres: str) -> None:
        assert "TASKWELL_DB_POOL_SIZE" in noted(postgres, "connections", TASKWELL_DB_POOL_SIZE="900")

    def test_clocks_that_differ(self, postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("taskwell.admin.doctor.utc_now", lambda: utc_now() - timedelta(minutes=2))
        assert wrong(postgres, "clocks").endswith("differ by 120 s: set both by NTP")

    def test_tables_that_may_not_be_used(self, postgres: str) -> None:
        with role() as stranger:
            execute(postgres, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {stranger}")
            try:
                says = wrong(by(postgres, stranger), "privileges")
            finally:
                execute(postgres, f"DROP OWNED BY {stranger}")
        assert says.startswith("the role lacks privileges on ")
        named = says.removeprefix("the role lacks privileges on ").partition(":")[0].split(", ")
        assert {"tasks", "taskwell_version"} <= {*named}

    def test_row_level_security_that_has_no_effect(self, postgres: str) -> None:
        says = wrong(postgres, "row-level security", TASKWELL_ROW_LEVEL_SECURITY="on")
        assert "without SUPERUSER and BYPASSRLS" in says
        assert "has no effect" in noted(postgres, "row-level security", **JWT)

    def test_row_level_security_that_is_on(self, postgres: str) -> None:
        with role() as owner:
            execute(postgres, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {owner}")
            execute(postgres, "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
            try:
                _, found = examined(by(postgres, owner))
            finally:
                execute(postgres, f"DROP OWNED BY {owner}")
        assert found["row-level security"] == [("good", "PostgreSQL isolates users")]

    def test_migrations_that_go_elsewhere(self, postgres: str) -> None:
        assert "names the database postgres" in wrong(
            postgres, "migrations", MIGRATION_DATABASE_URL=admin_url()
        )
        away = f"postgresql://user:S3cr3t@127.0.0.1:{free_port()}/app"
        assert "cannot be reached" in wrong(postgres, "migrations", MIGRATION_DATABASE_URL=away)

    @pytest.mark.parametrize(
        ("column", "value", "words"),
        [
            ("version", 14, "too old"),
            ("standby", True, "set DATABASE_URL to the primary"),
            ("encrypted", False, "add sslmode=require"),
        ],
    )
    def test_what_no_server_of_the_tests_is(
        self, postgres: str, monkeypatch: pytest.MonkeyPatch, column: str, value: object, words: str
    ) -> None:
        first = ReadTransaction.first

        async def pretending(self: ReadTransaction, statement: object) -> object:
            row = await first(self, statement)  # type: ignore[arg-type]
            if statement is not doctor._SERVER:
                return row
            assert row is not None
            return type("Server", (), row._asdict() | {column: value})

        monkeypatch.setattr(ReadTransaction, "first", pretending)
        monkeypatch.setattr(doctor, "is_private", lambda _: False)
        if column != "encrypted":
            monkeypatch.setattr(doctor, "is_private", lambda _: True)
        _, found = examined(postgres)
        says = [says for levels in found.values() for level, says in levels if level == "wrong"]
        assert len(says) == 1
        assert words in says[0]


class TestSchema:
    def test_that_is_behind(self, database_url: str) -> None:
        taskwell(database_url, "db", "upgrade", "0003")
        assert "at start" in noted(database_url, "schema")
        assert "taskwell db upgrade" in wrong(database_url, "schema", TASKWELL_MIGRATE_AT_START="false")

    def test_that_is_ahead(self, postgres: str) -> None:
        execute(postgres, "UPDATE taskwell_version SET version_num = '9999'")
        assert "a newer taskwell" in wrong(postgres, "schema")


class TestOthers:
    def test_an_issuer(self, healthy: str) -> None:
        with running_issuer("RS256") as issuer:
            settings = {
                "TASKWELL_AUTH": "jwt",
                "TASKWELL_JWT_ISSUER": issuer.url,
                "TASKWELL_JWT_AUDIENCE": AUDIENCE,
                "TASKWELL_ROW_LEVEL_SECURITY": "off",
            }
            _, found = examined(healthy, **settings)
            assert found["issuers"] == [("good", f"the keys of {issuer.url} can be fetched")]
            slash = settings | {"TASKWELL_JWT_ISSUER": f"{issuer.url}/"}
            assert "differs by a slash at the end" in wrong(healthy, "issuers", **slash)
            for other in ({"TASKWELL_JWT_JWKS_URL": issuer.jwks_url}, JWT):
                says = wrong(healthy, "issuers", **(slash | other))
                assert "differs by a slash at the end: TASKWELL_JWT_ISSUER must be" in says
            issuer.instead = (500, {}, b"")
            assert "cannot be fetched" in wrong(healthy, "issuers", **settings)

    @pytest.mark.slow
    @pytest.mark.skipif(REDIS is None, reason="needs Redis")
    def test_redis(self, healthy: str, tmp_path: Path) -> None:
        redis = RedisServer(tmp_path, free_port())
        settings = JWT | {"TASKWELL_RATE_LIMIT_STORAGE": redis.url, "TASKWELL_ROW_LEVEL_SECURITY": "off"}
        redis.start()
        try:
            _, found = examined(healthy, **settings)
            assert found["rate limit"] == [("good", "Redis answers")]
        finally:
            redis.stop()
        says = wrong(healthy, "rate limit", **settings)
        assert "check TASKWELL_RATE_LIMIT_STORAGE" in says
        assert "secret" not in says
