"""A process of writers for `feed`: all operations, on users that they share with other processes."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from stress.client import Answer, Connection, Request, connections

_KNOWN = 200
_BATCH = 40
_DONE = {200, 201, 204}
# A task may be deleted by somebody else; a database may be busy.
_EXPECTED = _DONE | {404, 412, 503}


@dataclass(frozen=True, slots=True)
class Orders:
    """`changes`: how many are to be acknowledged before the writers end."""

    port: int
    users: tuple[str, ...]
    writers: int
    changes: int
    seed: str


@dataclass
class Deeds:
    """What was acknowledged: how many changes, and the latest number of each task by user."""

    changes: int = 0
    aborted: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def unexpected(self) -> int:
        return sum(count for status, count in self.statuses.items() if status not in _EXPECTED)

    def note(self, user: str, task: dict[str, Any]) -> None:
        numbers = self.numbers[user]
        numbers[task["id"]] = max(task["version"], numbers.get(task["id"], 0))
        self.changes += 1


def work(orders: Orders) -> Deeds:
    return asyncio.run(_work(orders))


async def _work(orders: Orders) -> Deeds:
    deeds = Deeds(numbers={user: {} for user in orders.users})
    async with connections(orders.port, orders.writers) as opened:
        await asyncio.gather(
            *(
                Writer(connection, Random(f"{orders.seed} {n}"), orders, deeds).write()
                for n, connection in enumerate(opened)
            )
        )
    return deeds


class Writer:
    def __init__(self, connection: Connection, random: Random, orders: Orders, deeds: Deeds) -> None:
        self._connection = connection
        self._random = random
        self._orders = orders
        self._deeds = deeds
        self._known: dict[str, list[str]] = {user: [] for user in orders.users}

    async def write(self) -> None:
        while self._deeds.changes < self._orders.changes:
            user = self._random.choice(self._orders.users)
            request = self._request(user)
            if self._random.random() < 0.05:
                await self._abandon(request)
                continue
            answer = await self._connection.send(request)
            self._deeds.statuses[answer.status] += 1
            if answer.status in _DONE:
                self._note(user, answer)
            if self._random.random() < 0.1:
                await asyncio.sleep(self._random.uniform(0, 0.05))
                await self._connection.close()  # the next one may lead to another process of the server

    def _request(self, user: str) -> Request:
        path = f"/api/{user}/tasks"
        random, known = self._random, self._known[user]
        new = Request("POST", path, {"title": f"Task {random.random()}"})
        if not known:
            return new
        task = f"{path}/{random.choice(known)}"
        shares = (
            (30, new),
            (20, Request("PATCH", task, {"description": f"As of {random.random()}"})),
            (15, Request("POST", f"{task}/toggle")),
            (10, Request("DELETE", task, headers={"Prefer": "return=representation"})),
            (5, Request("POST", f"{task}/restore")),
            (0.3, Request("DELETE", f"{path}?completed=true")),
            (20, Request("POST", f"{path}/batch", {"operations": self._operations(known)})),
        )
        weights, requests = zip(*shares, strict=True)
        request: Request = random.choices(requests, weights)[0]
        return request

    def _operations(self, known: list[str]) -> list[dict[str, Any]]:
        random = self._random
        return [
            {"op": "toggle", "id": random.choice(known)}
            if random.random() < 0.02
            else {"op": "create", "task": {"title": f"Task {random.random()}"}}
            for _ in range(random.randint(2, _BATCH))
        ]

    async def _abandon(self, request: Request) -> None:
        """Half of them leave in the midst of the request, half before its answer."""
        size = len(request.encode())
        sent = size if self._random.random() < 0.5 else self._random.randrange(size)
        await self._connection.abandon(request, sent)
        self._deeds.aborted += 1

    def _note(self, user: str, answer: Answer) -> None:
        found = answer.json()
        if "results" in found:
            tasks = [result["task"] for result in found["results"]]
        elif "deleted" in found:
            self._deeds.changes += found["deleted"]
            return
        else:
            tasks = [found]
        for task in tasks:
            self._deeds.note(user, task)
        self._known[user] = [*self._known[user], *(task["id"] for task in tasks)][-_KNOWN:]
