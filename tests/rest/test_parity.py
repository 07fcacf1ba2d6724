"""A client cannot tell which of the two databases the server keeps its tasks in."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import hostile
from harness.databases import new_postgres_database
from harness.hostile import Answer, Place, Wire
from harness.servers import LocalServer, local_server
from harness.task_bodies import random_body, shown_texts
from taskwell.core.settings import Settings
from tests.conftest import share_of

pytestmark = pytest.mark.slow

Pair = tuple[LocalServer, LocalServer]

_VARYING = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # an id
    r"|\b[0-9a-f]{32}\b"  # the id of a request
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r"|(?<=cursor=)[\w-]+"
    r'|(?<="position":")[iR][0-9A-Za-z]{9,}(?=")'  # made of the clock
    r'|(?<=-)[0-9a-f]{12}(?=")',  # of a list's ETag, which the cursor is part of
    re.IGNORECASE,
)
_SENT = shown_texts()  # the times among them are not the server's own
_UNCOMPARED = frozenset({"date", "content-length"})


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A server on each database."""
    with ExitStack() as stack:
        sqlite = f"sqlite:///{tmp_path_factory.mktemp('parity')}/test.db"
        postgres = stack.enter_context(new_postgres_database())
        first = stack.enter_context(local_server(Settings(database_url=sqlite)))
        yield first, stack.enter_context(local_server(Settings(database_url=postgres)))


@dataclass
class Side:
    """One of the two servers, and what a client has learned from it."""

    wire: Wire
    task_ids: list[str] = field(default_factory=list)
    list_ids: list[str] = field(default_factory=list)
    next_page: str = ""
    names: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, target: str, body: bytes = b"", *lines: bytes) -> Answer:
        usual = (b"Host: 127.0.0.1", b"Content-Type: application/json")
        return self.wire.ask(hostile.Case("", method, target, (*usual, *lines), body).wire, method)

    def seen(self, answer: Answer) -> tuple[int, Mapping[str, str], str]:
        """The answer, with what is made anew each time replaced by the order in which it turned up."""
        headers = {name: self._named(answer.headers[name]) for name in sorted(answer.headers)}
        kept = {name: value for name, value in headers.items() if name not in _UNCOMPARED}
        return answer.status, kept, self._named(answer.body.decode())

    def _named(self, text: str) -> str:
        return _VARYING.sub(lambda found: self._name(found[0]), text)

    def _name(self, varying: str) -> str:
        if varying in _SENT:
            return varying
        return self.names.setdefault(varying.lower(), f"<{len(self.names)}>")


@pytest.fixture
def sides(pair: Pair) -> Iterator[tuple[Side, Side]]:
    with Wire(pair[0].url) as first, Wire(pair[1].url) as second:
        sides = Side(first), Side(second)
        for side in sides:
            for user_id in ("default", "alice", "bob", "carol", "dave"):
                side.ask("DELETE", f"/api/users/{user_id}")
        yield sides


class TestHostile:
    def test_whatever_is_sent_is_answered_alike(self, sides: tuple[Side, Side]) -> None:
        places = [new_place(side, "/api/alice/tasks") for side in sides]
        for cases in zip(*map(hostile.everything, places), strict=True):
            answers = [
                side.seen(side.wire.ask(case.wire, case.method))
                for side, case in zip(sides, cases, strict=True)
            ]
            assert answers[0] == answers[1], cases[0].name


def new_place(side: Side, tasks: str) -> Place:
    task = json.loads(side.ask("POST", tasks, b'{"title": "x"}').body)
    return Place(tasks, task["id"], task["user_id"])


@dataclass(frozen=True)
class Step:
    """A request in which tasks and lists are named by the order of their creation: `{task}`, `{list}`.

    A body has their numbers in the place of ids.
    """

    method: str
    target: str
    body: Any = None
    line: bytes = b"X-Nothing: here"
    number: int = 0

    def ask(self, side: Side) -> Answer:
        target = self.target.format(
            task=_at(side.task_ids, self.number),
            list=_at(side.list_ids, self.number),
            next_page=side.next_page or "/api/tasks?limit=1",
        )
        body = b"" if self.body is None else json.dumps(self._filled(side)).encode()
        answer = side.ask(self.method, target, body, self.line)
        if answer.status == 201 and not target.startswith("/api/users"):
            ids = side.list_ids if "/lists" in target else side.task_ids
            ids.append(json.loads(answer.body)["id"])
        if link := re.match('<(.*)>; rel="next"', answer.headers.get("link", "")):
            side.next_page = link[1]
        return answer

    def _filled(self, side: Side) -> Any:
        if not isinstance(self.body, dict):
            return self.body
        beside = side.list_ids if "/lists" in self.target else side.task_ids
        ids = {"list_id": side.list_ids, "parent_id": side.task_ids, "after": beside, "before": beside}
        return {
            name: _at(ids[name], value) if name in ids and isinstance(value, int) else value
            for name, value in self.body.items()
        }


def _at(ids: list[str], number: int) -> str:
    return ids[number % len(ids)] if ids else str(uuid4())


MOUNTS = ("/api/tasks", "/api/tasks", "/api/default/tasks", "/api/alice/tasks", "/api/bob/tasks")
USER_IDS = ("alice", "bob", "carol", "dave", "me", "x y", "", None, "default")
EMAILS = ("alice@example.com", "ALICE@example.com", " bob@example.com ", "carol", None, "é@example.com")
LIMITS = ("1", "2", "3", "1000", "1001", "0", "-1", "x")


def random_step(random: Random) -> Step:
    return random.choices(
        (
            create, change, toggle, delete, look, page, go_on, create_user, look_at_user, delete_user,
            move, restore, create_list, change_list, act_on_a_list, look_at_lists, label, search,
        ),
        (30, 25, 20, 10, 15, 15, 10, 6, 6, 2, 15, 6, 10, 5, 10, 5, 10, 25),
    )[0](random)  # fmt: skip


def random_task(random: Random, required: float = 0.6) -> dict[str, Any]:
    return random_body(random, refused=0.2, required=required, others=0.6)


def place(random: Random) -> dict[str, Any]:
    """Now and then, the members that put a task somewhere."""
    values = {"list_id": random.choice((0, 1, None)), "parent_id": random.choice((random.randrange(9), None))}
    return {name: value for name, value in values.items() if random.random() < 0.2}


def create(random: Random) -> Step:
    task = random_task(random, required=1) | place(random)
    prefer = random.choice((b"Prefer: handling=lenient", b"Prefer: handling=strict"))
    return Step("POST", random.choice(MOUNTS), task, prefer)


def on_a_task(random: Random, method: str, rest: str = "", body: Any = None, line: bytes = b"X: y") -> Step:
    target = random.choice(MOUNTS) + "/{task}" + rest
    return Step(method, target, body, line, random.randrange(1_000))


def change(random: Random) -> Step:
    labels = {"labels_add": ["home", "Büro"], "labels_remove": ["HOME"]}
    body: object = random.choice((random_task(random), random_task(random), place(random), labels, {}, []))
    return on_a_task(random, random.choice(("PATCH", "PUT")), body=body)


def toggle(random: Random) -> Step:
    method, rest = random.choice((("POST", "/toggle"), ("PATCH", "/complete")))
    body: object = random.choice(
        (
            None, {}, {"completed": True}, {"completed": False}, {"completed": "no"}, [],
            {"completed": True, "subtasks": "complete"},
        )
    )  # fmt: skip
    return on_a_task(random, method, rest, body)


def delete(random: Random) -> Step:
    return on_a_task(random, "DELETE", line=random.choice((b"Prefer: return=representation", b"X: y")))


def look(random: Random) -> Step:
    return on_a_task(random, random.choice(("GET", "HEAD")), random.choice(("", "", "/", "x", "/nothing")))


def page(random: Random) -> Step:
    limit = random.choice(("", f"?limit={random.choice(LIMITS)}", f"?limit={random.choice(LIMITS)}"))
    return Step(random.choice(("GET", "GET", "HEAD")), random.choice(MOUNTS) + limit)


def go_on(random: Random) -> Step:
    return Step("GET", random.choice(("{next_page}", "{next_page}", "{next_page}x")))


def move(random: Random) -> Step:
    return on_a_task(random, "POST", "/move", beside(random) | place(random))


def beside(random: Random) -> dict[str, Any]:
    return {random.choice(("after", "before")): random.choice((None, random.randrange(9), "x"))}


def restore(random: Random) -> Step:
    return on_a_task(random, "POST", "/restore")


def lists_at(random: Random) -> str:
    return random.choice(MOUNTS).replace("/tasks", "/lists")


def list_body(random: Random) -> dict[str, Any]:
    values = {"name": ("Home", " x ", ""), "color": ("#ABCDEF80", None, "red"), "position": ("a0", "a1", "")}
    return {name: random.choice(some) for name, some in values.items() if random.random() < 0.7}


def create_list(random: Random) -> Step:
    return Step("POST", lists_at(random), {"name": "Home"} | list_body(random))


def on_a_list(random: Random, method: str, rest: str = "", body: Any = None) -> Step:
    return Step(method, f"{lists_at(random)}/{{list}}{rest}", body, number=random.randrange(2))


def change_list(random: Random) -> Step:
    return on_a_list(random, random.choice(("PATCH", "PUT")), body=list_body(random))


def act_on_a_list(random: Random) -> Step:
    if random.random() < 0.3:
        return on_a_list(random, "POST", "/move", beside(random))
    rest = random.choice(("", "?tasks=keep", "/restore", "/restore", "/archive", "/unarchive"))
    return on_a_list(random, "POST" if rest.startswith("/") else "DELETE", rest)


def look_at_lists(random: Random) -> Step:
    return Step("GET", lists_at(random) + random.choice(("", "/{list}", "?counts=true", "?deleted=true")))


def label(random: Random) -> Step:
    path = random.choice(MOUNTS).replace("/tasks", "/labels") + random.choice(
        ("/home", "?name=B%C3%BCro", "")
    )
    body = {name: value for name, value in (("name", "HOME"), ("color", "#123456")) if random.random() < 0.5}
    method = random.choice(("GET", "PUT", "PATCH", "DELETE"))
    return Step(method, path, body if method.startswith("P") else None)


PARAMETERS = (
    "due=overdue", "due=none,2026-11-18", "due_before=2031-05-06T07:08:09Z", "due_after=2026-11-20", "due=x",
    "started=true", "list=inbox", "list={list}", "list={list},inbox", "archived=true", "parent=none",
    "parent={task}", "priority=1,none", "label=home", "label_any=home&label_any=B%C3%BCro", "label_not=HOME",
    "labelled=false", "status=in_progress", "status=cancelled", "tz=Pacific/Kiritimati", "tz=x",
    "sort=due,-priority", "sort=-start", "sort=position", "sort=-completed_at", "fields=id,due,labels,status",
)  # fmt: skip


def search(random: Random) -> Step:
    query = "&".join(random.sample(PARAMETERS, random.randint(1, 3)))
    return Step("GET", f"{random.choice(MOUNTS)}?{query}", number=random.randrange(9))


def create_user(random: Random) -> Step:
    user = {"id": random.choice(USER_IDS), "email": random.choice(EMAILS)}
    return Step("POST", "/api/users", {name: user[name] for name in user if random.random() < 0.8})


def look_at_user(random: Random) -> Step:
    return Step("GET", f"/api/users/{random.choice(('me', 'alice', 'bob', 'carol', 'default', 'x!'))}")


def delete_user(random: Random) -> Step:
    return Step("DELETE", f"/api/users/{random.choice(('me', 'alice', 'bob', 'carol', 'nobody'))}")


class TestSequences:
    @pytest.mark.parametrize("seed", range(3))
    def test_of_random_requests_are_answered_alike(self, sides: tuple[Side, Side], seed: int) -> None:
        random = Random(seed)
        statuses = set()
        for number in range(300):
            step = random_step(random)
            answers = [side.seen(step.ask(side)) for side in sides]
            assert answers[0] == answers[1], (number, step)
            statuses.add(answers[0][0])
        # Else the requests were too much alike to prove anything.
        assert statuses == {200, 201, 204, 400, 404, 409}


PLAIN = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
ODD = st.one_of(
    st.characters(categories=("Cc", "Cf", "Cs", "Zs", "Zl", "Zp")),
    st.sampled_from("\0\t\n\r \x1c\x85\xa0\u0301\u115f\u200b\u2028\u202e\u3164\ufeff\ufffe\U0010ffff"),
)


def texts(most: int) -> st.SearchStrategy[str]:
    """Short ones of every kind, and long ones about the limit."""
    filled = st.text(PLAIN, min_size=1, max_size=5).map(lambda text: (text * most)[:most])
    return st.one_of(
        st.text(PLAIN, max_size=20),
        st.text(st.characters(exclude_categories=()), max_size=20),
        st.tuples(st.text(ODD, max_size=2), st.text(PLAIN, max_size=5), st.text(ODD, max_size=2)).map(
            "".join
        ),
        st.tuples(filled, st.sampled_from(("", "", "x"))).map("".join),
    )


class TestAnyText:
    @settings(max_examples=share_of(200), deadline=None, derandomize=True, database=None)
    @given(title=texts(200), description=st.none() | texts(2_000), escaped=st.booleans())
    @example(title="\U0010ffff" * 200, description="\U0010ffff" * 2_000, escaped=True)
    @example(title="\u3000x ", description=" x\r\n", escaped=False)
    @example(title="\tx\n", description="\ty\n", escaped=True)
    @example(title="e\u0301\u212b\ufb01\u1100\u1161", description="\ufeff\u2028", escaped=False)
    def test_is_kept_or_refused_by_both(
        self, pair: Pair, title: str, description: str | None, escaped: bool
    ) -> None:
        body = json.dumps({"title": title, "description": description}, ensure_ascii=escaped)
        sent = body.encode("utf-8", "surrogatepass")
        with Wire(pair[0].url) as first, Wire(pair[1].url) as second:
            sides = (Side(first), Side(second))
            outcomes = [self.outcome(side, sent) for side in sides]
        assert outcomes[0] == outcomes[1]
        if outcomes[0] is not None:
            read = json.loads(body)
            assert outcomes[0] == (read["title"].strip(), read["description"])

    def outcome(self, side: Side, body: bytes) -> tuple[str, str | None] | None:
        """What every way to read the task gives; None if it is refused."""
        created = side.ask("POST", "/api/tasks", body)
        other = json.loads(side.ask("POST", "/api/tasks", b'{"title": "x"}').body)["id"]
        changed = side.ask("PATCH", f"/api/tasks/{other}", body)
        if created.status == 400:
            assert changed.status == 400
            return None
        assert (created.status, changed.status) == (201, 200)
        task = json.loads(created.body)
        (_, listed) = json.loads(side.ask("GET", "/api/tasks?limit=2").body)
        assert listed == task
        assert json.loads(side.ask("GET", f"/api/tasks/{task['id']}").body) == task
        kept = (task["title"], task["description"])
        assert kept == tuple(json.loads(changed.body)[name] for name in ("title", "description"))
        return kept
