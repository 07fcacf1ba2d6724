"""What is measured, each on one server at a time."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.ledger import Ledger
from bench.load import Figures, Request, connections, measure
from harness.seed import seed, seeded_id
from harness.servers import ServerProcess

_CLIENTS = 32
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float
    tasks: int
    streamed: int


@dataclass(frozen=True, slots=True)
class Subject:
    """A `taskwell serve` on one of the databases."""

    database_url: str
    server: ServerProcess

    def ask(self, request: Callable[[], Request], *, clients: int, seconds: float, status: int) -> Figures:
        return asyncio.run(measure(self.server.url, clients, seconds, request, status))


def first_list(subject: Subject, options: Options) -> Figures:
    """The first request after the start. The list is one user's, beside a hundred others."""
    others = {f"other-{n}": options.tasks // 10 for n in range(100)}
    seed(subject.database_url, {"lister": options.tasks, **others})
    return subject.ask(_list_all, clients=1, seconds=0, status=200)


def _list_all() -> Request:
    return Request("GET", "/api/lister/tasks")


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of one kind, from so many clients at once."""

    name: str
    request: Callable[[Options], Request]
    clients: int = 1
    status: int = 200

    @property
    def title(self) -> str:
        return self.name if self.clients == 1 else f"{self.name}, {self.clients} clients"

    def __call__(self, subject: Subject, options: Options) -> Figures:
        # What is asked for the first time is compiled, planned and cached: that is not what lasts.
        for seconds in (options.seconds / 8, options.seconds):
            figures = subject.ask(
                lambda: self.request(options), clients=self.clients, seconds=seconds, status=self.status
            )
        return figures


def workloads(options: Options) -> Iterator[Workload]:
    yield Workload(f"list of {options.tasks:,}, whole", lambda _: _list_all())
    kinds = "types=task,list,label"
    yield Workload(
        "1,000 changes of every kind", lambda _: Request("GET", f"/api/lister/changes?limit=1000&{kinds}")
    )
    for clients in (1, _CLIENTS):
        yield Workload("read one", lambda options: Request("GET", _any_task(options)), clients)
        yield Workload("create", lambda _: _create("creator"), clients, 201)
        if clients > 1:
            yield Workload("create, a user each", lambda _: _create(_any_creator()), clients, 201)
        yield Workload("page of 50", lambda _: Request("GET", "/api/lister/tasks?limit=50"), clients)
        yield Workload("toggle", lambda options: Request("POST", f"{_any_task(options)}/toggle"), clients)


def _any_task(options: Options) -> str:
    return f"/api/lister/tasks/{seeded_id(random.randint(1, options.tasks))}"


def _any_creator() -> str:
    return f"creator-{random.randrange(_CLIENTS)}"


def _create(user: str) -> Request:
    return Request("POST", f"/api/{user}/tasks", {"title": "Buy milk", "description": "Two litres of it"})


def mixed(subject: Subject, options: Options) -> tuple[Figures, Ledger]:
    """Rounds of a hundred operations at once, of one user: a fifth each creates, changes, toggles, deletes
    and reads. The time is that of a round."""
    return asyncio.run(_mixed(subject.server.url, options.seconds))


async def _mixed(url: str, seconds: float) -> tuple[Figures, Ledger]:
    ledger, figures = Ledger("/api/mixer/tasks"), Figures(operations=_AT_ONCE)
    async with connections(url, _AT_ONCE) as opened:
        for request in ledger.creates(_AT_ONCE // 2):
            ledger.note(request, await opened[0].send(request))
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            requests = ledger.round(_AT_ONCE // 5)
            start = time.perf_counter()
            answers = await asyncio.gather(
                *(connection.send(request) for connection, request in zip(opened, requests, strict=True))
            )
            figures.times.append(time.perf_counter() - start)
            for request, answer in zip(requests, answers, strict=True):
                ledger.note(request, answer)
        ledger.compare((await opened[0].send(Request("GET", ledger.path))).json())
    figures.seconds = sum(figures.times)
    return figures, ledger


def memory(subject: Subject, options: Options) -> float:
    """By how many MiB the server grows while it streams a long list."""
    seed(subject.database_url, {"streamed": options.streamed, "small": 10})
    # One that has served much before would have room to spare.
    subject.server.stop()
    subject.server.start()
    subject.server.wait_until_up()
    subject.ask(lambda: Request("GET", "/api/small/tasks"), clients=1, seconds=0, status=200)
    before = resident_mib(subject.server.pid)
    subject.ask(lambda: Request("GET", "/api/streamed/tasks"), clients=1, seconds=0, status=200)
    return resident_mib(subject.server.pid, "VmHWM") - before


def resident_mib(pid: int, what: str = "VmRSS") -> float:
    """The memory that a process has now, or with VmHWM at its peak (proc(5)), in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.removesuffix("kB")) / 1024
    raise LookupError(what)
