"""The longest lists, on `taskwell serve` itself: they cost it neither memory nor connections."""

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bench.measures import resident_mib
from harness.responses import create
from harness.seed import seed, seeded_id
from harness.servers import ServerProcess, server_process, wait_for

pytestmark = pytest.mark.slow

TASKS = "/api/lister/tasks"


@pytest.fixture
def fresh(database_url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of the test's own, which has answered nothing yet."""
    with server_process(tmp_path, DATABASE_URL=database_url) as server:
        yield server


@pytest.mark.plan("SC-006", "R2")
class TestLargeList:
    def test_comes_whole_in_order_and_in_little_memory(self, fresh: ServerProcess, database_url: str) -> None:
        seed(database_url, {"lister": 200_000, "other": 10})
        assert len(httpx2.get(f"{fresh.url}/api/other/tasks").json()) == 10
        before = resident_mib(fresh.pid)
        left = 200_000
        with httpx2.stream("GET", f"{fresh.url}{TASKS}", timeout=60) as answer:
            for task in elements(answer.iter_text()):
                assert task["id"] == seeded_id(left)
                left -= 1
        assert left == 0
        assert resident_mib(fresh.pid, "VmHWM") - before < 64

    def test_a_client_that_stops_reading_holds_no_connection(
        self, fresh: ServerProcess, database_url: str
    ) -> None:
        seed(database_url, {"lister": 50_000})
        with closing(stalled_client(fresh)), httpx2.Client(base_url=fresh.url) as client:
            wait_for(lambda: is_idle(client))
            create(client, TASKS, title="Written while another reads")
            wait_for(lambda: is_idle(client), seconds=5)  # the server's own tasks read a little, too
            (newest,) = client.get(TASKS, params={"limit": 1}).json()
            assert newest["title"] == "Written while another reads"

    def test_head_does_not_read_it_all(self, fresh: ServerProcess, database_url: str) -> None:
        seed(database_url, {"lister": 200_000})
        with httpx2.Client(base_url=fresh.url) as client:
            answer = client.head(TASKS)
            assert answer.elapsed.total_seconds() < 1
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/json"
            assert answer.content == b""
            # To read it all takes longer.
            wait_for(lambda: is_idle(client), seconds=2)


def elements(texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The members of a JSON array, of which never more than a part is held."""
    decoder = json.JSONDecoder()
    rest, position, separator = "", 1, "["
    for text in texts:
        rest += text
        with suppress(json.JSONDecodeError):  # the last one may have come in part
            while True:
                element, end = decoder.raw_decode(rest, position)
                if end == len(rest) or rest[end:] == ",":
                    break
                yield element
                separator = "]" if rest[end] == "]" else rest[end : end + 2]
                assert separator in {",\n", "]"}
                position = end + len(separator)
        rest, position = rest[position:], 0
    assert (separator, rest) == ("]", "")


def stalled_client(server: ServerProcess) -> socket.socket:
    """A client that has begun to read the list and goes no further."""
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    stalled.connect(("127.0.0.1", server.port))
    stalled.sendall(f"GET {TASKS} HTTP/1.1\r\nHost: taskwell\r\n\r\n".encode())
    assert stalled.recv(1_024).startswith(b"HTTP/1.1 200")
    return stalled


def is_idle(client: httpx2.Client) -> bool:
    """Whether no list is being read: also between two parts of one there is a moment without a connection."""
    return all(connections_in_use(client) == 0 for _ in range(20))


def connections_in_use(client: httpx2.Client) -> int:
    in_use: int = client.get("/health/ready").json()["pool"]["in_use"]
    return in_use
