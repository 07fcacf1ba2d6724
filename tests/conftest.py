"""A server on each database for the whole run, and a user of its own for each test."""

import gc
import os
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import httpx2
import pytest
from httpx2._config import DEFAULT_TIMEOUT_CONFIG

from harness.cluster import PROCESSES, makes_sense_behind_a_proxy, several_servers
from harness.databases import drop_templates, migrated_database
from harness.postgres import postgres_server
from harness.servers import SLOW_PATH, LocalServer, local_server
from harness.side_effects import execute
from harness.tls import share_tls_contexts
from harness.warm import shared
from taskwell.core.settings import Settings
from taskwell.rest.fast_path.cached_head import FastPath

# TEST_FAST: one database and one mount, for `make test-fast`. TEST_ALL: every case at both mounts, through
# every proxy on both databases, and all drawn cases.
FAST = "TEST_FAST" in os.environ
EVERYTHING = "TEST_ALL" in os.environ
DATABASES = ("postgresql",) if PROCESSES else ("sqlite",) if FAST else ("sqlite", "postgresql")
# Folders of which everything runs programs, and the pages' tests that do.
_SLOW = (
    "clients/", "deploy/", "field/", "fuzz/", "neon/", "openapi/", "scaling/", "stress/",
    "docs/test_backup_and_restore.py", "docs/test_docs.py::test_the_examples_of_a_page_work_as_printed",
    "docs/test_examples.py", "docs/test_picture.py", "docs/test_site.py",
    "cli/test_users.py::TestDeletion", "database/test_database.py::TestConflict",
    "database/test_database.py::TestLostConnection", "database/test_sqlite.py::TestOneWriter",
    "http/test_connection.py::TestBounds", "http/test_connection.py::TestOldClients",
    "http/test_metrics.py::TestRequests", "migrations/test_migrations.py::TestOtherApplications",
    "rest/test_queries.py::TestBothDatabases", "security/test_authentication.py::TestEmail",
    "security/test_tokens.py::TestCommand", "services/test_housekeeping.py",
    "services/test_zone_changes.py", "web/test_essentials.py", "web/test_firefox.py", "web/test_journeys.py",
    "web/test_scripts.py", "web/test_sign_in.py",
)  # fmt: skip
# Folders with programs that run once for each test.
_RUN_ONCE = {"docs", "fuzz", "stress"}
# The second mount has the same routes (tests/rest/test_mounts.py), so that a share of its cases is enough.
_SHARE_OF_SECOND_MOUNT = 6
# What is about connections, credentials, processes and browsers is decided before a statement is sent: half
# of these cases run on the one database, half on the other.
_ON_ONE_DATABASE = (
    "cli/test_serve.py::TestProcesses", "http/test_connection.py", "http/test_embedding.py",
    "http/test_metrics.py::TestSeveralProcesses", "http/test_root_path.py", "security/test_identity.py",
    "security/test_issuers.py", "security/test_slow_clients.py",
    "stress/test_stress.py::TestStress::test_a_rolling_restart_fails_no_request",
    "stress/test_stress.py::TestStress::test_an_overloaded_server_goes_on_and_tells_the_others",
    "stress/test_stress.py::TestStress::test_bodies_without_end_take_no_memory",
    "stress/test_stress.py::TestStress::test_slow_clients_are_cut",
    "web/test_firefox.py",
)  # fmt: skip
_stack = ExitStack()


def share_of(count: int) -> int:
    """How many of so many drawn cases are tried: all of them where every case is asked for."""
    return count if EVERYTHING else count // 3


def pytest_configure(config: pytest.Config) -> None:
    """One PostgreSQL for all workers, started by the process that starts them; they inherit the address."""
    for name in [name for name in os.environ if name.startswith("TASKWELL_")]:
        del os.environ[name]
    others = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME")
    for name in others:
        os.environ.pop(name, None)
    share_tls_contexts()
    # A machine that is busy answers late; no test is about a client's own five seconds.
    DEFAULT_TIMEOUT_CONFIG.read = 30
    _stack.enter_context(shared())
    collects_only = config.option.collectonly
    if hasattr(config, "workerinput") or collects_only or "TEST_DATABASE_URL" in os.environ:
        return
    os.environ["TEST_DATABASE_URL"] = _stack.enter_context(postgres_server()).url


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: much of the time a test waits for a program or for a clock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


def pytest_itemcollected(item: pytest.Item) -> None:
    if _name(item).startswith(_SLOW):
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)  # after pytest has sorted the tests by their databases
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what another case proves, and begin with what takes longest."""
    if PROCESSES:
        items[:] = [item for item in items if makes_sense_behind_a_proxy(item)]
    named = any("[" in argument for argument in config.args)
    left_out = [] if EVERYTHING or named else [item for item in items if _is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]
    items[:] = _dealt(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the tests themselves, which stay: it takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def _dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Each worker begins with its share of the slow tests: xdist gives each an equal stretch of the list.

    Slow tests of one file share what they set up, but for those of programs that run once for each.
    """
    fast = deque(item for item in items if item.get_closest_marker("slow") is None)
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow") is not None:
            alone = item.path.parent.name in _RUN_ONCE
            units.setdefault(item.nodeid if alone else str(item.path), []).append(item)
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for number, unit in enumerate(units.values()):
        shares[number % workers] += unit
    dealt: list[pytest.Item] = []
    for number, share in enumerate(shares):
        size = (len(items) - len(dealt)) // (workers - number)
        dealt += [*share, *(fast.popleft() for _ in range(min(size - len(share), len(fast))))]
    return [*dealt, *fast]


def _is_left_out(item: pytest.Item) -> bool:
    """Whether it is of the second mount or the other database, and of the share that is not run."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    database = next((value for value in parameters.values() if value in DATABASES), None)
    if database is not None and _name(item).startswith(_ON_ONE_DATABASE):
        case = item.nodeid.replace(database, "")
        if DATABASES[crc32(case.encode()) % len(DATABASES)] != database:
            return True
    if parameters.get("tasks") != SECOND_MOUNT:
        return False
    if FAST or item.get_closest_marker("both_mounts") is not None:
        return FAST
    return crc32(item.nodeid.encode()) % _SHARE_OF_SECOND_MOUNT != 0


def _name(item: pytest.Item) -> str:
    return item.nodeid.removeprefix("tests/")


def pytest_unconfigure() -> None:
    drop_templates()
    _stack.close()


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A `.env` in the project's folder is the developer's, not the tests'."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session", params=DATABASES)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def server(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """The server that most tests share, or several behind a proxy."""
    folder = tmp_path_factory.mktemp("server")
    with migrated_database(database_kind, folder) as url:
        one = several_servers(folder, url) if PROCESSES else local_server(Settings(database_url=url))
        with one as server:
            yield server


@pytest.fixture
def database_url(database_kind: str, tmp_path: Path) -> Iterator[str]:
    """A database without a row, for the test alone; its tables are there."""
    with migrated_database(database_kind, tmp_path) as url:
        yield url


@pytest.fixture
def client(server: LocalServer) -> Iterator[httpx2.Client]:
    """The single user's tasks are gone before each test; other users are fresh ones."""
    with httpx2.Client(base_url=server.url) as client:
        if client.delete("/api/users/default").status_code == 204:
            execute(server.settings, "DELETE FROM erased_users")  # so that numbers begin at 1 again
        yield client


@pytest.fixture
def user() -> str:
    """The id of a user nobody has seen."""
    return f"user-{uuid4().hex}"


SECOND_MOUNT = "path"


@pytest.fixture(params=["caller", SECOND_MOUNT])
def tasks(request: pytest.FixtureRequest, user: str) -> str:
    """The path of the tasks, at each of the two mounts."""
    return "/api/tasks" if request.param == "caller" else f"/api/{user}/tasks"


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each request that came by since, whether it was answered on the spot."""
    if SLOW_PATH:
        pytest.skip("is about the fast_path")
    taken: list[bool] = []
    take = FastPath.try_handle

    def watched(self: FastPath, exchange: Any) -> bool:
        taken.append(take(self, exchange))
        return taken[-1]

    monkeypatch.setattr(FastPath, "try_handle", watched)
    return taken
