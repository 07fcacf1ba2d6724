"""Eight workers do the tasks of one user, each under a claim; some are killed, and some are late.

What a killed worker held is taken by another once its claim has ended. A late one wakes then, and goes on as
if it still held the task. In the end each task was done once, by its holder, and none had two at once.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import Any

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Answer, Connection, Request, connections

_WORKERS = 8
_TASKS = 2_000
_TASKS_IN_SHORT = 60
_SECONDS = 15  # the shortest claim
_PAUSE_SECONDS = 0.1  # of a worker who finds nothing to take
_PAUSE_SECONDS_IN_SHORT = 0.5  # most of a short run is waiting for claims to end
_PATH = "/api/foreman/tasks"
_AT_ONCE = 1_000  # tasks of a batch


@dataclass
class _Hold:
    """A claim. `begin` and `end`: between them its worker held the task for sure, in seconds."""

    task: str
    claim: int
    version: int
    begin: float
    end: float

    @property
    def path(self) -> str:
        return f"{_PATH}/{self.task}"


@dataclass
class _Site:
    """What the workers know of each other."""

    port: int
    left: int
    pause: float
    random: Random
    holds: dict[str, list[_Hold]] = field(default_factory=lambda: defaultdict(list))
    done: list[_Hold] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    late: list[asyncio.Task[None]] = field(default_factory=list)
    deeds: "list[Deed]" = field(default_factory=list)

    def count(self, name: str) -> None:
        self.figures.note(name, self.figures.values.get(name, 0) + 1)

    def took(self, taken: dict[str, Any]) -> _Hold:
        until = datetime.fromisoformat(taken["until"]).timestamp()
        hold = _Hold(taken["task"]["id"], taken["claim"], taken["task"]["version"], until - _SECONDS, until)
        self.holds[hold.task].append(hold)
        return hold


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server.port, form))


async def _measure(port: int, form: Form) -> Figures:
    count = form.count(_TASKS, least=_TASKS_IN_SHORT)
    pause = _PAUSE_SECONDS_IN_SHORT if form.is_short else _PAUSE_SECONDS
    site = _Site(port, count, pause, Random(f"{form.seed}"))
    for name in ("workers killed", "answers to claims lost", "workers late", "of them superseded"):
        site.figures.note(name, 0)
    async with connections(port, _WORKERS) as opened:
        for first in range(0, count, _AT_ONCE):
            new = [
                {"op": "create", "task": {"title": f"{n}"}}
                for n in range(first, min(count, first + _AT_ONCE))
            ]
            await opened[0].send(Request("POST", f"{_PATH}/batch", {"operations": new}))
        await asyncio.gather(*(_work(site, connection) for connection in opened))
        await asyncio.gather(*site.late)
        await _check(site, opened[0], count)
    return site.figures


async def _work(site: _Site, connection: Connection) -> None:
    while site.left:
        take = site.random.choice((_take_next, _take_next, _take_one))
        holds = await take(site, connection)
        if not holds:
            await asyncio.sleep(site.pause)
        for hold in holds:
            await _chosen(site, hold)(site, connection, hold)


async def _take_next(site: _Site, connection: Connection) -> list[_Hold]:
    body = {"count": site.random.randint(1, 3), "seconds": _SECONDS}
    if site.random.random() < 0.02 and site.left > _WORKERS:
        await connection.abandon(request := Request("POST", f"{_PATH}/claims", body), len(request.encode()))
        site.count("answers to claims lost")
        return []
    answer = await connection.send(Request("POST", f"{_PATH}/claims", body))
    _expect(site, answer, 200)
    return [site.took(taken) for taken in answer.json()["claims"]]


async def _take_one(site: _Site, connection: Connection) -> list[_Hold]:
    """Choose one of a list, as others do at the same time."""
    shown = await connection.send(Request("GET", f"{_PATH}?claimed=false&completed=false&limit=5"))
    for task in shown.json()[:1]:
        answer = await connection.send(Request("POST", f"{_PATH}/{task['id']}/claim", {"seconds": _SECONDS}))
        _expect(site, answer, 200, 409)
        if answer.status == 200:
            return [site.took(answer.json())]
        site.count("tasks that another was quicker to take")
    return []


Deed = Callable[[_Site, Connection, _Hold], Awaitable[None]]


def _chosen(site: _Site, hold: _Hold) -> Deed:
    """A task is given up once, so that there is an end."""
    if len(site.holds[hold.task]) > 1:
        return _finish
    if not site.deeds:  # as from a deck of cards: each happens, also in a short run
        deck = [*[_finish] * 35, *[_renew, _note, _release, _die, _be_late] * 3]
        site.deeds = site.random.sample(deck, len(deck))
    return site.deeds.pop()


async def _finish(site: _Site, connection: Connection, hold: _Hold) -> None:
    sent = time.time()
    answer = await connection.send(_guarded(hold, {"completed": True}))
    # A slow machine may have let the claim end.
    _expect(site, answer, 200, *([412] if time.time() >= hold.end else []))
    if answer.status == 200:
        hold.end = min(hold.end, sent)
        site.done.append(hold)
        site.left -= 1


async def _note(site: _Site, connection: Connection, hold: _Hold) -> None:
    answer = await connection.send(_guarded(hold, {"description": "begun"}))
    _expect(site, answer, 200, *([412] if time.time() >= hold.end else []))
    if answer.status == 200:
        hold.version = answer.json()["version"]
        await _finish(site, connection, hold)


async def _renew(site: _Site, connection: Connection, hold: _Hold) -> None:
    answer = await connection.send(Request("PATCH", _claim(hold), {"seconds": _SECONDS}))
    _expect(site, answer, 200, *([412] if time.time() >= hold.end else []))
    if answer.status == 200:
        hold.end = datetime.fromisoformat(answer.json()["until"]).timestamp()
        site.count("claims renewed")
        await _finish(site, connection, hold)


async def _release(site: _Site, connection: Connection, hold: _Hold) -> None:
    sent = time.time()
    answer = await connection.send(Request("DELETE", _claim(hold)))
    _expect(site, answer, 204, *([412] if time.time() >= hold.end else []))
    hold.end = min(hold.end, sent)
    site.count("claims released")


async def _die(site: _Site, connection: Connection, _hold: _Hold) -> None:
    connection.abort()
    site.count("workers killed")


async def _be_late(site: _Site, _connection: Connection, hold: _Hold) -> None:
    site.count("workers late")
    site.late.append(asyncio.create_task(_wake(site, hold)))


async def _wake(site: _Site, hold: _Hold) -> None:
    """Long after the claim has ended, or just when others can take the task."""
    await asyncio.sleep(hold.end - time.time() + site.random.choice((0, 0.02, 0.1, 1)))
    async with connections(site.port, 1) as (connection,):
        renewed = await connection.send(Request("PATCH", _claim(hold), {"seconds": _SECONDS}))
        _expect(site, renewed, 200, 412)
        if renewed.status == 200:
            site.count("of them still in time")
            hold.end = datetime.fromisoformat(renewed.json()["until"]).timestamp()
            await _finish(site, connection, hold)
            return
        site.count("of them superseded")
        assert renewed.json()["type"] == "claim_lost"
        for request in (_guarded(hold, {"completed": True}), Request("DELETE", _claim(hold))):
            _expect(site, await connection.send(request), 412)


def _claim(hold: _Hold) -> str:
    return f"{hold.path}/claim/{hold.claim}"


def _guarded(hold: _Hold, changes: dict[str, Any]) -> Request:
    return Request("PATCH", hold.path, changes, {"If-Match": f'"{hold.version}"'})


def _expect(site: _Site, answer: Answer, *statuses: int) -> None:
    if answer.status not in statuses:
        site.count(f"unexpected answers {answer.status}")


async def _check(site: _Site, connection: Connection, count: int) -> None:
    figures, holds = site.figures, list(site.holds.values())
    tasks = (await connection.send(Request("GET", _PATH))).json()
    claims = (await connection.send(Request("GET", "/api/foreman/claims"))).json()
    figures.note("tasks", len(tasks))
    figures.note("claims", sum(map(len, holds)))
    figures.note("tasks that two or more have held", sum(len(of_one) > 1 for of_one in holds))
    unexpected = sum(value for name, value in figures.values.items() if name.startswith("unexpected"))
    figures.promise("answers that were not to be", unexpected, kept=unexpected == 0)
    open_ones = sum(not task["completed"] for task in tasks) + abs(count - len(tasks))
    figures.promise("tasks not done", open_ones, kept=open_ones == 0)
    twice = len(site.done) - len({hold.task for hold in site.done})
    figures.promise("tasks done twice", twice, kept=twice == 0)
    strange = sum(hold.claim != max(other.claim for other in site.holds[hold.task]) for hold in site.done)
    figures.promise("tasks done by who did not hold them", strange, kept=strange == 0)
    both = sum(_overlap(of_one) for of_one in holds)
    figures.promise("tasks held by two at once", both, kept=both == 0)
    figures.promise("claims of tasks that are done", len(claims), kept=not claims)


def _overlap(holds: list[_Hold]) -> bool:
    """Whether one of them began before the one before it had ended."""
    ordered = sorted(holds, key=lambda hold: hold.claim)
    return any(later.begin < earlier.end for earlier, later in pairwise(ordered))
