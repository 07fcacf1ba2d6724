"""Keyed creates, each sent several times at once over connections that are cut at random points.

A key is repeated until it is answered. Then there is one task for each key, and every answer was the same.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from harness.figures import Figures, Form
from harness.proxy import Plan, Proxy
from harness.servers import ServerProcess
from stress.client import Answer, Connection, Request, connections

_CREATES = 10_000
_CLIENTS = 16
_PATH = "/api/retrier/tasks"


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server.port, form))


@dataclass
class _Tally:
    sent: int = 0
    replays: int = 0
    different: int = 0
    originals: int = 0  # beyond the first of a key
    statuses: Counter[int] = field(default_factory=Counter)
    created: set[str] = field(default_factory=set)


async def _measure(port: int, form: Form) -> Figures:
    creates = form.count(_CREATES)
    numbers = iter(range(creates))
    tally = _Tally()
    random = Random(form.seed)
    async with Proxy(port, lambda: plan(random)) as proxy:
        clients = (_client(proxy.port, Random(f"{form.seed} {n}"), numbers, tally) for n in range(_CLIENTS))
        await asyncio.gather(*clients)
        cuts = proxy.cuts
    async with connections(port, 1) as (connection,):
        tasks = (await connection.send(Request("GET", _PATH))).json()
    return _figures(creates, cuts, tally, tasks)


def plan(random: Random) -> Plan:
    """Half of the connections live; of the others the request or the answer is cut, anywhere."""
    delay = random.choice((0.0, 0.0, random.uniform(0, 0.02)))
    lot = random.random()
    if lot < 0.2:
        return Plan(request_bytes=random.randint(0, 200), delay_seconds=delay)
    if lot < 0.5:
        return Plan(response_bytes=random.randint(0, 700), delay_seconds=delay)
    return Plan(delay_seconds=delay)


async def _client(port: int, random: Random, numbers: Iterator[int], tally: _Tally) -> None:
    for number in numbers:
        key = f"{random.getrandbits(64):x}-{number}"
        request = Request("POST", _PATH, {"title": f"Task {number}"}, {"Idempotency-Key": key})
        answers: list[Answer] = []
        times = random.randint(2, 10)
        while not answers:
            tally.sent += times
            found = await asyncio.gather(*(send(port, request) for _ in range(times)))
            tally.statuses.update(answer.status for answer in found if answer)
            answers = [answer for answer in found if answer and answer.status == 201]
            times = 1
        _compare(answers, tally)


async def send(port: int, request: Request) -> Answer | None:
    """On a connection of its own; None if it was cut."""
    connection = Connection(port)
    try:
        return await connection.send(request)
    except ConnectionError:
        return None
    finally:
        connection.abort()


def _compare(answers: list[Answer], tally: _Tally) -> None:
    first = answers[0]
    tally.created.add(first.json()["id"])
    replays = [answer for answer in answers if "idempotent-replayed" in answer.headers]
    tally.replays += len(replays)
    tally.originals += max(0, len(answers) - len(replays) - 1)
    tally.different += sum(_essence(answer) != _essence(first) for answer in answers)


def _essence(answer: Answer) -> tuple[object, ...]:
    return (answer.content, *(answer.headers.get(name) for name in ("etag", "location", "content-type")))


def _figures(creates: int, cuts: int, tally: _Tally, tasks: list[dict[str, str]]) -> Figures:
    figures = Figures()
    figures.note("keys", creates)
    figures.note("requests sent", tally.sent)
    figures.note("connections cut", cuts)
    for status in (201, 409, 503):
        figures.note(f"answered {status}", tally.statuses[status])
    others = tally.statuses.total() - sum(tally.statuses[status] for status in (201, 409, 503))
    figures.promise("answered otherwise", others, kept=others == 0)
    figures.note("replays", tally.replays)
    figures.promise("replays that differ", tally.different, kept=tally.different == 0)
    figures.promise("keys run twice", tally.originals, kept=tally.originals == 0)
    same = {task["id"] for task in tasks} == tally.created
    figures.promise("tasks in the end", len(tasks), kept=same and len(tasks) == creates)
    return figures
