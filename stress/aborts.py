"""Requests whose clients go away: before they are whole, or at some moment of the answer."""

import asyncio
import time
from random import Random

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Connection, Request
from stress.process import connections_to

_CUT = 10_000
_AT_ONCE = 8  # or it would be overload rather than cuts
_TASKS = 2_000
_GOAL_MS = 100
_PATIENCE_SECONDS = 30.0


def measure(server: ServerProcess, form: Form) -> Figures:
    return asyncio.run(_measure(server, form))


async def _measure(server: ServerProcess, form: Form) -> Figures:
    figures = Figures()
    asker = Connection(server.port)
    requests = await _requests(asker)
    count = form.count(_CUT, least=_AT_ONCE)
    await asyncio.gather(
        *(
            _cutter(server.port, requests, Random(f"{form.seed} {n}"), count // _AT_ONCE)
            for n in range(_AT_ONCE)
        )
    )
    settled = await _settled(server.port)
    begun = time.perf_counter()
    answer = await asker.send(Request("POST", "/api/user-0/tasks", {"title": "Buy milk"}))
    took = (time.perf_counter() - begun) * 1_000
    assert answer.status == 201, answer.content
    pool = (await asker.send(Request("GET", "/health/ready"))).json()["pool"]
    left = connections_to(server.port) - 1
    figures.note("requests cut", count // _AT_ONCE * _AT_ONCE)
    figures.note("seconds until their connections were gone", settled)
    figures.promise("ms of the next write (goal < 100)", took, kept=took < _GOAL_MS)
    figures.promise("connections to the database in use", pool["in_use"], kept=pool["in_use"] == 0)
    figures.promise("connections that were left open", left, kept=left == 0)
    await asker.close()
    return figures


async def _settled(port: int) -> float:
    """After how many seconds the server knew that all are gone. It carries to its end what it has begun."""
    begun = time.perf_counter()
    took = 0.0
    while took < _PATIENCE_SECONDS and connections_to(port) > 1:
        await asyncio.sleep(0.1)
        took = time.perf_counter() - begun
    await asyncio.sleep(1)
    return took


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
            Request("POST", f"{path}/batch", {"operations": [{"op": "toggle", "id": task}] * 10}),
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
