"""A server on each database for the whole run, and a user of its own for each test."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.cluster import PROCESSES, makes_sense_behind_a_proxy, several_servers
from harness.databases import new_database
from harness.postgres import postgres_server
from harness.servers import SLOW_PATH, LocalServer, local_server
from harness.side_effects import execute
from taskwell.core.settings import Settings
from taskwell.rest.fast_path.cached_head import FastPath

DATABASES = ("postgresql",) if PROCESSES else ("sqlite", "postgresql")
_stack = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """One PostgreSQL for all workers, started by the process that starts them; they inherit the address."""
    for name in [name for name in os.environ if name.startswith("TASKWELL_")]:
        del os.environ[name]
    others = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME")
    for name in others:
        os.environ.pop(name, None)
    collects_only = config.option.collectonly
    if hasattr(config, "workerinput") or collects_only or "TEST_DATABASE_URL" in os.environ:
        return
    os.environ["TEST_DATABASE_URL"] = _stack.enter_context(postgres_server()).url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if PROCESSES:
        items[:] = [item for item in items if makes_sense_behind_a_proxy(item)]


def pytest_unconfigure() -> None:
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
    with new_database(database_kind, folder) as url:
        one = several_servers(folder, url) if PROCESSES else local_server(Settings(database_url=url))
        with one as server:
            yield server


@pytest.fixture
def database_url(database_kind: str, tmp_path: Path) -> Iterator[str]:
    """An empty database for the test alone."""
    with new_database(database_kind, tmp_path) as url:
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


@pytest.fixture(params=["caller", "path"])
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
