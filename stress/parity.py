"""The same requests on both databases get the same answers, in all that is not a name or a time.

In a request `{3}` stands for the id of the third task that the server has shown, `{3l}` for that of the third
list, and `{3t}` for the third time.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from harness.figures import Figures, Form
from harness.servers import server_process
from harness.task_bodies import random_body, shown_texts
from stress.client import Answer, Client, Request

_REQUESTS = 20_000
_REQUESTS_OF_A_USER = 100

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d(:|%3A)\d\d(:|%3A)\d\d\.\d{6}Z")
_REQUEST_ID = re.compile(r'"request_id": "[0-9a-f]{32}"')
_CURSOR = re.compile(r"cursor=[\w-]+")
_DIGEST = re.compile(r'(?<=-)[0-9a-f]{12}(?=")')  # of a list's query, which has times in it
_POSITION = re.compile(r'(?<="position":")[iR][0-9A-Za-z]{9,}(?=")')  # made of the clock
_PLACE = re.compile(r"\{(\d+)([tl]?)\}")
_SENT = shown_texts()  # the times among them are not the server's own
_NAMES = ("home", "HOME", "Büro", "Bu\u0308ro", "a/b", "ß", "ss", '"', "\\", "a,b", " home ", "")
_FILTER_NAMES = (*_NAMES, ["home", "ss"], ["Büro", '"'])
_LABEL_VALUES = {"color": ("#2E7D32", None, "red"), "position": ("a0", "Zz", None, "")}
_BOUNDS = ("2026-11-18", "2031-05-06T07:08:09", "2031-05-06T07:08:09Z", "2026-11-30T09:00", "2026-02-30")
_OWN_HEADERS = {"date", "x-request-id", "content-length"}


class Side:
    """A server, and the ids and times that it made."""

    def __init__(self, client: Client) -> None:
        self.ids: list[str] = []
        self._times: list[str] = []
        self._of_kind: dict[str, list[str]] = {"": [], "l": []}
        self._client = client

    def send(self, request: Request) -> tuple[Any, ...]:
        """The answer, in words that are not the server's own."""
        headers = {name: self._fill(value) for name, value in request.headers.items()}
        body = json.loads(self._fill(json.dumps(request.body)))
        answer = self._client.send(Request(request.method, self._fill(request.path), body, headers))
        self._learn(answer, "l" if "/lists" in request.path else "")
        kept = sorted((name, value) for name, value in answer.headers.items() if name not in _OWN_HEADERS)
        return (answer.status, self._blank(answer.content.decode()), self._blank(str(kept)))

    def _learn(self, answer: Answer, kind: str) -> None:
        text = answer.content.decode()
        for found in _ID.findall(text):
            if found not in self.ids:
                self.ids.append(found)
                self._of_kind[kind].append(found)
                time = _TIME.search(text)
                self._times.append(time[0] if time else "2026-11-21T10:00:00Z")

    def _fill(self, text: str) -> str:
        def fill(place: re.Match[str]) -> str:
            known = self._times if place[2] == "t" else self._of_kind[place[2]]
            return known[int(place[1]) % len(known)] if known else place[1]

        return _PLACE.sub(fill, text)

    def _blank(self, text: str) -> str:
        text = _ID.sub(lambda found: f"id {self.ids.index(found[0])}" if found[0] in self.ids else "id", text)
        text = _TIME.sub(lambda found: found[0] if found[0] in _SENT else "time", text)
        for pattern, word in (
            (_REQUEST_ID, '"request_id": ""'),
            (_CURSOR, "cursor"),
            (_DIGEST, ""),
            (_POSITION, "position"),
        ):
            text = pattern.sub(word, text)
        return text


def measure(sqlite: tuple[str, Path], postgresql: tuple[str, Path], form: Form) -> Figures:
    """On two databases that are empty, each with a folder for its server."""
    settings = {"TASKWELL_LOG_LEVEL": "warning"}
    with (
        server_process(sqlite[1], DATABASE_URL=sqlite[0], **settings) as first,
        server_process(postgresql[1], DATABASE_URL=postgresql[0], **settings) as second,
    ):
        return compare(first.port, second.port, form)


def compare(first: int, second: int, form: Form) -> Figures:
    """Of two servers by their ports, on databases that are empty."""
    figures = Figures()
    count = form.count(_REQUESTS)
    with Client(first) as one, Client(second) as other:
        differences = [
            difference
            for user in range(-(-count // _REQUESTS_OF_A_USER))
            for difference in _differences(Side(one), Side(other), Random(f"{form.seed} {user}"), user)
        ]
    figures.note("requests", -(-count // _REQUESTS_OF_A_USER) * _REQUESTS_OF_A_USER)
    figures.promise("answers that differ", len(differences), kept=not differences)
    figures.broken += differences[:5]
    return figures


def _differences(one: Side, other: Side, random: Random, user: int) -> Iterator[str]:
    for n in range(_REQUESTS_OF_A_USER):
        request = _request(random, f"/api/parity-{user}")
        if random.random() < 0.3 and request.method != "GET":
            key = {"Idempotency-Key": str(random.randint(n - 3, n))}
            request = replace(request, headers={**request.headers, **key})
        if random.random() < 0.1:
            request = replace(request, headers={**request.headers, "Prefer": "handling=strict"})
        for _ in range(random.choice((1, 1, 1, 2))):
            answer, another = one.send(request), other.send(request)
            if answer != another:
                yield f"{request}: {answer} here, {another} there"


def _request(random: Random, user: str) -> Request:
    of = random.choices((_of_tasks, _of_lists, _of_labels, _of_claims), (12, 4, 2, 3))[0]
    return of(random, user)


def _of_tasks(random: Random, user: str) -> Request:
    tasks = f"{user}/tasks"
    task = f"{tasks}/{_some_id(random, _place(random))}"
    makers: tuple[Callable[[], Request], ...] = (
        lambda: Request("POST", tasks, _body(random)),
        lambda: Request("POST", tasks, _body(random)),
        lambda: Request("POST", tasks, {"title": "Buy bread"} | _change(random)),
        lambda: Request("POST", tasks, {"title": "Buy milk"} | _parent(random)),
        lambda: Request("PUT", f"{tasks}/{_chosen_id(random)}", _body(random), {"If-None-Match": "*"}),
        lambda: Request(random.choice(("PATCH", "PUT")), task, _body(random), _guard(random, "If-Match")),
        lambda: Request("PATCH", task, _change(random)),
        lambda: Request(
            "POST", f"{task}/move", _move(random, "", _parent(random)), _guard(random, "If-Match")
        ),
        lambda: Request("POST", f"{task}/toggle", None, _guard(random, "If-Match")),
        lambda: Request("POST", f"{task}/toggle", {"completed": True, "subtasks": "complete"}),
        lambda: Request("PATCH", f"{task}/complete", {"completed": random.choice((True, False, 1))}),
        lambda: Request("DELETE", task, None, _guard(random, "If-Match")),
        lambda: Request("DELETE", task, None, {"Prefer": "return=representation"}),
        lambda: Request("POST", f"{task}/restore", None, _guard(random, "If-Match")),
        lambda: Request("DELETE", f"{tasks}?{urlencode(_filter(random), doseq=True, safe='{}')}"),
        lambda: Request("POST", f"{tasks}/batch", {"operations": _operations(random)}),
        lambda: Request("GET", task, None, _guard(random, "If-None-Match")),
        lambda: Request("GET", f"{tasks}?{_list(random)}", None, {"Prefer": "count=exact"}),
        lambda: Request("GET", f"{tasks}?{_list(random)}", None, {"Prefer": "count=exact"}),
        lambda: Request("GET", f"{user}/changes?{_since(random)}"),
        lambda: Request(random.choice(("GET", "POST", "DELETE")), user),
    )
    return random.choice(makers)()


def _of_lists(random: Random, user: str) -> Request:
    lists = f"{user}/lists"
    one = f"{lists}/{_some_id(random, _list_place(random))}"
    guard = _guard(random, "If-Match")
    actions = ("archive", "archive", "unarchive", "restore", "restore")
    makers: tuple[Callable[[], Request], ...] = (
        lambda: Request("POST", lists, _list_body(random)),
        lambda: Request("POST", lists, _list_body(random)),
        lambda: Request("PUT", f"{lists}/{_chosen_id(random)}", _list_body(random), {"If-None-Match": "*"}),
        lambda: Request(random.choice(("PATCH", "PUT")), one, _list_body(random), guard),
        lambda: Request("POST", f"{one}/move", _move(random, "l", {}), guard),
        lambda: Request("POST", f"{one}/{random.choice(actions)}", None, guard),
        lambda: Request(
            "DELETE", f"{one}{random.choice(('', '', '?tasks=keep', '?tasks=', '?x=1'))}", None, guard
        ),
        lambda: Request("GET", one, None, _guard(random, "If-None-Match")),
        lambda: Request("GET", f"{lists}{random.choice(('', '?counts=true', '?deleted=true', '?counts=2'))}"),
    )
    return random.choice(makers)()


def _of_labels(random: Random, user: str) -> Request:
    name = random.choice(_NAMES)
    named = {"name": random.choice(_NAMES)} if random.random() < 0.5 else {}
    row = {name: random.choice(some) for name, some in _LABEL_VALUES.items() if random.random() < 0.5}
    by_path = f"{user}/labels/{quote(name, safe='')}"
    path = random.choice((by_path, f"{user}/labels?{urlencode({'name': name})}"))
    makers: tuple[Callable[[], Request], ...] = (
        lambda: Request("PUT", path, row),
        lambda: Request("PATCH", path, row | named),
        lambda: Request("PATCH", path, {"name": random.choice(_NAMES)}),
        lambda: Request("DELETE", path),
        lambda: Request("GET", path),
        lambda: Request("GET", f"{user}/labels"),
    )
    return random.choice(makers)()


def _of_claims(random: Random, user: str) -> Request:
    """None ends while this runs."""
    tasks, guard = f"{user}/tasks", _guard(random, "If-Match")
    task = f"{tasks}/{_some_id(random, _place(random))}/claim"
    number = random.choice((random.randint(1, 60), random.randint(1, 60), "x"))
    terms = {"seconds": (900, 86_400, 14, "x"), "note": ("worktree 3", None, "", 7)}
    body = {name: random.choice(some) for name, some in terms.items() if random.random() < 0.3}
    chosen = {"count": (1, 2, 100, 0), "sort": ("due", "-title", "position", "x")}
    some = {name: random.choice(some) for name, some in chosen.items() if random.random() < 0.4}
    wanted = {name: value for name, value in _filter(random).items() if name != "tz"}
    makers: tuple[Callable[[], Request], ...] = (
        lambda: Request("POST", task, body, guard),
        lambda: Request("POST", task),
        lambda: Request("POST", f"{tasks}/claims", body | some | {"filter": wanted}),
        lambda: Request("PATCH", f"{task}/{number}", {"seconds": 900}, guard),
        lambda: Request("DELETE", f"{task}/{number}", None, guard),
        lambda: Request("DELETE", task, None, guard),
        lambda: Request("GET", f"{user}/claims"),
        lambda: Request("GET", f"{tasks}?claimed={random.choice(('true', 'false', '2'))}&{_list(random)}"),
    )
    return random.choice(makers)()


def _place(random: Random) -> str:
    return f"{{{random.randrange(20)}}}"


def _some_id(random: Random, known: str) -> str:
    return random.choices((known, _chosen_id(random), "x"), (10, 2, 1))[0]


def _chosen_id(random: Random) -> str:
    return f"00000000-0000-4000-8000-{random.randrange(5):012}"


def _list_place(random: Random) -> str:
    return f"{{{random.randrange(6)}l}}"


def _body(random: Random) -> dict[str, Any]:
    return random_body(random, refused=0.1, others=0.3) | _parent(random)


def _parent(random: Random) -> dict[str, Any]:
    """The members that refer to a list or a task, mostly absent."""
    values = {
        "list_id": (_list_place(random), None),
        "parent_id": (_place(random), _place(random), None, "x"),
    }
    return {name: random.choice(some) for name, some in values.items() if random.random() < 0.15}


def _change(random: Random) -> dict[str, Any]:
    values: dict[str, tuple[Any, ...]] = {
        "labels_add": (list(_NAMES[:2]), [_NAMES[-1]], [""]),
        "labels_remove": (list(_NAMES[1:3]), []),
        "due": ("2026-11-29", "2026-11-30T09:00", None),
        "position": ("a0", "a1", "a0V"),
        "list_id": (_list_place(random), None),
        "parent_id": (_place(random), None),
    }
    return {name: random.choice(some) for name, some in values.items() if random.random() < 0.3}


def _move(random: Random, of: str, others: dict[str, Any]) -> dict[str, Any]:
    """`of`: "l" for a list's neighbour."""
    beside = random.choice((None, None, f"{{{random.randrange(6)}{of}}}", "x"))
    return {
        random.choice(("after", "before", "beside" if random.random() < 0.1 else "after")): beside
    } | others


def _list_body(random: Random) -> dict[str, Any]:
    values = {
        "name": ("Home", " Work ", "x", "", 1),
        "color": ("#2E7D32", "#2e7d32ff", None, "red"),
        "position": ("a0", "a1", "Zz", "a"),
    }
    shares = {"name": 0.9, "color": 0.4, "position": 0.3}
    return {name: random.choice(some) for name, some in values.items() if random.random() < shares[name]}


def _guard(random: Random, name: str) -> dict[str, str]:
    tags = (f'"{random.randint(1, 60)}"', f'"{random.randint(1, 60)}", "7"', "*", 'W/"3"', "17")
    return {name: random.choice(tags)} if random.random() < 0.4 else {}


def _operations(random: Random) -> list[Any]:
    return [_operation(random) for _ in range(random.choice((0, 1, 2, 3, 10)))]


def _operation(random: Random) -> Any:
    if random.random() < 0.2:
        return _list_operation(random)
    op = random.choice(("create", "create", "create", "update", "toggle", "delete", "restore", "move"))
    operation: dict[str, Any] = {"op": op if random.random() < 0.98 else "undo"}
    if op != "create" or random.random() < 0.2:
        operation["id"] = random.choice((_place(random), _place(random), _place(random), _chosen_id(random)))
    if op in {"create", "update"}:
        fine = random.random() < 0.9
        operation["task"] = random_body(random, refused=0, required=1) if fine else _body(random)
        operation["task"] |= _parent(random)
    if op == "move":
        operation |= _move(random, "", _parent(random))
    return operation | _version(random)


def _list_operation(random: Random) -> Any:
    op = random.choice(("create", "create", "update", "delete", "restore", "move", "archive", "unarchive"))
    operation: dict[str, Any] = {"op": op, "kind": "list" if random.random() < 0.98 else "label"}
    if op != "create" or random.random() < 0.2:
        operation["id"] = random.choice((_list_place(random), _list_place(random), _chosen_id(random)))
    if op in {"create", "update"}:
        operation["list"] = _list_body(random)
    if op == "move":
        operation |= _move(random, "l", {})
    if op == "delete" and random.random() < 0.5:
        operation["tasks"] = "keep"
    return operation | _version(random)


def _version(random: Random) -> dict[str, Any]:
    return {"version": random.choice((random.randint(0, 60), -1, "1"))} if random.random() < 0.1 else {}


def _filter(random: Random) -> dict[str, Any]:
    values: dict[str, tuple[Any, ...]] = {
        "completed": ("true", "false", "1"),
        "status": ("all", "pending", "completed", "done", "open", "in_progress", "cancelled", "x"),
        "q": ("milk", "ss", "ß", "%", "_", "\\", "i", "é", "", "a" * 201),
        "created_after": ("{1t}", "{4t}", "now"),
        "updated_before": ("{9t}", "{14t}", "2026-13-01T00:00:00Z"),
        "completed_after": ("{1t}", "{7t}"),
        "due": ("overdue", "today,none", "week", "any", "none", "2026-11-18,overdue", "never"),
        "due_before": _BOUNDS, "due_after": _BOUNDS, "start_before": _BOUNDS, "start_after": _BOUNDS,
        "started": ("true", "false"), "archived": ("true", "false"), "labelled": ("true", "false"),
        "recurring": ("true", "false"),
        "list": ("inbox", "{0l}", "inbox,{1l}", "{2l},{3l}", "x"), "parent": ("none", "{1}", "{4}", "x"),
        "priority": ("none", "1", "1,7,9", "none,2", "0"),
        "label": _FILTER_NAMES, "label_any": _FILTER_NAMES, "label_not": _FILTER_NAMES,
        "tz": ("Europe/Berlin", "Pacific/Kiritimati", "America/New_York", "x"),
    }  # fmt: skip
    share = random.choice((0.02, 0.05, 0.15))
    return {name: random.choice(some) for name, some in values.items() if random.random() < share}


def _list(random: Random) -> str:
    values = {
        "sort": (
            "title",
            "-title",
            "completed,title",
            "updated_at",
            "-created_at",
            "-completed,-title",
            "due",
            "-due,title",
            "start,-priority",
            "priority",
            "-priority,position",
            "position",
            "-position",
            "-completed_at",
            "id",
        ),
        "limit": ("1", "3", "5000", "0"),
        "deleted": ("true", "false"),
        "cursor": ("AAAA",),
        "page": ("2",),
        "fields": ("id,due", "title,position,status,labels", "x", "due_at,extra"),
    }
    shares = {"sort": 0.5, "limit": 0.4, "deleted": 0.2, "cursor": 0.03, "page": 0.1, "fields": 0.1}
    given = {name: random.choice(some) for name, some in values.items() if random.random() < shares[name]}
    return urlencode({**_filter(random), **given}, doseq=True, safe="{}")


def _since(random: Random) -> str:
    values = {
        "since": ("0", str(random.randint(1, 60)), "17-0", "x"),
        "limit": ("1", "4", "0"),
        "types": ("task", "list", "label,list", "task,list,label", "tasks"),
    }
    return urlencode({name: random.choice(some) for name, some in values.items() if random.random() < 0.6})
