"""Rolling restarts under load: two processes at one port, each replaced in turn at SIGHUP."""

import asyncio
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request
from stress.process import children

PROCESSES = 2
_RESTARTS = 50
_CLIENTS = 8
_PAUSE_SECONDS = 0.005
_PAUSE_SECONDS_IN_SHORT = 0.05  # which leaves the machine to the processes that start
_PATIENCE_SECONDS = 60.0


@dataclass
class Load:
    """Clients who write and read what they wrote. Nothing is repeated: what fails, fails."""

    port: int
    pause: float
    going: bool = True
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    async def client(self, n: int) -> None:
        connection = Connection(self.port)
        path = f"/api/client-{n}/tasks"
        while self.going:
            for request in (Request("POST", path, {"title": "Buy milk"}), Request("GET", f"{path}?limit=5")):
                begun = time.perf_counter()
                try:
                    answer = await connection.send(request)
                except OSError as error:
                    self.failed[type(error).__name__] += 1
                    continue
                self.slowest = max(self.slowest, time.perf_counter() - begun)
                self.answered += answer.status < 300
                self.failed[f"answered {answer.status}"] += answer.status >= 300
            await asyncio.sleep(self.pause)
        await connection.close()


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    load = Load(server.port, _PAUSE_SECONDS_IN_SHORT if form.is_short else _PAUSE_SECONDS)
    clients = [asyncio.ensure_future(load.client(n)) for n in range(_CLIENTS)]
    rounds = form.count(_RESTARTS // PROCESSES)
    took = [await _restart(server) for _ in range(rounds)]
    load.going = False
    await asyncio.gather(*clients)
    figures = Figures()
    figures.note("processes replaced", rounds * PROCESSES)
    figures.note("requests answered meanwhile", load.answered)
    failed = load.failed.total()
    figures.promise("requests that failed", failed, kept=failed == 0)
    figures.note("ms that the slowest took", load.slowest * 1_000)
    figures.note("seconds for both processes, at most", max(took))
    return figures


async def _restart(server: ServerProcess) -> float:
    """Until none of the processes that serve is one of those before."""
    before = _serving(server.pid)
    begun = time.perf_counter()
    os.kill(server.pid, signal.SIGHUP)
    while True:
        await asyncio.sleep(0.1)
        serving = _serving(server.pid)
        if len(serving) == PROCESSES and not serving & before:
            return time.perf_counter() - begun
        assert time.perf_counter() - begun < _PATIENCE_SECONDS, "the processes were not replaced in time"


def _serving(pid: int) -> set[int]:
    """The children that listen; there is one more that tracks resources."""
    return {child for child in children(pid) if b"resource_tracker" not in _command(child)}


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b"resource_tracker"  # it has just ended
