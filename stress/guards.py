"""Many writers count in shared tasks, each edit guarded by the ETag of what was read.

A counter that ends at the number of its acknowledged edits has lost none and had none twice.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from random import Random

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request, connections

_WRITERS = 64
_COUNTERS = 16
_EDITS = 10_000
_RACES = 500
_RACERS = 8


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a number is kept."""

    method: str
    path: str
    member: str

    def write(self, number: int, etag: str) -> Request:
        return Request(self.method, self.path, {self.member: str(number)}, {"If-Match": etag})


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server.port, form))


async def _measure(port: int, form: Form) -> Figures:
    figures = Figures()
    async with connections(port, _WRITERS) as opened:
        await _count(opened, form, figures)
        await _race(opened, form, figures)
    return figures


async def _count(opened: list[Connection], form: Form, figures: Figures) -> None:
    places = [await _new_counter(opened[0], n) for n in range(_COUNTERS)]
    edits = repeat(None, form.count(_EDITS, least=_WRITERS))
    wins: Counter[str] = Counter()
    refusals: Counter[int] = Counter()
    await asyncio.gather(
        *(
            _writer(connection, Random(f"{form.seed} {n}"), places, edits, wins, refusals)
            for n, connection in enumerate(opened)
        )
    )
    wrong = 0
    for place in places:
        answer = await opened[0].send(Request("GET", place.path))
        wrong += abs(int(answer.json()[place.member]) - wins[place.path])
    figures.note("guarded edits answered 200", wins.total())
    figures.note("losers answered 412", refusals[412])
    others = refusals.total() - refusals[412]
    figures.promise("losers answered otherwise", others, kept=others == 0)
    figures.promise("edits lost or doubled", wrong, kept=wrong == 0)


async def _new_counter(connection: Connection, n: int) -> _Place:
    new = {"title": "0", "description": "0"}
    task = (await connection.send(Request("POST", "/api/counter/tasks", new))).json()
    method, member = [("PATCH", "title"), ("PUT", "description")][n % 2]
    return _Place(method, f"/api/counter/tasks/{task['id']}", member)


async def _writer(
    connection: Connection,
    random: Random,
    places: list[_Place],
    edits: Iterator[None],
    wins: Counter[str],
    refusals: Counter[int],
) -> None:
    for _ in edits:
        place = random.choice(places)
        while True:
            task = await connection.send(Request("GET", place.path))
            if task.status != 200:
                refusals[task.status] += 1
                continue
            number = int(task.json()[place.member]) + 1
            answer = await connection.send(place.write(number, task.headers["etag"]))
            if answer.status == 200:
                wins[place.path] += 1
                break
            refusals[answer.status] += 1


async def _race(opened: list[Connection], form: Form, figures: Figures) -> None:
    """Several create one task under the same id at once: one may."""
    random = Random(form.seed)
    races = form.count(_RACES)
    statuses: Counter[int] = Counter()
    for _ in range(races):
        path = f"/api/racer/tasks/{_uuid(random)}"
        request = Request("PUT", path, {"title": "Buy milk"}, {"If-None-Match": "*"})
        answers = await asyncio.gather(*(racer.send(request) for racer in opened[:_RACERS]))
        statuses.update(answer.status for answer in answers)
    figures.promise("creates of one id answered 201", statuses[201], kept=statuses[201] == races)
    others = statuses.total() - statuses[201] - statuses[412]
    figures.promise("neither 201 nor 412", others, kept=others == 0)


def _uuid(random: Random) -> str:
    digits = f"{random.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
