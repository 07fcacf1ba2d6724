"""What Prometheus is told."""

import asyncio
from pathlib import Path
from tempfile import gettempdir

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from prometheus_client.parser import text_string_to_metric_families

from harness.issuer import SECRET
from harness.responses import create, problem, unknown_id
from harness.servers import SLOW_PATH, LocalServer, ServerProcess, local_server, wait_for
from harness.side_effects import at_once
from taskwell.core.errors import Busy, OutcomeUnknown
from taskwell.core.settings import Settings
from taskwell.database.sqlite import SqliteBackend
from taskwell.http.metrics import NO_ROUTE

Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]
REQUESTS = "taskwell_http_request_duration_seconds_count"


def numbers(url: str) -> Numbers:
    """Every sample, by its name and labels."""
    answer = httpx2.get(f"{url}/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def number(url: str, name: str, **labels: str) -> float:
    return numbers(url).get((name, frozenset(labels.items())), 0.0)


def requests(url: str, method: str, route: str, status: int) -> float:
    return number(url, REQUESTS, method=method, route=route, status=str(status))


@pytest.mark.direct
class TestRequests:
    @pytest.mark.parametrize("mount", ["/api/tasks", "/api/{user_id}/tasks"])
    def test_are_told_apart_by_the_template_of_their_route(
        self, mount: str, client: httpx2.Client, server: LocalServer, user: str
    ) -> None:
        path = mount.replace("{user_id}", user)
        task = create(client, path)["id"]
        tried = [
            ("GET", path, mount, 200),
            ("HEAD", path, mount, 200),
            ("GET", f"{path}/", mount, 200),
            ("GET", f"{path}?limit=1&sort=title", mount, 200),
            ("GET", f"{path}?limit=no", mount, 400),
            ("POST", path, mount, 400),
            ("GET", f"{path}/{task}", f"{mount}/{{task_id}}", 200),
            ("GET", f"{path}/{unknown_id()}", f"{mount}/{{task_id}}", 404),
            ("GET", f"{path}/nonsense", f"{mount}/{{task_id}}", 400),
            ("POST", f"{path}/{task}/toggle", f"{mount}/{{task_id}}/toggle", 200),
            ("DELETE", f"{path}/{task}", f"{mount}/{{task_id}}", 204),
        ]
        for method, asked, route, status in tried:
            before = requests(server.url, method, route, status)
            assert client.request(method, asked).status_code == status
            assert requests(server.url, method, route, status) == before + 1, (method, asked)

    def test_without_a_route_are_one(self, client: httpx2.Client, server: LocalServer) -> None:
        before = requests(server.url, "GET", NO_ROUTE, 404)
        for path in ("/nothing", "/nothing/else", "/api/a/b/c/d"):
            client.get(path)
        assert requests(server.url, "GET", NO_ROUTE, 404) == before + 3

    def test_a_method_that_nobody_knows_makes_no_number_of_its_own(
        self, client: httpx2.Client, server: LocalServer
    ) -> None:
        for method in ("PROPFIND", "MKCOL"):
            client.request(method, "/api/tasks")
        methods = {dict(labels).get("method") for _, labels in numbers(server.url)}
        assert "other" in methods
        assert methods.isdisjoint({"PROPFIND", "MKCOL"})

    def test_every_route_is_a_label_as_it_is_in_the_document(self, server: LocalServer) -> None:
        """What a request is told apart by is FastAPI's own note, which another release may call otherwise."""
        templates = {getattr(route, "path", "") for route in iter_route_contexts(server.app.routes)}
        routes = {dict(labels).get("route") for name, labels in numbers(server.url) if name == REQUESTS}
        assert routes - {NO_ROUTE} <= templates

    def test_that_are_under_way(self, client: httpx2.Client, server: LocalServer, user: str) -> None:
        def streams() -> float:
            return number(server.url, "taskwell_event_streams")

        before = streams()
        with client.stream("GET", f"/api/{user}/events"):
            wait_for(lambda: streams() == before + 1)
            assert number(server.url, "taskwell_event_users") >= 1
            assert number(server.url, "taskwell_http_requests_in_progress") >= 2
        wait_for(lambda: streams() == before)


class TestDatabase:
    def test_its_connections(self, server: LocalServer, client: httpx2.Client) -> None:
        client.get("/api/tasks")
        wait_for(lambda: number(server.url, "taskwell_database_connections", state="in_use") == 0)
        assert number(server.url, "taskwell_database_connections", state="idle") >= 1
        assert number(server.url, "taskwell_database_connections_max") >= 3
        assert number(server.url, "taskwell_database_available") == 1

    @pytest.mark.skipif(SLOW_PATH, reason="is about the fast path")
    def test_what_was_asked_for_together(
        self, server: LocalServer, client: httpx2.Client, tasks: str
    ) -> None:
        task = create(client, tasks)["id"]
        at_once(8, lambda _: httpx2.get(f"{server.url}{tasks}/{task}"))
        found = numbers(server.url)
        asked = {dict(labels)["of"] for name, labels in found if name == "taskwell_group_size_count"}
        assert "create_tasks" in asked
        # SQLite is asked for a row on the spot, and writes what all want in one transaction.
        of_its_own = "sqlite_writes" if isinstance(server.database.backend, SqliteBackend) else "get_tasks"
        assert asked & {"sqlite_writes", "get_tasks"} == {of_its_own}

    @pytest.mark.parametrize(("error", "reason"), [(Busy, "busy"), (OutcomeUnknown, "outcome_unknown")])
    def test_why_it_was_not_to_be_had(
        self, error: type[Exception], reason: str, server: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> None:
            raise error

        before = number(server.url, "taskwell_unavailable_total", reason=reason)
        monkeypatch.setattr(server.database, "read", fail)
        problem(httpx2.get(f"{server.url}/api/users/somebody"), 503, "database_unavailable")
        assert number(server.url, "taskwell_unavailable_total", reason=reason) == before + 1


class TestReaders:
    """Who may read it."""

    def test_where_people_sign_in_nobody_by_way_of_a_proxy(self, tmp_path: Path) -> None:
        with local_server(guarded(tmp_path)) as server:
            assert httpx2.get(f"{server.url}/metrics").status_code == 200
            for headers in ({"X-Forwarded-For": "10.0.0.5"}, {"Forwarded": "for=10.0.0.5"}):
                problem(httpx2.get(f"{server.url}/metrics", headers=headers), 403, "forbidden")

    @pytest.mark.parametrize(
        ("address", "status"), [("10.1.2.3", 200), ("fd00::1", 200), ("8.8.8.8", 403), ("2a00::1", 403)]
    )
    def test_where_people_sign_in_who_is_near(self, address: str, status: int, tmp_path: Path) -> None:
        async def ask() -> int:
            transport = httpx2.ASGITransport(server.app, client=(address, 50_000))
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return (await client.get("/metrics")).status_code

        with local_server(guarded(tmp_path)) as server:
            assert asyncio.run(ask()) == status

    @pytest.mark.parametrize(("metrics", "status"), [("everybody", 200), ("nobody", 404)])
    def test_whoever_is_named(self, metrics: str, status: int, tmp_path: Path) -> None:
        with local_server(guarded(tmp_path, metrics=metrics)) as server:
            answer = httpx2.get(f"{server.url}/metrics", headers={"X-Forwarded-For": "8.8.8.8"})
            assert answer.status_code == status


def guarded(folder: Path, **others: object) -> Settings:
    settings = {"database_url": f"sqlite:///{folder}/test.db", "auth": "jwt", "jwt_secret": SECRET}
    return Settings(**{**settings, **others})  # type: ignore[arg-type]


class TestSeveralProcesses:
    @pytest.mark.slow
    def test_whichever_is_asked_answers_for_all(self, database_url: str, tmp_path: Path) -> None:
        server = ServerProcess(tmp_path, {"DATABASE_URL": database_url})
        server.start("--workers", "2")
        try:
            server.wait_until_up()
            wait_for(lambda: number(server.url, "taskwell_processes") == 2)
            before = requests(server.url, "GET", "/api/tasks", 200)
            for _ in range(40):  # each over a connection of its own, so that both get some
                httpx2.get(f"{server.url}/api/tasks")
            for _ in range(5):
                wait_for(lambda: requests(server.url, "GET", "/api/tasks", 200) == before + 40)
            found = numbers(server.url)
            assert found["taskwell_database_available", frozenset()] == 2
            assert len([name for name, _ in found if name == "taskwell_info"]) == 1
            folder = shared_folder(server)
            assert len(list(folder.glob("*.json"))) == 2
        finally:
            server.stop()
        assert not folder.exists()

    def test_what_an_ended_one_has_counted_stays_counted(self, tmp_path: Path) -> None:
        settings = Settings(database_url=f"sqlite:///{tmp_path}/test.db", metrics_folder=tmp_path)
        with local_server(settings) as ended:
            httpx2.get(f"{ended.url}/api/tasks")
        with local_server(settings) as server:
            httpx2.get(f"{server.url}/api/tasks")
            assert requests(server.url, "GET", "/api/tasks", 200) == 2
            assert number(server.url, "taskwell_processes") == 1

    def test_a_folder_that_is_gone_hinders_nobody(self, tmp_path: Path) -> None:
        gone = tmp_path / "gone"
        settings = Settings(database_url=f"sqlite:///{tmp_path}/test.db", metrics_folder=gone)
        with local_server(settings) as server:
            assert number(server.url, "taskwell_processes") == 1


def shared_folder(server: ServerProcess) -> Path:
    """Where its processes exchange their numbers: each has a file there that begins with its own number."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    places = (Path("/dev/shm"), Path(gettempdir()))
    files = [file for place in places for file in place.glob("taskwell-*/*.json")]
    (folder,) = {file.parent for file in files if file.name.partition("-")[0] in children}
    return folder
