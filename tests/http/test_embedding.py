"""Served by other servers, and within other applications."""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from harness import warm
from harness.postgres import free_port
from harness.servers import serving, wait_for
from taskwell.app import create_app
from taskwell.core.settings import Settings
from taskwell.http.security import _is_local
from tests.http.test_root_path import fastapi_parent

NEW = {"title": "Buy milk"}


class TestWithoutItsLifespan:
    def test_the_answer_and_the_log_say_what_to_do(
        self, database_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        parent = FastAPI()
        parent.mount("/tasks", create_app(Settings(database_url=database_url)))
        with serving(parent) as url, caplog.at_level(logging.ERROR, "taskwell"):
            for method, path in (
                ("GET", "/api/tasks"),
                ("POST", "/api/tasks"),
                ("GET", "/api/users/me"),
                ("GET", "/api/changes"),
                ("GET", "/api/events"),
                ("GET", "/health/ready"),
                ("GET", "/metrics"),
            ):
                answer = httpx2.request(method, f"{url}/tasks{path}", json=NEW if method == "POST" else None)
                assert answer.status_code == 503, (path, answer.text)
                assert answer.json()["type"] == "database_unavailable"
                assert "lifespan_context" in answer.json()["detail"]
                assert int(answer.headers["retry-after"]) >= 1
            assert httpx2.get(f"{url}/tasks/docs").status_code == 200
        (record,) = [record for record in caplog.records if record.name == "taskwell"]
        assert "async with tasks.router.lifespan_context(tasks):" in record.getMessage()


class TestWithinAnotherApplication:
    def test_it_can_be_tested_without_a_server(self, database_url: str) -> None:
        """In a thread, and twice, as a suite does."""
        app = create_app(Settings(database_url=database_url))
        for count in (1, 2):
            with TestClient(fastapi_parent(app, "/tasks"), base_url="http://localhost") as client:
                assert client.post("/tasks/api/tasks", json=NEW).status_code == 201
                assert len(client.get("/tasks/api/tasks").json()) == count


@contextmanager
def uvicorn_process(folder: Path, *options: str, cold: bool = False, **environment: str) -> Iterator[Path]:
    """`uvicorn taskwell.asgi:app` as an operator runs it; its log. `cold`: as for `harness.warm.start`."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = warm.start(
            ["taskwell.asgi:app", *options],
            folder,
            os.environ | environment,
            (output.fileno(), output.fileno()),
            cold=cold,
            module="uvicorn",
        )
    try:
        wait_for(lambda: "Uvicorn running" in log.read_text() or process.poll() is not None)
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def own_address() -> str:
    """Of this machine, as others see it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


@pytest.mark.slow
class TestUnderUvicorn:
    def test_loopback_is_served(self, database_url: str, tmp_path: Path) -> None:
        port = str(free_port())
        with uvicorn_process(tmp_path, "--port", port, "--root-path", "/t", DATABASE_URL=database_url) as log:
            made = httpx2.post(f"http://127.0.0.1:{port}/api/tasks", json=NEW)
            assert made.headers["location"].startswith("/t/api/tasks/")
        assert "Traceback" not in log.read_text()

    @pytest.mark.parametrize("path", ["/api/tasks", "/health/live", "/docs"])
    def test_a_public_address_is_refused_in_stub_mode(self, tmp_path: Path, path: str) -> None:
        port, address = str(free_port()), own_address()
        with uvicorn_process(tmp_path, "--host", "0.0.0.0", "--port", port) as log:
            for _ in range(2):
                answer = httpx2.get(f"http://{address}:{port}{path}")
                assert answer.status_code == 403
                assert "TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS" in answer.json()["detail"]
                assert address not in answer.json()["detail"]
            assert httpx2.get(f"http://127.0.0.1:{port}{path}").status_code == 200
        assert log.read_text().count("requests are refused: at this address any client could read") == 1

    def test_it_is_served_when_that_is_allowed(self, tmp_path: Path) -> None:
        port, address = str(free_port()), own_address()
        allowed = {"TASKWELL_ALLOW_STUB_AUTH_ON_PUBLIC_ADDRESS": "true"}
        with uvicorn_process(tmp_path, "--host", "0.0.0.0", "--port", port, cold=False, **allowed):
            assert httpx2.get(f"http://{address}:{port}/api/tasks").status_code == 200

    def test_a_unix_socket_is_served(self, tmp_path: Path) -> None:
        path = str(tmp_path / "s")
        with (
            uvicorn_process(tmp_path, "--uds", path, cold=True),
            httpx2.Client(transport=httpx2.HTTPTransport(uds=path)) as client,
        ):
            assert client.get("http://localhost/api/tasks").status_code == 200

    def test_a_wrong_setting_is_named_without_a_traceback(self, tmp_path: Path) -> None:
        with uvicorn_process(tmp_path, TASKWELL_AUTH="jwt") as log:
            pass
        assert "TASKWELL_AUTH=jwt needs TASKWELL_JWT_SECRET" in log.read_text()
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("server", "client", "local"),
    [
        (("127.0.0.1", 80), ("127.0.0.1", 1), True),
        (("::1", 80), ("::1", 1), True),
        (("::ffff:127.0.0.1", 80), ("::ffff:127.0.0.1", 1), True),
        (("/run/s", None), None, True),
        (None, None, True),
        (None, ("127.0.0.1", 1), False),
        (("0.0.0.0", 80), ("127.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 80), ("127.0.0.1", 1), False),
        (("10.0.0.1", 80), None, False),
    ],
)
def test_an_address_is_local_only_if_nobody_else_reaches_it(
    server: tuple[str, int | None] | None, client: tuple[str, int] | None, local: bool
) -> None:
    assert _is_local({"server": server, "client": client}) is local
