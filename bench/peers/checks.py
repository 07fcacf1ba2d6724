"""Whether a server answers what it should, before it matters how fast."""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.peers.data import (
    CHECKER,
    DUE_NOW,
    FIELDS,
    LISTED,
    LISTER,
    OWN,
    PLANNER,
    PLANNERS_FIRST,
    first_number,
    seeded_task,
    task_id,
)
from bench.peers.servers import Server
from taskwell.schemas.task import TaskRead

RACES = 64

_LIST, _OF_CHECKER, _OF_PLANNER = (f"/api/{user}/tasks" for user in (LISTER, CHECKER, PLANNER))
_NEW = {"title": "Buy milk", "description": "Two litres of it"}
_AS_NEW = {**_NEW, "user_id": CHECKER, "completed": False, "completed_at": None, "version": 1}
_OWN_FIELDS = {field.name for field in fields(TaskRead)}  # no server has to answer more than taskwell
_PRECISION = timedelta(milliseconds=1)  # JavaScript has no finer
_RACERS = 16


class Wrong(Exception):
    """The message says what was answered."""


class Client:
    """One connection, that it keeps."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, str | None]:
        """The status, the content and the ETag."""
        content = None if body is None else json.dumps(body)
        own = self._server.authorization(path.split("/")[2])
        if body is not None:
            own |= {"Content-Type": "application/json"}
        self._connection.request(method, path, content, own | (headers or {}))
        answer = self._connection.getresponse()
        content_type = answer.headers.get("Content-Type", "")
        text = answer.read()
        return answer.status, json.loads(text) if "json" in content_type else text, answer.headers["ETag"]

    def get(self, method: str, path: str, status: int, body: Any = None, **headers: str) -> Any:
        told, content, _ = self.ask(method, path, body, {n.replace("_", "-"): v for n, v in headers.items()})
        if told != status:
            raise Wrong(f"{method} {path} is {told}, not {status}: {str(content)[:300]}")
        return content

    def close(self) -> None:
        self._connection.close()


def check(server: Server) -> int:
    """Ask once for everything. Returns how many toggles were lost when many came at once.

    Raises:
        Wrong: an answer is not what it should be.
    """
    client = Client(server)
    try:
        server.list_seconds = min(_seconds_of_list(client) for _ in range(3))
        for found, wanted in _seeded(client):
            _compare(found, wanted)
        _check_strangers(client)
        task = client.get("POST", _OF_CHECKER, 201, _NEW)
        _compare(task, {**_AS_NEW, **{name: task.get(name) for name in ("id", "created_at", "updated_at")}})
        path = f"{_OF_CHECKER}/{task['id']}"
        _compare(client.get("GET", path, 200), task)
        if client.ask("POST", _OF_CHECKER, {"title": ""})[0] not in (400, 422):
            raise Wrong("a task without a title is taken")
        _check_toggle(client, path, task)
        _check_etag(client, path)
        if server.kind.schema is not None and server.kind.schema.planned:
            _check_plans(client, server.pages_by_due())
        return _race(server, path)
    finally:
        client.close()


def _seeded(client: Client) -> Iterator[tuple[Any, Any]]:
    newest_first = [seeded_task(n) for n in range(OWN, 0, -1)]
    for n in (1, 11, 12, OWN):
        yield client.get("GET", f"{_LIST}/{task_id(n)}", 200), seeded_task(n)
    for path, wanted in ((f"{_LIST}?limit=50", newest_first[:50]), (_LIST, newest_first)):
        tasks = client.get("GET", path, 200)
        if len(tasks) != len(wanted):
            raise Wrong(f"GET {path} has {len(tasks)} tasks, not {len(wanted)}")
        yield from zip(tasks, wanted, strict=True)


def _seconds_of_list(client: Client) -> float:
    start = time.perf_counter()
    client.get("GET", _LIST, 200)
    return time.perf_counter() - start


def _check_strangers(client: Client) -> None:
    """A task that is not there, and one that is another's."""
    for number in (999_999, first_number(0) + 1):
        client.get("GET", f"{_LIST}/{task_id(number)}", 404)
        client.get("POST", f"{_LIST}/{task_id(number)}/toggle", 404)


def _check_toggle(client: Client, path: str, task: dict[str, Any]) -> None:
    for completed in (True, False):
        toggled = client.get("POST", f"{path}/toggle", 200)
        changed = {name: toggled.get(name) for name in ("completed_at", "updated_at", "version")}
        _compare(toggled, {**task, **changed, "completed": completed})
        in_order = task["version"] < toggled["version"] and task["updated_at"] <= toggled["updated_at"]
        if not in_order or (toggled["completed_at"] is not None) != completed:
            raise Wrong(f"POST {path}/toggle answers {toggled} after {task}")
        task = toggled


def _check_etag(client: Client, path: str) -> None:
    _, _, etag = client.ask("GET", _OF_CHECKER)
    if not etag:
        raise Wrong("a list has no ETag")
    if client.get("GET", _OF_CHECKER, 304, If_None_Match=etag):
        raise Wrong("a 304 has content")
    client.get("POST", f"{path}/toggle", 200)
    client.get("GET", _OF_CHECKER, 200, If_None_Match=etag)


def _check_plans(client: Client, pages: Sequence[str]) -> None:
    """What is due now, the open tasks by their dates, and a move."""
    due = client.get("GET", f"{_OF_PLANNER}?due=overdue,today", 200)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    if len(due) != DUE_NOW or any(task["due"] > today for task in due):
        raise Wrong(f"{len(due)} tasks are due now, not {DUE_NOW}")
    tasks = [task for path in pages for task in client.get("GET", path, 200)]
    dates = [task["due"] for task in tasks]
    if len({task["id"] for task in tasks}) != 50 * len(pages) or dates != sorted(dates):
        raise Wrong("the pages by due date are not in order, or some tasks are on two of them")
    if any(task["completed"] for task in tasks):
        raise Wrong("a task of the pages by due date is completed")
    moved, *others = (task_id(PLANNERS_FIRST + n) for n in (LISTED, 7, 8))
    task = client.get("POST", f"{_OF_PLANNER}/{moved}/move", 200, {"after": others[0]})
    again = client.get("POST", f"{_OF_PLANNER}/{others[1]}/move", 200, {"after": moved})
    if not "i000000007" < task["position"] < "i000000008" or again["position"] <= task["position"]:
        raise Wrong(f"two moves after the seventh task answer {task['position']} and {again['position']}")


def _race(server: Server, path: str) -> int:
    """Many toggle one task at once. Each that counts makes its version one more."""

    def toggle(times: int) -> None:
        client = Client(server)
        try:
            for _ in range(times):
                client.get("POST", f"{path}/toggle", 200)
        finally:
            client.close()

    client = Client(server)
    before = client.get("GET", path, 200)["version"]
    with ThreadPoolExecutor(_RACERS) as pool:
        list(pool.map(toggle, [RACES // _RACERS] * _RACERS))
    after = client.get("GET", path, 200)["version"]
    client.close()
    return RACES - int(after - before)


def _compare(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    if not set(FIELDS) <= found.keys() <= _OWN_FIELDS:
        raise Wrong(f"the fields are {sorted(found)}")
    for name in FIELDS:
        if not _same(found[name], wanted[name], instant=name.endswith("_at")):
            raise Wrong(f"{name} is {found[name]!r}, not {wanted[name]!r}, in {found}")


def _same(found: Any, wanted: Any, *, instant: bool) -> bool:
    if not instant or found is None or wanted is None:
        return bool(type(found) is type(wanted) and found == wanted)
    return abs(_instant(found) - _instant(wanted)) < _PRECISION


def _instant(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
