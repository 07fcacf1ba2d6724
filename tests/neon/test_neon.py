"""A server on Neon: what it promises elsewhere it promises there, and it lets the database sleep."""

import asyncio
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import jwt
import pytest

from harness.certificates import Authority
from harness.databases import open_transaction
from harness.pgbouncer import PgBouncer, program
from harness.postgres import PostgresServer, debian_binaries
from harness.responses import create, problem
from harness.servers import LocalServer, local_server, server_process, wait_for
from taskwell.admin import doctor
from taskwell.app import create_app
from taskwell.core.settings import Settings
from taskwell.database import startup
from taskwell.database.postgres import _SESSION, PostgresBackend
from taskwell.database.startup import StartupError
from taskwell.services import housekeeping

TASKS = "/api/ada/tasks"
NEW = {"title": "Buy milk"}
SECRET = "known to these tests alone, 32 bytes or more"
APP = "app"  # the role that servers have: it owns its tables, and is bound by row-level security


@dataclass
class Neon:
    """A PostgreSQL with TLS, a pooler before it, and the authority that vouches for both."""

    postgres: PostgresServer
    bouncer: PgBouncer
    root: Path
    starter: Executor  # of one thread: what it starts ends with it
    database: str = ""
    begun: int = 0  # how long the log was when the database was made

    def url(self, *, pooled: bool = True, host: str = "localhost", root: Path | None = None) -> str:
        port = self.bouncer.port if pooled else self.postgres.port
        return (
            f"postgresql://{APP}:secret@{host}:{port}/{self.database}"
            f"?sslmode=verify-full&sslrootcert={root or self.root}"
        )

    def settings(self, **others: Any) -> Settings:
        """As an operator gives them: requests through the pooler, migrations past it."""
        urls = {"database_url": self.url(), "migration_database_url": self.url(pooled=False)}
        return Settings(**{**urls, "db_pooler": "transaction", **others})

    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.url(),
            "MIGRATION_DATABASE_URL": self.url(pooled=False),
            "TASKWELL_DB_POOLER": "transaction",
        }

    def sql(self, statement: str, database: str | None = None) -> list[Any]:
        """As an administrator, from beside."""

        async def work() -> list[Any]:
            url = self.postgres.url.removesuffix("/postgres") + f"/{database or 'postgres'}"
            connection = await asyncpg.connect(url, ssl=False)
            try:
                return list(await connection.fetch(statement))
            finally:
                await connection.close()

        return asyncio.run(work())

    def end_sessions(self) -> int:
        return len(
            self.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                f"WHERE datname = '{self.database}' AND usename = '{APP}'"
            )
        )

    def heard(self) -> list[str]:
        """All statements and connections that the database has had."""
        log = (self.postgres.folder / "log").read_bytes()[self.begun :].decode(errors="replace")
        lines = [line for line in log.splitlines() if line.startswith(f"<{self.database}> ")]
        return [line for line in lines if re.search(r"LOG: +(statement|execute|connection auth)", line)]


def with_tls() -> Path:
    """A PostgreSQL that speaks TLS, as Debian's does; where there is none, CI does not go without."""
    binaries = debian_binaries()
    if binaries is None and "CI" not in os.environ:
        pytest.skip("no PostgreSQL with TLS: these tests need it (Debian: apt-get install postgresql)")
    assert binaries is not None, "CI needs a PostgreSQL with TLS"
    return binaries


@pytest.fixture(scope="module")
def cluster() -> Iterator[Neon]:
    program()
    binaries = with_tls()
    folder = Path(tempfile.mkdtemp(prefix="taskwell-neon-"))
    try:
        authority = Authority(folder)
        tls = authority.server("localhost")
        postgres = PostgresServer(
            folder,
            binaries,
            ssl="on",
            ssl_cert_file=str(tls.certificate),
            ssl_key_file=str(tls.key),
            log_statement="all",
            log_connections="on",
            log_line_prefix="<%d> ",
            autovacuum="off",
        )
        postgres.create()
        for file in (tls.certificate, tls.key, authority.root):
            postgres.own(file)
        bouncer = PgBouncer(folder, postgres.port, {APP: "secret"}, tls, authority.root)
        postgres.start()
        try:
            with ThreadPoolExecutor(1) as starter:
                neon = Neon(postgres, bouncer, authority.root, starter)
                neon.sql(f"CREATE ROLE {APP} LOGIN PASSWORD 'secret' NOSUPERUSER NOBYPASSRLS")
                yield neon
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty(cluster: Neon) -> Iterator[Neon]:
    """A new database without a table, and a new pooler."""
    yield from with_pooler(cluster, "template1")


@pytest.fixture
def neon(cluster: Neon, template: str) -> Iterator[Neon]:
    """The same with the tables, for what is not about how they come about."""
    yield from with_pooler(cluster, template)


@pytest.fixture(scope="module")
def template(cluster: Neon) -> str:
    """The name of a database that is at the head: the migrations take a second."""
    cluster.database = "template_at_the_head"
    cluster.sql(f"CREATE DATABASE {cluster.database} OWNER {APP}")
    asyncio.run(startup.upgrade(Settings(database_url=cluster.url(pooled=False))))
    return cluster.database


def with_pooler(cluster: Neon, template: str) -> Iterator[Neon]:
    cluster.database = f"tasks_{uuid4().hex}"
    cluster.begun = (cluster.postgres.folder / "log").stat().st_size
    cluster.sql(f"CREATE DATABASE {cluster.database} OWNER {APP} TEMPLATE {template}")
    cluster.bouncer.start()
    try:
        yield cluster
    finally:
        cluster.bouncer.stop()


@contextmanager
def client_of(settings: Settings) -> Iterator[httpx2.Client]:
    with local_server(settings) as server, client_to(server) as client:
        yield client


def client_to(server: LocalServer) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, timeout=30, limits=httpx2.Limits(max_connections=100))


def unavailable(answer: httpx2.Response) -> str:
    detail: str = problem(answer, 503, "database_unavailable")["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    return detail


def refusal(settings: Settings) -> str:
    """Why a server does not start."""

    async def work() -> None:
        async with create_app(settings).router.lifespan_context(create_app(settings)):
            pass

    with pytest.raises(StartupError) as refused:
        asyncio.run(work())
    return str(refused.value)


class TestCertificates:
    @pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "direct"])
    def test_one_that_is_right(self, empty: Neon, pooled: bool) -> None:
        with client_of(empty.settings(database_url=empty.url(pooled=pooled))) as client:
            create(client, TASKS)
            assert empty.sql("SELECT count(*) FROM pg_stat_ssl NATURAL JOIN pg_stat_activity "
                            f"WHERE ssl AND usename = '{APP}'")[0][0] > 0  # fmt: skip

    @pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "direct"])
    def test_one_that_another_authority_vouches_for(self, neon: Neon, pooled: bool, tmp_path: Path) -> None:
        url = neon.url(pooled=pooled, root=Authority(tmp_path, "stranger").root)
        told = refusal(neon.settings(database_url=url))
        assert "has a certificate that cannot be verified: set sslrootcert=FILE" in told
        assert "secret" not in told

    @pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "direct"])
    def test_one_of_another_host(self, neon: Neon, pooled: bool) -> None:
        told = refusal(neon.settings(database_url=neon.url(pooled=pooled, host="127.0.0.1")))
        assert "has a certificate of another host: use the host name in the certificate" in told
        assert "secret" not in told

    def test_a_server_without_any(self, neon: Neon) -> None:
        neon.bouncer.stop()
        neon.bouncer.tls_mode = "disable"
        try:
            neon.bouncer.start()
            told = refusal(neon.settings())
            assert "does not support TLS" in told
        finally:
            neon.bouncer.tls_mode = "require"


class TestMigrations:
    def test_go_past_the_pooler(self, empty: Neon) -> None:
        """Which is not there yet."""
        empty.bouncer.stop()
        asyncio.run(startup.upgrade(empty.settings()))
        with client_of(empty.settings(migrate_at_start=False)) as client:
            unavailable(client.get(TASKS))
            empty.bouncer.start()
            wait_for(lambda: client.get("/health/ready").status_code == 200)
            create(client, TASKS)


class TestPooler:
    def test_two_servers_leave_nothing_in_the_sessions_that_they_share(
        self, neon: Neon, tmp_path: Path
    ) -> None:
        """Every kind of statement, again and again, on two sessions that change hands at each."""
        with (
            server_process(tmp_path, **neon.environment()) as process,
            client_of(neon.settings()) as one,
            httpx2.Client(base_url=process.url, timeout=30) as other,
            ThreadPoolExecutor(8) as threads,
        ):
            clients = (one, other)
            done = list(threads.map(lambda n: every_kind(clients[n % 2], f"user-{n % 8}", n), range(16)))
        for answer in (answer for answers in done for answer in answers if answer.status_code >= 400):
            assert "busy; nothing was changed" in unavailable(answer)  # on a slow machine
        assert sum(len(answers) for answers in done) > 100
        assert in_the_sessions(neon, "SELECT count(*) FROM pg_prepared_statements") == {0}

    def test_a_session_that_changes_hands_is_not_set_up_anew(self, neon: Neon) -> None:
        with client_of(neon.settings()) as client:
            create(client, TASKS)
            before = len(neon.heard())
            for _ in range(10):
                create(client, TASKS)
            assert [line for line in neon.heard()[before:] if "statement: SET" in line] == []

    def test_sessions_that_end_between_two_requests_are_not_noticed(self, neon: Neon) -> None:
        with client_of(neon.settings()) as client:
            for n in range(1, 4):
                create(client, TASKS)
                assert neon.end_sessions() > 0
                assert len(client.get(TASKS).json()) == n

    def test_sessions_that_end_amid_writes_lose_and_double_none(self, neon: Neon) -> None:
        with client_of(neon.settings()) as client, ThreadPoolExecutor(8) as threads:
            create(client, TASKS)
            working = [threads.submit(client.post, TASKS, json={"title": f"Task {n}"}) for n in range(200)]
            killed = 0
            while wait(working, timeout=0.05).not_done:
                killed += neon.end_sessions()
            wait_for(lambda: client.get(TASKS).status_code == 200)
            titles = [task["title"] for task in client.get(TASKS).json()]
        assert killed > 0
        assert len(titles) == len(set(titles))
        for n, work in enumerate(working):
            answer = work.result()
            if answer.status_code == 201:
                assert f"Task {n}" in titles
            elif "saved or not" not in unavailable(answer):
                assert f"Task {n}" not in titles

    def test_a_pooler_that_starts_again_is_not_noticed(self, neon: Neon) -> None:
        with client_of(neon.settings()) as client:
            create(client, TASKS)
            wait_until_tidied(neon)  # the server itself asks for nothing meanwhile
            neon.bouncer.stop()
            neon.bouncer.start()
            create(client, TASKS)
            assert len(client.get(TASKS).json()) == 2

    def test_limits_that_the_role_has_hold(self, neon: Neon) -> None:
        """Through a pooler a session is not set up: its limits are the role's."""
        neon.sql(f"ALTER ROLE {APP} SET lock_timeout = '300ms'")
        neon.end_sessions()
        try:
            with client_of(neon.settings()) as client:
                create(client, TASKS)
                with locked_users(neon):
                    answer = client.post(TASKS, json=NEW)
                    assert "busy; nothing was changed" in unavailable(answer)
                    assert answer.elapsed.total_seconds() < 3
                create(client, TASKS)
        finally:
            neon.sql(f"ALTER ROLE {APP} RESET lock_timeout")
            neon.end_sessions()

    def test_users_are_kept_apart_on_sessions_that_change_hands(self, neon: Neon) -> None:
        settings = neon.settings(auth="jwt", jwt_secret=SECRET, row_level_security="on")
        with local_server(settings) as server, client_to(server) as client:
            backend: Any = server.database.backend
            assert backend.row_security

            def use(n: int) -> None:
                user = f"user-{n % 2}"
                mine = {"Authorization": f"Bearer {token(user)}"}
                title = f"{user}: {n}"
                assert client.post("/api/tasks", json={"title": title}, headers=mine).status_code == 201
                titles = [task["title"] for task in client.get("/api/tasks", headers=mine).json()]
                assert title in titles
                assert {title.partition(":")[0] for title in titles} == {user}
                strange = client.get(f"/api/user-{1 - n % 2}/tasks", headers=mine)
                assert strange.status_code == 403

            with ThreadPoolExecutor(16) as threads:
                list(threads.map(use, range(100)))
            # What was said in a transaction was said for it alone.
            assert in_the_sessions(neon, "SELECT current_setting('taskwell.user_id', true)") <= {None, ""}


# What a server says of a direct session: a pooler of the more lenient kind lets it pass, to no effect.
SESSION = ",".join([*_SESSION, "taskwell.user_id"])


@pytest.fixture
def lenient(empty: Neon) -> Iterator[Neon]:
    """A pooler that refuses no start-up parameter."""
    yield from started_as(empty, ignored=SESSION)


@pytest.fixture
def in_session_mode(neon: Neon) -> Iterator[Neon]:
    yield from started_as(neon, ignored=SESSION, mode="session")


def started_as(neon: Neon, **options: str) -> Iterator[Neon]:
    before = {name: getattr(neon.bouncer, name) for name in options}
    neon.bouncer.stop()
    vars(neon.bouncer).update(options)
    neon.bouncer.start()
    try:
        yield neon
    finally:
        neon.bouncer.stop()
        vars(neon.bouncer).update(before)


def backend_of(server: LocalServer) -> PostgresBackend:
    backend = server.database.backend
    assert isinstance(backend, PostgresBackend)
    return backend


class TestAPoolerThatIsNotToldOf:
    """Supabase's, DigitalOcean's and one's own have no `-pooler` in their names."""

    @pytest.mark.parametrize("kind", ["empty", "lenient"], ids=["refuses parameters", "ignores them"])
    def test_is_found_out(self, kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        neon: Neon = request.getfixturevalue(kind)
        environment = {"DATABASE_URL": neon.url()}
        with (
            server_process(tmp_path, **environment) as process,
            client_of(Settings(database_url=neon.url())) as one,
            httpx2.Client(base_url=process.url, timeout=30) as other,
            ThreadPoolExecutor(8) as threads,
        ):
            clients = (one, other)
            done = list(threads.map(lambda n: every_kind(clients[n % 2], f"user-{n % 8}", n), range(16)))
            assert "is behind a pooler" in process.log()
        for answer in (answer for answers in done for answer in answers if answer.status_code >= 400):
            assert "busy; nothing was changed" in unavailable(answer)
        assert sum(len(answers) for answers in done) > 100
        assert in_the_sessions(neon, "SELECT count(*) FROM pg_prepared_statements") == {0}

    def test_in_session_mode_is_taken_for_the_same(self, in_session_mode: Neon) -> None:
        """That is safe, and TASKWELL_DB_POOLER=none says that it is not needed."""
        url = in_session_mode.url()
        with local_server(Settings(database_url=url, db_max_overflow=0, db_pool_size=1)) as server:
            assert backend_of(server).pooled
            with client_to(server) as client:
                create(client, TASKS)
        in_session_mode.bouncer.stop()
        in_session_mode.bouncer.start()
        settings = Settings(database_url=url, db_pooler="none", db_max_overflow=0, db_pool_size=1)
        with local_server(settings) as server, client_to(server) as client:
            create(client, TASKS)
            assert not backend_of(server).pooled

    def test_a_direct_way_is_known_to_be_one(self, neon: Neon) -> None:
        with local_server(Settings(database_url=neon.url(pooled=False))) as server:
            with client_to(server) as client:
                create(client, TASKS)
            assert not backend_of(server).pooled

    def test_one_that_was_denied_confuses_nobody_for_long(self, lenient: Neon, tmp_path: Path) -> None:
        """The setting is wrong: statements meet sessions in which they were never prepared.

        A server whose sessions happen to stay the same has nothing to notice, so new ones take their place.
        """
        environment = {"DATABASE_URL": lenient.url(), "TASKWELL_DB_POOLER": "none"}
        with (
            server_process(tmp_path, **environment) as process,
            local_server(lenient.settings(db_pooler="none")) as server,
            client_to(server) as one,
            httpx2.Client(base_url=process.url, timeout=30) as other,
            ThreadPoolExecutor(8) as threads,
        ):
            clients = (one, other)
            wait_for(lambda: all(client.get("/health/ready").status_code == 200 for client in clients))
            for client in clients:
                create(client, TASKS)
            assert lenient.end_sessions() > 0
            done = list(threads.map(lambda n: every_kind(clients[n % 2], f"user-{n % 8}", n), range(16)))
            assert backend_of(server).pooled
            assert "is behind a pooler" in process.log()
            for client in clients:
                create(client, TASKS)
        for answer in (answer for answers in done for answer in answers if answer.status_code >= 400):
            assert answer.status_code in {404, 503}, answer.text
            if answer.status_code == 503:
                unavailable(answer)

    @pytest.mark.parametrize("migrations", ["past it", "through it"])
    def test_one_that_was_denied_is_noticed_at_the_start(self, lenient: Neon, migrations: str) -> None:
        """Its sessions have statements of the names that the driver gives next."""
        settings = lenient.settings(db_pooler="none")
        if migrations == "through it":
            settings = Settings(database_url=lenient.url(), db_pooler="none")
        asyncio.run(take_names(lenient, 500))
        with local_server(settings) as server, client_to(server) as client:
            wait_for(lambda: server.database.ready)
            assert backend_of(server).pooled
            create(client, TASKS)

    def test_one_that_comes_in_between_later(self, neon: Neon) -> None:
        with sleeper_of(neon) as (way, settings), local_server(settings) as server:
            with client_to(server) as client:
                create(client, TASKS)
                assert not backend_of(server).pooled
                to_the_pooler: Any = neon.bouncer
                way._postgres = to_the_pooler
                neon.end_sessions()
                create(client, TASKS)
                assert len(client.get(TASKS).json()) == 2
            assert backend_of(server).pooled

    def test_users_are_kept_apart(self, neon: Neon) -> None:
        settings = neon.settings(db_pooler="auto", auth="jwt", jwt_secret=SECRET, row_level_security="on")
        with local_server(settings) as server, client_to(server) as client:
            assert backend_of(server).row_security
            assert backend_of(server).pooled
            for user in ("ada", "bob"):
                mine = {"Authorization": f"Bearer {token(user)}"}
                assert client.post("/api/tasks", json=NEW, headers=mine).status_code == 201
                assert len(client.get("/api/tasks", headers=mine).json()) == 1

    def test_doctor_tells_of_it(self, empty: Neon) -> None:
        asyncio.run(startup.upgrade(Settings(database_url=empty.url())))
        findings = asyncio.run(doctor.examine(Settings(database_url=empty.url())))
        said = [finding.says for finding in findings if finding.check == "pooler"]
        (says,) = said
        assert says.startswith("connections go through a pooler: statements are not kept prepared")
        assert "set MIGRATION_DATABASE_URL to the direct address" in says


class TestWhatAPoolerSays:
    """It comes to the operator, in the log and from `doctor`; never to a client."""

    def refused(self, url: str) -> str:
        told = refusal(Settings(database_url=url))
        (finding,) = [
            finding for finding in asyncio.run(doctor.examine(Settings(database_url=url)))
            if finding.level == "wrong"
        ]  # fmt: skip
        assert finding.says == told
        assert "secret@" not in told
        return told

    def test_of_options(self, neon: Neon) -> None:
        told = self.refused(f"{neon.url()}&options=-csearch_path%3Dtaskwell")
        assert "its message: unsupported startup parameter: options" in told
        assert "ALTER ROLE" in told

    def test_of_a_password(self, neon: Neon) -> None:
        told = self.refused(neon.url().replace(":secret@", ":S3cr3t@"))
        assert "check the user, the password and the database's name" in told
        assert "authentication failed" in told
        assert "S3cr3t" not in told

    def test_of_a_database(self, neon: Neon) -> None:
        told = self.refused(neon.url().replace(neon.database, "missing"))
        assert 'its message: database "missing" does not exist' in told

    def test_while_it_runs(self, neon: Neon, caplog: pytest.LogCaptureFixture) -> None:
        with client_of(Settings(database_url=neon.url())) as client:
            create(client, TASKS)
            neon.bouncer.stop()
            passwords, neon.bouncer.passwords = neon.bouncer.passwords, {APP: "another"}

            def is_logged() -> bool:
                assert "authentication" not in unavailable(client.get(TASKS))
                return "SASL authentication failed" in caplog.text

            try:
                neon.bouncer.start()
                wait_for(is_logged)  # the log tells an outage once in a while, at first of the pooler's end
            finally:
                neon.bouncer.passwords = passwords

    def test_that_no_connection_is_left(self, neon: Neon, caplog: pytest.LogCaptureFixture) -> None:
        with client_of(Settings(database_url=neon.url(pooled=False))) as client:
            create(client, TASKS)
            neon.sql(f"ALTER ROLE {APP} CONNECTION LIMIT 0")
            neon.end_sessions()
            try:
                assert "too many" not in unavailable(client.get(TASKS))
            finally:
                neon.sql(f"ALTER ROLE {APP} CONNECTION LIMIT -1")
        assert f'too many connections for role "{APP}"' in caplog.text


def every_kind(client: httpx2.Client, user: str, n: int) -> list[httpx2.Response]:
    path = f"/api/{user}/tasks"
    key = {"Idempotency-Key": f"{uuid4()}"}
    made = client.post(path, json={"title": f"Task {n}"})
    if made.status_code != 201:
        return [made]
    task = f"{path}/{made.json()['id']}"
    return [
        client.post(path, json=NEW, headers=key),
        client.post(path, json=NEW, headers=key),
        client.get(task),
        client.get(f"{path}?limit=5&sort=title&q=task"),
        client.get(path),
        client.patch(task, json={"description": "x"}),
        client.post(f"{task}/toggle"),
        client.post(f"{path}/batch", json={"operations": [{"op": "create", "task": NEW}] * 3}),
        client.get(f"/api/{user}/changes?limit=10"),
        client.delete(task),
        client.post(f"{task}/restore"),
        client.get(f"/api/users/{user}"),
    ]


def token(user: str) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + 600}, SECRET, "HS256")


def in_the_sessions(neon: Neon, statement: str) -> set[Any]:
    """What the next one finds in the pooler's sessions."""

    async def work() -> set[Any]:
        found = set()
        for _ in range(8):
            connection = await asyncpg.connect(neon.url(), statement_cache_size=0)
            found.add(await connection.fetchval(statement))
            await connection.close()
        return found

    return asyncio.run(work())


async def take_names(neon: Neon, count: int) -> None:
    """Prepare statements of the names that the driver gives next, in all sessions of the pooler."""
    first = asyncpg.connection._uid
    names = (f"__asyncpg_stmt_{number:x}__" for number in range(first, first + count))
    statements = "; ".join(f'PREPARE "{name}" AS SELECT 1' for name in names)
    connections = [await asyncpg.connect(neon.url(), statement_cache_size=0) for _ in range(2)]
    for connection in connections:
        await connection.execute(f"BEGIN; {statements}")  # each holds a session
    for connection in connections:
        await connection.execute("COMMIT")
        await connection.close()


def locked_users(neon: Neon) -> AbstractContextManager[object]:
    url = neon.postgres.url.removesuffix("/postgres") + f"/{neon.database}?sslmode=disable"
    return open_transaction(url, "SELECT FROM users FOR UPDATE")


class Sleeper:
    """The way to a database that stops when nobody is there, and is started by whoever comes next."""

    def __init__(self, postgres: PostgresServer, starter: Executor) -> None:
        self._postgres = postgres
        self._starter = starter
        self._waking = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asleep = False
        self.woken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def sleep(self, how: signal.Signals = signal.SIGINT) -> None:
        self._postgres.stop(how)
        self.asleep = True

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._wake()

    def _wake(self) -> None:
        with self._waking:
            if self.asleep:
                self._starter.submit(self._postgres.start).result()
                self.asleep = False
                self.woken += 1

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):  # it may be asleep again by now
            self._wake()
            with socket.create_connection(("127.0.0.1", self._postgres.port)) as server:
                back = threading.Thread(target=_pass_on, args=[server, client], daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def sleeper_of(neon: Neon) -> Iterator[tuple[Sleeper, Settings]]:
    """Without a pooler, as Neon's own proxy does it."""
    sleeper = Sleeper(neon.postgres, neon.starter)
    url = neon.url(pooled=False).replace(f":{neon.postgres.port}/", f":{sleeper.port}/")
    try:
        yield sleeper, Settings(database_url=url)
    finally:
        sleeper.close()


def wait_until_tidied(neon: Neon) -> None:
    """The first use of a database has the server tidy up, a moment later; then not for an hour."""
    wait_for(lambda: any("DELETE FROM idempotency_keys" in line for line in neon.heard()))
    time.sleep(0.3)


class TestSleep:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "cut"])
    def test_the_next_request_wakes_it_and_is_answered(self, neon: Neon, how: signal.Signals) -> None:
        with sleeper_of(neon) as (sleeper, settings), client_of(settings) as client:
            for n in range(1, 4):
                create(client, TASKS)
                wait_until_tidied(neon)
                neon.sql("CHECKPOINT")
                sleeper.sleep(how)
                answer = client.get(TASKS) if n % 2 else client.post(f"{TASKS}/{uuid4()}/toggle")
                assert answer.status_code in {200, 404}
                assert sleeper.woken == n
                assert len(client.get(TASKS).json()) == n

    def test_neither_probes_nor_the_server_itself_wake_it(self, neon: Neon) -> None:
        with sleeper_of(neon) as (sleeper, settings), client_of(settings) as client:
            create(client, TASKS)
            wait_until_tidied(neon)
            sleeper.sleep()
            for _ in range(30):
                assert client.get("/health/live").status_code == 200
                assert client.get("/health/ready").status_code == 200
                time.sleep(0.05)
            assert sleeper.asleep

    @pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "direct"])
    def test_a_server_that_nobody_asks_asks_nothing(self, neon: Neon, pooled: bool) -> None:
        with client_of(neon.settings(database_url=neon.url(pooled=pooled))) as client:
            create(client, TASKS)
            wait_until_tidied(neon)
            with client.stream("GET", "/api/ada/events"):
                time.sleep(0.2)
            client.close()
            time.sleep(1)  # the stream's end is noticed
            before = neon.heard()
            time.sleep(2)
            assert neon.heard() == before

    def test_the_house_is_kept_only_when_somebody_was_there(
        self, neon: Neon, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(housekeeping, "_POLL_SECONDS", 0.01)
        monkeypatch.setattr(housekeeping, "_PERIOD", timedelta(seconds=0.3))

        def rounds() -> int:
            return sum("DELETE FROM idempotency_keys" in line for line in neon.heard())

        with client_of(neon.settings()) as client:
            time.sleep(0.5)
            assert rounds() == 0
            create(client, TASKS)
            wait_for(lambda: rounds() > 0)
            time.sleep(1)
            before = neon.heard()
            time.sleep(1)
            assert neon.heard() == before
            create(client, TASKS)
            wait_for(lambda: rounds() > 1)

    def test_a_pooler_waits_for_it(self, neon: Neon) -> None:
        with client_of(neon.settings()) as client, ThreadPoolExecutor(1) as thread:
            create(client, TASKS)
            neon.postgres.stop()
            try:
                asked = thread.submit(client.get, TASKS)
                time.sleep(0.5)
            finally:
                neon.postgres.start()
            answer = asked.result()
            if answer.status_code == 503:
                # The pooler met PostgreSQL as it was starting up, and passed its refusal on.
                assert "retry-after" in answer.headers
                answer = client.get(TASKS)
            assert len(answer.json()) == 1

    def test_one_that_stops_amid_writes_loses_and_doubles_none(self, neon: Neon) -> None:
        with sleeper_of(neon) as (sleeper, settings), client_of(settings) as client:
            create(client, TASKS)
            with ThreadPoolExecutor(8) as threads:
                working = [
                    threads.submit(client.post, TASKS, json={"title": f"Task {n}"}) for n in range(300)
                ]
                wait_for(lambda: sum(work.done() for work in working) > 20)
                sleeper.sleep()
                answers = [work.result() for work in working]
            wait_for(lambda: client.get(TASKS).status_code == 200)
            titles = [task["title"] for task in client.get(TASKS).json()]
        assert sleeper.woken == 1
        assert len(titles) == len(set(titles))
        for n, answer in enumerate(answers):
            if answer.status_code == 201:
                assert f"Task {n}" in titles
            elif "saved or not" not in unavailable(answer):
                assert f"Task {n}" not in titles
