"""Many event streams on one process: how soon a change reaches all of them, and what each takes of memory.

In each round a task of every user is created, all at once, so that every stream gets an event.
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Iterable

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request, connections
from stress.process import resident_kib

_STREAMS = 1_000
_STREAMS_OF_A_USER = 10
_ROUNDS = 30
_PAUSE_SECONDS = 0.5
_WRITERS = 10
_PATIENCE_SECONDS = 60.0
_LATENCY_GOAL = 1.0
_MEMORY_GOAL = 64
_TASK = re.compile(rb'data: \{"id":.*"version":(\d+).*')


class Stream(asyncio.Protocol):
    """Notes when each event came."""

    def __init__(self, user: str) -> None:
        self.user = user
        loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[None] = loop.create_future()
        # Once there are as many events as are wanted.
        self.satisfied: asyncio.Future[None] = loop.create_future()
        self.wanted: int | None = None
        self.numbers: list[int] = []
        self.times: list[float] = []
        self.transport: asyncio.Transport | None = None
        self._line = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(f"GET /api/{self.user}/events HTTP/1.1\r\nHost: taskwell\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if found := _TASK.fullmatch(line):
                self.numbers.append(int(found[1]))
                self.times.append(now)
            elif line == b": welcome":
                self.welcomed.set_result(None)
        self.check()

    def check(self) -> None:
        if self.wanted is not None and len(self.numbers) >= self.wanted and not self.satisfied.done():
            self.satisfied.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionError())


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    users = [f"listener-{n}" for n in range(form.count(_STREAMS // _STREAMS_OF_A_USER, least=10))]
    rounds = form.count(_ROUNDS, least=5)
    async with connections(server.port, _WRITERS) as writers:
        # What a first request and a first stream leave in memory is there before.
        await _close(await _open(server.port, users))
        sent = [await _write_all(writers, users)]
        before = resident_kib(server.pid)
        streams = await _open(server.port, users * _STREAMS_OF_A_USER)
        for _ in range(rounds):
            await asyncio.sleep(_PAUSE_SECONDS)
            sent.append(await _write_all(writers, users))
        await _heard(streams, rounds)
        growth = (resident_kib(server.pid) - before) / len(streams)
        await _close(streams)
    return _figures(streams, sent, rounds, growth)


async def _open(port: int, users: Iterable[str]) -> list[Stream]:
    loop = asyncio.get_running_loop()
    streams = []
    for user in users:
        _, stream = await loop.create_connection(lambda user=user: Stream(user), "127.0.0.1", port)  # type: ignore[misc]
        await stream.welcomed
        streams.append(stream)
    return streams


async def _close(streams: list[Stream]) -> None:
    for stream in streams:
        assert stream.transport is not None
        stream.transport.close()
    await asyncio.sleep(0.1)  # a transport is closed in the next turns of the loop


async def _write_all(writers: list[Connection], users: list[str]) -> dict[str, float]:
    """A task for each user, from all writers at once. Returns when each was sent."""
    sent = {}

    async def write(writer: Connection, mine: list[str]) -> None:
        for user in mine:
            sent[user] = time.perf_counter()
            answer = await writer.send(Request("POST", f"/api/{user}/tasks", {"title": "Buy milk"}))
            assert answer.status == 201, answer.content

    await asyncio.gather(*(write(writer, users[n :: len(writers)]) for n, writer in enumerate(writers)))
    return sent


async def _heard(streams: list[Stream], rounds: int) -> None:
    """Until every stream has had an event for each round, or the patience ends."""
    for stream in streams:
        stream.wanted = rounds
        stream.check()
    await asyncio.wait({stream.satisfied for stream in streams}, timeout=_PATIENCE_SECONDS)


def _figures(streams: list[Stream], sent: list[dict[str, float]], rounds: int, growth: float) -> Figures:
    expected = list(range(2, rounds + 2))  # the first of each user was written before
    missed = sum(len(set(expected) - set(stream.numbers)) for stream in streams)
    wrong = sum(len(stream.numbers) != len(set(stream.numbers)) for stream in streams)
    wrong += sum(stream.numbers != sorted(stream.numbers) for stream in streams)
    last: defaultdict[int, list[float]] = defaultdict(list)
    for stream in streams:
        for number, moment in zip(stream.numbers, stream.times, strict=True):
            last[number].append(moment - sent[number - 1][stream.user])
    delays = sorted(delay for heard in last.values() for delay in heard)
    figures = Figures()
    figures.note("streams", len(streams))
    figures.note("rounds of a write for each user", rounds)
    figures.note("events received", len(delays))
    figures.promise("events missed", missed, kept=missed == 0)
    figures.promise("streams with repeats or disorder", wrong, kept=wrong == 0)
    figures.note("ms from write to event, p50", _share(delays, 0.5))
    late = _share(delays, 0.99)
    figures.promise("ms from write to event, p99 (goal < 1000)", late, kept=late < _LATENCY_GOAL * 1_000)
    figures.note("ms until all streams had a round, worst", max(delays) * 1_000)
    figures.promise(f"KiB for a stream (goal < {_MEMORY_GOAL})", growth, kept=growth < _MEMORY_GOAL)
    return figures


def _share(times: list[float], share: float) -> float:
    return times[min(int(len(times) * share), len(times) - 1)] * 1_000
