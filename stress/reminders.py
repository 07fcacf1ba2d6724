"""How soon a quiet server tells of reminders, and whether it tells of each once, whatever happens.

First some come one after the other, to a client that listens. Then reminders of 100 users come at one
instant, to six servers that are killed again and again.

Some of the tasks are completed before. In the end each of the others was reminded of once, whichever server
did it and however many were killed as they did, and the numbers of the users have no gap.
"""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from harness.figures import Figures, Form
from harness.postgres import free_ports
from harness.servers import ServerProcess
from harness.warm import shared
from stress.client import Connection, Request, connections

_SERVERS = 6
_USERS = 100
_REMINDERS = 10_000
_REMINDERS_IN_SHORT = 400
_COMPLETED = 10  # every so many-th task
_MADE_A_SECOND = 150  # where more cannot be made, they are made anew with more time
_SERVED_SECONDS = (0.05, 0.4)  # of a server that is killed then
_PATIENCE_SECONDS = 300
_QUIET = 200  # reminders, ten in a second
_QUIET_IN_SHORT = 40
_IN_A_SECOND = 10
_TOLD_GOAL = 1_000.0  # ms


@dataclass
class _Run:
    random: Random
    when: datetime
    open: dict[str, set[str]] = field(default_factory=dict)  # by the user, the tasks to be reminded of
    completed: int = 0
    kills: int = 0

    @property
    def count(self) -> int:
        return sum(map(len, self.open.values()))


def measure(server: ServerProcess, form: Form) -> Figures:
    told = sorted(asyncio.run(_listen(server.port, form.count(_QUIET, least=_QUIET_IN_SHORT))))
    figures = _outlive_kills(server, form)
    late = told[int(0.99 * (len(told) - 1))]
    figures.note("reminders to a client that listens", len(told))
    figures.note("ms from their time to the event, p50", told[len(told) // 2])
    figures.promise("the same, p99 (goal < 1000)", late, kept=late < _TOLD_GOAL)
    return figures


async def _listen(port: int, count: int) -> list[float]:
    """How many milliseconds after its time each of the reminders is told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /api/listener/events HTTP/1.1\r\nHost: taskwell\r\n\r\n")
        async with asyncio.timeout(_PATIENCE_SECONDS), connections(port, 1) as (connection,):
            while await reader.readline() != b": welcome\n":
                pass
            first = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
            times = [first + timedelta(seconds=n // _IN_A_SECOND) for n in range(count)]
            body = {"operations": [{"op": "create", "task": _task_at(when)} for when in times]}
            answer = await connection.send(Request("POST", "/api/listener/tasks/batch", body))
            assert answer.status == 200, answer.content
            return [await _told(reader) for _ in range(count)]
    finally:
        writer.close()


async def _told(reader: asyncio.StreamReader) -> float:
    while await reader.readline() != b"event: reminder\n":
        pass
    line = await reader.readline()
    return (time.time() - datetime.fromisoformat(json.loads(line[6:])["at"]).timestamp()) * 1_000


def _task_at(when: datetime) -> dict[str, object]:
    return {"title": "Tea", "reminders": [{"trigger": f"{when:%Y-%m-%dT%H:%M:%SZ}"}]}


def _outlive_kills(server: ServerProcess, form: Form) -> Figures:
    count = form.count(_REMINDERS, least=_REMINDERS_IN_SHORT)
    seconds = 5 + count / _MADE_A_SECOND
    while not asyncio.run(_make(server.port, run := _Run(Random(form.seed), _later(seconds)), count)):
        seconds *= 2
    server.stop(signal.SIGKILL)
    with shared():
        servers = [ServerProcess(server.folder, server.environment, port) for port in free_ports(_SERVERS)]
        for one in servers:
            one.start()
        try:
            seconds = asyncio.run(_outlive(servers, run))
            return asyncio.run(_figures(servers[0], run, seconds))
        finally:
            for one in servers:
                one.stop(signal.SIGKILL)


def _later(seconds: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)


async def _make(port: int, run: _Run, count: int) -> bool:
    """Whether all are made before their time has come; else the machine is too slow for that much time."""
    each = count // _USERS
    async with connections(port, 4) as opened:
        users = [f"user{n}-{run.when:%H%M%S}" for n in range(_USERS)]
        shares = [users[n :: len(opened)] for n in range(len(opened))]
        made = zip(opened, shares, strict=True)
        await asyncio.gather(*(_make_some(connection, share, run, each) for connection, share in made))
    return datetime.now(UTC) < run.when


async def _make_some(connection: Connection, users: Sequence[str], run: _Run, each: int) -> None:
    task = _task_at(run.when)
    for user in users:
        body = {"operations": [{"op": "create", "task": task}] * each}
        answer = await connection.send(Request("POST", f"/api/{user}/tasks/batch", body))
        ids = [result["task"]["id"] for result in answer.json()["results"]]
        done = ids[::_COMPLETED]
        body = {"operations": [{"op": "toggle", "id": task_id} for task_id in done]}
        await connection.send(Request("POST", f"/api/{user}/tasks/batch", body))
        run.open[user] = set(ids) - set(done)
        run.completed += len(done)


async def _outlive(servers: Sequence[ServerProcess], run: _Run) -> float:
    """Kill servers until everything is sent. Returns the seconds that it took; the first server stays."""
    await asyncio.to_thread(servers[0].wait_until_up)
    await asyncio.sleep(max(0.0, (run.when - datetime.now(UTC)).total_seconds()))
    clock = asyncio.get_running_loop().time
    start = clock()
    async with connections(servers[0].port, 1) as (connection,):
        while clock() < start + _PATIENCE_SECONDS and not await _are_all_sent(connection, run):
            await asyncio.sleep(run.random.uniform(*_SERVED_SECONDS))
            victim = run.random.choice(servers[1:])
            await asyncio.to_thread(victim.stop, signal.SIGKILL)
            run.kills += 1
            victim.start()
        seconds = clock() - start
        await asyncio.sleep(2)  # for one that would be sent twice
    return seconds


async def _are_all_sent(connection: Connection, run: _Run) -> bool:
    """Each user has the numbers of the tasks, of the toggles and of the reminders, and no others."""
    last = list(run.open)[-1]
    for user in (last, *run.random.sample(list(run.open), 3), *run.open):
        answer = await connection.send(Request("GET", f"/api/{user}/history?op=reminder&limit=1"))
        records = answer.json()
        if not records:
            return False
        if records[0]["version"] < _last_number(run, user):
            return False
    return True


def _last_number(run: _Run, user: str) -> int:
    is_open = len(run.open[user])
    completed = run.completed // len(run.open)
    return 2 * is_open + 2 * completed


async def _figures(server: ServerProcess, run: _Run, seconds: float) -> Figures:
    sent: Counter[str] = Counter()
    gaps = unexpected = 0
    async with connections(server.port, 1) as (connection,):
        for user, expected in run.open.items():
            since, records = 0, []
            while page := (
                await connection.send(
                    Request("GET", f"/api/{user}/history?op=reminder&since={since}&limit=200")
                )
            ).json():
                records += page
                since = page[-1]["version"]
            sent.update(record["id"] for record in records)
            unexpected += len({record["id"] for record in records} - expected)
            last = _last_number(run, user)
            gaps += [record["version"] for record in records] != list(
                range(last - len(expected) + 1, last + 1)
            )
    figures = Figures()
    missing = run.count - len(sent)
    twice = sum(count > 1 for count in sent.values())
    figures.note("reminders that were due at once", run.count)
    figures.note("of tasks that were completed before", run.completed)
    figures.note("servers", _SERVERS)
    figures.note("servers killed", run.kills)
    figures.promise("reminders not sent", missing, kept=missing == 0)
    figures.promise("reminders sent twice", twice, kept=twice == 0)
    figures.promise("sent of completed tasks", unexpected, kept=unexpected == 0)
    figures.promise("users with a gap in their numbers", gaps, kept=gaps == 0)
    figures.note("seconds until the last was sent", seconds)
    return figures
