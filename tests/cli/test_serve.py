"""`taskwell serve` as an operator runs it: what it refuses, what it waits for, and how it ends."""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from filelock import FileLock
from sqlalchemy import make_url

from harness import warm
from harness.databases import admin_url, execute, new_postgres_database
from harness.postgres import PostgresServer, free_port
from harness.responses import problem
from harness.servers import ServerProcess, server_process, wait_for
from taskwell import __version__
from tests.conftest import EVERYTHING
from tests.core.test_database_url import stranger

pytestmark = pytest.mark.slow

Done = subprocess.CompletedProcess[str]

_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_PR_CAPBSET_DROP = 24


def run(*arguments: str, before: Callable[[], None] | None = None, **environment: str) -> Done:
    if before is None:
        return warm.run(*arguments, environment=os.environ | environment)
    return subprocess.run(
        [sys.executable, "-m", "taskwell", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=before,
    )


def refusal(*options: str, before: Callable[[], None] | None = None, **environment: str) -> str:
    """The one line with which the server refuses to start."""
    done = run("serve", "--port", str(free_port()), *options, before=before, **environment)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("taskwell: ")]
    assert "Traceback" not in done.stderr
    assert "Uvicorn running" not in done.stderr
    (line,) = lines
    return line.removeprefix("taskwell: ")


def obey_permissions() -> None:
    """Have root heed the permissions of files like anybody else."""
    if os.geteuid() == 0:
        for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(server: ServerProcess) -> set[int]:
    """The processes that serve."""
    return {int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.log())}


def is_ready(server: ServerProcess) -> bool:
    return httpx2.get(f"{server.url}/health/ready").status_code == 200


def create(server: ServerProcess, title: str = "Buy milk") -> None:
    answer = httpx2.post(f"{server.url}/api/tasks", json={"title": title})
    assert answer.status_code == 201, answer.text


def titles(server: ServerProcess) -> list[str]:
    return [task["title"] for task in httpx2.get(f"{server.url}/api/tasks").json()]


class TestVersion:
    def test_is_shown(self) -> None:
        done = warm.run("--version", environment=os.environ, cold=True)
        assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


class TestPublicAddresses:
    """Without credentials everybody who reaches the port could read and change every task."""

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.20", "example.com"])
    def test_are_refused(self, host: str) -> None:
        told = refusal("--host", host)
        assert told.startswith(f"on {host} any client could read and change every task")
        assert "TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS=true" in told

    def test_are_refused_when_the_environment_names_them(self) -> None:
        assert refusal(TASKWELL_HOST="::", TASKWELL_WORKERS="2").startswith("on :: any client could")

    def test_are_served_when_that_is_allowed(self, tmp_path: Path) -> None:
        # Loopback in a spelling that is not taken for it, so that this test opens nothing to the network.
        assert refusal("--host", "127.1").startswith("on 127.1 any client could")
        allowed = {"TASKWELL_HOST": "127.1", "TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS": "true"}
        with server_process(tmp_path, **allowed) as server:
            create(server)

    def test_loopback_needs_no_permission(self, tmp_path: Path) -> None:
        with server_process(tmp_path, TASKWELL_HOST="localhost"):
            pass


PUBLIC = {"TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS": "true"}
both_families = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


def answers(address: str, port: int) -> bool:
    try:
        return httpx2.get(f"http://{address}:{port}/health/live").status_code == 200
    except httpx2.TransportError:
        return False


@contextmanager
def serving(folder: Path, *arguments: str, **environment: str) -> Iterator[ServerProcess]:
    server = ServerProcess(folder, environment)
    server.start(*arguments)
    try:
        wait_for(lambda: "Application startup complete" in server.log() and "running on" in server.log())
        yield server
    finally:
        server.stop()


class TestAddresses:
    @both_families
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_of_all_are_those_of_both_families(self, tmp_path: Path, workers: str) -> None:
        with serving(tmp_path, "--host", "::", "--workers", workers, **PUBLIC) as server:
            assert answers("127.0.0.1", server.port)
            assert answers("[::1]", server.port)
            assert f"Uvicorn running on http://[::]:{server.port} (Press CTRL+C to quit)" in server.log()

    @both_families
    @pytest.mark.parametrize(
        "hosts",
        [("127.0.0.1", "::1"), ("[::1]", "127.0.0.1", "127.0.0.1"), ("::1", "localhost", "127.0.0.2")],
    )
    def test_may_be_several(self, tmp_path: Path, hosts: tuple[str, ...]) -> None:
        options = [option for host in hosts for option in ("--host", host)]
        with serving(tmp_path, *options) as server:
            assert answers("127.0.0.1", server.port)
            assert answers("[::1]", server.port)
            assert not answers("127.0.0.3", server.port)
            assert f"Uvicorn running on http://[::1]:{server.port} (" in server.log()

    @both_families
    def test_of_all_in_each_family_do_not_hinder_each_other(self, tmp_path: Path) -> None:
        with serving(tmp_path, TASKWELL_HOST="::, 0.0.0.0", **PUBLIC) as server:
            assert answers("127.0.0.1", server.port)
            assert answers("[::1]", server.port)

    def test_are_each_looked_at(self) -> None:
        told = refusal("--host", "127.0.0.1", "--host", "192.168.1.20")
        assert told.startswith("on 192.168.1.20 any client could")

    def test_are_each_asked_for(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = run("serve", "--host", "127.0.0.2", "--host", "127.0.0.1", "--port", port)
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1, port {port}: address already in use" in done.stderr

    def test_that_are_no_name_are_refused(self) -> None:
        assert refusal(
            "--host", "nowhere.invalid", TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS="true"
        ).startswith("cannot listen on nowhere.invalid")
        done = run("serve", TASKWELL_HOST="http://127.0.0.1")
        assert done.returncode == 2
        assert done.stderr.startswith("TASKWELL_HOST: must be addresses or names")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
class TestUnixSocket:
    @staticmethod
    def get(path: Path, address: str, **headers: str) -> httpx2.Response:
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path))) as client:
            return client.get(f"http://localhost{address}", headers=headers)

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_is_for_the_user_and_the_group_and_gone_at_the_end(self, tmp_path: Path, workers: str) -> None:
        path = tmp_path / "s"
        with serving(tmp_path, "--uds", str(path), "--workers", workers, TASKWELL_HOST="0.0.0.0") as server:
            assert self.get(path, "/api/tasks").json() == []
            assert path.stat().st_mode & 0o777 == 0o660
            assert f"Uvicorn running on unix socket {path} (" in server.log()
            assert refusal_of(run("serve", "--uds", str(path))).startswith(
                f"cannot listen on unix socket {path}: address already in use"
            )
            assert path.exists()
        assert not path.exists()
        assert "Traceback" not in server.log()

    def test_of_a_killed_server_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "s"
        server = ServerProcess(tmp_path)
        for count in (1, 2):
            server.start("--uds", str(path))
            wait_for(lambda count=count: server.log().count("running on unix socket") == count)  # type: ignore[misc]
            assert self.get(path, "/health/live").status_code == 200
            server.stop(signal.SIGKILL)
            assert path.exists()

    def test_has_a_proxy_behind_it_that_is_believed(self, tmp_path: Path) -> None:
        path = tmp_path / "s"
        with serving(tmp_path, TASKWELL_UDS=str(path)):
            headers = {"X-Forwarded-Prefix": "/tasks", "X-Forwarded-Proto": "https", "Host": "tasks.internal"}
            answer = self.get(path, "/", **headers)
            assert answer.headers["location"] == "/tasks/docs"

    def test_is_no_file_of_another_kind(self, tmp_path: Path) -> None:
        (tmp_path / "s").write_text("mine")
        told = refusal_of(run("serve", "--uds", str(tmp_path / "s")))
        assert told.startswith(f"cannot listen on unix socket {tmp_path}/s: file exists")
        assert (tmp_path / "s").read_text() == "mine"
        assert "no such file" in refusal_of(run("serve", "--uds", str(tmp_path / "missing" / "s")))
        assert "too long" in refusal_of(run("serve", "--uds", str(tmp_path / ("s" * 200))))

    def test_is_instead_of_an_address(self, tmp_path: Path) -> None:
        for option in (("--host", "127.0.0.1"), ("--port", "8000")):
            told = refusal_of(run("serve", "--uds", str(tmp_path / "s"), *option))
            assert told.startswith("--uds excludes --host and --port")
        done = run("serve", TASKWELL_UDS=str(tmp_path / "s"), TASKWELL_HOST="127.0.0.1")
        assert done.returncode == 2
        assert "TASKWELL_UDS excludes TASKWELL_HOST and TASKWELL_PORT" in done.stderr


def refusal_of(done: Done) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("taskwell: ")


class TestRootPath:
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_is_that_of_the_option(self, tmp_path: Path, workers: str) -> None:
        server = ServerProcess(tmp_path, {"TASKWELL_ROOT_PATH": "/another"})
        server.start("--root-path", "/tasks/", "--workers", workers)
        try:
            server.wait_until_up()
            for path in ("/api/tasks", "/tasks/api/tasks"):
                answer = httpx2.post(f"{server.url}{path}", json={"title": "Buy milk"})
                assert answer.headers["location"] == f"/tasks/api/tasks/{answer.json()['id']}"
        finally:
            server.stop()

    def test_that_is_none_is_refused(self) -> None:
        done = run("serve", "--root-path", "https://evil.example/tasks")
        assert done.returncode == 2
        assert done.stderr.startswith("TASKWELL_ROOT_PATH: must be a path like /tasks")


class TestProxies:
    @pytest.mark.parametrize(("trusted", "believed"), [("127.0.0.1", True), ("10.9.9.9", False)])
    def test_are_named_in_the_file_of_settings_too(
        self, tmp_path: Path, trusted: str, believed: bool
    ) -> None:
        (tmp_path / ".env").write_text(f"FORWARDED_ALLOW_IPS={trusted}\n")
        signed_in = {
            "TASKWELL_AUTH": "jwt",
            "TASKWELL_JWT_SECRET": "known to these tests alone, 32 bytes or more",
        }
        with server_process(tmp_path, **signed_in) as server:
            headers = {"Host": "api.example.com", "X-Forwarded-Proto": "https"}
            answer = httpx2.get(f"{server.url}/docs", headers=headers)
        assert ("strict-transport-security" in answer.headers) is believed


class TestSettingsWithoutEffect:
    def test_are_told_once_whatever_the_processes(self, tmp_path: Path) -> None:
        settings = {"TASKWELL_ATUH": "S3cr3t", "TASKWELL_RATE_LIMIT": "7/day", "TASKWELL_DB_POOL_SIZE": "7"}
        server = ServerProcess(tmp_path, settings)
        server.start("--workers", "2")
        try:
            server.wait_until_up()
        finally:
            server.stop()
        for name in settings:
            assert server.log().count(name) == 1
        assert "S3cr3t" not in server.log()


class TestPortsThatCannotBeListenedOn:
    def test_one_that_is_in_use_is_told_before_a_database_is_made(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = run("serve", "--port", str(port), DATABASE_URL=f"sqlite:///{tmp_path}/new.db")
        assert done.returncode == 1
        assert done.stderr == (
            f"taskwell: cannot listen on 127.0.0.1, port {port}: address already in use. "
            "Choose another with --port or TASKWELL_PORT (--host or TASKWELL_HOST for the address).\n"
        )
        assert list(tmp_path.iterdir()) == []

    def test_an_address_of_another_machine_is_told(self) -> None:
        told = refusal("--host", "192.0.2.1", TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS="true")
        assert told.startswith("cannot listen on 192.0.2.1, port ")


class TestSqliteThatCannotBeUsed:
    def test_a_missing_folder(self, tmp_path: Path) -> None:
        file = tmp_path / "missing" / "tasks.db"
        told = refusal(DATABASE_URL=f"sqlite:///{file}")
        assert told == f"{file} cannot be opened: check that its folder exists and is writable"
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        told = refusal(DATABASE_URL=f"sqlite:///{tmp_path}/file/tasks.db")
        assert told.endswith("cannot be opened: check that its folder exists and is writable")

    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        told = refusal(before=obey_permissions, DATABASE_URL=f"sqlite:///{tmp_path}/tasks.db")
        assert told.endswith("cannot be opened: check that its folder exists and is writable")

    def test_an_empty_file_that_may_not_be_written(self, tmp_path: Path) -> None:
        file = tmp_path / "tasks.db"
        file.touch(0o400)
        told = refusal(before=obey_permissions, DATABASE_URL=f"sqlite:///{file}")
        assert told == f"{file} is not writable: check the permissions of the file and its folder"

    def test_a_migrated_file_that_may_not_be_written(self, tmp_path: Path) -> None:
        file = tmp_path / "tasks.db"
        assert run("db", "upgrade", DATABASE_URL=f"sqlite:///{file}").returncode == 0
        file.chmod(0o400)
        told = refusal(before=obey_permissions, DATABASE_URL=f"sqlite:///{file}")
        assert told == f"{file} is not writable: check the permissions of the file and its folder"

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        file = tmp_path / "tasks.db"
        file.write_text("Buy milk\n" * 1_000)
        told = refusal(DATABASE_URL=f"sqlite:///{file}")
        assert told == f"{file} is damaged or not an SQLite database: restore it from a backup"
        assert file.read_text() == "Buy milk\n" * 1_000

    def test_a_network_file_system(self) -> None:
        told = refusal(DATABASE_URL=r"sqlite:///\\server\share\tasks.db")
        assert "TASKWELL_ALLOW_NETWORK_FILE_SYSTEM=true" in told

    def test_another_process_that_writes_hinders_no_start(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/tasks.db"
        assert run("db", "upgrade", DATABASE_URL=url).returncode == 0
        with FileLock(tmp_path / "tasks.db-lock"), server_process(tmp_path, DATABASE_URL=url) as server:
            assert titles(server) == []


class TestAWorkingFolderThatIsGone:
    """A sentence from every command, and no traceback."""

    COMMANDS = (
        "serve", "doctor", "db upgrade", "db check", "db new-epoch", "db downgrade base --yes",
        "backup x.bak", "users list", "tokens list --user ada", "move sqlite:///a.db sqlite:///b.db",
    )  # fmt: skip
    ELSEWHERE = ("doctor", "db upgrade", "config", "serve")
    # Python and the application start in the folder that is gone, which each command is forked from.
    PROGRAM = """
import gc, json, os, runpy, sys
orders, shown = json.loads(sys.argv[1]), sys.argv[2]
os.rmdir(os.getcwd())
import taskwell.app, taskwell.cli
import taskwell.admin.backup, taskwell.admin.doctor, taskwell.admin.transfer, alembic.command, uvicorn
gc.freeze()  # or each that ends looks for garbage in all of it
for number, (command, environment) in enumerate(orders):
    if not os.fork():
        for file in (1, 2):
            os.dup2(os.open(f"{shown}/{number}-{file}", os.O_WRONLY | os.O_CREAT), file)
        os.environ.update(environment)
        sys.argv[1:] = command.split()
        runpy.run_module("taskwell", run_name="__main__", alter_sys=True)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""

    @pytest.fixture(scope="class")
    @classmethod
    def ended(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Done]]:
        """What each command did with a database file in it, and with one elsewhere (and a port in use)."""
        folder = tmp_path_factory.mktemp("folders")
        url = f"sqlite:///{folder}/tasks.db"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = {"TASKWELL_PORT": str(taken.getsockname()[1])}
            done = cls.run(
                folder,
                *((command, {"TASKWELL_PORT": str(free_port())}) for command in cls.COMMANDS),
                *((command, {"DATABASE_URL": url, **port}) for command in cls.ELSEWHERE),
            )
        return {"in it": done[: len(cls.COMMANDS)], "elsewhere": done[len(cls.COMMANDS) :]}

    @classmethod
    def run(cls, folder: Path, *orders: tuple[str, dict[str, str]]) -> list[Done]:
        """Commands, each with what its environment has besides."""
        gone, shown = folder / "gone", folder / "shown"
        gone.mkdir()
        shown.mkdir()
        codes = subprocess.run(
            [sys.executable, "-c", cls.PROGRAM, json.dumps(orders), str(shown)], cwd=gone,
            stdout=subprocess.PIPE, text=True, timeout=110, check=True,
        ).stdout.split()  # fmt: skip
        assert len(codes) == len(orders)
        return [
            subprocess.CompletedProcess(
                command, int(code), *((shown / f"{number}-{file}").read_text() for file in (1, 2))
            )
            for number, ((command, _), code) in enumerate(zip(orders, codes, strict=True))
        ]

    def test_a_database_file_in_it_cannot_be_used(self, ended: dict[str, list[Done]]) -> None:
        for done in ended["in it"]:
            assert done.returncode == 1, done
            *_, line = (done.stdout + done.stderr).splitlines()
            assert "Traceback" not in done.stderr
            assert " cannot be found: the working directory is missing or not accessible" in line

    def test_is_nothing_to_a_file_elsewhere(self, ended: dict[str, list[Done]]) -> None:
        for done in ended["elsewhere"][:-1]:
            assert (done.returncode, done.stderr) == (0, ""), done

    def test_is_nothing_to_a_server_of_a_file_elsewhere(self, ended: dict[str, list[Done]]) -> None:
        done = ended["elsewhere"][-1]
        assert "cannot listen on" in done.stderr
        assert "Traceback" not in done.stderr


class TestPostgresThatCannotBeUsed:
    def test_a_wrong_password(self) -> None:
        url = make_url(admin_url()).set(password="S3cr3t")
        told = refusal(DATABASE_URL=url.render_as_string(hide_password=False))
        assert told == (
            f"{url} refuses the connection: check the user, the password and the database's name "
            '(its message: password authentication failed for user "postgres")'
        )
        assert "S3cr3t" not in told

    def test_a_database_that_does_not_exist(self) -> None:
        url = make_url(admin_url()).set(database="missing")
        told = refusal(DATABASE_URL=url.render_as_string(hide_password=False))
        assert told == (
            f"{url} refuses the connection: check the user, the password and the database's name "
            '(its message: database "missing" does not exist)'
        )

    def test_tables_of_another_program(self) -> None:
        with new_postgres_database() as url:
            for name in ("users", "tasks"):
                execute(url, f"CREATE TABLE {name} (word TEXT)")
            told = refusal(DATABASE_URL=url)
        assert "has tables of another program, tasks and users, where taskwell would create its own" in told
        assert "?options=-csearch_path%3Dtaskwell" in told

    def test_a_certificate_that_nobody_vouches_for(self, tmp_path: Path) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"postgresql://user:S3cr3t@127.0.0.1:{listener.getsockname()[1]}/app"
        with stranger(listener, tmp_path) as heard:
            told = refusal(DATABASE_URL=f"{url}?sslmode=verify-full")
            assert heard.result() == b""
        assert told.startswith(f"{make_url(url)} has a certificate that cannot be verified")
        assert "sslrootcert=" in told


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that the test starts."""
    folder = Path(tempfile.mkdtemp(prefix="taskwell-postgres-"))
    server = PostgresServer(folder)
    try:
        server.create()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)


class TestPostgresThatIsAway:
    def test_is_waited_for(self, postgres: PostgresServer, tmp_path: Path) -> None:
        with server_process(tmp_path, DATABASE_URL=postgres.url) as server:
            for path in ("/api/tasks", "/health/ready"):
                answer = httpx2.get(f"{server.url}{path}")
                problem(answer, 503, "database_unavailable")
                assert int(answer.headers["retry-after"]) >= 1
            postgres.start()
            wait_for(lambda: is_ready(server))
            create(server)
            assert titles(server) == ["Buy milk"]
        assert postgres.password not in server.log()

    def test_the_log_says_why_requests_are_refused_and_when_no_more(
        self, postgres: PostgresServer, tmp_path: Path
    ) -> None:
        postgres.start()
        with server_process(tmp_path, DATABASE_URL=postgres.url, TASKWELL_LOG_LEVEL="warning") as server:
            create(server)
            postgres.stop()
            for _ in range(5):
                problem(httpx2.get(f"{server.url}/api/tasks"), 503, "database_unavailable")
            place = postgres.url.replace(postgres.password, "***")
            assert server.log().count(f"requests are refused: {place}: The database cannot be reached") == 1
            postgres.start()
            wait_for(lambda: is_ready(server))
            assert server.log().count(f"{place} is reachable again") == 1

    def test_what_an_operator_has_to_change_is_logged_when_it_comes(
        self, postgres: PostgresServer, tmp_path: Path
    ) -> None:
        postgres.start()
        execute(postgres.url, "CREATE TABLE users (word TEXT)")
        postgres.stop()
        with server_process(tmp_path, DATABASE_URL=postgres.url) as server:
            postgres.start()
            wait_for(lambda: "a table of another program, users, where" in server.log())
            execute(postgres.url, "DROP TABLE users")
            wait_for(lambda: is_ready(server))
        assert "Traceback" not in server.log()


class TestMigrations:
    def test_are_waited_for_where_the_start_does_not_make_them(
        self, database_url: str, tmp_path: Path
    ) -> None:
        environment = {"DATABASE_URL": database_url, "TASKWELL_MIGRATE_AT_START": "false"}
        with server_process(tmp_path, **environment) as server:
            answer = httpx2.get(f"{server.url}/api/tasks")
            problem(answer, 503, "database_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert "run `taskwell db upgrade`" in server.log()
            assert run("db", "upgrade", DATABASE_URL=database_url).returncode == 0
            wait_for(lambda: is_ready(server))
            create(server)


class TestProcesses:
    def test_several_serve_one_database(self, database_url: str, tmp_path: Path) -> None:
        server = ServerProcess(tmp_path, {"DATABASE_URL": database_url})
        server.start("--workers", "2", cold=EVERYTHING)  # the next test always starts as an operator does
        try:
            server.wait_until_up()
            wait_for(lambda: len(pids(server)) == 2)
            with httpx2.Client(base_url=server.url, headers={"Connection": "close"}) as client:
                for number in range(40):
                    answer = client.post("/api/tasks", json={"title": f"{number}"})
                    assert answer.status_code == 201
            assert titles(server) == [f"{number}" for number in reversed(range(40))]
        finally:
            server.stop()

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_sigterm_ends_them_all_within_seconds(self, workers: str, tmp_path: Path) -> None:
        server = ServerProcess(tmp_path)
        server.start("--workers", workers, cold=True)
        try:
            server.wait_until_up()
            wait_for(lambda: len(pids(server)) == int(workers))
            # An idle connection keeps nobody waiting for long.
            with httpx2.Client(base_url=server.url) as client:
                client.get("/api/tasks")
                running = {server.pid} | pids(server)
                begun = time.monotonic()
                server.stop()
                assert time.monotonic() - begun < 8
        finally:
            server.stop()
        assert [pid for pid in running if is_running(pid)] == []
        assert "Traceback" not in server.log()
        assert server.log().count("serving from") == int(workers)
        files = {file.name for file in tmp_path.iterdir()}
        assert files == {"server.log", "taskwell.db", "taskwell.db-lock"}

    def test_a_server_that_ends_says_so_first_and_serves_what_comes(self, tmp_path: Path) -> None:
        with server_process(tmp_path, TASKWELL_DRAIN_SECONDS="3") as server:
            with httpx2.Client(base_url=server.url) as client:
                assert client.get("/health/ready").status_code == 200
                os.kill(server.pid, signal.SIGTERM)
                begun = time.monotonic()
                wait_for(lambda: client.get("/health/ready").status_code == 503, 2)
                answer = client.post("/api/tasks", json={"title": "Buy milk"})
                assert answer.status_code == 201
                assert answer.headers["connection"] == "close"
                assert client.get("/api/tasks").json()[0]["title"] == "Buy milk"
            assert server.wait() == -signal.SIGTERM
            assert 3 <= time.monotonic() - begun < 10

    def test_who_is_slow_is_cut_after_ten_seconds_and_that_is_no_mistake(self, tmp_path: Path) -> None:
        head = b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with server_process(tmp_path) as server:
            address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
            with socket.create_connection(address) as slow:
                slow.sendall(head + b"Content-Length: 200000\r\n\r\n" + b" " * 150_000)
                # It, and who asks for the numbers.
                wait_for(lambda: "in_progress 2" in httpx2.get(f"{server.url}/metrics").text)
                os.kill(server.pid, signal.SIGTERM)
                assert server.wait() == -signal.SIGTERM
        assert "timeout graceful shutdown exceeded" in server.log()
        assert "Traceback" not in server.log()

    def test_an_idle_connection_is_told_in_its_next_answer(self, tmp_path: Path) -> None:
        with server_process(tmp_path) as server, httpx2.Client(base_url=server.url) as client:
            client.get("/api/tasks")
            os.kill(server.pid, signal.SIGTERM)
            wait_for(lambda: "Shutting down" in server.log())
            answer = client.get("/api/tasks")
            assert answer.status_code == 200
            assert answer.headers["connection"] == "close"
            assert server.wait() == -signal.SIGTERM

    def test_sighup_replaces_the_processes_one_after_the_other(self, tmp_path: Path) -> None:
        server = ServerProcess(tmp_path)
        server.start("--workers", "2")
        try:
            server.wait_until_up()
            wait_for(lambda: len(pids(server)) == 2)
            before = pids(server)
            os.kill(server.pid, signal.SIGHUP)
            wait_for(lambda: server.log().count("Finished server process") == 2)
            assert len(pids(server) - before) == 2
            create(server)
        finally:
            server.stop()
