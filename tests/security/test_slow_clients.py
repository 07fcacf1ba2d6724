"""Clients that stall hold nothing for long."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from harness.servers import LocalServer, local_server
from taskwell.core.settings import Settings
from taskwell.http import connection as http_connection

pytestmark = pytest.mark.slow

HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[LocalServer]:
    monkeypatch.setattr(http_connection, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(http_connection, "CHECK_SECONDS", 0.1)
    with local_server(Settings(database_url=database_url, max_body_bytes=16_000_000)) as server:
        yield server


def connect(server: LocalServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def seconds_until_cut(connection: socket.socket) -> float:
    start = time.monotonic()
    with suppress(ConnectionResetError):
        while connection.recv(1_000):
            pass
    return time.monotonic() - start


def read_all(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


class TestSlowHead:
    @pytest.mark.parametrize("sent", [b"", b"G", HEAD, HEAD + b"\r\n" + HEAD])
    def test_is_cut(self, impatient: LocalServer, sent: bytes) -> None:
        with connect(impatient) as connection:
            connection.sendall(sent)
            assert 0.3 < seconds_until_cut(connection) < 8

    def test_is_cut_however_often_a_byte_comes(self, impatient: LocalServer) -> None:
        start = time.monotonic()
        with connect(impatient) as connection, suppress(OSError):
            for byte in HEAD * 100:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        assert time.monotonic() - start < 5

    def test_a_connection_that_is_idle_after_an_answer_is_closed(self, impatient: LocalServer) -> None:
        with connect(impatient) as connection:
            connection.sendall(HEAD + b"\r\n")
            assert 3 < seconds_until_cut(connection) < 10


class TestSlowReader:
    def test_is_cut_and_nothing_is_kept_for_it(self, impatient: LocalServer) -> None:
        with httpx2.Client(base_url=impatient.url, timeout=60) as client:
            new = {"op": "create", "task": {"title": "x", "description": "🥛" * 2_000}}
            assert client.post("/api/tasks/batch", json={"operations": [new] * 1_000}).status_code == 200
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            stalled.settimeout(20)
            stalled.connect(("127.0.0.1", impatient.port))
            stalled.sendall(b"GET /api/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert stalled.recv(12) == b"HTTP/1.1 200"
            time.sleep(2)
            with pytest.raises(ConnectionResetError):
                read_all(stalled)


class TestSlowBody:
    @pytest.mark.parametrize("sent", [b"", b'{"title": "Bu'])
    @pytest.mark.parametrize("length", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
    def test_is_cut(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch, user: str, sent: bytes, length: bytes
    ) -> None:
        monkeypatch.setattr(http_connection, "TIMEOUT_SECONDS", 0.3)
        monkeypatch.setattr(http_connection, "CHECK_SECONDS", 0.1)
        port = int(server.url.rpartition(":")[2])
        path = f"/api/{user}/tasks"
        chunk = b"%x\r\n%s\r\n" % (len(sent), sent) if b"chunked" in length and sent else sent
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
            connection.sendall(head + length + b"\r\n\r\n" + chunk)
            start = time.monotonic()
            with suppress(ConnectionResetError):
                assert connection.recv(1_000) == b""
            assert time.monotonic() - start < 5
        assert httpx2.get(f"{server.url}{path}").json() == []

    def test_one_that_comes_in_pieces_is_taken(self, server: LocalServer, user: str) -> None:
        def pieces() -> Iterator[bytes]:
            for byte in b'{"title": "Buy milk"}':
                time.sleep(0.01)
                yield bytes([byte])

        answer = httpx2.post(
            f"{server.url}/api/{user}/tasks", content=pieces(), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 201
