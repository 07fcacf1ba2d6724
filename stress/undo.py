"""Two programs change the tasks of one user, each with a token of its own; then the owner undoes one of them.

What that one alone has touched is as it was before, the rest has not changed, and to undo the undoing leads
back. Who has touched a field is seen by looking after each write, and not taken from the history.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from harness.figures import Figures, Form
from harness.issuer import AUDIENCE, SECRET, Issuer, bearer, running_issuer
from harness.servers import ServerProcess
from stress.client import Answer, Client, Request

_RUNS = 2_000
_WRITES = 12
_LABELS = ("home", "work", "Büro")
_GROUPS = (
    ("completed", "completed_at", "status"),
    ("start", "due", "time_zone", "due_at"),
    ("list_id", "parent_id"),
)
_PLACE = _GROUPS[2]
_UNSEEN = {"version", "updated_at", "deleted_at"}

Json = dict[str, Any]
State = dict[str, Json]  # of the tasks and lists, by their ids


@dataclass
class _Seen:
    writes: int = 0
    undone: int = 0
    left: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


def measure(server: ServerProcess, form: Form) -> Figures:
    seen = _Seen()
    with running_issuer("RS256") as issuer:
        server.environment = {
            **server.environment,
            "TASKWELL_AUTH": "jwt",
            "TASKWELL_JWT_ISSUER": issuer.url,
            "TASKWELL_JWT_JWKS_URL": issuer.jwks_url,
            "TASKWELL_JWT_AUDIENCE": AUDIENCE,
            "TASKWELL_JWT_SECRET": SECRET,
            "TASKWELL_RATE_LIMIT": "none",
        }
        server.start()
        try:
            server.wait_until_up()
            with Client(server.port) as client:
                for run in range(form.count(_RUNS)):
                    _Run(client, issuer, f"{form.seed}-{run}", seen).go()
        finally:
            server.stop()
    return _figures(seen, form)


class _Run:
    """One user's. `name`: makes its choices again."""

    def __init__(self, client: Client, issuer: Issuer, name: str, seen: _Seen) -> None:
        self._client = client
        self._name = name
        self._random = Random(name)
        self._seen = seen
        self._owner = bearer(issuer.token(f"undo-{name}"))
        self._ids: dict[str, list[str]] = {"tasks": [], "lists": []}

    def go(self) -> None:
        self._send(Request("POST", "/api/tasks", {"title": "First"}))
        programs = [self._program(name) for name in ("one", "other")]
        self._prepare()
        state, since = self._state(), self._last()
        course: list[tuple[int, State]] = []
        told: list[str] = []
        for _ in range(_WRITES):
            who = self._random.randrange(2)
            request = self._request()
            answer = self._send(request, programs[who][1], fails=True)
            told.append(f"{who}: {request.method} {request.path} {request.body} -> {answer.status}")
            course.append((who, state))
            state = self._state()
        undone = self._undo({"token": programs[0][0], "since": since})
        after = self._state()
        faults = [*_faults(course, state, after, undone["left"]), *_misplaced(after)]
        if undone["undone"]:
            again = self._undo({"versions": [one["version"] for one in undone["undone"]]})
            back = self._state()
            differ = _differences(state, back)
            faults += [f"undone twice: {key} {names}" for key, names in differ.items()]
            if differ:
                told.append(f"again left: {again['left']}")
        self._tell(faults, [*told, f"left: {undone['left']}"])

    def _tell(self, faults: list[str], told: list[str]) -> None:
        for fault in faults:
            self._seen.faults[fault.partition(":")[0]] += 1
        if faults and self._seen.faults.total() < 20:
            print(f"run {self._name}", *told, *faults, sep="\n  ", flush=True)

    def _undo(self, body: Json) -> Json:
        found: Json = self._send(Request("POST", "/api/undo", body)).json()
        self._seen.undone += len(found["undone"])
        self._seen.left.update(one["reason"] for one in found["left"])
        return found

    def _program(self, name: str) -> tuple[str, Mapping[str, str]]:
        """The id of a token, and the header that has it."""
        body = {"name": name, "scopes": ["tasks:read", "tasks:write"]}
        made = self._send(Request("POST", "/api/users/me/tokens", body)).json()
        return made["id"], bearer(made["token"])

    def _prepare(self) -> None:
        for name in ("Home", "Work"):
            self._send(Request("POST", "/api/lists", {"name": name}))
        self._state()
        for number in range(5):
            task: Json = {"title": f"Task {number}"}
            place = self._random.random()
            if place < 0.4:
                task["list_id"] = self._some("lists")
            elif place < 0.7:
                task["parent_id"] = self._some("tasks")
            self._send(Request("POST", "/api/tasks", task), fails=True)
            self._state()

    def _some(self, kind: str) -> str:
        return self._random.choice(self._ids[kind])

    def _state(self) -> State:
        state: State = {}
        for kind in ("tasks", "lists"):
            queries = ("", "?deleted=true", *(["?archived=true"] if kind == "tasks" else []))
            for query in queries:
                for one in self._send(Request("GET", f"/api/{kind}{query}")).json():
                    shown = {name: value for name, value in one.items() if name not in _UNSEEN}
                    state[one["id"]] = {**shown, "deleted": "deleted_at" in one}
            self._ids[kind] = sorted(
                key for key, one in state.items() if ("title" in one) == (kind == "tasks")
            )
        return state

    def _last(self) -> int:
        records = self._send(Request("GET", "/api/history?limit=1")).json()
        version: int = records[0]["version"]
        return version

    def _request(self) -> Request:
        random = self._random
        task, other = self._some("tasks"), self._some("tasks")
        path, of_list = f"/api/tasks/{task}", f"/api/lists/{self._some('lists')}"
        title = {"title": f"{random.random()}"}
        shares = (
            (12, Request("POST", "/api/tasks", title | random.choice(({}, {"parent_id": other})))),
            (40, Request("PATCH", path, self._changes())),
            (8, Request("POST", f"{path}/toggle")),
            (4, Request("PATCH", path, {"completed": True, "subtasks": "complete"})),
            (8, Request("DELETE", path)),
            (5, Request("POST", f"{path}/restore")),
            (6, Request("POST", f"{path}/move", {"after": None, "parent_id": random.choice((other, None))})),
            (4, Request("PATCH", path, {"list_id": random.choice((self._some("lists"), None))})),
            (3, Request("PATCH", of_list, {"name": f"{random.random()}", "color": "#ff0000"})),
            (1, Request("POST", f"{of_list}/archive")),
            (1, Request("DELETE", of_list)),
            (1, Request("DELETE", f"{of_list}?tasks=keep")),
            (1, Request("POST", f"{of_list}/restore")),
            (2, Request("PATCH", "/api/labels/home", {"name": random.choice(_LABELS)})),
            (2, Request("POST", f"{path}/claim")),
            (4, Request("POST", "/api/tasks/batch", {"operations": self._operations()})),
        )
        weights, requests = zip(*shares, strict=True)
        request: Request = random.choices(requests, weights)[0]
        return request

    def _operations(self) -> list[Json]:
        task = self._some("tasks")
        return [
            {"op": "create", "task": {"title": "New"}},
            {"op": "update", "id": task, "task": self._changes()},
            {"op": "toggle", "id": task},
        ]

    def _changes(self) -> Json:
        random = self._random
        values: Json = {
            "title": f"{random.random()}",
            "description": random.choice((None, "Begun")),
            "due": random.choice((None, "2026-11-20", "2026-11-20T09:00:00")),
            "time_zone": random.choice((None, "Europe/Berlin")),
            "priority": random.choice((None, 1, 9)),
            "status": random.choice(("open", "in_progress", "completed", "cancelled")),
            "labels": random.sample(_LABELS, random.randint(0, 2)),
            "extra": {"n": random.choice((None, random.random()))},
        }
        return {name: values[name] for name in random.sample(sorted(values), random.randint(1, 2))}

    def _send(self, request: Request, who: Mapping[str, str] | None = None, *, fails: bool = False) -> Answer:
        """`fails`: whether it may be refused."""
        headers = {**request.headers, **(who or self._owner)}
        answer = self._client.send(Request(request.method, request.path, request.body, headers))
        self._seen.writes += who is not None and answer.status < 300
        assert answer.status < 300 or (fails and answer.status < 500), (request, answer)
        return answer


def _differences(one: State, other: State) -> dict[str, set[str]]:
    """The fields that differ. What is in one alone differs in `deleted`: it was created."""
    found: dict[str, set[str]] = {}
    for key in one.keys() | other.keys():
        if key not in one or key not in other:
            there = one.get(key) or other[key]
            names = set() if there["deleted"] else {"deleted"}
        else:
            names = {name for name in other[key] if one[key][name] != other[key][name]}
        if names:
            found[key] = names
    return found


def _faults(
    course: Sequence[tuple[int, State]], then: State, after: State, left: Iterable[Json]
) -> list[str]:
    """`course`: of each write, who wrote and what there was before. `then`: what there was before undoing."""
    stays = {(one["id"], name) for one in left for name in one["fields"]}
    told = {one["id"] for one in left}
    faults = []
    for key, one in after.items():
        created = next((who for who, state in reversed(course) if key not in state), None)
        if created == 0 and key not in told:
            if not one["deleted"]:
                faults.append(f"not removed: {key}")
            continue
        if created == 0 and (key, "deleted") in stays:
            continue  # it has a part of the other's, and stays as it is
        for names in _units(one):
            expected = _expected(course, key, names, then)
            if _values(one, names) == expected or any((key, name) in stays for name in names):
                continue
            # It is where its parent is, which is looked at by itself; or its place is not there any more.
            if names == _PLACE and (
                one["parent_id"] == expected[1] is not None or not _is_there(after, *expected)
            ):
                continue
            was = expected == _values(then[key], names)
            faults.append(f"{'changed without cause' if was else 'not back'}: {key} {names} {expected}")
    return faults


def _is_there(state: State, list_id: str | None, parent_id: str | None) -> bool:
    """Whether a task could be in this place."""
    if any(key is not None and state[key]["deleted"] for key in (list_id, parent_id)):
        return False
    return parent_id is None or bool(state[parent_id]["list_id"] == list_id)


def _expected(course: Sequence[tuple[int, State]], key: str, names: Sequence[str], then: State) -> list[Any]:
    """What was before the first write of the one who is undone, unless the other has changed it since."""
    states = [*(state for _, state in course), then]
    writers = [
        (index, who)
        for index, (who, state) in enumerate(course)
        if key in state and _values(state[key], names) != _values(states[index + 1][key], names)
    ]
    first = next((index for index, who in writers if who == 0), None)
    if first is None or any(who == 1 and index > first for index, who in writers):
        return _values(then[key], names)
    return _values(states[first][key], names)


def _units(one: Json) -> list[tuple[str, ...]]:
    """The names of fields, those together that belong to each other."""
    if "title" not in one:
        return [(name,) for name in one]
    grouped = {name for names in _GROUPS for name in names}
    return [*_GROUPS, *((name,) for name in one if name not in grouped)]


def _values(one: Json, names: Iterable[str]) -> list[Any]:
    return [one[name] for name in names]


def _misplaced(state: State) -> list[str]:
    """Tasks that are alive where nothing is."""
    faults = []
    for key, one in state.items():
        if "title" in one and not one["deleted"]:
            above = state.get(one["parent_id"]) if one["parent_id"] else None
            own = state.get(one["list_id"]) if one["list_id"] else None
            if one["parent_id"] and (above is None or above["deleted"] or above["list_id"] != one["list_id"]):
                faults.append(f"misplaced: {key} below {one['parent_id']}")
            if one["list_id"] and (own is None or own["deleted"]):
                faults.append(f"misplaced: {key} in {one['list_id']}")
    return faults


def _figures(seen: _Seen, form: Form) -> Figures:
    figures = Figures()
    figures.note("runs", form.count(_RUNS))
    figures.note("writes of the two", seen.writes)
    figures.note("tasks and lists changed back", seen.undone)
    for reason in sorted(seen.left):
        figures.note(f"left: {reason}", seen.left[reason])
    for fault in ("not back", "not removed", "changed without cause", "misplaced", "undone twice"):
        figures.promise(fault, seen.faults[fault], kept=seen.faults[fault] == 0)
    return figures
