"""Any operations in any order, by one client: the server does what the book does."""

import traceback
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, HypothesisWarning
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from harness.figures import Figures, Form
from harness.servers import ServerProcess
from stress import model_inputs as inputs
from stress import reference_history, reference_labels, reference_query
from stress.client import Answer, Client, Request
from stress.model_inputs import guards, keyed, limits, places
from stress.reference_model import Book, Operation, Record, Refused, adopt, folded, value_of

_RUNS = 2_000
_STEPS = 30
_CHAIN = 8  # levels: as many as there may be
_AT_ONCE = 200  # Hypothesis remembers every one, in megabytes
_KEPT = {404, 409, 412}  # the refusals that a key keeps
_SHOW = {"Prefer": "return=representation"}
_NEW = {"If-None-Match": "*"}
_KINDS = ("task", "list", "label")


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
        self.base = f"/api/{user}"
        self.path = f"{self.base}/tasks"
        self.lists = f"{self.base}/lists"
        self.kept: list[tuple[Request, Answer]] = []
        self.etags: dict[str, tuple[str, int, str]] = {}
        self.names = 0
        self.copy = Copy()
        self.asks = False

    @invariant()
    def count(self) -> None:
        self.seen["steps"] += 1
        self.asks = False

    @initialize(
        lists=st.lists(inputs.new_lists, max_size=2),
        some=st.lists(inputs.tasks | inputs.recurring_tasks, max_size=6),
        tree=st.sampled_from(["", "bush", "chain"]),
        ways=inputs.ways,
        body=inputs.completions,
        tz=inputs.zone_of_request,
    )
    def begin(
        self,
        lists: list[Record],
        some: list[Record],
        tree: str,
        ways: list[str],
        body: Record,
        tz: str | None,
    ) -> None:
        for one in lists:
            self.create_list(body=one, key=False)
        chain = [{"title": f"{level}"} for level in range(_CHAIN)] if tree == "chain" else []
        for place, task in enumerate([*chain, *some]):
            known = list(self.book.tasks)
            above = {"bush": place // 2, "chain": place - 1}.get(tree, -1)
            parents = known[above : above + 1] if above >= 0 else []
            self.create(task=task, tz=None, key=False, parent=parents)
        self.go_on(len(some), ways, body, tz, key=False)

    # Tasks

    @rule(task=inputs.tasks, tz=inputs.zone_of_request, key=keyed)
    def create(self, task: Record, tz: str | None, key: bool, parent: Sequence[str] = ()) -> None:
        body = self.resolved(task)
        if parent:
            body = {name: value for name, value in body.items() if name != "list_id"}
            body["parent_id"] = parent[0]
        self.operate(Request("POST", self.path, body), Operation("create", None, body), key, tz)

    @rule(task=inputs.put_tasks, place=places, key=keyed)
    def create_under_an_id(self, task: Record, place: int, key: bool) -> None:
        body = self.meant("", self.resolved(task))
        operation = Operation("create", self.id_at(place), body)
        self.operate(Request("PUT", f"{self.path}/{operation.id}", body, _NEW), operation, key)

    @rule(
        method=st.sampled_from(["PATCH", "PUT"]),
        place=places,
        body=inputs.changes,
        guard=guards,
        tz=inputs.zone_of_request,
        key=keyed,
    )
    def update(
        self, method: str, place: int, body: Record, guard: str | None, tz: str | None, key: bool
    ) -> None:
        body = self.resolved(body)
        self.operate_on("task", place, guard, key, "update", Request(method, "", body), tz)

    @rule(toggle=st.booleans(), place=places, state=inputs.states, guard=guards, key=keyed)
    def toggle(self, toggle: bool, place: int, state: Any, guard: str | None, key: bool) -> None:
        method, end = ("POST", "/toggle") if toggle else ("PATCH", "/complete")
        self.operate_on("task", place, guard, key, "toggle", Request(method, end, state))

    @rule(place=places, skip=inputs.skips, guard=guards, tz=inputs.zone_of_request, key=keyed)
    def skip(self, place: int, skip: Record | None, guard: str | None, tz: str | None, key: bool) -> None:
        self.operate_on("task", place, guard, key, "skip", Request("POST", "/skip", skip), tz)

    @precondition(lambda self: self.recurring())
    @rule(
        place=places,
        ways=inputs.ways,
        body=inputs.completions,
        tz=inputs.zone_of_request,
        key=keyed,
    )
    def go_on(self, place: int, ways: list[str], body: Record, tz: str | None, key: bool) -> None:
        """With a task that recurs, some times."""
        for way in ways:
            rows = self.recurring()
            if not rows:
                return
            row = rows[place % len(rows)]
            sent = self.meant(row, {"completed": True} | body)
            method, end, op = {
                "toggle": ("POST", "/toggle", "toggle"),
                "complete": ("PATCH", "/complete", "toggle"),
                "skip": ("POST", "/skip", "skip"),
            }.get(way, (way, "", "update"))
            if op == "skip":
                sent = {name: value for name, value in sent.items() if name == "occurrence"}
            request = Request(method, f"{self.path}/{row}{end}", sent)
            self.operate(request, Operation(op, row, sent), key, tz)

    def recurring(self) -> list[str]:
        """The open tasks that recur, and are known by their ids."""
        return [
            row
            for row, task in self.book.tasks.items()
            if task["recurrence"] is not None and task["deleted_at"] is None and not task["completed"]
        ]

    @rule(place=places, move=inputs.moves, guard=guards, key=keyed)
    def move(self, place: int, move: Record, guard: str | None, key: bool) -> None:
        body = self.resolved(move)
        self.operate_on("task", place, guard, key, "move", Request("POST", "/move", body))

    @rule(
        kind=st.sampled_from(["task", "task", "list"]),
        place=places,
        guard=guards,
        shows=st.booleans(),
        keeps=st.booleans(),
        key=keyed,
    )
    def delete(self, kind: str, place: int, guard: str | None, shows: bool, keeps: bool, key: bool) -> None:
        end, body = ("?tasks=keep", {"tasks": "keep"}) if keeps and kind == "list" else ("", None)
        request = Request("DELETE", end, None, _SHOW if shows else {})
        self.operate_on(kind, place, guard, key, "delete", request, body=body)

    @rule(kind=st.sampled_from(["task", "task", "list"]), place=places, guard=guards, key=keyed)
    def restore(self, kind: str, place: int, guard: str | None, key: bool) -> None:
        self.operate_on(kind, place, guard, key, "restore", Request("POST", "/restore"))

    @rule(query=inputs.filters, key=keyed)
    def delete_many(self, query: Record, key: bool) -> None:
        query = self.resolved_query(query)
        before = _minute()
        answer = self.write(Request("DELETE", _url(self.path, query)), key)
        # An empty text is a slip, by which all would be deleted.
        if query.get("q") == "" or _contradicts(query):
            assert answer.status == 400, answer.content
            return
        assert answer.status == 200, answer.content
        found = reference_query.doomed(self.book, query, before)
        if len(found) != answer.json()["deleted"]:  # unless the minute has changed meanwhile
            found = reference_query.doomed(self.book, query, _minute())
        assert answer.json() == {"deleted": len(found)}
        self.book.delete_at_once(found)

    # Lists

    @rule(body=inputs.new_lists, key=keyed)
    def create_list(self, body: Record, key: bool) -> None:
        self.operate(Request("POST", self.lists, body), Operation("create", None, body, kind="list"), key)

    @rule(body=inputs.new_lists, place=places, key=keyed)
    def create_list_under_an_id(self, body: Record, place: int, key: bool) -> None:
        operation = Operation("create", self.id_at(place, "list"), body, kind="list")
        self.operate(Request("PUT", f"{self.lists}/{operation.id}", body, _NEW), operation, key)

    @rule(
        method=st.sampled_from(["PATCH", "PUT"]),
        place=places,
        body=inputs.list_changes,
        guard=guards,
        key=keyed,
    )
    def update_list(self, method: str, place: int, body: Record, guard: str | None, key: bool) -> None:
        self.operate_on("list", place, guard, key, "update", Request(method, "", body))

    @rule(op=st.sampled_from(["archive", "unarchive"]), place=places, guard=guards, key=keyed)
    def archive_list(self, op: str, place: int, guard: str | None, key: bool) -> None:
        self.operate_on("list", place, guard, key, op, Request("POST", f"/{op}"))

    @rule(place=places, move=inputs.list_moves, guard=guards, key=keyed)
    def move_list(self, place: int, move: Record, guard: str | None, key: bool) -> None:
        body = self.resolved(move, "list")
        self.operate_on("list", place, guard, key, "move", Request("POST", "/move", body))

    @rule(trash=st.booleans(), counts=st.booleans(), tz=inputs.zone_of_request)
    def look_at_lists(self, trash: bool, counts: bool, tz: str | None) -> None:
        query = ({"deleted": "true"} if trash else {}) | ({"counts": "true"} if counts else {})
        query |= {"tz": tz} if tz else {}
        before = _minute()
        answer = self.send(Request("GET", _url(self.lists, query)))
        assert answer.status == 200, answer.content
        found = [one for one in self.book.lists.values() if (one["deleted_at"] is not None) == trash]
        found.sort(key=lambda one: (one["position"], one["id"]))
        shown = answer.json()
        assert [one["id"] for one in shown] == [one["id"] for one in found]
        for one in shown:
            if counts and not trash:
                numbers = (one.pop("open"), one.pop("overdue"))
                assert numbers in [self.counts(one["id"], now, tz or "UTC") for now in (before, _minute())]
            self.book.show(one["id"], one, "list")

    def counts(self, key: str, now: datetime, tz: str) -> tuple[int, int]:
        opened = [one for one in self.book.alive() if one["list_id"] == key and not one["completed"]]
        return len(opened), sum(reference_query.overdue(one, now, tz) for one in opened)

    # Labels

    @rule(name=inputs.names, body=inputs.label_puts, in_query=st.booleans(), key=keyed)
    def put_label(self, name: str, body: Record, in_query: bool, key: bool) -> None:
        answer = self.write(Request("PUT", self.label_path(name, in_query), body), key)
        assert answer.status == 200, answer.content
        reference_labels.show(answer.json(), reference_labels.put(self.book, name, body))

    @rule(name=inputs.names, body=inputs.label_changes, in_query=st.booleans(), key=keyed)
    def update_label(self, name: str, body: Record, in_query: bool, key: bool) -> None:
        answer = self.write(Request("PATCH", self.label_path(name, in_query), body), key)
        try:
            expected = reference_labels.update(self.book, name.strip(), body)
        except Refused as refused:
            self.check_refused(answer, refused)
            return
        assert answer.status == 200, answer.content
        reference_labels.show(answer.json(), expected)

    @rule(name=inputs.names, in_query=st.booleans(), key=keyed)
    def delete_label(self, name: str, in_query: bool, key: bool) -> None:
        answer = self.write(Request("DELETE", self.label_path(name, in_query)), key)
        try:
            reference_labels.delete(self.book, name)
        except Refused as refused:
            self.check_refused(answer, refused)
            return
        assert answer.status == 204, answer.content

    @rule()
    def look_at_labels(self) -> None:
        answer = self.send(Request("GET", f"{self.base}/labels"))
        assert answer.status == 200, answer.content
        assert answer.json() == reference_labels.known(self.book)

    def label_path(self, name: str, in_query: bool) -> str:
        if in_query or "/" in name:
            return _url(f"{self.base}/labels", {"name": name})
        return f"{self.base}/labels/{quote(name, safe='')}"

    # Both

    @rule(drawn=st.lists(inputs.entries, min_size=1, max_size=6), tz=inputs.zone_of_request, key=keyed)
    def batch(self, drawn: list[Any], tz: str | None, key: bool) -> None:
        now = datetime.now(UTC)
        operations = [replace(self.operation(*entry), tz=tz or "UTC", now=now) for entry in drawn]
        body = {"operations": [operation.entry() for operation in operations]}
        answer = self.write(Request("POST", _url(f"{self.path}/batch", {"tz": tz} if tz else {}), body), key)
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
            self.book.show(self.book.apply(operation), result[operation.kind], operation.kind)
            assert result.get("completion") == self.book.completion
            self.seen["occurrences completed"] += self.book.completion is not None

    @rule(place=places, body=inputs.wrong, method=st.sampled_from(["POST", "PATCH", "PUT"]), key=keyed)
    def break_a_rule(self, place: int, body: Any, method: str, key: bool) -> None:
        path, statuses = self.path, {400}
        if method != "POST":
            path = f"{path}/{self.id_at(place)}"
            # A long text could be that of the task, which then may stay: it is looked for first.
            statuses |= {404} if not {"title", "description"}.isdisjoint(body) else set()
        assert self.write(Request(method, path, body), key).status in statuses

    @precondition(lambda self: self.kept)
    @rule(place=places)
    def repeat(self, place: int) -> None:
        request, first = self.kept[place % len(self.kept)]
        answer = self.send(request)
        assert answer.headers["idempotent-replayed"] == "true"
        assert (answer.status, answer.content) == (first.status, first.content)
        assert answer.headers.get("etag") == first.headers.get("etag")

    @precondition(lambda self: self.kept)
    @rule(place=places, task=inputs.tasks)
    def reuse_a_key(self, place: int, task: Record) -> None:
        request, _ = self.kept[place % len(self.kept)]
        key = {"Idempotency-Key": request.headers["Idempotency-Key"]}
        answer = self.send(Request("POST", f"{self.path}?another", self.resolved(task), key))
        assert answer.status == 422

    @rule(
        kind=st.sampled_from(["task", "list"]),
        place=places,
        known=st.sampled_from([None, "right", "stale"]),
    )
    def read(self, kind: str, place: int, known: str | None) -> None:
        key = self.id_at(place, kind)
        headers = {} if known is None else {"If-None-Match": self.guard(key, known, kind)[0]}
        answer = self.send(Request("GET", f"{self.base}/{kind}s/{key}", None, headers))
        record = self.book.rows(kind).get(key)
        if record is None or record["deleted_at"] is not None:
            assert answer.status == 404
            return
        assert answer.headers["etag"] == f'"{record["version"]}"'
        if known == "right":
            assert (answer.status, answer.content) == (304, b"")
        else:
            assert answer.status == 200
            self.book.show(key, answer.json(), kind)

    @rule(
        query=inputs.filters,
        moment=inputs.moments,
        sort=inputs.sorts,
        trash=st.booleans(),
        fields=inputs.fields,
        limit=limits,
    )
    def look(
        self,
        query: Record,
        moment: dict[str, int],
        sort: str | None,
        trash: bool,
        fields: str | None,
        limit: int | None,
    ) -> None:
        if self.book.has_unknowns():
            self.look_at_everything()
        query = self.resolved_query(query)
        for name, place in moment.items():
            at = value_of(self.book.tasks.get(self.id_at(place), {}).get(f"{name.partition('_')[0]}_at"))
            query |= {name: at} if at else {}
        query |= ({"sort": sort} if sort else {}) | ({"deleted": "true"} if trash else {})
        query |= {"fields": fields} if fields else {}
        if _contradicts(query):
            assert self.send(Request("GET", _url(self.path, query))).status == 400
            return
        if query.get("q") == "":
            del query["q"]
        self.check_list(query, limit)

    def look_at_everything(self) -> None:
        for query in ({}, {"archived": "true"}, {"deleted": "true"}):
            self.check_list(query)
        for trash in (False, True):
            self.look_at_lists(trash, False, None)

    @rule(back=st.integers(-1, 40), kinds=inputs.kinds, limit=limits)
    def follow(self, back: int, kinds: str, limit: int | None) -> None:
        number = max(0, self.book.number - back)
        if number > self.book.number:
            assert self.send(self.changes_request(f"{number}", kinds, limit)).status == 410
            return
        self.read_feed(number, kinds, limit, Copy())

    @rule(limit=limits)
    def sync(self, limit: int | None) -> None:
        """A copy of everything, of the feed alone."""
        self.read_feed(self.copy.number, ",".join(_KINDS), limit, self.copy)
        self.copy.number = self.book.number
        self.check_copy()

    def teardown(self) -> None:
        if not self.asks:  # else a step has failed
            self.sync(None)
            self.check_history()

    def check_history(self) -> None:
        """Each number has its record, with what has changed by it."""
        pages, url = [], f"{self.base}/history?since=0&limit=100"
        while url:
            answer = self.send(Request("GET", url))
            assert answer.status == 200, answer.content
            pages += answer.json()
            url = answer.headers.get("link", "").removeprefix("<").partition(">")[0]
        reference_history.check(pages, self.book.changes)

    def check_copy(self) -> None:
        """The lists are those of the copy."""
        tasks = [*self.answered(f"{self.path}?archived=false"), *self.answered(f"{self.path}?archived=true")]
        assert {task["id"]: task for task in tasks} == self.copy.rows["task"]
        assert {one["id"]: one for one in self.answered(self.lists)} == self.copy.rows["list"]
        labels = [label for label in self.answered(f"{self.base}/labels") if label["version"] is not None]
        for label in labels:
            del label["open"], label["total"]
        assert {folded(label["name"]): label for label in labels} == self.copy.rows["label"]

    def answered(self, path: str) -> Any:
        answer = self.send(Request("GET", path))
        assert answer.status == 200, answer.content
        return answer.json()

    def read_feed(self, number: int, kinds: str, limit: int | None, copy: "Copy") -> None:
        expected = self.book.changed_since(number, kinds.split(",") if kinds else ["task"])
        cursor = f"{number}"
        while True:
            answer = self.send(self.changes_request(cursor, kinds, limit))
            assert answer.status == 200, answer.content
            page = answer.json()
            for change in page["changes"]:
                kind, record = expected.pop(0)
                assert change.get("type", "task") == kind
                assert ("type" in change) == bool(kinds)
                assert change["version"] == record["version"]
                change.pop("type", None)
                copy.apply(kind, change)
                self.show_change(kind, change)
            assert page["more"] == bool(expected)
            number = page["changes"][-1]["version"] if page["changes"] else number
            cursor = page["next"]
            assert cursor == f"{number}-0"
            if not page["more"]:
                break

    def changes_request(self, cursor: str, kinds: str, limit: int | None) -> Request:
        given = {"since": cursor, "limit": limit, "types": kinds}
        query = {name: value for name, value in given.items() if value}
        return Request("GET", _url(f"{self.base}/changes", query))

    def show_change(self, kind: str, change: Record) -> None:
        if kind == "label":
            if "deleted" in change:
                reference_labels.show_gone(self.book, change)
            else:
                reference_labels.show(change, reference_labels.row_of(self.book, change["name"]))
        elif "deleted" in change:
            self.book.show_gone(change, kind)
        else:
            self.book.show(change["id"], change, kind)

    def check_list(self, query: Mapping[str, Any], limit: int | None = None) -> None:
        """Asks again if the minute changes meanwhile, by which words of the calendar go."""
        while True:
            now = _minute()
            url = _url(self.path, {**query, **({"limit": str(limit)} if limit else {})})
            pages = self.pages(url, reference_query.clock(query, now))
            if _minute() == now:
                break
        expected = reference_query.select(self.book, query, now)
        total, shown = len(expected), 0
        for page in pages:
            assert page.headers["x-total-count"] == str(total)
            for task in page.json():
                record = expected[shown]
                shown += 1
                assert task["id"] == record["id"]
                if "fields" in query:
                    assert task.keys() == {*query["fields"].split(",")}
                    adopt(record, task)
                else:
                    self.book.show(task["id"], task)
            assert shown == total or (limit is not None and shown % limit == 0)
        assert shown == total

    def pages(self, url: str, clock: str) -> list[Answer]:
        self.check_unchanged(url, clock)
        found = []
        while True:
            answer = self.send(Request("GET", url, None, {"Prefer": "count=exact"}))
            assert answer.status == 200, answer.content
            self.etags[url] = (answer.headers["etag"], self.book.number, clock)
            found.append(answer)
            if "link" not in answer.headers:
                return found
            url = answer.headers["link"].removeprefix("<").partition(">")[0]

    def check_unchanged(self, url: str, clock: str) -> None:
        """What a client that has seen this list before is told."""
        if url in self.etags:
            etag, number, then = self.etags[url]
            answer = self.send(Request("GET", url, None, {"If-None-Match": etag}))
            same = (number, then) == (self.book.number, clock)
            assert answer.status == (304 if same else 200) or (clock and _minute().isoformat() != clock)

    def operate_on(  # noqa: PLR0913, PLR0917 (what a rule draws)
        self,
        kind: str,
        place: int,
        guard: str | None,
        key: bool,
        op: str,
        request: Request,
        tz: str | None = None,
        body: Record | None = None,
    ) -> None:
        row = self.id_at(place, kind)
        headers = dict(request.headers)
        versions = None
        if guard is not None:
            headers["If-Match"], versions = self.guard(row, guard, kind)
        sent = self.meant(row, request.body)
        request = replace(
            request, path=f"{self.base}/{kind}s/{row}{request.path}", headers=headers, body=sent
        )
        body = request.body if body is None else body
        self.operate(request, Operation(op, row, body, versions, kind), key, tz)

    def operate(self, request: Request, operation: Operation, key: bool, tz: str | None = None) -> None:
        if tz is not None:
            operation = replace(operation, tz=tz)
            request = replace(request, path=_url(request.path, {"tz": tz}))
        operation = replace(operation, now=datetime.now(UTC))
        answer = self.write(request, key)
        try:
            row = self.book.apply(operation)
        except Refused as refused:
            self.check_refused(answer, refused)
            return
        status = 201 if operation.op == "create" else 200
        if operation.op == "delete" and "Prefer" not in request.headers:
            assert (answer.status, answer.content) == (204, b"")
            return
        assert answer.status == status, answer.content
        self.book.show(row, answer.json(), operation.kind)
        assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
        assert answer.headers.get("completion") == self.book.completion
        self.seen["occurrences completed"] += self.book.completion is not None

    def check_refused(self, answer: Answer, refused: Refused) -> None:
        assert answer.status == refused.status, (answer.content, refused)
        if refused.code is not None:
            self.seen[f"refused: {refused.code}"] += 1
            assert answer.json()["errors"][0]["code"] == refused.code
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
        self.asks = True
        answer = self.client.send(request)
        self.seen[f"answered {answer.status}"] += 1
        return answer

    def operation(
        self, kind: str, op: str, place: int, guard: str | None, bodies: Mapping[str, Any]
    ) -> Operation:
        """One of a batch."""
        if op.startswith("create"):
            key = None if op == "create" else self.id_at(place, kind)
            return Operation("create", key, self.resolved(bodies["create"]), kind=kind)
        target = self.id_at(place, kind)
        body = bodies.get(op)
        body = {} if op == "toggle" and body is None else body
        body = self.meant(target, body and self.resolved(body, kind))
        versions = self.guard(target, guard, kind)[1] if guard else None
        return Operation(op, target, body, versions, kind)

    def guard(self, key: str, guard: str, kind: str = "task") -> tuple[str, frozenset[int] | None]:
        """The header, and the versions that it allows."""
        record = self.book.rows(kind).get(key)
        version = record["version"] if record else 1
        match guard:
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

    def id_at(self, place: int, kind: str = "task") -> str:
        known = list(self.book.rows(kind))
        if known and place % 8:
            return known[place % len(known)]
        return f"00000000-0000-4000-{'8' if kind == 'task' else '9'}000-{place:012x}"

    def resolved(self, body: Record, kind: str = "task") -> Record:
        """The body with ids in the place of places."""
        kinds = {"list_id": "list", "parent_id": "task", "after": kind, "before": kind}
        return {
            name: self.id_at(value, kinds[name]) if name in kinds and value is not None else value
            for name, value in body.items()
        }

    def meant(self, key: str, body: Any) -> Any:
        """The body with the occurrence that it means of a task; of one that has none, any."""
        if not body or body.get("occurrence") is None:
            return body
        task = self.book.tasks.get(key, {})
        current = task.get("due") or task.get("start") or "2026-11-20"
        occurrence = {
            "earlier": "2001-02-03",
            "later": "2099-02-03T04:05:06",
            "its day": current[:10],
        }.get(body["occurrence"], current)
        return {**body, "occurrence": occurrence}

    def resolved_query(self, query: Record) -> Record:
        query = dict(query)
        if "list" in query:
            ids = ("inbox" if place is None else self.id_at(place, "list") for place in query["list"])
            query["list"] = ",".join(ids)
        if "parent" in query:
            query["parent"] = "none" if query["parent"] is None else self.id_at(query["parent"])
        return query


class Copy:
    """A client's copy, by the feed alone. `number`: up to which change."""

    def __init__(self) -> None:
        self.number = 0
        self.rows: dict[str, dict[str, Record]] = {kind: {} for kind in _KINDS}

    def apply(self, kind: str, change: Record) -> None:
        """A record of the feed. Two spellings are one label."""
        key = folded(change["name"]) if kind == "label" else change["id"]
        if change.get("deleted"):
            self.rows[kind].pop(key, None)
        else:
            self.rows[kind][key] = change


def _minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


def _contradicts(query: Mapping[str, Any]) -> bool:
    """Whether `status` and `completed` cannot both be."""
    status = query.get("status", "all")
    completed = "true" if status in {"completed", "cancelled"} else "false"
    return bool(status != "all" and query.get("completed", completed) != completed)


def _url(path: str, query: Mapping[str, Any]) -> str:
    sign = "&" if "?" in path else "?"
    return f"{path}{sign}{urlencode(query, doseq=True, quote_via=quote)}" if query else path


def measure(server: ServerProcess, form: Form) -> Figures:
    seen: Counter[str] = Counter()
    figures = Figures()
    diverged = 0
    with Client(server.port) as client:
        machine = type("Machine", (Machine,), {"client": client, "seen": seen})
        while seen["runs"] < form.count(_RUNS) and not diverged:
            diverged = _run(machine, min(_AT_ONCE, form.count(_RUNS)), form.seed + seen["runs"])
    others = ["occurrences completed"]
    others += sorted(name for name in seen if name.startswith(("answered", "refused")))
    for name in ("runs", "steps", "requests", *others):
        figures.note(name, seen[name])
    figures.promise("divergences", diverged, kept=not diverged)
    return figures


def _run(machine: type[Machine], runs: int, start: int) -> int:
    """Returns the number of divergences, at most one."""
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
    try:
        with warnings.catch_warnings():
            # It writes down the rules of a retried draw, whose inputs have long descriptions.
            warnings.filterwarnings("ignore", "Generating overly large repr", HypothesisWarning)
            run_state_machine_as_test(seed(start)(machine), settings=options)
    except (AssertionError, Flaky):
        traceback.print_exc()
        return 1
    return 0
