"""Hostile values in every slot of every operation: each answer is clear, short, and repeats nothing."""

import json
from collections.abc import Iterator
from random import Random
from urllib.parse import quote
from uuid import UUID

import httpx2

from harness import hostile
from harness.figures import Figures, Form
from harness.hostile import CANARY, CUT, Answer, Case, Wire
from harness.openapi_slots import Slot, fill, operations, slots
from harness.servers import ServerProcess

_TRIES_IN_SHORT = 1_200
_MOST_BYTES = 4_096
_USER = "hostile"
_TASK = str(UUID(int=0x018F << 112 | 0x7 << 76 | 0x8 << 60))
_WITH_BODY = (b"Host: 127.0.0.1", b"Content-Type: application/json")
_WITHOUT = _WITH_BODY[:1]

_JSON = {
    **hostile.BAD_VALUES,
    **hostile.NO_TITLE,
    **hostile.NO_DESCRIPTION,
    **hostile.NO_TRUTH,
    **hostile.NO_EMAIL,
    **{f"id {text!a}": json.dumps(text).encode() for text in (*hostile.NO_USER_ID, *hostile.NO_TASK_ID)},
    "an empty object": b"{}",
    "an empty array": b"[]",
    "1,001 items": b"[%b]" % b",".join([b'"c4n4ry"'] * 1_001),
    "-1": b"-1",
    "1.5": b"1.5",
    "2^53": b"9007199254740992",
    "2^63 - 1": b"9223372036854775807",
    "1e308": b"1e308",
}
_INSTANTS = (
    "0000-01-01T00:00:00Z", "1899-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00",
    "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-21T24:00:01Z", "2026-11-21T10:00:60Z",
    "2026-11-21", "2026-11-21T10:00:00",
    "2026-11-21T10:00:00+24:00", "2026-11-21T10:00:00.1234567Z", "1763719200", "now",
)  # fmt: skip
_SQL = (f"{CANARY}' OR '1'='1", f"{CANARY}'; DROP TABLE tasks; --", f"{CANARY}%_\\", f"$1{CANARY}")
_ENCODED = tuple(
    dict.fromkeys(
        (
            *hostile.NOT_TEXT, *hostile.NO_LIMIT, *hostile.NO_CURSOR, *hostile.BAD_IN_A_PATH,
            *(quote(text, safe="") for text in (*_INSTANTS, *_SQL, *hostile.NO_TASK_ID, *hostile.NO_USER_ID)),
            f"{CANARY}&limit=1&limit=2", f"{CANARY}&sort=title,title", f"{CANARY}%26since=0",
            quote("😀" * 300),
        )
    )
)  # fmt: skip
_IN_A_PATH = tuple(
    text for text in _ENCODED if text and "?" not in text and "#" not in text and "/" not in text
)
_HEADERS = (
    b"", b" ", b"c4n4ry", b"*", b"**", b'"c4n4ry', b'c4n4ry"', b'""', b'W/"', b'w/"c4n4ry"', b'"17"',
    b'"17", c4n4ry', b'"17",', b',"17"', b'W/"17"', b'"c4n4ry\xff"', b"\xff\xfe", b"c4n4ry\xc3\xa9",
    b"c4n4ry\t", b"c4n4ry\\", b'"c4n4ry\\"', b"'c4n4ry'", b"-1", b"0", b"1" * 17, b"9" * 5_000,
    b"c4n4ry" * 43, b"c4n4ry" * 1_000, b'"c4n4ry", ' * 800 + b'"x"', b"c4n4ry=" * 500, b",,,;;;===",
    b"handling=strict, handling=lenient", b"return=c4n4ry", b"handling=strict; c4n4ry", b'"' * 1_000,
    b"\\" * 1_000, b"(" * 1_000, b"{{c4n4ry}}", b"%00c4n4ry", b"%0d%0aX-Injected: c4n4ry",
    b"c4n4ry' OR '1'='1", b"null", b"17-4", b"17-", b"-17", b"4294967296", b"1" * 16,
)  # fmt: skip
_VALUES: dict[str, tuple[str | bytes, ...]] = {
    "path": _IN_A_PATH,
    "query": _ENCODED,
    "header": _HEADERS,
    "value": tuple(dict.fromkeys(_JSON.values())),
    "member": tuple(hostile.BAD_MEMBERS.values()),
    "body": tuple(hostile.NO_OBJECT.values()),
}


def measure(server: ServerProcess, form: Form) -> Figures:
    document = httpx2.get(f"{server.url}/openapi.json", timeout=60).json()
    found = [slot for operation in operations(document) for slot in slots(operation)]
    tries = [(slot, value) for slot in found for value in _VALUES[slot.kind]]
    count = _TRIES_IN_SHORT if form.is_short else form.count(len(tries))
    chosen = sorted(Random(form.seed).sample(range(len(tries)), count))
    figures = Figures()
    figures.note("operations", len({slot.operation.name for slot in found}))
    figures.note("slots", len(found))
    with Wire(server.url) as wire:
        outcome = Outcome()
        before = ""
        for slot, value in (tries[number] for number in chosen):
            if slot.operation.name != before:
                before = slot.operation.name
                _put_things(wire)
            outcome.add(case := _case(slot, value), wire.ask(case.wire, case.method))
        outcome.conclude(figures)
    unreadable = [path for path in _everything() if httpx2.get(f"{server.url}{path}").status_code != 200]
    figures.promise("lists that cannot be read any more", len(unreadable), kept=not unreadable)
    return figures


def _put_things(wire: Wire) -> None:
    """What the operations are on; there already, mostly."""
    headers = (*_WITH_BODY, b"If-None-Match: *")
    for tasks in ("/api/tasks", f"/api/{_USER}/tasks"):
        wire.ask(Case("", "PUT", f"{tasks}/{_TASK}", headers, b'{"title": "x"}').wire)
        lists = tasks.replace("/tasks", "/lists")
        wire.ask(Case("", "PUT", f"{lists}/{_TASK}", headers, b'{"name": "x"}').wire)


def _everything() -> Iterator[str]:
    for user in ("", f"/{_USER}"):
        yield from (f"/api{user}/tasks", f"/api{user}/tasks?deleted=true", f"/api{user}/lists?counts=true")
        yield f"/api{user}/changes?types=task,list,label"
    yield from ("/api/users/me/tokens", "/api/users/default/export")


def _case(slot: Slot, value: str | bytes) -> Case:
    filled = fill(slot, value, lambda name: _TASK if name.endswith("_id") and name != "user_id" else _USER)
    headers = _WITHOUT if filled.body is None else _WITH_BODY
    if filled.header:
        headers = (*headers, filled.header)
    name = f"{slot.operation.name}, {slot.kind} {slot.name}: {value[:60]!r}"
    return Case(name, slot.operation.method, filled.target, headers, filled.body or b"")


class Outcome:
    """What the answers had in common, and the first few that broke a promise."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.complaints: dict[str, list[str]] = {
            name: []
            for name in (
                "answered 5xx, or not at all",
                "no problem",
                "longer than 4 KiB",
                "echo of the input",
            )
        }

    def add(self, case: Case, answer: Answer) -> None:
        self.statuses[answer.status // 100] = self.statuses.get(answer.status // 100, 0) + 1
        if answer.status >= 500 or answer.status == CUT:
            self._complain("answered 5xx, or not at all", case, answer)
        if answer.status >= 400:
            self._check(case, answer)

    def _check(self, case: Case, answer: Answer) -> None:
        if len(answer.body) > _MOST_BYTES:
            self._complain("longer than 4 KiB", case, answer)
        try:
            problem = json.loads(answer.body)
            status, path = problem["status"], problem.pop("instance")
        except (ValueError, KeyError):
            status, path, problem = 0, "", {}
        as_told = answer.headers.get("content-type") == "application/problem+json" and status == answer.status
        if not as_told or not case.path.startswith(path):
            self._complain("no problem", case, answer)
        if CANARY in json.dumps(problem) or CANARY in str(answer.headers):
            self._complain("echo of the input", case, answer)

    def _complain(self, what: str, case: Case, answer: Answer) -> None:
        self.complaints[what].append(f"{case.name} -> {answer.status} {answer.body[:200]!r}")

    def conclude(self, figures: Figures) -> None:
        figures.note("requests", sum(self.statuses.values()))
        figures.note("answered 2xx or 3xx", self.statuses.get(2, 0) + self.statuses.get(3, 0))
        figures.note("answered 4xx", self.statuses.get(4, 0))
        for what, told in self.complaints.items():
            figures.promise(what, len(told), kept=not told)
            figures.broken += told[:5]
