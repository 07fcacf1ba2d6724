"""Any operations in any order, by one client: the server does what the book does."""

import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from operator import or_
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from harness import task_bodies
from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress.client import Answer, Client, Request
from stress.reference_model import Book, Operation, Refused

_RUNS = 2_000
_STEPS = 30
_KEPT = {404, 409, 412}  # the refusals that a key keeps
_SHOW = {"Prefer": "return=representation"}
_NEW = {"If-None-Match": "*"}

_values = task_bodies.accepted("aAbßẞéÉ%_\\'\"\n\t😀 ")
_bodies = partial(task_bodies.bodies, _values, names=task_bodies.COMPATIBLE)
unheard_of = st.sampled_from([{}, {"unheard_of": 1}])
changes = st.builds(or_, _bodies(), unheard_of)
tasks = st.builds(or_, _bodies(task_bodies.REQUIRED), unheard_of)
wrong: st.SearchStrategy[Any] = st.just([]) | st.sampled_from(
    [{name: value} for name in task_bodies.FIELDS for value in task_bodies.REFUSED[name]]
)
states = st.sampled_from([None, {}, {"completed": True}, {"completed": False}])
places = st.integers(0, 30)
guards = st.sampled_from([None, None, None, "right", "stale", "any", "weak", "compressed", "one of"])
keyed = st.sampled_from([False, False, True])
entries = st.tuples(
    st.sampled_from(["create", "create under an id", "update", "update", "toggle", "delete", "restore"]),
    places,
    st.sampled_from([None, None, None, None, "right", "right", "stale"]),
    tasks,
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "completed": st.sampled_from(["true", "false"]),
        "q": st.sampled_from(["a", "A", "ss", "ß", "é", "%", "_", "\\", "'", '"', "😀", " b ", "a b", ""]),
    },
)
moments = st.dictionaries(
    st.sampled_from(["created_after", "created_before", "updated_after", "updated_before"]),
    places,
    max_size=1,
)
sorts = st.none() | st.lists(
    st.sampled_from(["created_at", "updated_at", "title", "completed"]), min_size=1, max_size=3, unique=True
).flatmap(lambda names: st.tuples(*(st.sampled_from([name, f"-{name}"]) for name in names)).map(",".join))
limits = st.sampled_from([None, None, 1, 2, 5, 1_000])


class Machine(RuleBasedStateMachine):
    """A new user's client. A place chooses among the tasks that there are, or one that is not."""

    client: Client
    seen: Counter[str]
    prefix: str

    def __init__(self) -> None:
        super().__init__()
        self.seen["runs"] += 1
        user = f"model-{self.seen['runs']}"
        self.book = Book(user)
        self.path = f"/api/{user}/tasks"
        self.kept: list[tuple[Request, Answer]] = []
        self.etags: dict[str, tuple[str, int]] = {}
        self.names = 0

    @invariant()
    def count(self) -> None:
        self.seen["steps"] += 1

    @initialize(some=st.lists(tasks, max_size=5))
    def begin(self, some: list[dict[str, Any]]) -> None:
        for task in some:
            self.create(task=task, key=False)

    @rule(task=tasks, key=keyed)
    def create(self, task: dict[str, Any], key: bool) -> None:
        self.operate(Request("POST", self.path, task), Operation("create", None, task), key)

    @rule(task=tasks, place=places, key=keyed)
    def create_under_an_id(self, task: dict[str, Any], place: int, key: bool) -> None:
        operation = Operation("create", self.id_at(place), task)
        self.operate(Request("PUT", f"{self.path}/{operation.id}", task, _NEW), operation, key)

    @rule(method=st.sampled_from(["PATCH", "PUT"]), place=places, body=changes, guard=guards, key=keyed)
    def update(self, method: str, place: int, body: dict[str, Any], guard: str | None, key: bool) -> None:
        self.operate_on(place, guard, key, "update", Request(method, "", body))

    @rule(toggle=st.booleans(), place=places, state=states, guard=guards, key=keyed)
    def toggle(self, toggle: bool, place: int, state: Any, guard: str | None, key: bool) -> None:
        method, end = ("POST", "/toggle") if toggle else ("PATCH", "/complete")
        self.operate_on(place, guard, key, "toggle", Request(method, end, state))

    @rule(place=places, guard=guards, shows=st.booleans(), key=keyed)
    def delete(self, place: int, guard: str | None, shows: bool, key: bool) -> None:
        self.operate_on(place, guard, key, "delete", Request("DELETE", "", None, _SHOW if shows else {}))

    @rule(place=places, guard=guards, key=keyed)
    def restore(self, place: int, guard: str | None, key: bool) -> None:
        self.operate_on(place, guard, key, "restore", Request("POST", "/restore"))

    @rule(query=filters, key=keyed)
    def delete_many(self, query: dict[str, str], key: bool) -> None:
        answer = self.write(Request("DELETE", _url(self.path, query)), key)
        if query.get("q") == "":  # a slip, by which all would be deleted
            assert answer.status == 400, answer.content
            return
        count = self.book.delete_many(query)
        assert answer.status == 200, answer.content
        assert answer.json() == {"deleted": count}

    @rule(drawn=st.lists(entries, min_size=1, max_size=6), key=keyed)
    def batch(self, drawn: list[tuple[str, int, str | None, dict[str, Any]]], key: bool) -> None:
        operations = [self.operation(*entry) for entry in drawn]
        body = {"operations": [operation.entry() for operation in operations]}
        answer = self.write(Request("POST", f"{self.path}/batch", body), key)
        trial = self.book.trial()
        for index, operation in enumerate(operations):
            try:
                trial.apply(operation)
            except Refused as refused:
                self.check_refused(answer, refused)
                assert answer.json()["index"] == index
                return
        assert answer.status == 200, answer.content
        for operation, result in zip(operations, answer.json()["results"], strict=True):
            assert result["status"] == (201 if operation.op == "create" else 200)
            self.book.show(self.book.apply(operation), result["task"])

    @rule(place=places, body=wrong, method=st.sampled_from(["POST", "PATCH", "PUT"]), key=keyed)
    def break_a_rule(self, place: int, body: Any, method: str, key: bool) -> None:
        path = self.path if method == "POST" else f"{self.path}/{self.id_at(place)}"
        assert self.write(Request(method, path, body), key).status == 400

    @precondition(lambda self: self.kept)
    @rule(place=places)
    def repeat(self, place: int) -> None:
        request, first = self.kept[place % len(self.kept)]
        answer = self.send(request)
        assert answer.headers["idempotent-replayed"] == "true"
        assert (answer.status, answer.content) == (first.status, first.content)
        assert answer.headers.get("etag") == first.headers.get("etag")

    @precondition(lambda self: self.kept)
    @rule(place=places, task=tasks)
    def reuse_a_key(self, place: int, task: dict[str, Any]) -> None:
        request, _ = self.kept[place % len(self.kept)]
        key = {"Idempotency-Key": request.headers["Idempotency-Key"]}
        assert self.send(Request("POST", f"{self.path}?another", task, key)).status == 422

    @rule(place=places, known=st.sampled_from([None, "right", "stale"]))
    def read(self, place: int, known: str | None) -> None:
        task = self.id_at(place)
        headers = {} if known is None else {"If-None-Match": self.guard(task, known)[0]}
        answer = self.send(Request("GET", f"{self.path}/{task}", None, headers))
        record = self.book.tasks.get(task)
        if record is None or record["deleted_at"] is not None:
            assert answer.status == 404
            return
        assert answer.headers["etag"] == f'"{record["version"]}"'
        if known == "right":
            assert (answer.status, answer.content) == (304, b"")
        else:
            assert answer.status == 200
            self.book.show(task, answer.json())

    @rule(query=filters, moment=moments, sort=sorts, trash=st.booleans(), limit=limits)
    def look(
        self, query: dict[str, str], moment: dict[str, int], sort: str | None, trash: bool, limit: int | None
    ) -> None:
        if self.book.has_unknowns():
            self.check_list({})
            self.check_list({"deleted": "true"})
        for name, place in moment.items():
            if record := self.book.tasks.get(self.id_at(place)):
                query = {**query, name: record[f"{name[:7]}_at"]}
        query |= ({"sort": sort} if sort else {}) | ({"deleted": "true"} if trash else {})
        self.check_list(query, limit)

    @rule(back=st.integers(-1, 40), limit=limits)
    def follow(self, back: int, limit: int | None) -> None:
        number = max(0, self.book.number - back)
        cursor = f"{number}"
        if number > self.book.number:
            assert self.send(self.changes_request(cursor, limit)).status == 410
            return
        expected = list(self.book.changed_since(number))
        while True:
            answer = self.send(self.changes_request(cursor, limit))
            assert answer.status == 200, answer.content
            page = answer.json()
            for change in page["changes"]:
                assert change["id"] == expected.pop(0)["id"]
                self.show_change(change)
            assert page["more"] == bool(expected)
            number = page["changes"][-1]["version"] if page["changes"] else number
            cursor = page["next"]
            assert cursor == f"{number}-0"
            if not page["more"]:
                break

    def changes_request(self, cursor: str, limit: int | None) -> Request:
        query = {"since": cursor} | ({"limit": str(limit)} if limit else {})
        return Request("GET", _url(self.path.replace("/tasks", "/changes"), query))

    def show_change(self, change: dict[str, Any]) -> None:
        if "deleted" in change:
            self.book.show_gone(change)
        else:
            self.book.show(change["id"], change)

    def check_list(self, query: Mapping[str, str], limit: int | None = None) -> None:
        expected = self.book.select(dict(query))
        url = _url(self.path, {**query, **({"limit": str(limit)} if limit else {})})
        total = len(expected)
        self.check_unchanged(url)
        while True:
            answer = self.send(Request("GET", url, None, {"Prefer": "count=exact"}))
            assert answer.status == 200, answer.content
            assert answer.headers["x-total-count"] == str(total)
            self.etags[url] = (answer.headers["etag"], self.book.number)
            shown = answer.json()
            page = expected[:limit]
            assert [task["id"] for task in shown] == [record["id"] for record in page]
            for task in shown:
                self.book.show(task["id"], task)
            expected = expected[len(page) :]
            if not expected:
                break
            url = answer.headers["link"].removeprefix("<").partition(">")[0]
        assert "link" not in answer.headers

    def check_unchanged(self, url: str) -> None:
        """What a client that has seen this list before is told."""
        if url in self.etags:
            etag, number = self.etags[url]
            answer = self.send(Request("GET", url, None, {"If-None-Match": etag}))
            assert answer.status == (304 if number == self.book.number else 200)

    def operate_on(self, place: int, guard: str | None, key: bool, op: str, request: Request) -> None:
        task = self.id_at(place)
        headers = dict(request.headers)
        versions = None
        if guard is not None:
            headers["If-Match"], versions = self.guard(task, guard)
        request = replace(request, path=f"{self.path}/{task}{request.path}", headers=headers)
        self.operate(request, Operation(op, task, request.body, versions), key)

    def operate(self, request: Request, operation: Operation, key: bool) -> None:
        answer = self.write(request, key)
        try:
            task = self.book.apply(operation)
        except Refused as refused:
            self.check_refused(answer, refused)
            return
        status = 201 if operation.op == "create" else 200
        if operation.op == "delete" and "Prefer" not in request.headers:
            assert (answer.status, answer.content) == (204, b"")
            return
        assert answer.status == status, answer.content
        self.book.show(task, answer.json())
        assert answer.headers["etag"] == f'"{answer.json()["version"]}"'

    def check_refused(self, answer: Answer, refused: Refused) -> None:
        assert answer.status == refused.status, answer.content
        if refused.version is not None:
            assert answer.headers["etag"] == f'"{refused.version}"'

    def write(self, request: Request, key: bool) -> Answer:
        if not key:
            return self.send(request)
        self.names += 1
        request = replace(request, headers={**request.headers, "Idempotency-Key": f"key {self.names}"})
        answer = self.send(request)
        assert "idempotent-replayed" not in answer.headers
        if answer.status < 300 or answer.status in _KEPT:
            self.kept.append((request, answer))
        return answer

    def send(self, request: Request) -> Answer:
        self.seen["requests"] += 1
        answer = self.client.send(request)
        self.seen[f"answered {answer.status}"] += 1
        return answer

    def operation(self, op: str, place: int, guard: str | None, task: dict[str, Any]) -> Operation:
        """One of a batch."""
        if op == "create":
            return Operation("create", None, task)
        target = self.id_at(place)
        if op == "create under an id":
            return Operation("create", target, task)
        body = {"update": task, "toggle": {}}.get(op)
        return Operation(op, target, body, self.guard(target, guard)[1] if guard else None)

    def guard(self, task: str, kind: str) -> tuple[str, frozenset[int] | None]:
        """The header, and the versions that it allows."""
        record = self.book.tasks.get(task)
        version = record["version"] if record else 1
        match kind:
            case "right":
                return f'"{version}"', frozenset({version})
            case "stale":
                return f'"{version - 1}"', frozenset({version - 1})
            case "any":
                return "*", None
            case "weak":
                return f'W/"{version}"', frozenset({version})
            case "compressed":
                return f'"{version}-gzip"', frozenset({version})
            case _:
                return f'"{version + 9}", W/"1", "{version}"', frozenset({1, version, version + 9})

    def id_at(self, place: int) -> str:
        known = list(self.book.tasks)
        if known and place % 8:
            return known[place % len(known)]
        return f"00000000-0000-4000-8000-{place:012x}"


def _url(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query, quote_via=quote)}" if query else path


def measure(server: ServerProcess, form: Form) -> Figures:
    runs = form.count(_RUNS)
    options = settings(
        max_examples=runs,
        stateful_step_count=_STEPS,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    seen: Counter[str] = Counter()
    figures = Figures()
    diverged = 0
    with Client(server.port) as client:
        machine = seed(form.seed)(type("Machine", (Machine,), {"client": client, "seen": seen}))
        try:
            run_state_machine_as_test(machine, settings=options)
        except (AssertionError, Flaky):
            traceback.print_exc()
            diverged = 1
    for name in ("runs", "steps", "requests", *sorted(name for name in seen if name.startswith("answered"))):
        figures.note(name, seen[name])
    figures.promise("divergences", diverged, kept=not diverged)
    return figures
