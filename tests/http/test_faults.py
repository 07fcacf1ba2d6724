"""Real faults on real servers: what a client is told, that nothing is lost, and that it passes."""

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx2
import pytest
from filelock import FileLock
from sqlalchemy import Connection, event, make_url

from bench.ledger import Ledger
from bench.load import Answer, Request
from harness.databases import admin_url, execute, new_postgres_database, open_transaction, waiting_sessions
from harness.postgres import PostgresServer, postgres_server
from harness.responses import create, problem
from harness.servers import LocalServer, local_server, server_process, wait_for
from taskwell.core.settings import Settings
from taskwell.database import postgres, sqlite_writer
from taskwell.database.database import open_backend
from taskwell.database.sqlite import SqliteBackend

pytestmark = pytest.mark.slow

TASKS = "/api/ada/tasks"
NEW = {"title": "Buy milk"}
ORIGIN = "http://localhost:3000"


@pytest.fixture
def postgres_url() -> Iterator[str]:
    with new_postgres_database() as url:
        yield url


@pytest.mark.plan("SC-004", "SC-009")
class TestPostgresAway:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
    def test_is_a_503_at_once_and_recovers_without_a_restart(self, how: signal.Signals) -> None:
        # Without the option the crash would lose what a disk has to keep.
        with postgres_server(synchronous_commit="on") as postgres, client_of(postgres.url) as client:
            kept = create(client, TASKS)
            postgres.stop(how)
            for method in ("GET", "POST", "GET", "POST"):
                answer = client.request(method, TASKS, json=NEW)
                assert "cannot be reached" in unavailable(answer)
                assert answer.elapsed.total_seconds() < 1
            assert client.get("/health/live").status_code == 200
            for _ in range(15):  # it does not get better by nobody asking
                unavailable(client.get("/health/ready"))
                time.sleep(0.1)
            postgres.start()
            wait_for(lambda: client.get("/health/ready").status_code == 200, seconds=5)
            assert client.get(TASKS).json() == [kept]
            create(client, TASKS)

    def test_readiness_queries_the_database_only_while_it_is_unreachable(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client:
            create(client, TASKS)
            end_sessions(postgres_url)
            for _ in range(20):
                assert client.get("/health/ready").status_code == 200
            assert end_sessions(postgres_url) == 0

    def test_a_starting_postgres_is_a_503(self) -> None:
        with postgres_server() as postgres, client_of(postgres.url) as client:
            kept = create(client, TASKS)
            postgres.stop()
            with never_started(postgres):
                for method in ("GET", "POST"):
                    assert "cannot be reached" in unavailable(client.request(method, TASKS, json=NEW))
                unavailable(client.get("/health/ready"))
            postgres.start()
            wait_for(lambda: client.get("/health/ready").status_code == 200, seconds=5)
            assert client.get(TASKS).json() == [kept]

    def test_taskwell_may_start_before_postgres(self) -> None:
        with postgres_server() as postgres:
            postgres.stop()
            with client_of(postgres.url) as client:
                assert "being prepared" in unavailable(client.get(TASKS))
                assert "being prepared" in unavailable(client.get("/health/ready"))
                answer = client.get("/health")
                unavailable(answer)
                assert answer.headers["cache-control"] == "no-store"
                postgres.start()
                wait_for(lambda: client.get("/health/ready").status_code == 200)
                create(client, TASKS)

    @pytest.mark.parametrize("where", ["no_such_host.invalid", "silent"])
    def test_an_unknown_host_and_a_silent_host_are_a_503(self, where: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            host = where if where != "silent" else f"127.0.0.1:{silent.getsockname()[1]}"
            with client_of(f"postgresql://user:S3cr3t@{host}/app?connect_timeout=1") as client:
                answer = client.get(TASKS)
                assert "being prepared" in unavailable(answer)
                assert answer.elapsed.total_seconds() < 1
                unavailable(client.get("/health/ready"))

    def test_a_changed_password_is_a_503(self, postgres_url: str) -> None:
        with role_of(postgres_url) as (name, url), client_of(url) as client:
            create(client, TASKS)
            execute(admin_url(), f"ALTER ROLE {name} PASSWORD 'another'")
            assert end_sessions(postgres_url) > 0
            assert "cannot be reached" in unavailable(client.get(TASKS))
            unavailable(client.get("/health/ready"))
            execute(admin_url(), f"ALTER ROLE {name} PASSWORD 'secret'")
            wait_for(lambda: client.get("/health/ready").status_code == 200, seconds=5)
            create(client, TASKS)

    def test_a_frozen_postgres_is_a_503(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert open_backend.__kwdefaults__ is not None
        monkeypatch.setitem(open_backend.__kwdefaults__, "command_seconds", 0.5)
        with postgres_server() as postgres, client_of(f"{postgres.url}?connect_timeout=1") as client:
            kept = create(client, TASKS)
            with frozen(postgres):
                assert "saved or not" in unavailable(client.post(TASKS, json=NEW))
                for method in ("GET", "POST", "GET", "POST"):
                    answer = client.request(method, TASKS, json=NEW)
                    unavailable(answer)
                    assert answer.elapsed.total_seconds() < 5
                unavailable(client.get("/health/ready"))
            wait_for(lambda: client.get("/health/ready").status_code == 200, seconds=5)
            there = client.get(TASKS).json()
            assert kept in there
            create(client, TASKS)
            # The deliverer of webhooks uses one now and then: none is held for good.
            wait_for(lambda: client.get("/health/ready").json()["pool"]["in_use"] == 0, seconds=5)


@pytest.mark.plan("A3", "SC-009")
class TestKilledSessions:
    def test_a_session_killed_between_requests_is_replaced(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client, ThreadPoolExecutor(8) as threads:
            for _ in range(3):
                # Several sessions, so that a retry may meet another dead one.
                lists = [f"/api/user-{n}/tasks" for n in range(16)]
                assert set(threads.map(lambda path: client.get(path).status_code, lists)) == {200}
                assert end_sessions(postgres_url) > 1
                assert client.get(TASKS).status_code == 200
                assert end_sessions(postgres_url) > 0
                create(client, TASKS)
            assert len(client.get(TASKS).json()) == 3

    def test_sessions_killed_during_writes_lose_and_double_none(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client, ThreadPoolExecutor(8) as threads:

            def create_one(n: int) -> httpx2.Response:
                return client.post(TASKS, json={"title": f"Task {n}"})

            working = [threads.submit(create_one, n) for n in range(200)]
            killed = 0
            while wait(working, timeout=0.05).not_done:
                killed += end_sessions(postgres_url)
            wait_for(lambda: client.get(TASKS).status_code == 200)
            there = Counter(task["title"] for task in client.get(TASKS).json())
        assert killed > 0
        assert there.total() > 0
        for n, work in enumerate(working):
            answer = work.result()
            if answer.status_code == 201:
                assert there[f"Task {n}"] == 1
            elif "saved or not" in unavailable(answer):
                assert there[f"Task {n}"] <= 1
            else:
                assert there[f"Task {n}"] == 0

    def test_a_connection_lost_during_commit_is_an_unknown_outcome(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client:
            before_insert(postgres_url, "PERFORM pg_terminate_backend(pg_backend_pid());", at_commit=True)
            assert "saved or not: read before you repeat it" in unavailable(client.post(TASKS, json=NEW))


@pytest.mark.plan("A3", "R1")
class TestBusyPostgres:
    def test_an_exhausted_pool_is_a_503(self, postgres_url: str) -> None:
        settings = Settings(
            database_url=postgres_url, db_pool_size=1, db_max_overflow=0, db_pool_timeout_seconds=0.2
        )
        with client_of(settings) as client, ThreadPoolExecutor() as threads:
            create(client, TASKS)
            with locked_user(postgres_url):
                waiting = threads.submit(client.post, TASKS, json=NEW)
                wait_for(lambda: waiting_sessions(postgres_url) > 0)
                # Another user's, since the user's own writes wait for each other, not for a connection.
                for method, path in (("GET", TASKS), ("POST", "/api/another/tasks")):
                    answer = client.request(method, path, json=NEW)
                    assert "busy" in unavailable(answer)
                    assert answer.elapsed.total_seconds() < 1
            assert waiting.result().status_code == 201
            assert len(client.get(TASKS).json()) == 2

    def test_a_lock_timeout_is_a_503(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client:
            create(client, TASKS)
            with locked_user(postgres_url):
                answer = client.post(TASKS, json=NEW)
                assert "busy; nothing was changed" in unavailable(answer)
                assert answer.elapsed.total_seconds() < 4
                assert len(client.get(TASKS).json()) == 1
            create(client, TASKS)

    @pytest.mark.parametrize("fast_path", [True, False])
    def test_a_locked_user_delays_no_other_user(self, postgres_url: str, fast_path: bool) -> None:
        settings = Settings(database_url=postgres_url)
        with (
            local_server(settings, fast_path=fast_path) as server,
            client_to(server) as client,
            ThreadPoolExecutor(12) as threads,
        ):
            task = create(client, TASKS)
            others = create(client, "/api/another/tasks")
            with locked_user(postgres_url):
                waiting = [threads.submit(client.post, TASKS, json=NEW) for _ in range(8)]
                waiting.append(threads.submit(client.post, f"{TASKS}/{task['id']}/toggle"))
                wait_for(lambda: waiting_sessions(postgres_url) > 0)
                for path, status in (
                    ("/api/another/tasks", 201),
                    (f"/api/another/tasks/{others['id']}/toggle", 200),
                    (f"/api/another/tasks/{task['id']}/toggle", 404),
                    ("/api/a-new-user/tasks", 201),
                ):
                    answer = client.post(path, json=NEW if path.endswith("/tasks") else None)
                    assert answer.status_code == status
                    assert answer.elapsed.total_seconds() < 1
            statuses = sorted(one.result().status_code for one in waiting)
            assert statuses == [200, *[201] * 8]
            assert len(client.get(TASKS).json()) == 9

    def test_too_many_connections_keep_the_existing_ones(self, postgres_url: str) -> None:
        with role_of(postgres_url, "CONNECTION LIMIT 2") as (_, url), client_of(url) as client:
            wait_for(lambda: client.get(TASKS).status_code == 200)
            users = [f"/api/user-{n}/tasks" for n in range(60)]
            with ThreadPoolExecutor(12) as threads, locked_user(postgres_url):
                answers = list(threads.map(client.get, users * 3))
            assert client.get(TASKS).status_code == 200
            assert client.get("/health/ready").status_code == 200
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) < len(answers)
        assert {unavailable(answer) for answer in refused} <= {
            "The database is busy; nothing was changed. Try again."
        }

    def test_a_statement_timeout_is_a_503(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(postgres._SESSION, "statement_timeout", "200ms")
        with client_of(postgres_url) as client:
            before_insert(postgres_url, "PERFORM pg_sleep(5);")
            answer = client.post(TASKS, json=NEW)
            assert "busy; nothing was changed" in unavailable(answer)
            assert answer.elapsed.total_seconds() < 2
            execute(postgres_url, "DROP FUNCTION fail CASCADE")
            assert client.get(TASKS).json() == []
            create(client, TASKS)

    @pytest.mark.parametrize("fast_path", [True, False])
    def test_a_read_only_session_is_replaced(self, postgres_url: str, fast_path: bool) -> None:
        """What became a standby refuses as long as the session lives; a new one meets the new primary."""
        database = make_url(postgres_url).database
        settings = Settings(database_url=postgres_url)
        with local_server(settings, fast_path=fast_path) as server, client_to(server) as client:
            create(client, TASKS)
            execute(admin_url(), f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
            end_sessions(postgres_url)
            with ThreadPoolExecutor(8) as threads:  # several sessions, all of them of before the change
                answers = list(
                    threads.map(lambda n: client.post(f"/api/user-{n}/tasks", json=NEW), range(16))
                )
            assert {"is read-only" in unavailable(answer) for answer in answers} == {True}
            assert client.get(TASKS).status_code == 200
            execute(admin_url(), f'ALTER DATABASE "{database}" RESET default_transaction_read_only')
            for n in range(16):
                create(client, f"/api/user-{n}/tasks")

    def test_a_serialization_conflict_is_retried(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client:
            execute(postgres_url, "CREATE SEQUENCE attempts")
            conflict = "IF nextval('attempts') < 3 THEN RAISE 'conflict' USING ERRCODE = '40001'; END IF;"
            before_insert(postgres_url, conflict)
            create(client, TASKS)
            assert len(client.get(TASKS).json()) == 1

    @pytest.mark.parametrize(
        ("sqlstate", "detail"),
        [
            ("40001", "is busy"),  # a conflict, four times over
            ("40P01", "is busy"),
            ("57014", "is busy"),  # out of time
            ("25006", "is read-only"),
        ],
    )
    def test_a_conflict_that_lasts_is_a_503(self, postgres_url: str, sqlstate: str, detail: str) -> None:
        with client_of(postgres_url) as client:
            before_insert(postgres_url, f"RAISE 'no' USING ERRCODE = '{sqlstate}';")
            assert detail in unavailable(client.post(TASKS, json=NEW))
            execute(postgres_url, "DROP FUNCTION fail CASCADE")
            assert client.get(TASKS).json() == []
            create(client, TASKS)


class TestBusySqlite:
    @pytest.fixture(autouse=True)
    def _less_patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_writer, "LOCK_PATIENCE_SECONDS", 0.5)

    def test_a_lock_of_another_program_is_a_503(self, tmp_path: Path) -> None:
        file = tmp_path / "test.db"
        with serving(file) as server, client_to(server) as client:
            create(client, TASKS)
            with program_that_writes(file):
                answer = client.post(TASKS, json=NEW)
                assert "busy; nothing was changed" in unavailable(answer)
                assert answer.elapsed.total_seconds() < 2
                assert len(client.get(TASKS).json()) == 1
            create(client, TASKS)

    def test_a_lock_of_another_taskwell_is_a_503(self, tmp_path: Path) -> None:
        file = tmp_path / "test.db"
        with serving(file) as server, client_to(server) as client:
            create(client, TASKS)
            with FileLock(f"{file}-lock"):
                assert "busy; nothing was changed" in unavailable(client.post(TASKS, json=NEW))
                assert len(client.get(TASKS).json()) == 1
            create(client, TASKS)

    @pytest.mark.parametrize("holder", ["program", "taskwell"])
    def test_a_later_request_waits_no_longer_than_an_earlier_one(
        self, tmp_path: Path, holder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite_writer, "LOCK_PATIENCE_SECONDS", 3.0)
        file = tmp_path / "test.db"

        def create_after(n: int) -> httpx2.Response:
            time.sleep(n * 0.6)
            return client.post(TASKS, json=NEW)

        with serving(file) as server, client_to(server) as client:
            create(client, TASKS)
            lock = program_that_writes(file) if holder == "program" else FileLock(f"{file}-lock")
            with lock, ThreadPoolExecutor(10) as threads:
                answers = list(threads.map(create_after, range(10)))
            assert {"busy; nothing was changed" in unavailable(answer) for answer in answers} == {True}
            waited = [answer.elapsed.total_seconds() for answer in answers]
            assert max(waited) < 4.4  # by turns it would be 4.8 and more
            create(client, TASKS)
            assert len(client.get(TASKS).json()) == 2

    def test_waiting_requests_are_served_once_the_lock_is_free(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite_writer, "LOCK_PATIENCE_SECONDS", 3.0)
        file = tmp_path / "test.db"
        with serving(file) as server, client_to(server) as client, ThreadPoolExecutor(8) as threads:
            create(client, TASKS)
            with program_that_writes(file):
                early = threads.submit(client.post, TASKS, json=NEW)
                time.sleep(2)
                late = [threads.submit(client.post, TASKS, json=NEW) for _ in range(5)]
                unavailable(early.result())
            assert [work.result().status_code for work in late] == [201] * 5


class TestTwoTaskwellsOnOneFile:
    def test_a_busy_process_shares_the_lock(self, tmp_path: Path) -> None:
        file = tmp_path / "test.db"
        with (
            server_process(tmp_path, DATABASE_URL=f"sqlite:///{file}") as busy,
            serving(file) as server,
            client_to(server) as client,
            ThreadPoolExecutor(8) as threads,
        ):
            done = threading.Event()

            def write_on(n: int) -> int:
                with httpx2.Client(base_url=busy.url, timeout=30) as writer:
                    for written in range(100_000):
                        if done.is_set():
                            return written
                        create(writer, f"/api/writer-{n}/tasks")
                raise AssertionError

            working = [threads.submit(write_on, n) for n in range(8)]
            try:
                wait_for(lambda: len(client.get("/api/writer-7/tasks").json()) > 0)
                waited = []
                for _ in range(20):
                    answer = client.post(TASKS, json=NEW)
                    assert answer.status_code == 201
                    waited.append(answer.elapsed.total_seconds())
            finally:
                done.set()
            assert sum(work.result() for work in working) > 20
            assert max(waited) < 0.5


class TestFullDisk:
    def test_refuses_writes_and_goes_on_reading(self, tmp_path: Path) -> None:
        with serving(tmp_path / "test.db") as server, client_to(server) as client:
            kept = [create(client, TASKS)]
            with with_pragma(server, "max_page_count = 1"):  # which means: no more than there are
                for _ in range(50):
                    answer = client.post(TASKS, json={**NEW, "description": "x" * 2_000})
                    if answer.status_code != 201:
                        break
                    kept.append(answer.json())
                problem(answer, 507, "storage_full")
                assert "nothing was changed" in answer.json()["detail"]
                assert listed_ids(client) == ids(kept)
                assert client.get("/health/ready").status_code == 200
            with with_pragma(server, "max_page_count = 1000000"):
                kept.append(create(client, TASKS, description="x" * 2_000))
                assert listed_ids(client) == ids(kept)

    def test_a_full_disk_of_postgres_is_a_507_too(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client:
            kept = [create(client, TASKS)]
            before_insert(postgres_url, "RAISE 'could not extend file' USING ERRCODE = 'disk_full';")
            problem(client.post(TASKS, json=NEW), 507, "storage_full")
            assert listed_ids(client) == ids(kept)
            assert client.get("/health/ready").status_code == 200


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a small disk")
class TestSmallDisk:
    """The same on a disk that is really full, down to its last byte."""

    def test_refuses_writes_and_goes_on_reading(self, small_disk: Path) -> None:
        with serving(small_disk / "test.db") as server, client_to(server) as client:
            kept = [create(client, TASKS)]
            with filled(small_disk):
                refused = 0
                for _ in range(20):
                    answer = client.post(TASKS, json={**NEW, "description": "x" * 2_000})
                    if answer.status_code == 201:
                        kept.append(answer.json())
                        continue
                    problem(answer, 507, "storage_full")
                    refused += 1
                assert refused > 0
                assert listed_ids(client) == ids(kept)
                assert client.get("/health/ready").status_code == 200
            kept.append(create(client, TASKS, description="x" * 2_000))
            assert listed_ids(client) == ids(kept)
            assert whole(small_disk / "test.db")

    def test_a_file_size_limit_is_a_full_disk_too(self, tmp_path: Path) -> None:
        """As a quota: the disk has room, but not for this one."""
        with server_process(tmp_path) as server, httpx2.Client(base_url=server.url) as client:
            kept = [create(client, TASKS)]
            largest = max(file.stat().st_size for file in tmp_path.iterdir())
            limit = ["prlimit", f"--pid={server.pid}", f"--fsize={largest + 20_000}:unlimited"]
            subprocess.run(limit, check=True)
            for _ in range(200):
                answer = client.post(TASKS, json={**NEW, "description": "x" * 2_000})
                if answer.status_code != 201:
                    break
                kept.append(answer.json())
            problem(answer, 507, "storage_full")
            assert listed_ids(client) == ids(kept)
            subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=unlimited"], check=True)
            kept.append(create(client, TASKS))
            assert listed_ids(client) == ids(kept)
        assert whole(tmp_path / "taskwell.db")


class TestFileOfSqlite:
    """What an operator can do to the file of a running server."""

    def test_a_deleted_file_takes_no_writes(self, tmp_path: Path) -> None:
        file, aside = tmp_path / "test.db", tmp_path / "aside.db"
        with serving(file) as server, client_to(server) as client:
            create(client, TASKS)
            file.rename(aside)
            for method, path in (("POST", TASKS), ("GET", TASKS), ("GET", "/health/ready")):
                assert "file was removed or replaced" in unavailable(client.request(method, path, json=NEW))
            assert not file.exists()
            aside.rename(file)
            create(client, TASKS)
            assert len(client.get(TASKS).json()) == 2
            assert client.get("/health/ready").status_code == 200

    def test_a_replaced_file_takes_no_writes(self, tmp_path: Path) -> None:
        file, other = tmp_path / "test.db", tmp_path / "other.db"
        with serving(other) as server, client_to(server) as client:
            create(client, TASKS, title="Of another")
        with serving(file) as server, client_to(server) as client:
            create(client, TASKS)
            other.replace(file)
            for method in ("POST", "GET"):
                assert "file was removed or replaced" in unavailable(client.request(method, TASKS, json=NEW))
            unavailable(client.get("/health/ready"))

    def test_a_missing_folder_is_a_503_at_once(self, tmp_path: Path) -> None:
        folder = tmp_path / "volume"
        folder.mkdir()
        with serving(folder / "test.db") as server, client_to(server) as client:
            create(client, TASKS)
            folder.rename(tmp_path / "aside")
            for path in (TASKS, "/api/another/tasks"):
                answer = client.post(path, json=NEW)
                unavailable(answer)
                assert answer.elapsed.total_seconds() < 1
            assert not folder.exists()
            (tmp_path / "aside").rename(folder)
            wait_for(lambda: client.get("/health/ready").status_code == 200, seconds=5)
            create(client, TASKS)

    def test_a_damaged_file_takes_no_writes_until_it_is_restored(self, tmp_path: Path) -> None:
        file = tmp_path / "test.db"
        with serving(file) as server, client_to(server) as client:
            for n in range(50):
                create(client, TASKS, title=f"{n}: {'x' * 100}", description="y" * 1_000)
        damage(file)
        with serving(file) as server, client_to(server) as client:
            assert "is damaged" in unavailable(client.get(TASKS))
            assert int(client.get(TASKS).headers["retry-after"]) >= 60
            before = file.read_bytes()
            for path in (TASKS, "/api/another/tasks"):
                assert "is damaged" in unavailable(client.post(path, json=NEW))
            assert "is damaged" in unavailable(client.get("/health/ready"))
            assert client.get("/api/users/ada").status_code == 200  # what can be read still is
            assert file.read_bytes() == before


class TestVanishedClients:
    """Whoever leaves in mid-request leaves neither a connection nor a lock behind."""

    def test_they_delay_no_other_request(self, server: LocalServer, user: str) -> None:
        dice = random.Random(1)
        path = f"/api/{user}/tasks"
        with client_to(server) as client:
            create(client, path)
            for _ in range(200):
                leave(server, path, dice)
            answer = client.post(path, json=NEW)
            assert answer.status_code == 201
            wait_for(lambda: client.get("/health/ready").json()["pool"]["in_use"] == 0, seconds=5)
            answer = client.post(path, json=NEW)
            assert answer.elapsed.total_seconds() < 0.1
            there = client.get(path).json()
            assert sorted(task["version"] for task in there) == list(range(1, len(there) + 1))

    def test_a_client_that_leaves_during_a_lock_wait_is_forgotten(self, postgres_url: str) -> None:
        settings = Settings(database_url=postgres_url, db_pool_size=2, db_max_overflow=0)
        with local_server(settings) as server, client_to(server) as client:
            create(client, TASKS)
            with locked_user(postgres_url):
                for _ in range(5):
                    leave(server, TASKS)
                wait_for(lambda: waiting_sessions(postgres_url) > 0)
            wait_for(lambda: client.get("/health/ready").json()["pool"]["in_use"] == 0, seconds=5)
            answer = client.post(TASKS, json=NEW)
            assert answer.status_code == 201
            assert answer.elapsed.total_seconds() < 0.1


class TestMistake:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_bug_is_a_500_with_the_request_id_alone(
        self, database_url: str, caplog: pytest.LogCaptureFixture, method: str
    ) -> None:
        with client_of(database_url) as client:
            drop_tasks(database_url)
            headers = {"Origin": ORIGIN, "X-Request-Id": "mine"}
            answer = client.request(method, TASKS, json=NEW, headers=headers)
        members = problem(answer, 500, "internal_error")
        where_to_look = "The server failed unexpectedly; its log has the details under the request's id."
        assert members["detail"] == where_to_look
        assert members.keys() == {"type", "title", "status", "detail", "instance", "request_id"}
        assert members["request_id"] == "mine"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "request mine failed" in caplog.text


@pytest.mark.plan("SC-005", "R3")
class TestConcurrentOperations:
    """A hundred at once, of one user: creates, changes, toggles, deletes and reads."""

    def test_concurrent_writes_lose_and_double_none(self, server: LocalServer, user: str) -> None:
        with client_to(server) as client:
            ledger = mix(user, client)
            tasks = client.get(ledger.path).json()
        ledger.compare(tasks)
        assert ledger.faults == 0
        assert ledger.writes == 50 + 3 * 80
        assert len(tasks) == 50

    def test_two_servers_of_one_database_lose_and_double_none(
        self, database_url: str, tmp_path: Path
    ) -> None:
        with server_process(tmp_path, DATABASE_URL=database_url) as process, client_of(database_url) as one:
            with httpx2.Client(base_url=process.url) as other:
                ledger = mix("ada", one, other)
            ledger.compare(one.get(ledger.path).json())
        assert ledger.faults == 0
        assert ledger.writes == 50 + 3 * 80


@pytest.mark.plan("SC-002")
class TestRestart:
    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
    def test_keeps_what_was_acknowledged(
        self, database_url: str, tmp_path: Path, how: signal.Signals
    ) -> None:
        with server_process(tmp_path, DATABASE_URL=database_url) as server, ThreadPoolExecutor(4) as threads:
            acknowledged: list[str] = []

            def create_until_it_ends(_: int) -> None:
                with httpx2.Client(base_url=server.url) as client, suppress(httpx2.TransportError):
                    while True:
                        acknowledged.append(create(client, TASKS)["id"])

            working = [threads.submit(create_until_it_ends, n) for n in range(4)]
            wait_for(lambda: len(acknowledged) > 100)
            server.stop(how)
            for work in working:
                work.result()
            server.start()
            server.wait_until_up()
            there = [task["id"] for task in httpx2.get(f"{server.url}{TASKS}").json()]
            assert len(there) == len(set(there))
            assert set(acknowledged) <= set(there)
            # Each client may have lost the answer to its last one.
            assert len(there) <= len(acknowledged) + 4


@contextmanager
def client_of(database: str | Settings) -> Iterator[httpx2.Client]:
    """A client of a server of its own."""
    settings = Settings(database_url=database) if isinstance(database, str) else database
    with local_server(settings) as server, client_to(server) as client:
        yield client


def client_to(server: LocalServer) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, timeout=30, limits=httpx2.Limits(max_connections=100))


def unavailable(answer: httpx2.Response) -> str:
    """The detail of an answer that invites to try again."""
    detail: str = problem(answer, 503, "database_unavailable")["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    return detail


def end_sessions(url: str) -> int:
    """End the server's sessions, as a restart or an administrator would. Returns how many there were."""
    name = make_url(url).database
    return len(
        execute(
            admin_url(),
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND application_name = 'taskwell'",
        )
    )


def before_insert(url: str, body: str, *, at_commit: bool = False) -> None:
    """Have PostgreSQL do something before a task is inserted, or at the commit after it."""
    execute(
        url,
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$",
    )
    when = (
        "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED"
        if at_commit
        else "CREATE TRIGGER fail BEFORE INSERT ON tasks"
    )
    execute(url, f"{when} FOR EACH ROW EXECUTE FUNCTION fail()")


@contextmanager
def role_of(url: str, attributes: str = "") -> Iterator[tuple[str, str]]:
    """A role that may do all in the database, and the URL by which it does."""
    name = f"role_{make_url(url).database}"
    execute(admin_url(), f"CREATE ROLE {name} LOGIN PASSWORD 'secret' {attributes}")
    execute(url, f"GRANT ALL ON SCHEMA public TO {name}")
    try:
        yield name, make_url(url).set(username=name, password="secret").render_as_string(hide_password=False)
    finally:
        execute(url, f"DROP OWNED BY {name}")
        execute(admin_url(), f"DROP ROLE {name}")


@contextmanager
def never_started(postgres: PostgresServer) -> Iterator[None]:
    """A server that is starting, and goes on doing so: it waits for a primary that is not there."""
    standby = postgres.data / "standby.signal"
    standby.touch()
    options = postgres.options
    postgres.options = {**options, "hot_standby": "off"}
    postgres.start(ready=False)
    try:
        yield
    finally:
        postgres.stop()
        standby.unlink()
        postgres.options = options


@contextmanager
def frozen(postgres: PostgresServer) -> Iterator[None]:
    """Nobody of it moves any more, and no connection ends: as when its machine is gone."""
    processes = postgres.processes()
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def locked_user(url: str) -> AbstractContextManager[Callable[[str], object]]:
    """Another session holds the row that every write of the user has to have."""
    return open_transaction(url, "SELECT FROM users WHERE id = 'ada' FOR UPDATE")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(folder).free == 0
    try:
        yield
    finally:
        ballast.unlink()


def whole(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def damage(file: Path) -> None:
    """Overwrite the pages of the tasks with noise; the schema and the users are left."""
    dice = random.Random(1)
    with closing(sqlite3.connect(file)) as connection:
        ((page_size,),) = connection.execute("PRAGMA page_size")
        pages = [
            row[0]
            for row in connection.execute(
                "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'tasks' AND rootpage > 0"
            )
        ]
    with file.open("r+b") as damaged:
        for page in pages:
            damaged.seek((page - 1) * page_size)
            damaged.write(dice.randbytes(page_size))


def leave(server: LocalServer, path: str, dice: random.Random | None = None) -> None:
    """Send a request to create a task, or a part of it, and be gone."""
    body = b'{"title": "Buy milk"}'
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    sent = request if dice is None else request[: dice.choice([len(request), dice.randrange(len(request))])]
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(sent)
        if dice is None:
            time.sleep(0.05)
        else:
            time.sleep(dice.choice([0, 0.001, 0.003]))


@contextmanager
def serving(file: Path) -> Iterator[LocalServer]:
    with local_server(Settings(database_url=f"sqlite:///{file}")) as server:
        yield server


@contextmanager
def with_pragma(server: LocalServer, pragma: str) -> Iterator[None]:
    """Each write is made under a setting of SQLite's."""
    backend = server.database.backend
    assert isinstance(backend, SqliteBackend)

    def set_pragma(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA {pragma}")

    event.listen(backend.writer.engine, "begin", set_pragma, insert=True)
    try:
        yield
    finally:
        event.remove(backend.writer.engine, "begin", set_pragma)


@contextmanager
def program_that_writes(file: Path) -> Iterator[None]:
    """A process that knows nothing of taskwell has begun to write into its file."""
    script = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "print('begun', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        yield
        program.communicate()


def drop_tasks(url: str) -> None:
    """A mistake that no check finds: the server cannot know."""
    if url.startswith("postgresql"):
        execute(url, "DROP TABLE tasks CASCADE")
    else:
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            connection.execute("DROP TABLE tasks")


def ids(tasks: list[dict[str, Any]]) -> list[str]:
    """In the order of the list, newest first."""
    return [task["id"] for task in reversed(tasks)]


def listed_ids(client: httpx2.Client) -> list[str]:
    return [task["id"] for task in client.get(TASKS).json()]


def mix(user: str, *clients: httpx2.Client) -> Ledger:
    """Three rounds of a hundred operations at once, divided among the clients."""

    def send(request: Request, client: httpx2.Client) -> Answer:
        headers = dict(header.split(": ") for header in request.headers)
        while True:
            answer = client.request(request.method, request.path, json=request.body, headers=headers)
            # On a slow machine some are told to try again.
            if answer.status_code != 503 or "nothing was changed" not in unavailable(answer):
                return Answer(answer.status_code, answer.content)

    ledger = Ledger(f"/api/{user}/tasks")
    with ThreadPoolExecutor(100) as threads:
        requests = ledger.creates(50)
        for _ in range(4):
            answers = threads.map(send, requests, cycle(clients))
            for request, answer in zip(requests, answers, strict=True):
                ledger.note(request, answer)
            requests = ledger.round(20)
    return ledger
