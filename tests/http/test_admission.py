"""So many are let in, some wait, and all others are told at once."""

import asyncio
import math
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

import httpx2
import pytest

from harness.responses import problem
from harness.servers import LocalServer, wait_for
from taskwell.http import admission
from taskwell.http import connection as http_connection
from taskwell.http.admission import Admission

ORIGIN = {"Origin": "http://localhost:3000"}
UNKNOWN = "01890000-0000-7000-8000-000000000000"


@contextmanager
def full(server: LocalServer) -> Iterator[None]:
    """All places are taken, and somebody has waited for long."""
    door: Admission = server.app.state.admission
    door._used += admission._SLOTS
    door._queue.append((-math.inf, nothing))
    try:
        yield
    finally:
        door._queue.clear()
        door._used -= admission._SLOTS


class TestFull:
    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
    def test_a_request_is_refused_at_once(self, server: LocalServer, tasks: str, method: str) -> None:
        before = httpx2.get(f"{server.url}{tasks}").json()
        with httpx2.Client(base_url=server.url) as client, full(server):
            for _ in range(3):
                begun = time.monotonic()
                answer = client.request(method, tasks, json={"title": "x"} if method == "POST" else None)
                assert time.monotonic() - begun < 1
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "1"
                if method != "HEAD":
                    problem(answer, 503, "overloaded")
        assert httpx2.get(f"{server.url}{tasks}").json() == before

    def test_what_is_refused_at_a_glance_is_refused_as_by_the_layers(
        self, server: LocalServer, tasks: str
    ) -> None:
        path = f"{tasks}?q=%22"
        with full(server):
            glance = httpx2.get(f"{server.url}{path}", headers=ORIGIN)
            layers = _in_pieces(server, path)
        assert glance.json().keys() == layers.json().keys()
        changing = {"request_id"}
        assert {name: value for name, value in glance.json().items() if name not in changing} == {
            name: value for name, value in layers.json().items() if name not in changing
        }
        expected = {name: value for name, value in layers.headers.items() if name not in _CHANGING}
        assert {name: glance.headers[name] for name in expected} == expected
        assert glance.headers["x-request-id"] == glance.json()["request_id"]
        assert glance.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert int(glance.headers["content-length"]) == len(glance.content)

    @pytest.mark.parametrize("path", ['/api/a"b', "/api/" + "x" * 2_000, "/api/a\\b", "/api/é"])
    def test_a_strange_path_is_repeated_as_json(self, server: LocalServer, path: str) -> None:
        with full(server), socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            answer = connection.makefile("rb").read()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"connection: close" in head
        if head.startswith(b"HTTP/1.1 503 "):
            assert httpx2.Response(503, content=body).json()["instance"].startswith("/api/")
        else:
            assert head.startswith(b"HTTP/1.1 400 ")

    def test_health_is_told_and_a_preflight_answered(self, server: LocalServer) -> None:
        with httpx2.Client(base_url=server.url) as client, full(server):
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/ready").status_code == 200
            asking = {**ORIGIN, "Access-Control-Request-Method": "GET"}
            assert client.options("/api/tasks", headers=asking).status_code == 200

    def test_two_requests_in_one_packet_are_each_refused(self, server: LocalServer) -> None:
        request = b"GET /api/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        with full(server), socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request + last)
            assert connection.makefile("rb").read().count(b"HTTP/1.1 503 ") == 2


_CHANGING = {"date", "x-request-id"}


def _in_pieces(server: LocalServer, path: str) -> httpx2.Response:
    """The answer to a request that comes in two packets: nobody can refuse that at a glance."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode())
        time.sleep(0.1)
        connection.sendall(b"Origin: http://localhost:3000\r\n\r\n")
        head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
    lines = [line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:]]
    return httpx2.Response(503, headers=[(name, value) for name, value in lines], content=body)


class TestQueue:
    def test_who_waits_is_answered_when_a_place_is_free(self, server: LocalServer, tasks: str) -> None:
        door: Admission = server.app.state.admission
        head = f"POST {tasks} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        answer: Future[int] = Future()
        asking = threading.Thread(
            target=lambda: answer.set_result(httpx2.get(f"{server.url}{tasks}").status_code)
        )
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(f"{head}Content-Length: 14\r\n\r\n".encode())
            door._used += admission._SLOTS
            asking.start()
            wait_for(lambda: len(door._queue) == 1)
            assert not answer.done()
            door._used -= (
                admission._SLOTS - 1
            )  # the last is freed by the request that sends the rest of the body
            slow.sendall(b'{"title": "x"}')
            assert slow.recv(12) == b"HTTP/1.1 201"
            assert answer.result(timeout=10) == 200
            asking.join()
        door._used -= 1
        wait_for(lambda: door._used == 0)

    def test_who_waits_too_long_is_told(
        self, server: LocalServer, tasks: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_connection, "QUEUE_SECONDS", 0.2)
        monkeypatch.setattr(http_connection, "CHECK_SECONDS", 0.1)
        door: Admission = server.app.state.admission
        door._used += admission._SLOTS
        try:
            problem(httpx2.get(f"{server.url}{tasks}"), 503, "overloaded")
        finally:
            door._used -= admission._SLOTS
            door._queue.clear()


class TestAdmission:
    def test_the_queue_is_as_long_as_can_be_answered_in_time(self) -> None:
        door = full_door()
        door.queue(0.0, nothing)
        assert not door.is_full(0.1)
        for _ in range(admission._MAX_QUEUE - 1):
            door.queue(0.1, partial(door.enter, 1))
        assert door.is_full(0.1)
        asyncio.run(leave_all(door))
        door.queue(0.2, nothing)  # 400 were answered in 0.2 s: there is room for 0.3 s
        assert door._max_queue == 600

    def test_is_full_while_the_first_has_waited_too_long(self) -> None:
        door = full_door()
        assert not door.is_full(0.0)
        door.queue(0.0, nothing)
        assert not door.is_full(0.2)
        assert door.is_full(0.6)

    def test_who_has_gone_is_passed_over(self) -> None:
        door = full_door()
        for _ in range(1_999):
            door.queue(0.0, nothing)
        door.queue(0.0, partial(door.enter, 1))
        asyncio.run(leave(door))
        assert not door._queue
        assert not door.has_room()

    def test_few_are_let_in_in_a_turn_of_the_loop(self) -> None:
        """All others are refused at the end of the turn."""
        door = full_door()
        inside: list[int] = []
        for n in range(3 * admission._SLOTS_PER_TURN):
            door.queue(0.0, partial(note, door, inside, n))

        async def work() -> list[int]:
            await leave_all(door)
            counts = []
            for _ in range(4):
                await asyncio.sleep(0)
                counts.append(len(inside))
            return counts

        assert asyncio.run(work()) == [admission._SLOTS_PER_TURN * turns for turns in (1, 2, 3, 3)]
        assert inside == sorted(inside)

    def test_it_is_known_whether_the_next_turn_brings_more(self) -> None:
        door = full_door()
        assert not door.lets_in_more()
        door.queue(0.0, partial(door.enter, 1))
        assert not door.lets_in_more()

        async def work() -> list[bool]:
            door.leave(1)
            before = door.lets_in_more()
            await asyncio.sleep(0)
            return [before, door.lets_in_more()]

        assert asyncio.run(work()) == [True, False]

    def test_nobody_overtakes_who_waits(self) -> None:
        door = full_door()
        door.queue(0.0, partial(door.enter, 1))

        async def work() -> list[bool]:
            await leave_all(door)
            before = door.has_room()
            await asyncio.sleep(0)
            return [before, door.has_room()]

        assert asyncio.run(work()) == [False, True]


class TestPlaces:
    def test_the_long_way_takes_more_than_the_short_one(
        self, server: LocalServer, tasks: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        door: Admission = server.app.state.admission
        taken: list[int] = []

        def enter(slots: int) -> None:
            taken.append(slots)
            Admission.enter(door, slots)

        monkeypatch.setattr(door, "enter", enter)
        with httpx2.Client(base_url=server.url, headers={"X-Of-Its-Own": tasks}) as client:
            task = client.post(tasks, json={"title": "x"}).json()["id"]
            del taken[:]
            for _ in range(2):
                assert client.get(f"{tasks}/{task}").status_code == 200
            assert taken == [admission.SLOW_PATH_COST, 1]
            assert (
                client.get(f"{tasks}/{UNKNOWN}").status_code == 404
            )  # is told the long way, once it is known
            assert taken[2:] == [1, admission.SLOW_PATH_COST - 1]
        wait_for(lambda: door._used == 0)


def full_door() -> Admission:
    door = Admission()
    door.enter(admission._SLOTS)
    return door


async def leave(door: Admission) -> None:
    door.leave(1)
    await asyncio.sleep(0)


async def leave_all(door: Admission) -> None:
    for _ in range(admission._SLOTS):
        door.leave(1)


def note(door: Admission, numbers: list[int], number: int) -> None:
    door.enter(1)
    numbers.append(number)


def nothing() -> None:
    """Whoever waited has gone."""
