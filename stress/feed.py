"""Writers in several processes, on two server processes, while pollers follow the changes of each user.

A poller folds what it reads into a copy. In the end the copy is the list, and has all that was acknowledged.
"""

import asyncio
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from random import Random
from typing import Any

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request
from stress.writers import Deeds, Orders, work

_CHANGES = 100_000
_PROCESSES = 4
_WRITERS = 32
_USERS = ("ann", "bob", "cid", "dot")


@dataclass
class Copy:
    """What a client keeps of a user's tasks, and the faults it found in the feed."""

    user: str
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    cursor: str | None = None
    latest: int = 0
    numbers: set[int] = field(default_factory=set)
    repeated: int = 0
    disordered: int = 0

    async def follow(self, connection: Connection, limit: int) -> bool:
        """Read a page; whether it had anything."""
        since = "" if self.cursor is None else f"&since={self.cursor}"
        answer = await connection.send(Request("GET", f"/api/{self.user}/changes?limit={limit}{since}"))
        if answer.status == 503:
            return True
        assert answer.status == 200, answer.content
        page = answer.json()
        for change in page["changes"]:
            self._take(change)
        self.cursor = page["next"]
        return bool(page["changes"])

    def _take(self, change: dict[str, Any]) -> None:
        number = change["version"]
        self.repeated += number in self.numbers
        self.disordered += number < self.latest
        self.numbers.add(number)
        self.latest = max(self.latest, number)
        self.tasks[change["id"]] = change

    def missed(self, numbers: dict[str, int]) -> int:
        """How many acknowledged changes were neither seen nor followed by a later one of the task."""
        copied: dict[str, int] = {task: change["version"] for task, change in self.tasks.items()}
        return sum(copied.get(task, 0) < number for task, number in numbers.items())

    async def differences(self, connection: Connection) -> int:
        """How many tasks of the list and the trash are not as in the copy."""
        alive = await self._list(connection, "")
        trash = await self._list(connection, "?deleted=true")
        copied = {task: change for task, change in self.tasks.items() if "deleted" not in change}
        gone: dict[str, int] = {
            task: change["version"] for task, change in self.tasks.items() if "deleted" in change
        }
        wrong: int = sum(alive.get(task) != copied.get(task) for task in alive.keys() | copied.keys())
        versions: dict[str, int] = {task: record["version"] for task, record in trash.items()}
        return wrong + sum(versions.get(task) != gone.get(task) for task in versions.keys() | gone.keys())

    async def _list(self, connection: Connection, query: str) -> dict[str, dict[str, Any]]:
        answer = await connection.send(Request("GET", f"/api/{self.user}/tasks{query}"))
        return {task["id"]: task for task in answer.json()}


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server.port, form))


async def _measure(port: int, form: Form) -> Figures:
    each = form.count(_CHANGES) // _PROCESSES
    loop = asyncio.get_running_loop()
    copies = [Copy(user) for user in _USERS]
    written = asyncio.Event()
    connection = Connection(port)
    with ProcessPoolExecutor(_PROCESSES, get_context("spawn")) as pool:
        orders = [
            Orders(port, _USERS, _WRITERS // _PROCESSES, each, f"{form.seed} {n}") for n in range(_PROCESSES)
        ]
        pollers = [asyncio.ensure_future(_poll(port, copy, Random(form.seed), written)) for copy in copies]
        deeds = await asyncio.gather(*(loop.run_in_executor(pool, work, order) for order in orders))
        await _settled(connection)
        written.set()
        await asyncio.gather(*pollers)
    differences = sum([await copy.differences(connection) for copy in copies])
    await connection.close()
    return _figures(copies, deeds, differences)


async def _poll(port: int, copy: Copy, random: Random, written: asyncio.Event) -> None:
    """Until there is nothing more after the last write."""
    connection = Connection(port)
    last = False
    while True:
        last = written.is_set()
        if not await copy.follow(connection, random.choice((7, 100, 1_000))) and last:
            break
        if random.random() < 0.2:
            await asyncio.sleep(random.uniform(0, 0.1))
            await connection.close()
    await connection.close()


async def _settled(connection: Connection) -> None:
    """Until a request that was abandoned can have no effect any more: the lists stay as they are."""
    before: list[str] = []
    while True:
        requests = [Request("GET", f"/api/{user}/tasks?limit=1") for user in _USERS]
        now = [(await connection.send(request)).headers["etag"] for request in requests]
        if now == before:
            return
        before = now
        await asyncio.sleep(1)


def _figures(copies: list[Copy], deeds: list[Deeds], differences: int) -> Figures:
    figures = Figures()
    missed = sum(copy.missed(deed.numbers[copy.user]) for copy in copies for deed in deeds)
    repeated = sum(copy.repeated for copy in copies)
    disordered = sum(copy.disordered for copy in copies)
    unexpected = sum(deed.unexpected for deed in deeds)
    figures.note("changes acknowledged", sum(deed.changes for deed in deeds))
    figures.note("requests aborted", sum(deed.aborted for deed in deeds))
    for status in (404, 412, 503):
        figures.note(f"answered {status}", sum(deed.statuses[status] for deed in deeds))
    figures.promise("answered unexpectedly", unexpected, kept=unexpected == 0)
    figures.note("changes read", sum(len(copy.numbers) for copy in copies))
    figures.note("tasks in the copies", sum(len(copy.tasks) for copy in copies))
    figures.promise("missed", missed, kept=missed == 0)
    figures.promise("out of order", disordered, kept=disordered == 0)
    figures.promise("repeated", repeated, kept=repeated == 0)
    figures.promise("tasks unlike the list", differences, kept=differences == 0)
    return figures
