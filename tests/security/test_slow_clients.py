"""Clients that promise a body and do not send it hold nothing for long."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from taskwell.api import protocol
from tests.servers import LocalServer


class TestSlowBody:
    @pytest.mark.parametrize("sent", [b"", b'{"title": "Bu'])
    @pytest.mark.parametrize("length", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
    def test_is_cut(
        self, server: LocalServer, monkeypatch: pytest.MonkeyPatch, user: str, sent: bytes, length: bytes
    ) -> None:
        monkeypatch.setattr(protocol, "PATIENCE_SECONDS", 0.3)
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
