"""How the bytes of a connection become requests, and what becomes of those that are none."""

import gc
import json
import logging
import re
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import httpx2
import pytest

from harness.responses import create
from harness.servers import LocalServer, wait_for
from taskwell.http.connection import Connection, Cycle

BODY = b'{"completed": true}'
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Line:
    """A connection that is written to byte by byte, and read to its end."""

    def __init__(self, server: LocalServer) -> None:
        self.connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)

    def send(self, *pieces: bytes) -> "Line":
        for piece in pieces:
            self.connection.sendall(piece)
        return self

    def send_bytes(self, data: bytes) -> "Line":
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            self.connection.sendall(bytes([byte]))
        return self

    def end(self) -> bytes:
        """Close this side, as `nc -N` does, and read what the server still says."""
        self.connection.shutdown(socket.SHUT_WR)
        return self.read()

    def read(self) -> bytes:
        with closing(self.connection):
            return b"".join(iter(lambda: self.connection.recv(65_536), b""))


@pytest.fixture
def line(server: LocalServer) -> Iterator[Callable[[], Line]]:
    lines: list[Line] = []

    def connect() -> Line:
        lines.append(Line(server))
        return lines[-1]

    yield connect
    for one in lines:
        one.connection.close()


def request(method: str, path: str, *headers: bytes, body: bytes = b"", version: str = "1.1") -> bytes:
    start = f"{method} {path} HTTP/{version}\r\nHost: localhost".encode()
    return b"\r\n".join((start, *headers, b"", body))


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in _STATUS.findall(answers)]


def sized(body: bytes) -> tuple[bytes, bytes]:
    return b"Content-Type: application/json", b"Content-Length: %d" % len(body)


def chunked(body: bytes) -> bytes:
    half = len(body) // 2
    parts = b"".join(b"%x;c4n4ry=1\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return parts + b"0\r\nX-Trailer: c4n4ry\r\n\r\n"


_BY_CHUNKS = (b"Content-Type: application/json", b"Transfer-Encoding: chunked")
OFFERS = {
    "h2c": (
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    ),
    "websocket": (
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "TLS": (b"Upgrade: TLS/1.0", b"Connection: keep-alive, Upgrade"),
    "several": (b"Connection: Upgrade", b"Upgrade: HTTP/2.0, SHTTP/1.3", b"Upgrade: IRC/6.9"),
    "a word": (b"Connection: UPGRADE", b"Upgrade: c4n4ry"),
    "nothing": (b"Connection: Upgrade", b"Upgrade: "),
    "without Connection": (b"Upgrade: h2c",),
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
class TestUpgrade:
    """RFC 9110, 7.8: a server may ignore the offer; the request is one like any other."""

    def test_the_body_is_read(
        self,
        client: httpx2.Client,
        line: Callable[[], Line],
        tasks: str,
        offer: tuple[bytes, ...],
        subtests: pytest.Subtests,
    ) -> None:
        for by_bytes in [False, True]:
            for by_chunks in [False, True]:
                with subtests.test(by_bytes=by_bytes, by_chunks=by_chunks):
                    path = f"{tasks}/{create(client, tasks)['id']}"
                    headers, body = (_BY_CHUNKS, chunked(BODY)) if by_chunks else (sized(BODY), BODY)
                    toggle = request("POST", f"{path}/toggle", *offer, *headers, body=body)
                    both = toggle * 2 + request("GET", path, b"Connection: close")
                    answers = (line().send_bytes(both) if by_bytes else line().send(both)).read()
                    assert statuses(answers) == [200, 200, 200]
                    assert client.get(path).json()["completed"] is True

    def test_its_body_is_never_run(
        self, client: httpx2.Client, line: Callable[[], Line], user: str, offer: tuple[bytes, ...]
    ) -> None:
        tasks = f"/api/{user}/tasks"
        hidden = request("POST", tasks, *sized(b'{"title": "smuggled"}'), body=b'{"title": "smuggled"}') * 100
        outer = request("POST", tasks, *offer, *sized(hidden), body=hidden)
        last = request("GET", tasks, *offer, b"X-Last: 1")
        assert statuses(line().send(outer, last).end()) == [400, 200]
        assert client.get(tasks).json() == []

    def test_the_connection_goes_on(
        self, line: Callable[[], Line], tasks: str, offer: tuple[bytes, ...]
    ) -> None:
        connection = line().send(request("GET", tasks, *offer))
        assert connection.connection.recv(15) == b"HTTP/1.1 200 OK"
        time.sleep(0.05)
        assert statuses(connection.send(request("GET", tasks, *offer) * 3).end())[-3:] == [200, 200, 200]


class TestConnect:
    @pytest.mark.parametrize("target", ["example.com:443", "/api/tasks", "/api/tasks?limit=1", "[::1]:80"])
    @pytest.mark.parametrize("by_chunks", [False, True], ids=["length", "chunks"])
    def test_is_a_method_like_any_other(
        self, client: httpx2.Client, line: Callable[[], Line], user: str, target: str, by_chunks: bool
    ) -> None:
        tasks = f"/api/{user}/tasks"
        hidden = request("POST", tasks, *sized(b'{"title": "x"}'), body=b'{"title": "x"}')
        headers, body = (_BY_CHUNKS, chunked(hidden)) if by_chunks else (sized(hidden), hidden)
        connect = request("CONNECT", target, *headers, body=body)
        answers = line().send(connect, request("GET", tasks)).end()
        assert statuses(answers) == [405, 200]
        assert b"\r\nallow: " in answers
        assert json.dumps(target.partition("?")[0]).encode() in answers
        assert client.get(tasks).json() == []


class TestOldClients:
    """HTTP/1.0 knows no chunks (RFC 9112, 6.1): the end of the connection is the end of the answer."""

    def test_a_list_in_several_parts_comes_as_it_is(
        self, client: httpx2.Client, line: Callable[[], Line], tasks: str
    ) -> None:
        fill(client, tasks)
        head, _, body = line().send(request("GET", tasks, version="1.0")).read().partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert b"\r\nconnection: close" in head
        assert json.loads(body) == client.get(tasks).json()

    def test_an_export_comes_as_it_is(
        self, client: httpx2.Client, line: Callable[[], Line], user: str
    ) -> None:
        fill(client, f"/api/{user}/tasks")
        export = f"/api/users/{user}/export"
        head, _, body = line().send(request("GET", export, version="1.0")).read().partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert body == client.get(export).content

    def test_events_come_as_they_are(
        self, client: httpx2.Client, line: Callable[[], Line], user: str
    ) -> None:
        create(client, f"/api/{user}/tasks", title="Buy milk")
        connection = line().send(request("GET", f"/api/{user}/events?since=0", version="1.0"))
        received = b""
        while b"Buy milk" not in received:
            received += connection.connection.recv(65_536)
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert not re.search(rb"^[0-9a-f]+\r$", body, re.MULTILINE)

    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
    def test_what_has_no_body_ends(self, line: Callable[[], Line], tasks: str, method: str) -> None:
        _, _, body = line().send(request(method, tasks, version="1.0")).read().partition(b"\r\n\r\n")
        assert body == b""

    def test_other_versions_are_refused(
        self, line: Callable[[], Line], tasks: str, subtests: pytest.Subtests
    ) -> None:
        for version in ["2.0", "0.9", "1.2", "3.0"]:
            with subtests.test(version=version):
                assert statuses(line().send(request("GET", tasks, version=version)).end()) == [400]


class TestHalfClose:
    """A client that has said all that it wants may end its side, and still reads."""

    def test_everything_sent_is_answered(
        self, client: httpx2.Client, line: Callable[[], Line], tasks: str
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        sent = request("POST", f"{path}/toggle") * 5 + request("GET", path)
        assert statuses(line().send(sent).end()) == [200] * 6
        assert client.get(path).json()["completed"] is True

    def test_a_long_list_is_sent_to_its_end(
        self, client: httpx2.Client, line: Callable[[], Line], tasks: str
    ) -> None:
        fill(client, tasks)
        answers = line().send(request("GET", tasks) * 2).end()
        assert statuses(answers) == [200, 200]
        assert answers.endswith(b"]\r\n0\r\n\r\n")

    def test_what_is_not_whole_is_not_run(
        self, client: httpx2.Client, line: Callable[[], Line], user: str
    ) -> None:
        tasks = f"/api/{user}/tasks"
        body = b'{"title": "x"}'
        whole = request("POST", tasks, *sized(body), body=body)
        assert statuses(line().send(whole + whole[:-1]).end()) == [201]
        assert statuses(line().send(whole + request("POST", tasks, *_BY_CHUNKS, body=b"e\r\n{")).end()) == [
            201
        ]
        assert len(client.get(tasks).json()) == 2

    @pytest.mark.parametrize("pause", [0, 0.2])
    def test_a_stream_of_events_ends(
        self, server: LocalServer, line: Callable[[], Line], user: str, pause: float
    ) -> None:
        connection = line().send(request("GET", f"/api/{user}/events"))
        time.sleep(pause)
        begun = time.monotonic()
        connection.end()
        assert time.monotonic() - begun < 5
        wait_for(lambda: server.app.state.feed.streams == 0)


class TestRefusedBodies:
    """What is refused before its end goes on arriving: its sender must be able to read why."""

    @pytest.mark.parametrize("by_chunks", [False, True], ids=["length", "chunks"])
    def test_the_answer_is_read_behind_the_whole_body(
        self, server: LocalServer, line: Callable[[], Line], tasks: str, by_chunks: bool
    ) -> None:
        part, parts = b"x" * 65_536, 3 * server.settings.max_body_bytes // 65_536
        if by_chunks:
            headers, part = _BY_CHUNKS, b"10000\r\n%b\r\n" % part
        else:
            headers = (_BY_CHUNKS[0], b"Content-Length: %d" % (65_536 * parts))
        connection = line().send(request("POST", tasks, *headers))
        for _ in range(parts):
            connection.send(part)
            time.sleep(0.002)
        assert statuses(connection.read()) == [413]

    @pytest.mark.slow
    def test_it_is_closed_soon_all_the_same(self, line: Callable[[], Line], tasks: str) -> None:
        connection = line().send(request("POST", tasks, _BY_CHUNKS[0], b"Content-Length: 100000000"))
        assert statuses(connection.connection.recv(65_536)) == [413]
        assert connection.connection.recv(1) == b""

        def is_closed() -> bool:
            try:
                connection.send(b"x" * 1_000)
            except ConnectionError:
                return True
            return False

        wait_for(is_closed, seconds=20)

    def test_what_is_malformed_is_told_behind_more_of_it(self, line: Callable[[], Line]) -> None:
        connection = line().send(b"nonsense\r\n\r\n")
        for _ in range(20):
            connection.send(b"x" * 10_000)
            time.sleep(0.002)
        assert statuses(connection.read()) == [400]


class TestMalformed:
    @pytest.mark.parametrize(
        "bad",
        [
            b"FOO /x HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
            b"GET /x HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET\r\n\r\n",
        ],
    )
    def test_is_a_problem_behind_the_answers_before_it(
        self, line: Callable[[], Line], tasks: str, bad: bytes
    ) -> None:
        answers = line().send(request("GET", tasks) * 3 + bad + request("GET", tasks)).read()
        assert statuses(answers) == [200, 200, 200, 400]
        _, _, body = answers.rpartition(b"\r\n\r\n")
        assert json.loads(body)["errors"][0]["code"] == "malformed"

    def test_what_follows_a_body_is_told_from_it(
        self, client: httpx2.Client, line: Callable[[], Line], user: str
    ) -> None:
        tasks = f"/api/{user}/tasks"
        short = request("POST", tasks, *sized(b"null"), body=b'{"title": "x"}')
        assert statuses(line().send(short).read()) == [400, 400]
        assert client.get(tasks).json() == []

    def test_a_body_that_is_no_chunk_is_a_400(
        self, client: httpx2.Client, line: Callable[[], Line], user: str
    ) -> None:
        tasks = f"/api/{user}/tasks"
        for start in (b"", b"10000\r\n" + b"x" * 65_536 + b"\r\n" + b"10000\r\n" + b"x" * 65_536 + b"\r\n"):
            bad = request("POST", tasks, *_BY_CHUNKS, body=start + b"c4n4ry\r\n")
            assert statuses(line().send(request("GET", tasks) + bad).read()) == [200, 400]
        assert client.get(tasks).json() == []


class TestHeaders:
    def test_trailers_are_none(self, client: httpx2.Client, line: Callable[[], Line], user: str) -> None:
        body = b'{"title": "x"}'
        chunks = b"%x\r\n%b\r\n0\r\n%b\r\n\r\n"
        for trailer in (b"Idempotency-Key: c4n4ry", b"Prefer: handling=strict", b"Content-Type: text/plain"):
            post = request("POST", f"/api/{user}/tasks", *_BY_CHUNKS)
            answers = line().send((post + chunks % (len(body), body, trailer)) * 2).end()
            assert statuses(answers) == [201, 201]
            assert b"idempotent-replayed" not in answers
            assert b"preference-applied" not in answers
        assert len(client.get(f"/api/{user}/tasks").json()) == 6

    def test_white_space_around_a_value_is_not_part_of_it(
        self, client: httpx2.Client, line: Callable[[], Line], tasks: str
    ) -> None:
        task = create(client, tasks)
        tag = b'If-None-Match: \t "%d" \t ' % task["version"]
        assert statuses(line().send(request("GET", f"{tasks}/{task['id']}", tag)).end()) == [304]

    @pytest.mark.parametrize("coding", [b"gzip, chunked", b",chunked", b"gzip\r\nTransfer-Encoding: chunked"])
    def test_a_body_in_another_coding_is_refused(
        self, client: httpx2.Client, line: Callable[[], Line], user: str, coding: bytes
    ) -> None:
        headers = (_BY_CHUNKS[0], b"Transfer-Encoding: " + coding)
        body = chunked(b'{"title": "x"}')
        assert statuses(line().send(request("POST", f"/api/{user}/tasks", *headers, body=body)).end()) == [
            400
        ]
        assert client.get(f"/api/{user}/tasks").json() == []

    def test_a_trailer_may_end_the_connection(self, line: Callable[[], Line], tasks: str) -> None:
        body = b'{"title": "x"}'
        post = request("POST", tasks, *_BY_CHUNKS, body=b"e\r\n%b\r\n0\r\nConnection: close\r\n\r\n" % body)
        begun = time.monotonic()
        assert statuses(line().send(post * 2).read()) == [201]
        assert time.monotonic() - begun < 3

    @pytest.mark.parametrize("hosts", [(), (b"Host: a", b"Host: a"), (b"Host: a b",)])
    def test_without_one_host_nothing_more_is_read(
        self, line: Callable[[], Line], tasks: str, hosts: tuple[bytes, ...]
    ) -> None:
        bad = b"\r\n".join((f"GET {tasks} HTTP/1.1".encode(), *hosts, b"", b""))
        assert statuses(line().send(bad + request("GET", tasks)).read()) == [400]

    @pytest.mark.parametrize("length", [b"0" * 21, b"0" * 20 + b"14"])
    def test_a_length_of_very_many_digits_is_refused(
        self, line: Callable[[], Line], tasks: str, length: bytes
    ) -> None:
        bad = request("POST", tasks, _BY_CHUNKS[0], b"Content-Length: " + length, body=b'{"title": "x"}')
        assert statuses(line().send(bad).read()) == [400]


class TestPipelines:
    def test_of_clients_that_go_away_leave_no_error(
        self, server: LocalServer, client: httpx2.Client, tasks: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        with caplog.at_level(logging.WARNING):
            for count in range(60):
                connection = socket.create_connection(("127.0.0.1", server.port))
                connection.sendall(request("PATCH", path, *sized(b"{}"), body=b"{}") * 20)
                if count % 2:
                    connection.recv(1)
                # Reset, rather than end: the server learns of it in the middle of an answer.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                connection.close()
            wait_for(lambda: server.app.state.metrics.under_way == 0)
            assert client.get(path).status_code == 200
        assert not caplog.records


OPTIONS = {
    "/": "GET, HEAD, OPTIONS",
    "*": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
    "/health/live": "GET, HEAD, OPTIONS",
    "/health/ready/": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/api/tasks": "DELETE, GET, HEAD, OPTIONS, POST",
    "/api/alice/tasks": "DELETE, GET, HEAD, OPTIONS, POST",
    "/api/tasks/batch": "OPTIONS, POST",
    "/api/alice/tasks/batch/": "OPTIONS, POST",
    "/api/tasks/01a1fe04-9424-75e1-89a6-e90dc13ea379": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT",
    "/api/tasks/01a1fe04-9424-75e1-89a6-e90dc13ea379/toggle": "OPTIONS, POST",
    "/api/changes": "GET, HEAD, OPTIONS",
    "/api/users": "OPTIONS, POST",
    "/api/users/me": "GET, HEAD, OPTIONS, PATCH",
    "/api/users/alice": "DELETE, GET, HEAD, OPTIONS",
    "/api/users/me/tokens": "GET, HEAD, OPTIONS, POST",
    "/nothing/here": "OPTIONS",
}


class TestOptions:
    def test_tells_the_methods(self, line: Callable[[], Line], subtests: pytest.Subtests) -> None:
        for path, allowed in OPTIONS.items():
            for version in ["1.0", "1.1"]:
                with subtests.test(path=path, allowed=allowed, version=version):
                    answer = line().send(request("OPTIONS", path, version=version)).end()
                    assert statuses(answer) == [204]
                    assert f"\r\nallow: {allowed}\r\n".encode() in answer

    def test_haproxy_asks_without_a_host(self, line: Callable[[], Line]) -> None:
        assert statuses(line().send(b"OPTIONS / HTTP/1.0\r\n\r\n").end()) == [204]

    def test_what_it_names_works(self, client: httpx2.Client, subtests: pytest.Subtests) -> None:
        """No method that is named is a 405; any other is, or the word in the path is no id (400)."""
        for path in [path for path in OPTIONS if path != "*"]:
            with subtests.test(path=path):
                named = set(client.options(path).headers["allow"].split(", "))
                if named == {"OPTIONS"}:
                    continue
                for method in ("GET", "HEAD", "POST", "PUT", "PATCH"):
                    status = client.request(method, path, follow_redirects=False).status_code
                    assert status != 405 if method in named else status in {400, 405}


def fill(client: httpx2.Client, tasks: str, count: int = 1_000) -> None:
    """More tasks than are sent in one part."""
    operations = [{"op": "create", "task": {"title": f"{n}", "description": "x" * 200}} for n in range(count)]
    for _ in range(2):
        client.post(f"{tasks}/batch", json={"operations": operations}).raise_for_status()


class TestBounds:
    """What a client may have the server keep for it."""

    def test_no_more_is_read_while_several_requests_wait(self, server: LocalServer) -> None:
        # Each answer let in another read of thousands of requests.
        pipeline = request("GET", "/api/no-such-path") * 3_000
        with closing(socket.create_connection(("127.0.0.1", server.port))) as connection:
            answers: list[bytes] = []
            reader = threading.Thread(target=_read_on, args=(connection, answers), daemon=True)
            reader.start()
            connection.settimeout(2)
            answered_by = time.monotonic() + 4
            with suppress(TimeoutError):
                while len(answers) < 1_000 and time.monotonic() < answered_by:
                    connection.send(pipeline)
            waiting = [len(cycles) for cycles in _unanswered()]
        # One read is 256 KiB at most.
        assert max(waiting, default=0) <= 2 * 262_144 // len(request("GET", "/api/no-such-path"))

    @pytest.mark.parametrize(
        ("head", "endless"),
        [
            (request("GET", "/health")[:-2], b"X-Field: c4n4ry\r\n" * 1_000),
            (request("GET", "/health")[:-2] + b"X-Field: ", b"c4n4ry" * 2_000),
            (b"GET /", b"c4n4ry" * 2_000),
            (
                request("POST", "/health", b"Transfer-Encoding: chunked", body=b"0\r\n"),
                b"X: c4n4ry\r\n" * 1_000,
            ),
        ],
        ids=["headers", "one header", "target", "trailers"],
    )
    def test_a_head_without_end_is_refused(
        self, line: Callable[[], Line], head: bytes, endless: bytes
    ) -> None:
        one = line().send(head)
        one.connection.settimeout(0.2)
        sent = 0
        while sent < 8_388_608 and not _has_answer(one.connection):
            one.connection.settimeout(20)
            one.connection.sendall(endless)
            sent += len(endless)
        assert sent <= 1_048_576
        assert statuses(one.read()) == [431]

    @pytest.mark.slow
    def test_who_has_read_late_and_then_stalls_is_cut(
        self, client: httpx2.Client, server: LocalServer, user: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tasks, paused = f"/api/{user}/tasks", list[None]()
        monkeypatch.setattr("taskwell.http.connection.TIMEOUT_SECONDS", 2.0)
        monkeypatch.setattr(Connection, "pause_writing", _noting(Connection.pause_writing, paused))
        for _ in range(100):
            client.post(tasks, json={"title": "long", "description": "d" * 2_000})
        ask = request("GET", f"{tasks}?limit=100")
        for before in range(5, 30):  # until the last answer is the first that waits for its reader
            with closing(socket.socket()) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                connection.connect(("127.0.0.1", server.port))
                connection.settimeout(15)
                connection.sendall(ask * before + b"GET / HTTP/1.1\r\nHo")
                time.sleep(0.5)
                if not paused:
                    continue
                with suppress(ConnectionResetError):  # a timeout: it is never cut
                    while connection.recv(262_144):
                        pass
                return
        raise AssertionError("no answer waited")


def _noting(function: Callable[..., object], calls: list[None]) -> Callable[..., object]:
    def noted(*args: object) -> object:
        calls.append(None)
        return function(*args)

    return noted


def _unanswered() -> list[deque[Cycle]]:
    return [one.unanswered for one in gc.get_objects() if isinstance(one, Connection) and one.parser]


def _read_on(connection: socket.socket, answers: list[bytes]) -> None:
    with suppress(OSError):
        while received := connection.recv(1_048_576):
            answers += _STATUS.findall(received)


def _has_answer(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0.005)[0])


def test_nobody_who_speaks_http_1_0_is_told_to_go_on(line: Callable[[], Line], tasks: str) -> None:
    """RFC 9110, 10.1.1: such an expectation is ignored."""
    body = b'{"title": "Buy milk"}'
    one = line().send(request("POST", tasks, *sized(body), b"Expect: 100-continue", version="1.0"))
    time.sleep(0.3)
    assert statuses(one.send(body).read()) == [201]
