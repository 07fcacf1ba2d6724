"""Two clients complete the same occurrence of a recurring task at once, over connections that are cut.

Each repeats its request until it is answered, and one of them once more when the next occurrence is there.
The request says what it means by `occurrence`, by the version, or by a key that both send. Then each
occurrence was completed once, and the task has moved by one step each time.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from harness.figures import Figures, Form
from harness.proxy import Proxy
from harness.servers import ServerProcess
from stress.client import Answer, Connection, Request, connections
from stress.keys import plan, send

_TIMES = 1_000
_TIMES_IN_SHORT = 48
_PAIRS = 8  # of clients, each with a task of its own
_CLIENTS = 2
_PATH = "/api/recurrer/tasks"
_GUARDS = ("occurrence", "If-Match", "Idempotency-Key")
_WAYS = ("toggle", "PATCH", "complete", "batch")
_TOLD = (200, 412)
_AGAIN = (409, 503)  # the key is in use, or the server is busy

Json = dict[str, Any]


class _Kind(NamedTuple):
    """The members of a recurring task, and by how many days its date moves."""

    members: Json
    days: int


_KINDS = (
    _Kind({"due": "2030-03-01", "recurrence": "FREQ=DAILY"}, 1),
    _Kind({"due": "2030-03-01T09:00:00", "time_zone": "Europe/Berlin", "recurrence": "FREQ=WEEKLY"}, 7),
    _Kind({"due": "2001-01-01", "recurrence": "FREQ=WEEKLY", "recurrence_mode": "each"}, 7),
    _Kind({"start": "2030-03-01", "recurrence": "FREQ=DAILY;INTERVAL=3"}, 3),
    _Kind({"due": "2030-03-01T23:30:00", "recurrence": "FREQ=DAILY;COUNT=5000"}, 1),
)


@dataclass
class _Series:
    """A recurring task: its current date and version, and the dates that were completed."""

    id: str
    days: int
    current: str
    version: int
    completed: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"{_PATH}/{self.id}"

    @property
    def following(self) -> str:
        parse = datetime.fromisoformat if "T" in self.current else date.fromisoformat
        return (parse(self.current) + timedelta(days=self.days)).isoformat()


@dataclass
class _Tally:
    sent: int = 0
    late: int = 0
    told_twice: int = 0
    astray: int = 0  # not moved by one step
    statuses: Counter[int] = field(default_factory=Counter)
    guards: Counter[str] = field(default_factory=Counter)


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server.port, form))


async def _measure(port: int, form: Form) -> Figures:
    times = form.count(_TIMES, least=_TIMES_IN_SHORT)
    numbers = iter(range(times))
    tally = _Tally()
    random = Random(form.seed)
    async with connections(port, _PAIRS) as opened:
        every = [await _create(opened[0], _KINDS[n % len(_KINDS)]) for n in range(_PAIRS)]
        async with Proxy(port, lambda: plan(random)) as proxy:
            pairs = (
                _Pair(proxy.port, connection, series, Random(f"{form.seed} {n}"), tally)
                for n, (connection, series) in enumerate(zip(opened, every, strict=True))
            )
            await asyncio.gather(*(pair.go(numbers) for pair in pairs))
            cuts = proxy.cuts
        figures = _figures(times, cuts, tally)
        await _check(opened[0], every, figures)
    return figures


async def _create(connection: Connection, kind: _Kind) -> _Series:
    answer = await connection.send(Request("POST", _PATH, {"title": "Water the plants", **kind.members}))
    assert answer.status == 201, answer.content
    task = answer.json()
    return _Series(task["id"], kind.days, _date_of(task), task["version"])


def _date_of(task: Json) -> str:
    found: str = task["due"] or task["start"]
    return found


@dataclass
class _Pair:
    """Two clients of one task. `port`: of the proxy. `connection`: past it, to look at the task."""

    port: int
    connection: Connection
    series: _Series
    random: Random
    tally: _Tally
    last: Request | None = None

    async def go(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            guard = _GUARDS[number % len(_GUARDS)]
            way = _WAYS[number // len(_GUARDS) % len(_WAYS)]
            self.tally.guards[guard] += 1
            key = f"{self.random.getrandbits(64):x}-{number}"
            request = _request(self.series, guard, way, key)
            await self._complete(request)
            await self._look()
            self.last = request

    async def _complete(self, request: Request) -> None:
        """By both at once, beside a late repeat of what was done before."""
        told = [self._until_told(request) for _ in range(_CLIENTS)]
        if self.last is not None:
            self.tally.late += 1
            told.append(self._until_told(self.last))
        answers = (await asyncio.gather(*told))[:_CLIENTS]
        completions = {answer.headers["completion"] for answer in answers if "completion" in answer.headers}
        self.tally.told_twice += len(completions) > 1

    async def _until_told(self, request: Request) -> Answer:
        while True:
            await asyncio.sleep(self.random.choice((0, 0, 0.002)))
            self.tally.sent += 1
            answer = await send(self.port, request)
            if answer is None:
                continue
            self.tally.statuses[answer.status] += 1
            if answer.status not in _AGAIN:
                return answer

    async def _look(self) -> None:
        series = self.series
        task = (await self.connection.send(Request("GET", series.path))).json()
        series.completed.append(series.current)
        self.tally.astray += _date_of(task) != series.following or task["completed"]
        series.current, series.version = _date_of(task), task["version"]


def _request(series: _Series, guard: str, way: str, key: str) -> Request:
    state: Json = {"completed": True}
    headers = {}
    operation: Json = {"op": "toggle", "id": series.id, "task": state}
    if guard == "occurrence":
        state["occurrence"] = series.current
    elif guard == "Idempotency-Key":
        headers[guard] = key
    elif way == "batch":
        operation["version"] = series.version
    else:
        headers[guard] = f'"{series.version}"'
    match way:
        case "toggle":
            return Request("POST", f"{series.path}/toggle", state, headers)
        case "PATCH":
            return Request("PATCH", series.path, state, headers)
        case "complete":
            return Request("PATCH", f"{series.path}/complete", state, headers)
    return Request("POST", f"{_PATH}/batch", {"operations": [operation]}, headers)


def _figures(times: int, cuts: int, tally: _Tally) -> Figures:
    figures = Figures()
    figures.note("occurrences", times)
    for guard in _GUARDS:
        figures.note(f"of them with {guard}", tally.guards[guard])
    figures.note("requests sent", tally.sent)
    figures.note("of them late", tally.late)
    figures.note("connections cut", cuts)
    for status in (*_TOLD, *_AGAIN):
        figures.note(f"answered {status}", tally.statuses[status])
    others = tally.statuses.total() - sum(tally.statuses[status] for status in (*_TOLD, *_AGAIN))
    figures.promise("answered otherwise", others, kept=others == 0)
    figures.promise("two completions told of one", tally.told_twice, kept=tally.told_twice == 0)
    figures.promise("times not moved by one step", tally.astray, kept=tally.astray == 0)
    return figures


async def _check(connection: Connection, every: list[_Series], figures: Figures) -> None:
    """The history and the completions have each occurrence once, and no other."""
    for name, path in (("history", "history?op=completed&"), ("completions", "completions?")):
        wrong = 0
        for series in every:
            entries = await _all(connection, f"{series.path}/{path}limit=100")
            found = Counter(entry["occurrence"] for entry in entries)
            expected = Counter(series.completed)
            wrong += ((found - expected) + (expected - found)).total()
        figures.promise(f"missing from the {name}, or twice in it", wrong, kept=wrong == 0)


async def _all(connection: Connection, path: str) -> list[Json]:
    """Of all pages."""
    entries: list[Json] = []
    following: str | None = path
    while following is not None:
        answer = await connection.send(Request("GET", following))
        assert answer.status == 200, answer.content
        entries += answer.json()
        link = answer.headers.get("link")
        following = None if link is None else link[link.index("<") + 1 : link.index(">")]
    return entries
