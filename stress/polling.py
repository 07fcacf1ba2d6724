"""What it costs to ask for an unchanged list with its ETag, beside a health check."""

import statistics
import time
from pathlib import Path

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Client, Request

_THOUSAND_TASKS = 10
_ROUNDS = 200
_EACH = 50
_GOAL = 2.0
_PATH = "/api/poller/tasks"


def measure(server: ServerProcess, form: Form) -> Figures:
    with Client(server.port) as client:
        tasks = _fill(client, form.count(_THOUSAND_TASKS))
        etag = client.send(Request("GET", _PATH)).headers["etag"]
        poll = Cost(client, server.pid, Request("GET", _PATH, None, {"If-None-Match": etag}), 304)
        health = Cost(client, server.pid, Request("GET", "/health/live"), 200)
        # What is asked for the first time is compiled, planned and cached.
        for cost in (poll, health):
            cost.warm_up()
        for _ in range(form.count(_ROUNDS, least=20)):
            poll.measure()
            health.measure()
    return _figures(tasks, poll, health)


class Cost:
    """The milliseconds that a request takes in each round, and those of the server's processor."""

    def __init__(self, client: Client, pid: int, request: Request, status: int) -> None:
        self.times: list[float] = []
        self.processor: list[float] = []
        self._client = client
        self._pid = pid
        self._request = request
        self._status = status

    def warm_up(self) -> None:
        for _ in range(_EACH):
            answer = self._client.send(self._request)
            assert answer.status == self._status, answer.content

    def measure(self) -> None:
        start, used = time.perf_counter(), _processor_seconds(self._pid)
        self.warm_up()
        self.times.append((time.perf_counter() - start) / _EACH * 1_000)
        self.processor.append((_processor_seconds(self._pid) - used) / _EACH * 1_000)


def _fill(client: Client, thousands: int) -> int:
    operations = [{"op": "create", "task": {"title": f"Task {n}"}} for n in range(1_000)]
    for _ in range(thousands):
        answer = client.send(Request("POST", f"{_PATH}/batch", {"operations": operations}))
        assert answer.status == 200, answer.content
    return thousands * len(operations)


def _processor_seconds(pid: int) -> float:
    """What all threads of the process have used: nanoseconds come first (Linux, sched-stats)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _figures(tasks: int, poll: Cost, health: Cost) -> Figures:
    figures = Figures()
    figures.note("tasks", tasks)
    figures.note("rounds", len(poll.times))
    figures.note("ms for a poll answered 304", statistics.median(poll.times))
    figures.note("ms for a health check", statistics.median(health.times))
    figures.note("server's processor: ms for a poll", statistics.median(poll.processor))
    figures.note("server's processor: ms for a check", statistics.median(health.processor))
    ratio = statistics.median(ours / theirs for ours, theirs in zip(poll.times, health.times, strict=True))
    figures.promise(f"poll : check in a round (goal < {_GOAL:.0f})", ratio, kept=ratio < _GOAL)
    return figures
