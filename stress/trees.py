"""Eight writers move, reparent, delete and restore the tasks of one user, and set positions, all at once.

In the end the tasks are trees: none is below itself, no tree is too deep, every part is in its parent's list,
and none is alive below a task that is not. And any two siblings are in an order that a move can change.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from random import Random
from typing import Any

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request, connections

_WRITERS = 8
_REQUESTS = 10_000
_REQUESTS_IN_SHORT = 400
_TASKS = 24
_TASKS_IN_SHORT = 8  # with more, few requests ask for no ring
_LEVELS = 8
_SEPARATED = 20  # pairs of siblings, in the end
_PATH = "/api/gardener/tasks"
# A place that is refused; a task that is deleted by somebody else; a guard that somebody else has passed.
_EXPECTED = {200, 204, 400, 404, 412}

Task = dict[str, Any]


@dataclass
class _Deeds:
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    put_below: int = 0


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server.port, form))


async def _measure(port: int, form: Form) -> Figures:
    figures, deeds = Figures(), _Deeds()
    count = form.count(_TASKS, least=_TASKS_IN_SHORT)
    async with connections(port, _WRITERS) as opened:
        ids = [(await opened[0].send(_new(f"Task {number}"))).json()["id"] for number in range(count)]
        turns = repeat(None, form.count(_REQUESTS, least=_REQUESTS_IN_SHORT))
        await asyncio.gather(
            *(
                _write(connection, Random(f"{form.seed} {n}"), ids, deeds, turns)
                for n, connection in enumerate(opened)
            )
        )
        _tell(figures, deeds)
        await _check(opened[0], figures)
    return figures


def _new(title: str) -> Request:
    return Request("POST", _PATH, {"title": title})


async def _write(
    connection: Connection, random: Random, ids: list[str], deeds: _Deeds, turns: Iterator[None]
) -> None:
    for _ in turns:
        answer = await connection.send(_request(random, ids))
        deeds.statuses[answer.status] += 1
        if answer.status == 200 and answer.json().get("parent_id") is not None:
            deeds.put_below += 1
        if answer.status == 400:
            deeds.codes[answer.json()["errors"][0]["code"]] += 1


def _request(random: Random, ids: list[str]) -> Request:
    task, other, parent = random.sample(ids, 3)
    path = f"{_PATH}/{task}"
    place = {"parent_id": random.choice((parent, parent, None))}
    beside: dict[str, Any] = {random.choice(("after", "before")): random.choice((other, None, None))}
    shares = (
        (25, Request("POST", f"{path}/move", beside)),
        (30, Request("POST", f"{path}/move", beside | place)),
        (15, Request("PATCH", path, place)),
        (5, Request("PATCH", path, {"position": random.choice(("a0", "a1", "a1V"))})),
        (5, Request("POST", f"{path}/toggle", {"completed": True, "subtasks": "complete"})),
        (8, Request("DELETE", path)),
        (2, Request("DELETE", f"{_PATH}?q=Task {random.randrange(len(ids))}".replace(" ", "%20"))),
        (25, Request("POST", f"{path}/restore")),
    )
    weights, requests = zip(*shares, strict=True)
    request: Request = random.choices(requests, weights)[0]
    return request


def _tell(figures: Figures, deeds: _Deeds) -> None:
    for status in sorted(_EXPECTED):
        figures.note(f"answered {status}", deeds.statuses[status])
    others = sum(count for status, count in deeds.statuses.items() if status not in _EXPECTED)
    figures.promise("answered otherwise", others, kept=others == 0)
    figures.note("put or left below another", deeds.put_below)
    figures.note("refused as a ring", deeds.codes["cycle"])


async def _check(connection: Connection, figures: Figures) -> None:
    alive = await _alive(connection)
    rings = sum(_depth(task, alive) is None for task in alive.values())
    deep = sum((_depth(task, alive) or 0) > _LEVELS for task in alive.values())
    orphans = sum(task["parent_id"] not in {None, *alive} for task in alive.values())
    figures.note("tasks alive", len(alive))
    figures.note("of them below another", sum(task["parent_id"] is not None for task in alive.values()))
    figures.promise("below themselves", rings, kept=rings == 0)
    figures.promise("alive below one that is not", orphans, kept=orphans == 0)
    figures.promise("too deep", deep, kept=deep == 0)
    parents = [alive.get(task["parent_id"], task) for task in alive.values()]
    astray = sum(
        task["list_id"] != parent["list_id"] for task, parent in zip(alive.values(), parents, strict=True)
    )
    figures.promise("in another list than their parents", astray, kept=astray == 0)
    stuck = 0
    for first, second in _equal(alive):
        stuck += not await _separate(connection, first, second)
    figures.promise("equal positions that a move does not part", stuck, kept=stuck == 0)


async def _alive(connection: Connection) -> dict[str, Task]:
    answer = await connection.send(Request("GET", _PATH))
    return {task["id"]: task for task in answer.json()}


def _depth(task: Task, alive: dict[str, Task]) -> int | None:
    """The level of a task; None if it is below itself."""
    for level in range(1, len(alive) + 2):
        if task["parent_id"] not in alive:
            return level
        task = alive[task["parent_id"]]
    return None


def _equal(alive: dict[str, Task]) -> Iterator[tuple[str, str]]:
    """Some pairs of siblings; those with one position first."""
    siblings = defaultdict(list)
    for task in sorted(alive.values(), key=lambda task: (task["position"], task["id"])):
        siblings[task["list_id"], task["parent_id"]].append(task)
    pairs = [pair for some in siblings.values() for pair in pairwise(some)]
    pairs.sort(key=lambda pair: pair[0]["position"] != pair[1]["position"])
    yield from ((first["id"], second["id"]) for first, second in pairs[:_SEPARATED])


async def _separate(connection: Connection, first: str, second: str) -> bool:
    """Move the second before the first: whether it is there then."""
    answer = await connection.send(Request("POST", f"{_PATH}/{second}/move", {"before": first}))
    if answer.status != 200:
        return False
    alive = await _alive(connection)
    return bool(alive[second]["position"] < alive[first]["position"])
