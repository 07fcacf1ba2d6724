"""Requests whose clients go away: before they are whole, while they are answered, or amid the answer."""

import asyncio
import time
from random import Random

from stress.client import Connection, Request
from stress.figures import Figures, Form
from stress.process import open_files
from tests.servers import ServerProcess

_CUT = 10_000
_AT_ONCE = 32
_TASKS = 2_000
_GOAL_MS = 100
_WRITES = 20


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    figures = Figures()
    asker = Connection(server.port)
    requests = await _requests(asker)
    before = open_files(server.pid)
    count = form.count(_CUT, least=_AT_ONCE)
    await asyncio.gather(
        *(
            _cutter(server.port, requests, Random(f"{form.seed} {n}"), count // _AT_ONCE)
            for n in range(_AT_ONCE)
        )
    )
    slowest = 0.0
    for n in range(_WRITES):
        begun = time.perf_counter()
        answer = await asker.send(Request("POST", f"/api/user-{n % 4}/tasks", {"title": "Buy milk"}))
        assert answer.status == 201, answer.content
        slowest = max(slowest, (time.perf_counter() - begun) * 1_000)
    await asyncio.sleep(1)
    pool = (await asker.send(Request("GET", "/health/ready"))).json()["pool"]
    left = max(0, open_files(server.pid) - before - pool.get("size", 0))
    figures.note("requests cut", count // _AT_ONCE * _AT_ONCE)
    figures.promise("ms of the slowest write right after (< 100)", slowest, kept=slowest < _GOAL_MS)
    figures.promise("connections to the database in use", pool["in_use"], kept=pool["in_use"] == 0)
    figures.promise("connections that were left open", left, kept=left == 0)
    await asker.close()
    return figures


async def _requests(connection: Connection) -> list[bytes]:
    """Of four users everything that takes some time."""
    requests = []
    for n in range(4):
        path = f"/api/user-{n}/tasks"
        operations = [{"op": "create", "task": {"title": f"Task {k}"}} for k in range(_TASKS // 2)]
        for _ in range(2):
            answer = await connection.send(Request("POST", f"{path}/batch", {"operations": operations}))
            assert answer.status == 200, answer.content
        task = answer.json()["results"][0]["task"]["id"]
        requests += [
            Request("GET", path),
            Request("GET", f"{path}?q=milk"),
            Request("GET", f"{path}/{task}"),
            Request("POST", path, {"title": "Buy milk"}),
            Request("POST", f"{path}/{task}/toggle"),
            Request("PATCH", f"{path}/{task}", {"title": "Buy bread"}),
            Request("POST", f"{path}/batch", {"operations": [{"op": "toggle", "id": task}] * 50}),
            Request("GET", f"/api/user-{n}/changes"),
            Request("GET", f"/api/user-{n}/events?since=0"),
        ]
    return [request.encode() for request in requests]


async def _cutter(port: int, requests: list[bytes], random: Random, count: int) -> None:
    for _ in range(count):
        request = random.choice(requests)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        share = random.random()
        writer.write(request if share > 0.2 else request[: int(len(request) * share * 5)])
        await asyncio.sleep(random.choice((0.0, 0.001, 0.005, 0.02)))
        if random.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()
