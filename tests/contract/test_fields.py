"""Every field of a new task survives every path that a task can take.

A new field is in by itself, with the values of its schema. A new protocol adds a row to `PATHS`.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.databases import new_database
from harness.servers import LocalServer, local_server
from harness.task_bodies import (
    COMPANIONS,
    DEFAULTS,
    EXAMPLES,
    FIELDS,
    NEEDED,
    REFERENCES,
    Body,
    agreeing,
    as_shown,
    telling_values,
    value_as_shown,
)
from stress.client import Answer, Connection, Request, connections
from taskwell.core.settings import Settings
from taskwell.schemas.task import TaskCreate, TaskRead, TaskUpdate
from taskwell.schemas.values import merged
from taskwell.services.task_fields import is_plain
from tests.cli.commands import done

Task = dict[str, Any]

# It changes nothing, and has a request take the slow path.
SLOW = {"Prefer": "handling=lenient"}
NEW = {"If-None-Match": "*"}
_AT_ONCE = 12
_PARENT = "01a1fe04-9424-75e1-89a6-000000000001"
# What `Place.begin` makes, by the field that names it.
REFERRED = {"parent_id": _PARENT}
# Of the fields of `TaskUpdate`, those that change another field, and what may be referred to but is not here.
MODIFIERS = ("labels_add", "labels_remove", "subtasks", "occurrence")
OF_RECURRENCE = ("recurrence", "recurrence_mode", "recurrence_exclude")
NOT_REFERRED = {"list_id": "nothing makes a list yet"}


@dataclass(frozen=True)
class Case:
    """`before`: of a task that is to be changed. A new one is `before` with the change in it."""

    before: Body
    change: Body

    @property
    def body(self) -> Body:
        body = {**self.before, **self.change}
        # A change merges its members into those that are there.
        return body | {"extra": merged(self.before["extra"], body["extra"])} if body.get("extra") else body

    @property
    def is_plain(self) -> bool:
        """Whether the statements of the frequent requests write it."""
        return is_plain(TaskCreate.model_validate(self.body))


def cases() -> Iterator[Case]:
    """All fields at once, then each with each of its values. A change always begins with another value."""
    yield Case(agreeing({name: telling_values(name)[1] for name in FIELDS}), dict(EXAMPLES))
    for name in FIELDS:
        values = telling_values(name)
        for value, other in zip(values, values[1:] + values[:1], strict=True):
            yield Case({**NEEDED, **COMPANIONS.get(name, {}), name: other}, {name: value})


def cases_of_references() -> Iterator[Case]:
    for name, made in REFERRED.items():
        yield Case({**NEEDED, name: None}, {name: made})
        yield Case({**NEEDED, name: made}, {name: None})


CASES_OF_FIELDS = tuple(cases())
CASES = (*CASES_OF_FIELDS, *cases_of_references())
Found = Iterable[tuple[Case, Task]]


@dataclass
class Place:
    """A server, a user whom nobody has seen, and a folder. `taken`: see the fixture."""

    server: LocalServer
    client: httpx2.Client
    user: str
    kind: str
    folder: Path
    taken: Sequence[bool] = ()

    @property
    def tasks(self) -> str:
        return f"/api/{self.user}/tasks"

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer. Each request is the first of its client, which rules out a cached head."""
        sent = {"X-Client": uuid4().hex, **headers}
        return _json(self.client.request(method, path, json=body, headers=sent))

    def send_slowly(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.send(method, path, body, **SLOW, **headers)

    def send_fast(self, method: str, path: str, body: Any = None, *, fast: bool = True) -> Any:
        """The third of the same requests, answered by the cached head of the earlier ones if `fast`."""
        headers = {"X-Client": uuid4().hex}
        for _ in range(2):
            _json(self.client.request(method, path, json=body, headers=headers))
        before = len(self.taken)
        answer = self.client.request(method, path, json=body, headers=headers)
        assert self.taken[before:] == [fast]
        return _json(answer)

    def send_at_once(self, requests: Sequence[Request]) -> list[Any]:
        answers = asyncio.run(_at_once(self.server.port, requests))
        assert {answer.status for answer in answers} <= {200, 201}, answers[0].content
        return [answer.json() for answer in answers]

    def coalesced(self, label: str, attempt: Callable[[], Found], *, must: bool = True) -> Found:
        """What comes of many requests at once, of which some at least must have been answered together."""
        for _ in range(20):
            before = self.spared(label)
            found = attempt()
            if self.spared(label) > before or not must:
                return found
        raise AssertionError("all were answered one by one")

    def spared(self, label: str) -> float:
        """How many requests were spared by being answered together with others."""
        metrics = self.client.get("/metrics").text
        number = rf'taskwell_group_size_(count|sum){{of="{label}"}} (\S+)'
        sizes = {name: float(value) for name, value in re.findall(number, metrics)}
        return sizes.get("sum", 0) - sizes.get("count", 0)

    def batch(self, operations: Iterable[dict[str, Any]]) -> list[Task]:
        answer = self.send("POST", f"{self.tasks}/batch", {"operations": list(operations)})
        return [result["task"] for result in answer["results"]]

    def begin(self) -> None:
        """Have the user be there, and what tasks refer to."""
        answer = self.client.put(f"{self.tasks}/{_PARENT}", json=dict(NEEDED), headers=NEW)
        assert answer.status_code in {201, 412}, answer.text

    def cases(self, body_of: Callable[[Case], Body] = attrgetter("body")) -> list[tuple[Case, str]]:
        """A new task for each case, and its path."""
        self.begin()
        made = self.batch({"op": "create", "task": body_of(case)} for case in CASES)
        return [(case, f"{self.tasks}/{task['id']}") for case, task in zip(CASES, made, strict=True)]

    def cases_before(self) -> list[tuple[Case, str]]:
        return self.cases(attrgetter("before"))

    def stored(self, task: Task) -> Task:
        """What was answered, if it is what is there too."""
        there: Task = self.send_slowly("GET", f"/api/{task['user_id']}/tasks/{task['id']}")
        assert there == task
        return there

    @contextmanager
    def events(self, query: str = "") -> Iterator[Iterator[Task]]:
        with self.client.stream("GET", f"/api/{self.user}/events{query}", timeout=10) as answer:
            lines = answer.iter_lines()
            while next(lines) != "event: ready":
                pass
            yield (json.loads(next(lines).removeprefix("data: ")) for line in lines if line == "event: task")

    @contextmanager
    def database(self, name: str, *, other: bool = False) -> Iterator[str]:
        """The URL of an empty one, of the server's kind or of the other."""
        folder = self.folder / name
        folder.mkdir()
        sqlite = (self.kind == "sqlite") is not other
        with new_database("sqlite" if sqlite else "postgresql", folder) as url:
            yield url

    @contextmanager
    def on(self, url: str) -> Iterator["Place"]:
        """The same user at a server on another database."""
        with (
            local_server(Settings(database_url=url)) as server,
            httpx2.Client(base_url=server.url) as client,
        ):
            yield replace(self, server=server, client=client)

    def fill(self, url: str) -> list[tuple[Case, str]]:
        with self.on(url) as place:
            return place.cases()

    def held_by(self, url: str) -> list[Task]:
        with self.on(url) as place:
            tasks: list[Task] = place.send("GET", place.tasks)
            return tasks


def match(made: Iterable[tuple[Case, str]], found: Iterable[Task]) -> Found:
    """Of each case the task that was found."""
    tasks = {task["id"]: task for task in found}
    return [(case, tasks[path.rpartition("/")[2]]) for case, path in made]


def _json(answer: httpx2.Response) -> Any:
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


async def _at_once(port: int, requests: Sequence[Request]) -> list[Answer]:
    async with connections(port, len(requests)) as opened:
        return await asyncio.gather(*map(Connection.send, opened, requests))


# Writes: what is answered, and stored.


def create_first(place: Place) -> Found:
    """Each creates its user, which the fast path leaves to the slow one."""
    for number, case in enumerate(CASES_OF_FIELDS):
        tasks = f"/api/{place.user}-{number}/tasks"
        yield case, place.stored(place.send("POST", tasks, case.body))


def create_slowly(place: Place) -> Found:
    place.begin()
    for case in CASES:
        yield case, place.stored(place.send_slowly("POST", place.tasks, case.body))


def create_with_a_key(place: Place) -> Found:
    """The answer, and the same once more as it was kept."""
    place.begin()
    for case in CASES:
        key = {"Idempotency-Key": uuid4().hex}
        task = place.send("POST", place.tasks, case.body, **key)
        assert place.send("POST", place.tasks, case.body, **key) == task
        yield case, place.stored(task)


def create_directly(place: Place) -> Found:
    place.begin()
    for case in CASES:
        yield case, place.stored(place.send("POST", place.tasks, case.body))


def create_fast(place: Place) -> Found:
    place.begin()
    for case in CASES:
        yield case, place.stored(place.send_fast("POST", place.tasks, case.body, fast=case.is_plain))


def create_together(place: Place) -> Found:
    place.begin()
    for case in CASES:
        yield from place.coalesced("create_tasks", partial(_create_at_once, place, case), must=case.is_plain)


def _create_at_once(place: Place, case: Case) -> Found:
    requests = [Request("POST", place.tasks, case.body)] * _AT_ONCE
    return [(case, place.stored(task)) for task in place.send_at_once(requests)]


def put_new(place: Place) -> Found:
    place.begin()
    for case in CASES:
        yield case, place.stored(place.send("PUT", f"{place.tasks}/{uuid4()}", case.body, **NEW))


def put(place: Place) -> Found:
    for case, path in place.cases_before():
        yield case, place.stored(place.send("PUT", path, case.change))


def patch(place: Place) -> Found:
    for case, path in place.cases_before():
        yield case, place.stored(place.send("PATCH", path, case.change))


def batch_create(place: Place) -> Found:
    place.begin()
    tasks = place.batch({"op": "create", "task": case.body} for case in CASES)
    return zip(CASES, map(place.stored, tasks), strict=True)


def batch_update(place: Place) -> Found:
    updates = [
        {"op": "update", "id": path.rpartition("/")[2], "task": case.change}
        for case, path in place.cases_before()
    ]
    return zip(CASES, map(place.stored, place.batch(updates)), strict=True)


def _to_toggle(place: Place) -> list[tuple[Case, str]]:
    """Tasks that open again when they are toggled twice: those that recur would move on."""
    made = list(place.cases())
    for case, path in made:
        if "recurrence" in case.body:
            place.send("PATCH", path, {"recurrence": None})
    return made


def toggle_and_back(place: Place) -> Found:
    for case, path in _to_toggle(place):
        for _ in range(2):
            task = place.send("POST", f"{path}/toggle", **{"Idempotency-Key": uuid4().hex})
        yield case, place.stored(task)


def toggle_and_back_directly(place: Place) -> Found:
    for case, path in _to_toggle(place):
        place.send("POST", f"{path}/toggle")
        yield case, place.stored(place.send("POST", f"{path}/toggle"))


def toggle_and_back_fast(place: Place) -> Found:
    for case, path in _to_toggle(place):
        place.send("POST", f"{path}/toggle")
        yield case, place.stored(place.send_fast("POST", f"{path}/toggle"))


def toggle_and_back_together(place: Place) -> Found:
    def attempt() -> Found:
        made = _to_toggle(place)
        requests = [Request("POST", f"{path}/toggle") for _, path in made]
        for _ in range(2):
            tasks = place.send_at_once(requests)
        return match(made, map(place.stored, tasks))

    return place.coalesced("toggle_tasks", attempt)


def delete(place: Place) -> Found:
    for case, path in place.cases():
        yield case, place.send("DELETE", path, Prefer="return=representation")


def restore(place: Place) -> Found:
    for case, path in place.cases():
        place.send("DELETE", path, Prefer="return=representation")
        yield case, place.stored(place.send("POST", f"{path}/restore"))


# Reads.


def get_slowly(place: Place) -> Found:
    return ((case, place.send_slowly("GET", path)) for case, path in place.cases())


def get_directly(place: Place) -> Found:
    return ((case, place.send("GET", path)) for case, path in place.cases())


def get_fast(place: Place) -> Found:
    return ((case, place.send_fast("GET", path)) for case, path in place.cases())


def get_together(place: Place) -> Found:
    made = place.cases()
    requests = [Request("GET", path) for _, path in made]
    # SQLite reads so quickly that two requests seldom meet, and has no statement for several.
    must = place.kind == "postgresql"
    return place.coalesced("get_tasks", lambda: match(made, place.send_at_once(requests)), must=must)


def whole_list(place: Place) -> Found:
    return match(place.cases(), place.send_slowly("GET", place.tasks))


def whole_list_directly(place: Place) -> Found:
    made = place.cases()
    place.send("GET", place.tasks)
    return match(made, place.send("GET", place.tasks))


def page(place: Place) -> Found:
    made = place.cases()
    path, tasks = f"{place.tasks}?limit=2", []
    while path:
        answer = place.client.get(path)
        tasks += _json(answer)
        path = answer.links.get("next", {}).get("url", "")
    return match(made, tasks)


def page_fast(place: Place) -> Found:
    return match(place.cases(), place.send_fast("GET", f"{place.tasks}?limit={len(CASES) + len(REFERRED)}"))


def trash(place: Place) -> Found:
    made = place.cases()
    place.send("DELETE", place.tasks)
    return match(made, place.send("GET", f"{place.tasks}?deleted=true"))


def changes(place: Place) -> Found:
    made = place.cases()
    return match(made, place.send("GET", f"/api/{place.user}/changes")["changes"])


def events_as_they_happen(place: Place) -> Found:
    place.begin()
    with place.events() as shown:
        for case in CASES:
            place.batch([{"op": "create", "task": case.body}])
            yield case, next(shown)


def events_of_before(place: Place) -> Found:
    made = place.cases()
    with place.events("?since=0") as shown:
        return match(made, [next(shown) for _ in (*REFERRED, *made)])


def export(place: Place) -> Found:
    made = place.cases()
    lines = place.client.get(f"/api/users/{place.user}/export").text.splitlines()
    return match(made, [record["task"] for record in map(json.loads, lines) if "task" in record])


# What an operator does, to a database beside the server's.


def back_up_and_restore(place: Place) -> Found:
    with place.database("a") as first, place.database("b") as other:
        made = place.fill(first)
        file = place.folder / "tasks.bak"
        done(first, "backup", str(file))
        done(other, "restore", str(file))
        return match(made, place.held_by(other))


def move_there_and_back(place: Place) -> Found:
    with (
        place.database("a") as first,
        place.database("b", other=True) as other,
        place.database("c") as last,
    ):
        made = place.fill(first)
        for source, target in ((first, other), (other, last)):
            done(_NOWHERE, "move", source, target)
            yield from match(made, place.held_by(target))


_NOWHERE = "sqlite:///nowhere.db"  # the settings' own database has no part in a move

PATHS: Mapping[str, Callable[[Place], Found]] = {
    "create, the first of a user": create_first,
    "create, slow": create_slowly,
    "create, with a key": create_with_a_key,
    "create, direct dispatch": create_directly,
    "create, cached head": create_fast,
    "create, coalesced": create_together,
    "PUT of a new task": put_new,
    "PUT": put,
    "PATCH": patch,
    "batch, create": batch_create,
    "batch, update": batch_update,
    "toggle and back, slow": toggle_and_back,
    "toggle and back, direct dispatch": toggle_and_back_directly,
    "toggle and back, cached head": toggle_and_back_fast,
    "toggle and back, coalesced": toggle_and_back_together,
    "DELETE": delete,
    "restore": restore,
    "GET, slow": get_slowly,
    "GET, direct dispatch": get_directly,
    "GET, cached head": get_fast,
    "GET, coalesced": get_together,
    "list, slow": whole_list,
    "list, direct dispatch": whole_list_directly,
    "page, slow": page,
    "page, cached head": page_fast,
    "trash": trash,
    "changes": changes,
    "events, as they happen": events_as_they_happen,
    "events, of before": events_of_before,
    "export": export,
    "backup and restore": back_up_and_restore,
    "move there and back": move_there_and_back,
}
# By the path, the fields that it cannot carry, each with the reason.
NOT_CARRIED: Mapping[str, Mapping[str, str]] = {
    **{
        path: {
            "status": "whoever completes a task and opens it again begins it anew",
            **dict.fromkeys(OF_RECURRENCE, "a task that recurs does not open again, but moves on"),
        }
        for path in PATHS
        if path.startswith("toggle and back")
    },
    "create, the first of a user": dict.fromkeys(REFERRED, "the user has nothing yet to refer to"),
}

_SLOW = ("backup and restore", "move there and back")
# They look into the process that answers.
_DIRECT = tuple(name for name in PATHS if name.endswith(("cached head", "coalesced")))


def rows() -> Iterator[Any]:
    for name in PATHS:
        marks = [pytest.mark.slow] * (name in _SLOW) + [pytest.mark.direct] * (name in _DIRECT)
        yield pytest.param(name, marks=marks, id=name)


@pytest.fixture
def place(
    request: pytest.FixtureRequest, server: LocalServer, user: str, database_kind: str, tmp_path: Path
) -> Iterator[Place]:
    with httpx2.Client(base_url=server.url) as client:
        yield Place(server, client, user, database_kind, tmp_path)


class TestEveryPath:
    @pytest.mark.parametrize("name", list(rows()))
    def test_carries_every_field(self, request: pytest.FixtureRequest, place: Place, name: str) -> None:
        if name in _DIRECT:
            place.taken = request.getfixturevalue("taken")
        found = list(PATHS[name](place))
        lost = {field: what for case, task in found for field, what in lost_of(case, task).items()}
        tried = {json.dumps(case.body) for case, _ in found}
        untried = [case for case in CASES if json.dumps(case.body) not in tried]
        lost |= {field: "not tried" for case in untried for field in case.change}
        assert lost.keys() == NOT_CARRIED.get(name, {}).keys(), lost


def lost_of(case: Case, task: Task) -> dict[str, str]:
    """The fields of a task that are not as they were sent, or not there."""
    return {
        field: f"{task.get(field, 'nothing')!r} instead of {value!r}"
        for field, value in as_shown(case.body).items()
        if field not in task or task[field] != value
    }


class TestCases:
    def test_some_are_plain_and_some_are_not(self) -> None:
        assert {case.is_plain for case in CASES} == {False, True}


class TestTable:
    def test_what_is_not_carried_is_a_field_of_a_path(self) -> None:
        for name, reasons in NOT_CARRIED.items():
            assert name in PATHS
            assert reasons.keys() <= {*FIELDS, *REFERENCES}
            assert all(reasons.values())


class TestSchemas:
    def test_an_update_has_every_field_of_a_new_task(self) -> None:
        of_an_update = [name for name in TaskUpdate.model_fields if name not in MODIFIERS]
        assert of_an_update == list(TaskCreate.model_fields)

    def test_so_has_a_task_that_is_read(self) -> None:
        assert TaskCreate.model_fields.keys() <= {field.name for field in fields(TaskRead)}

    def test_every_reference_is_tried_or_the_reason_is_known(self) -> None:
        assert sorted([*REFERRED, *NOT_REFERRED]) == sorted(REFERENCES)

    @pytest.mark.parametrize("field", FIELDS)
    def test_the_values_tell_whether_a_field_was_lost(self, field: str) -> None:
        shown = [value_as_shown(field, value) for value in telling_values(field)]
        assert all(shown.count(value) == 1 for value in shown)
        assert any(value != DEFAULTS.get(field) for value in shown)

    def test_no_two_fields_have_the_same_example(self) -> None:
        """Else it would not show that two were exchanged."""
        examples = [as_shown(dict(EXAMPLES))[field] for field in FIELDS]
        texts = [value for value in examples if value is not True]
        assert all(texts.count(value) == 1 for value in texts)
