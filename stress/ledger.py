"""What writers were told, held against what there is: each change once, and nobody else's.

A writer changes only tasks of its own, and unless it was left in doubt it repeats a write until it is
acknowledged. So in the end the lists are what was acknowledged last, to the byte.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from harness.figures import Figures
from stress.client import Answer, Connection, Request, connections
from stress.feed import Copy

USERS = ("ann", "bob", "cid", "dot")
_KNOWN = 50  # of a writer's tasks, the latest ones
_BATCH = 10
_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0
_AGAIN = {409, 503}  # the same request is still being answered; the database is away

Task = dict[str, Any]


@dataclass
class Ledger:
    """`doubts`: how many writes of a user nobody can know of, since they had no key and were cut."""

    tasks: dict[str, dict[str, Task]] = field(default_factory=lambda: {user: {} for user in USERS})
    numbers: dict[str, set[int]] = field(default_factory=lambda: {user: set() for user in USERS})
    doubts: Counter[str] = field(default_factory=Counter)
    doubtful: set[str] = field(default_factory=set)  # the titles of their tasks
    writes: int = 0
    cuts: int = 0
    numbers_twice: int = 0
    without_retry_after: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    sent: float = 0.0  # of what was acknowledged, when the last was sent; on the monotonic clock
    last: float = 0.0  # when it was acknowledged
    _acknowledged: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def changes(self) -> int:
        return sum(len(numbers) for numbers in self.numbers.values())

    def acknowledge(self, user: str, answer: Answer, sent: float) -> list[Task]:
        found = answer.json()
        tasks = [result["task"] for result in found["results"]] if "results" in found else [found]
        for task in tasks:
            self.numbers_twice += task["version"] in self.numbers[user]
            self.numbers[user].add(task["version"])
            self.tasks[user][task["id"]] = task
        self.writes += 1
        if sent > self.sent:
            self.sent, self.last = sent, time.monotonic()
        self._acknowledged.set()
        return tasks

    async def until(self, reached: Callable[[], bool]) -> None:
        """Until something is so: asked after each acknowledgement, of which one has to come in a minute."""
        while not reached():
            self._acknowledged.clear()
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._acknowledged.wait()

    async def more(self, writes: int) -> None:
        """Until so many more writes are acknowledged."""
        goal = self.writes + writes
        await self.until(lambda: self.writes >= goal)

    def doubt(self, user: str, title: str) -> None:
        self.doubts[user] += 1
        self.doubtful.add(title)

    def see(self, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        if answer.status == 503:
            self.without_retry_after += "retry-after" not in answer.headers


@dataclass(frozen=True, slots=True)
class _Write:
    """`title`: of the one task that it is about, if it has no key."""

    request: Request
    title: str | None = None


class Writer:
    """One of those who share a user. Grouped writes have no key; the others are repeated with theirs."""

    def __init__(self, connection: Connection, random: Random, user: str, name: str, ledger: Ledger) -> None:
        self._connection = connection
        self._random = random
        self._user = user
        self._name = name
        self._ledger = ledger
        self._known: dict[str, str] = {}  # titles, by the task's id
        self._count = 0

    async def write_until(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            await self._carry_out(self._next())

    async def _carry_out(self, write: _Write) -> None:
        """Until it is acknowledged, or nobody can know."""
        while True:
            sent = time.monotonic()
            try:
                answer = await self._connection.send(write.request)
            except ConnectionRefusedError:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            except OSError:
                self._ledger.cuts += 1
                if write.title is not None:
                    self._give_up(write.title)
                    return
                continue
            self._ledger.see(answer)
            if answer.status in {200, 201}:
                self._learn(self._ledger.acknowledge(self._user, answer, sent))
                return
            if answer.status not in _AGAIN:
                return
            if write.title is not None and b"nothing was changed" not in answer.content:
                self._give_up(write.title)
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    def _give_up(self, title: str) -> None:
        self._ledger.doubt(self._user, title)
        self._known = {task: known for task, known in self._known.items() if known != title}

    def _learn(self, tasks: list[Task]) -> None:
        for task in tasks:
            self._known[task["id"]] = task["title"]
        while len(self._known) > _KNOWN:
            del self._known[next(iter(self._known))]

    def _next(self) -> _Write:
        random = self._random
        path = f"/api/{self._user}/tasks"
        new = self._new()
        grouped = _Write(Request("POST", path, new), new["title"])
        if not self._known:
            return grouped
        task, title = random.choice(list(self._known.items()))
        toggle = Request("POST", f"{path}/{task}/toggle")
        batch = {"operations": [self._operation() for _ in range(random.randint(2, _BATCH))]}
        shares = (
            (25, grouped),
            (25, self._keyed(Request("POST", path, new))),
            (10, _Write(toggle, title)),
            (15, self._keyed(toggle)),
            (10, self._keyed(Request("PATCH", f"{path}/{task}", {"description": f"{random.random()}"}))),
            (15, self._keyed(Request("POST", f"{path}/batch", batch))),
        )
        weights, writes = zip(*shares, strict=True)
        write: _Write = random.choices(writes, weights)[0]
        return write

    def _keyed(self, request: Request) -> _Write:
        key = f"{self._name}-{self._count}-{self._random.getrandbits(64):x}"
        return _Write(Request(request.method, request.path, request.body, {"Idempotency-Key": key}))

    def _new(self) -> dict[str, str]:
        self._count += 1
        return {"title": f"{self._name} {self._count}"}

    def _operation(self) -> dict[str, Any]:
        if self._random.random() < 0.3:
            return {"op": "toggle", "id": self._random.choice(list(self._known))}
        return {"op": "create", "task": self._new()}


@asynccontextmanager
async def writing(port: int, writers: int, seed: int) -> AsyncGenerator[Ledger]:
    """Writers that go on for as long as the block does, and then wait for what they have sent."""
    ledger, ended = Ledger(), asyncio.Event()
    async with connections(port, writers) as opened:
        tasks = [
            asyncio.ensure_future(
                Writer(connection, Random(f"{seed} {n}"), USERS[n % len(USERS)], f"w{n}", ledger).write_until(
                    ended
                )
            )
            for n, connection in enumerate(opened)
        ]
        try:
            yield ledger
            ended.set()
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()


@dataclass
class Comparison:
    lost: int = 0
    unlike: int = 0
    doubled: int = 0
    numbers_twice: int = 0
    unlike_the_feed: int = 0


async def compare(port: int, ledger: Ledger) -> Comparison:
    found = Comparison(numbers_twice=ledger.numbers_twice)
    async with connections(port, 1) as (connection,):
        for user in USERS:
            await _compare_user(connection, user, ledger, found)
    return found


async def _compare_user(connection: Connection, user: str, ledger: Ledger, found: Comparison) -> None:
    told = ledger.tasks[user]
    answer = await connection.send(Request("GET", f"/api/{user}/tasks"))
    held: dict[str, Task] = {task["id"]: task for task in answer.json()}
    for key, task in told.items():
        kept = held.get(key)
        if kept is None or kept["version"] < task["version"]:
            found.lost += 1
        else:
            found.unlike += kept != task and not _is_one_doubt_later(kept, task, ledger)
    titles = Counter(task["title"] for task in held.values())
    found.doubled += sum(titles.values()) - len(titles)
    found.doubled += sum(
        task["title"] not in ledger.doubtful for key, task in held.items() if key not in told
    )
    # Numbers have no gaps: more of them than were told, and than are in doubt, were used for nobody.
    numbers = [task["version"] for task in held.values()]
    found.doubled += max(0, max(numbers, default=0) - len(ledger.numbers[user]) - ledger.doubts[user])
    found.numbers_twice += len(numbers) - len(set(numbers))
    copy = Copy(user)
    while await copy.follow(connection, 1_000):
        pass
    found.unlike_the_feed += copy.repeated + copy.disordered + await copy.differences(connection)


def _is_one_doubt_later(kept: Task, told: Task, ledger: Ledger) -> bool:
    """Whether it was toggled once more, by a request whose answer was cut."""
    return told["title"] in ledger.doubtful and kept["completed"] != told["completed"]


def note(figures: Figures, ledger: Ledger, found: Comparison) -> None:
    figures.note("writes acknowledged", ledger.writes)
    figures.note("changes of tasks in them", ledger.changes)
    figures.note("writes cut", ledger.cuts)
    figures.note("of which without a key, so in doubt", ledger.doubts.total())
    figures.note("answered 503", ledger.statuses[503])
    figures.note("answered 409", ledger.statuses[409])
    others = ledger.statuses.total() - sum(ledger.statuses[status] for status in (200, 201, *_AGAIN))
    figures.promise("answered otherwise", others, kept=others == 0)
    figures.promise(
        "503 without Retry-After", ledger.without_retry_after, kept=not ledger.without_retry_after
    )
    figures.promise("acknowledged changes lost", found.lost, kept=found.lost == 0)
    figures.promise("doubled", found.doubled, kept=found.doubled == 0)
    figures.promise("tasks unlike what was acknowledged", found.unlike, kept=found.unlike == 0)
    figures.promise("numbers given twice", found.numbers_twice, kept=found.numbers_twice == 0)
    figures.promise("differences of feed and list", found.unlike_the_feed, kept=found.unlike_the_feed == 0)
