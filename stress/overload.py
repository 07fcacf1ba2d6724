"""Four times as many requests as the server can answer, sent whether or not those before are answered.

First the most that it can answer, by clients that wait for each answer; then four times as many a second,
then half: several rounds, since a machine is not equally fast at all times. A third of the requests write.
"""

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from typing import Any

from httptools import HttpResponseParser

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request
from stress.cores import the_last

_ROUNDS = 5
_PEAK_SECONDS = 8
_OVERLOAD_SECONDS = 20
_AFTER_SECONDS = 6
_CLIENTS = 64  # who wait for each answer
_MOST_CONNECTIONS = 3_000
_TIMES = 4
_IDLE_SECONDS = 4.0  # the server closes who says nothing for 5 s
_USERS = 20
_PAGE = 50
_CALM_SECONDS = 0.25  # an answer in less is what one gets of a server that is not overloaded


@dataclass
class Tally:
    """What came of the requests: the seconds of those that were answered, and of those that were refused."""

    answered: list[tuple[float, float]] = field(default_factory=list)  # when, and after how long
    refused: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def note(self, status: int, whole: bool, begun: float) -> None:
        now = time.perf_counter()
        if status < 300:
            self.answered.append((now, now - begun))
        elif status == 503 and whole:
            self.refused.append(now - begun)
        else:
            self.wrong[f"answered {status}"] += 1


class Talker(asyncio.Protocol):
    """A connection that sends bytes and notes the answer. It parses no more of it than it has to."""

    def __init__(self, tally: Tally, free: Callable[["Talker"], None]) -> None:
        self.tally = tally
        self.free = free
        self.begun = time.perf_counter()
        self.busy = False
        self.transport: Any = None
        self._new_parser()

    def _new_parser(self) -> None:
        self._parser: Any = HttpResponseParser(self)
        self._retry_after = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, request: bytes) -> None:
        self.busy = True
        self.begun = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if b"retry-after:" in data and b'"type": "overloaded"' in data:
            self._retry_after = True
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.tally.note(self._parser.get_status_code(), self._retry_after, self.begun)
        self._retry_after = False
        self.busy = False
        self.free(self)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.busy:
            self.tally.wrong["cut"] += 1
        self.transport = None


class Load:
    """The requests in turn, over as many connections as are needed."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.tally = Tally()
        self._port = port
        self._requests = requests
        self._free: deque[Talker] = deque()
        self._talkers: list[Talker] = []
        self._waiting = False

    async def connect(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count - len(self._talkers)):
            _, talker = await loop.create_connection(
                lambda: Talker(self.tally, self._freed), "127.0.0.1", self._port
            )
            self._talkers.append(talker)
            self._free.append(talker)

    def close(self) -> None:
        for talker in self._talkers:
            talker.busy = False
            if talker.transport is not None:
                talker.transport.close()

    def count_anew(self) -> Tally:
        """Begin a new tally. What has been sent is answered in it."""
        before, self.tally = self.tally, Tally()
        for talker in self._talkers:
            talker.tally = self.tally
        return before

    def _freed(self, talker: Talker) -> None:
        if self._waiting:
            talker.send(next(self._requests))
        else:
            self._free.append(talker)

    async def wait_for_each(self, seconds: float) -> None:
        """Each connection sends the next request when it has its answer."""
        self._waiting = True
        while self._free:
            self._free.pop().send(next(self._requests))
        await asyncio.sleep(seconds)
        self._waiting = False
        await asyncio.sleep(0.5)

    async def keep_sending(self, rate: float, seconds: float) -> int:
        """So many a second. Returns how many could not be sent, since all connections were busy."""
        begun = time.perf_counter()
        sent = unsent = 0
        while (passed := time.perf_counter() - begun) < seconds:
            for _ in range(int(passed * rate) - sent):
                sent += 1
                talker = self._next_free()
                if talker is None:
                    unsent += 1
                else:
                    talker.send(next(self._requests))
            await asyncio.sleep(0.001)
        return unsent

    def _next_free(self) -> Talker | None:
        while self._free:
            talker = self._free.pop()  # who spoke last
            if talker.transport is not None and time.perf_counter() - talker.begun < _IDLE_SECONDS:
                return talker
        return None


def measure(server: ServerProcess, form: Form) -> Figures:
    with the_last(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_measure(server.port, form))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 (half the cost of asyncio's own)

    return uvloop.new_event_loop


@dataclass
class Round:
    """`peak`, `goodput`: answers a second. `during`: of what came four times as fast. `recovery`: seconds."""

    peak: float
    goodput: float
    during: Tally
    unsent: int
    recovery: float

    @property
    def share(self) -> float:
        return self.goodput / self.peak * 100


async def _measure(port: int, form: Form) -> Figures:
    requests = cycle([request.encode() for request in await _requests(port)])
    rounds = [await _round(port, requests, form) for _ in range(form.count(_ROUNDS, least=1))]
    return _figures(rounds)


async def _round(port: int, requests: Iterator[bytes], form: Form) -> Round:
    peak = await _peak(port, requests, form)
    load = Load(port, requests)
    await load.connect(_MOST_CONNECTIONS)
    seconds = form.count(_OVERLOAD_SECONDS, least=2)
    begun = time.perf_counter()
    unsent = await load.keep_sending(peak * _TIMES, seconds)
    ended = time.perf_counter()
    during = load.count_anew()
    await load.keep_sending(peak / 2, form.count(_AFTER_SECONDS))
    load.close()
    goodput = _rate(during, begun + seconds / 3, ended)
    return Round(peak, goodput, during, unsent, _recovery(load.tally, ended))


async def _requests(port: int) -> list[Request]:
    """The requests of each of the users in turn."""
    connection = Connection(port)
    of_users = [await _of_a_user(connection, f"/api/user-{n}/tasks", n) for n in range(_USERS)]
    await connection.close()
    return [request for turn in zip(*of_users, strict=True) for requests in turn for request in requests]


async def _of_a_user(connection: Connection, path: str, n: int) -> list[list[Request]]:
    """For each of the tasks: the page, the task, and a write, which is a new task or turns this one over."""
    operations = [{"op": "create", "task": {"title": f"Task {k}"}} for k in range(_PAGE)]
    answer = await connection.send(Request("POST", f"{path}/batch", {"operations": operations}))
    tasks = [f"{path}/{result['task']['id']}" for result in answer.json()["results"]]
    page, new = Request("GET", f"{path}?limit={_PAGE}"), Request("POST", path, {"title": "Buy milk"})
    return [
        [page, Request("GET", task), new if k % 2 else Request("POST", f"{task}/toggle")]
        for k, task in enumerate(tasks, n)
    ]


async def _peak(port: int, requests: Iterator[bytes], form: Form) -> float:
    """The most that it answers in a second, in the second half of the time."""
    load = Load(port, requests)
    await load.connect(_CLIENTS)
    seconds = form.count(_PEAK_SECONDS, least=2)
    begun = time.perf_counter()
    await load.wait_for_each(seconds)
    load.close()
    return _rate(load.tally, begun + seconds / 3, begun + seconds)


def _rate(tally: Tally, begun: float, ended: float) -> float:
    return sum(begun <= when < ended for when, _ in tally.answered) / (ended - begun)


def _figures(rounds: Sequence[Round]) -> Figures:
    """Medians of the rounds; times and refusals are of all of them."""
    figures = Figures()
    times = sorted(took for each in rounds for _, took in each.during.answered)
    refused = sorted(took for each in rounds for took in each.during.refused)
    wrong = sum(each.during.wrong.total() for each in rounds)
    figures.note("rounds", len(rounds))
    figures.note("requests a second at the peak", median(each.peak for each in rounds))
    figures.note("answered a second at four times as many", median(each.goodput for each in rounds))
    share = median(each.share for each in rounds)
    figures.promise("in percent of the peak (goal > 90)", share, kept=share > 90)
    figures.note("the least of a round", min(each.share for each in rounds))
    figures.note("the most of a round", max(each.share for each in rounds))
    figures.note("refused with 503 and Retry-After", len(refused))
    figures.promise("cut, or answered otherwise", wrong, kept=not wrong)
    figures.note("ms to an answer, p50", _share(times, 0.5))
    figures.promise(
        "ms to an answer, p99 (goal < 1000)", _share(times, 0.99), kept=_share(times, 0.99) < 1_000
    )
    figures.note("ms to a refusal, p50", _share(refused, 0.5))
    figures.promise(
        "ms to a refusal, p99 (goal < 20)", _share(refused, 0.99), kept=_share(refused, 0.99) < 20
    )
    figures.note("not sent, all connections being busy", sum(each.unsent for each in rounds))
    recovery = max(each.recovery for each in rounds)
    figures.promise("seconds to recover (goal < 5)", recovery, kept=recovery < 5)
    return figures


def _recovery(tally: Tally, ended: float) -> float:
    """After how long nobody waited long any more."""
    late = [when - ended for when, took in tally.answered if took > _CALM_SECONDS]
    return max(late, default=0.0)


def _share(times: list[float], share: float) -> float:
    return times[min(int(len(times) * share), len(times) - 1)] * 1_000 if times else 0.0
