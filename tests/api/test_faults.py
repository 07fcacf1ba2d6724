"""Real faults on real servers: what a client is told, that nothing is lost, and that it passes."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from filelock import FileLock
from sqlalchemy import event, make_url

from bench.ledger import Ledger
from bench.load import Answer, Request
from taskwell.core import sqlite
from taskwell.core.config import Settings
from taskwell.core.sqlite import SqliteBackend
from tests.answers import create, problem
from tests.databases import admin_url, execute, new_postgres_database
from tests.postgres import postgres_server
from tests.servers import LocalServer, local_server, server_process, wait_for

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
    def test_is_told_at_once_and_passes_without_a_restart(self, how: signal.Signals) -> None:
        # Without the option the crash would lose what a disk has to keep.
        with postgres_server(synchronous_commit="on") as postgres, client_of(postgres.url) as client:
            kept = create(client, TASKS)
            postgres.stop(how)
            for method in ("GET", "POST", "GET", "POST"):
                answer = client.request(method, TASKS, json=NEW)
                assert "cannot be reached" in unavailable(answer)
                assert answer.elapsed.total_seconds() < 1
            assert client.get("/health/live").status_code == 200
            unavailable(client.get("/health/ready"))
            postgres.start()
            wait_for(lambda: client.get(TASKS).status_code == 200, seconds=5)
            assert client.get(TASKS).json() == [kept]
            create(client, TASKS)
            assert client.get("/health/ready").status_code == 200


@pytest.mark.plan("A3", "SC-009")
class TestKilledSessions:
    def test_between_two_requests_nobody_notices(self, postgres_url: str) -> None:
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

    def test_amid_writes_none_is_lost_or_doubled(self, postgres_url: str) -> None:
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

    def test_a_lost_commit_is_told_as_unknown(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client:
            before_insert(postgres_url, "PERFORM pg_terminate_backend(pg_backend_pid());", at_commit=True)
            assert "saved or not: read before you repeat it" in unavailable(client.post(TASKS, json=NEW))


@pytest.mark.plan("A3", "R1")
class TestBusyPostgres:
    def test_no_free_connection(self, postgres_url: str) -> None:
        settings = Settings(
            database_url=postgres_url, db_pool_size=1, db_max_overflow=0, db_pool_timeout_seconds=0.2
        )
        with client_of(settings) as client, ThreadPoolExecutor() as threads:
            create(client, TASKS)
            with locked_user(postgres_url):
                waiting = threads.submit(client.post, TASKS, json=NEW)
                wait_for(lambda: client.get("/health/ready").json()["pool"]["in_use"] == 1)
                # Another user's, since the user's own writes wait for each other, not for a connection.
                for method, path in (("GET", TASKS), ("POST", "/api/another/tasks")):
                    answer = client.request(method, path, json=NEW)
                    assert "busy" in unavailable(answer)
                    assert answer.elapsed.total_seconds() < 1
            assert waiting.result().status_code == 201
            assert len(client.get(TASKS).json()) == 2

    def test_a_lock_that_is_not_to_be_had(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client:
            create(client, TASKS)
            with locked_user(postgres_url):
                answer = client.post(TASKS, json=NEW)
                assert "busy; nothing was changed" in unavailable(answer)
                assert answer.elapsed.total_seconds() < 4
                assert len(client.get(TASKS).json()) == 1
            create(client, TASKS)

    def test_a_conflict_that_passes_is_not_seen(self, postgres_url: str) -> None:
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
            ("25006", "takes no changes"),
        ],
    )
    def test_what_does_not_pass_is_told(self, postgres_url: str, sqlstate: str, detail: str) -> None:
        with client_of(postgres_url) as client:
            before_insert(postgres_url, f"RAISE 'no' USING ERRCODE = '{sqlstate}';")
            assert detail in unavailable(client.post(TASKS, json=NEW))
            execute(postgres_url, "DROP FUNCTION fail CASCADE")
            assert client.get(TASKS).json() == []
            create(client, TASKS)


class TestBusySqlite:
    def test_a_lock_of_another_program(self, tmp_path: Path) -> None:
        file = tmp_path / "test.db"
        patience = "busy_timeout = 200"
        with serving(file) as server, client_to(server) as client, with_pragma(server, patience):
            create(client, TASKS)
            with program_that_writes(file):
                answer = client.post(TASKS, json=NEW)
                assert "busy; nothing was changed" in unavailable(answer)
                assert answer.elapsed.total_seconds() < 2
                assert len(client.get(TASKS).json()) == 1
            create(client, TASKS)

    def test_a_lock_of_another_taskwell(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite, "_LOCK_PATIENCE_SECONDS", 0.2)
        file = tmp_path / "test.db"
        with serving(file) as server, client_to(server) as client:
            create(client, TASKS)
            with FileLock(f"{file}-lock"):
                assert "busy; nothing was changed" in unavailable(client.post(TASKS, json=NEW))
                assert len(client.get(TASKS).json()) == 1
            create(client, TASKS)


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

    def test_of_postgres_is_told_alike(self, postgres_url: str) -> None:
        with client_of(postgres_url) as client:
            kept = [create(client, TASKS)]
            before_insert(postgres_url, "RAISE 'could not extend file' USING ERRCODE = 'disk_full';")
            problem(client.post(TASKS, json=NEW), 507, "storage_full")
            assert listed_ids(client) == ids(kept)
            assert client.get("/health/ready").status_code == 200


class TestMistake:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_tells_nothing_but_where_to_look(
        self, database_url: str, caplog: pytest.LogCaptureFixture, method: str
    ) -> None:
        with client_of(database_url) as client:
            drop_tasks(database_url)
            headers = {"Origin": ORIGIN, "X-Request-Id": "mine"}
            answer = client.request(method, TASKS, json=NEW, headers=headers)
        members = problem(answer, 500, "internal_error")
        where_to_look = "The server made a mistake; its log has the details under the request's id."
        assert members["detail"] == where_to_look
        assert members.keys() == {"type", "title", "status", "detail", "instance", "request_id"}
        assert members["request_id"] == "mine"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "request mine failed" in caplog.text


@pytest.mark.plan("SC-005", "R3")
class TestConcurrentOperations:
    """A hundred at once, of one user: creates, changes, toggles, deletes and reads."""

    def test_none_is_lost_or_doubled(self, server: LocalServer, user: str) -> None:
        with client_to(server) as client:
            ledger = mix(user, client)
            tasks = client.get(ledger.path).json()
        ledger.compare(tasks)
        assert ledger.faults == 0
        assert ledger.writes == 50 + 3 * 80
        assert len(tasks) == 50

    def test_nor_when_two_servers_share_the_database(self, database_url: str, tmp_path: Path) -> None:
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
def locked_user(url: str) -> Iterator[None]:
    """Another session holds the row that every write of the user has to have."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        try:
            runner.run(connection.execute("BEGIN; SELECT FROM users WHERE id = 'ada' FOR UPDATE"))
            yield
        finally:
            runner.run(connection.close())


@contextmanager
def serving(file: Path) -> Iterator[LocalServer]:
    with local_server(Settings(database_url=f"sqlite:///{file}")) as server:
        yield server


@contextmanager
def with_pragma(server: LocalServer, pragma: str) -> Iterator[None]:
    """Each write is made under a setting of SQLite's."""
    backend = server.database.backend
    assert isinstance(backend, SqliteBackend)

    def set_pragma(connection: Any, *_: Any) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"PRAGMA {pragma}")

    event.listen(backend._writer, "checkout", set_pragma)
    try:
        yield
    finally:
        event.remove(backend._writer, "checkout", set_pragma)


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
        execute(url, "DROP TABLE tasks")
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
