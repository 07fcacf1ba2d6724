"""Slow clients: heads and bodies that come a byte at a time, or stop, and readers that do not read.

Beside them somebody asks as usual.
"""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request
from stress.process import connections_to

_SLOW = 2_000
_READERS = 20  # each makes the server put some megabytes together
_GOAL_SECONDS = 15.0
_GIVEN_UP_SECONDS = 60.0
_ALONE_SECONDS = 10
_ASKERS = 4
_PAUSE_SECONDS = 0.02
_PAUSE_SECONDS_IN_SHORT = 0.1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class List:
    """What the readers ask for: so much that no socket can hold it. `at_once`: tasks of a batch."""

    tasks: int
    at_once: int
    text: str


_LIST = List(20_000, 1_000, "x" * 500)
_LIST_IN_SHORT = List(3_000, 75, "€" * 2_000)  # as many bytes, in tasks that are sooner written
_HEAD = b"POST /api/slow/tasks HTTP/1.1\r\nHost: taskwell\r\nContent-Type: application/json\r\n"


@dataclass(frozen=True, slots=True)
class Way:
    """What a slow client says at once, and what it says a byte a second."""

    at_once: bytes
    slowly: bytes = b""


_WAYS = (
    Way(b""),
    Way(b"", _HEAD * 10),
    Way(_HEAD),
    Way(_HEAD + b"Content-Length: 1000\r\n\r\n"),
    Way(_HEAD + b"Content-Length: 1000\r\n\r\n", b'{"title": "' + b"x" * 500),
    Way(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n" * 100),
    Way(b"GET /health/live HTTP/1.1\r\nHost: taskwell\r\n\r\n"),  # then idle
    Way(b"GET /health/live HTTP/1.1\r\nHost: taskwell\r\n\r\n", _HEAD * 10),
)


class Slow(asyncio.Protocol):
    def __init__(self, way: Way) -> None:
        self.way = way
        self.sent = 0
        loop = asyncio.get_running_loop()
        self.cut: asyncio.Future[float] = loop.create_future()
        self.begun = loop.time()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.way.at_once:
            transport.write(self.way.at_once)
        asyncio.get_running_loop().call_later(1.0, self.go_on)

    def go_on(self) -> None:
        byte = self.way.slowly[self.sent : self.sent + 1]
        if not byte or self.cut.done():
            return
        assert self.transport is not None
        self.transport.write(byte)
        self.sent += 1
        asyncio.get_running_loop().call_later(1.0, self.go_on)

    def connection_lost(self, _error: Exception | None) -> None:
        self.cut.set_result(asyncio.get_running_loop().time() - self.begun)


@dataclass
class Others:
    """Those who ask as usual."""

    port: int
    pause: float
    times: list[float] = field(default_factory=list)
    wrong: int = 0
    asking: bool = True

    async def ask(self, n: int) -> None:
        connection = Connection(self.port)
        path = f"/api/other-{n}/tasks"
        requests = (Request("POST", path, {"title": "Buy milk"}), Request("GET", f"{path}?limit=20"))
        while self.asking:
            for request in requests:
                begun = time.perf_counter()
                answer = await connection.send(request)
                self.times.append(time.perf_counter() - begun)
                self.wrong += answer.status >= 300
                await asyncio.sleep(self.pause)
        await connection.close()

    async def beside(self, work: Awaitable[T]) -> T:
        tasks = [asyncio.ensure_future(self.ask(n)) for n in range(_ASKERS)]
        done = await work
        self.asking = False
        await asyncio.gather(*tasks)
        return done

    def p99(self) -> float:
        return sorted(self.times)[int(len(self.times) * 0.99)] * 1_000


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    figures = Figures()
    slow = form.count(_SLOW, least=80)
    readers = form.count(_READERS, least=2)
    await _fill(server.port, _LIST_IN_SHORT if form.is_short else _LIST)
    pause = _PAUSE_SECONDS_IN_SHORT if form.is_short else _PAUSE_SECONDS
    alone, beside_senders, beside_readers = (Others(server.port, pause) for _ in range(3))
    await alone.beside(asyncio.sleep(form.count(_ALONE_SECONDS)))
    senders_cut = beside_senders.beside(_stall(server.port, slow))
    readers_let_go = beside_readers.beside(_do_not_read(server.port, readers))
    if form.is_short:  # both at once, since each takes as long as the server is patient
        cut, let_go = await asyncio.gather(senders_cut, readers_let_go)
    else:
        cut, let_go = await senders_cut, await readers_let_go
    figures.note("slow senders", len(cut))
    _promise_soon(figures, "seconds until the last was cut (goal < 15)", max(cut))
    figures.note("readers that do not read", readers)
    _promise_soon(figures, "seconds until all were cut (goal < 15)", let_go)
    figures.note("others' ms, p99: alone", alone.p99())
    p99 = beside_senders.p99()
    figures.promise("others' ms, p99: beside senders (goal: 2x)", p99, kept=p99 <= 2 * alone.p99())
    figures.note("others' ms, p99: beside readers", beside_readers.p99())
    wrong = sum(others.wrong for others in (alone, beside_senders, beside_readers))
    figures.promise("others' requests that failed", wrong, kept=wrong == 0)
    return figures


def _promise_soon(figures: Figures, name: str, seconds: float) -> None:
    figures.promise(name, seconds, kept=seconds < _GOAL_SECONDS)


async def _fill(port: int, wanted: List) -> None:
    connection = Connection(port)
    operations = [{"op": "create", "task": {"title": "x", "description": wanted.text}}] * wanted.at_once
    for _ in range(wanted.tasks // wanted.at_once):
        answer = await connection.send(Request("POST", "/api/reader/tasks/batch", {"operations": operations}))
        assert answer.status == 200, answer.content
    await connection.close()


async def _stall(port: int, count: int) -> list[float]:
    """After how many seconds each was cut. One that is not is let go after a minute."""
    loop = asyncio.get_running_loop()
    clients = []
    for n in range(count):
        way = _WAYS[n % len(_WAYS)]
        _, client = await loop.create_connection(lambda way=way: Slow(way), "127.0.0.1", port)  # type: ignore[misc]
        clients.append(client)
    await asyncio.wait([client.cut for client in clients], timeout=_GIVEN_UP_SECONDS)
    for client in clients:
        if not client.cut.done():
            assert client.transport is not None
            client.transport.abort()
            await client.cut
    return [client.cut.result() for client in clients]


async def _do_not_read(port: int, count: int) -> float:
    """After how many seconds the server had none of them. They see nothing of it, since they do not read."""
    readers = []
    for _ in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_024)
        writer.write(b"GET /api/reader/tasks HTTP/1.1\r\nHost: taskwell\r\n\r\n")
        readers.append(writer)
    begun = time.perf_counter()
    took = 0.0
    await asyncio.sleep(1)  # by then they are all connected, and so are those who ask
    while took < _GIVEN_UP_SECONDS and connections_to(port) > _ASKERS:
        await asyncio.sleep(0.1)
        took = time.perf_counter() - begun
    for writer in readers:
        writer.transport.abort()
    return took
