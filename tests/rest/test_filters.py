"""The filters and orders of rich tasks: one table of cases, on both databases, against a model in Python."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import chain, cycle, product
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx2
import pytest

from harness.responses import create, unknown_id, violation
from harness.servers import LocalServer, local_server
from harness.side_effects import execute
from taskwell.core.settings import Settings
from taskwell.schemas.types import searched
from tests.conftest import EVERYTHING
from tests.rest.test_queries import pages

Task = dict[str, Any]
Query = dict[str, list[str]]

BERLIN, NEW_YORK, KIRITIMATI = "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"
DAY = date(2026, 11, 20)
# For words of the calendar: where it is about noon now, so that no day ends while a test runs.
_HOURS_BEHIND = datetime.now(UTC).hour - 12
NOON = f"Etc/GMT{_HOURS_BEHIND:+}"
NOW = datetime.now(ZoneInfo(NOON)).replace(tzinfo=None, second=0, microsecond=0)
TODAY = NOW.date()


def _days(first: date, *offsets: int) -> list[str]:
    return [(first + timedelta(days=offset)).isoformat() for offset in offsets]


def _zoned(moment: datetime, zone: str) -> tuple[str, str]:
    """A local time at `NOON`, as a local time of another zone."""
    local = moment.replace(tzinfo=ZoneInfo(NOON)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return local.isoformat(), zone


_HOUR, _WEEK = timedelta(hours=1), timedelta(days=7)
_MIDNIGHT = datetime.combine(TODAY, datetime.min.time())
DUES: list[tuple[str | None, str | None]] = [
    (None, None),
    *((day, None) for day in _days(DAY, -2, -1, 0, 1, 2)),
    *(
        (f"{day}T{clock}", zone)
        for day, clock, zone in product(
            _days(DAY, -1, 0, 1), ("00:00:00", "09:00:00", "23:59:59"), (None, BERLIN, NEW_YORK, KIRITIMATI)
        )
    ),
    *((day, None) for day in _days(TODAY, -1, 0, 1, 6, 7)),
    *(
        value
        for moment in (NOW - _HOUR, NOW + _HOUR, _MIDNIGHT, _MIDNIGHT + timedelta(days=1), _MIDNIGHT + _WEEK)
        for value in ((moment.isoformat(), None), _zoned(moment, BERLIN), _zoned(moment, KIRITIMATI))
    ),
]  # fmt: skip
LABELS: tuple[list[str], ...] = (
    [], ["Home"], ["home", "Büro"], ["work"], ["a,b"], ['a"b'], ["a,", "b"], [","], ['","'], ["b"],
    ["STRASSE"], ["[]"], ["\\"], ["ho", "me"], ["Bu\u0308ro"],
)  # fmt: skip
STATUSES = ("open", "in_progress", "completed", "cancelled", "open")
PRIORITIES = (None, 1, 5, 9, 2, None)


class Made:
    """A user's tasks."""

    def __init__(self, client: httpx2.Client, server: LocalServer) -> None:
        self.client = client
        self.user = f"user-{uuid4().hex}"
        self.path = f"/api/{self.user}/tasks"
        self.parent = create(client, self.path, title="parent", labels=[])
        self.lists = [uuid4() for _ in range(3)]
        for place, list_id in enumerate(self.lists):
            _insert_list(server, self.user, list_id, archived=place == 2)
        self.archived = str(self.lists[-1])
        labels, statuses, priorities = cycle(LABELS), cycle(STATUSES), cycle(PRIORITIES)
        list_ids, parents = cycle([None, *map(str, self.lists)]), cycle([None, None, self.parent["id"]])
        operations = []
        for place, (due, zone) in enumerate(DUES * 2):
            parent = next(parents)
            start = due if place % 3 == 0 else None
            task = {
                "title": f"Task {place % 4}", "due": due if place % 7 else None, "start": start,
                "time_zone": zone, "labels": next(labels), "status": next(statuses),
                "priority": next(priorities), "parent_id": parent,
                **({} if parent else {"list_id": next(list_ids)}),
            }  # fmt: skip
            operations.append({"op": "create", "task": task})
        for begin in range(0, len(operations), 100):
            batch = {"operations": operations[begin : begin + 100]}
            answer = client.post(f"{self.path}/batch", json=batch)
            assert answer.status_code == 200, answer.text
        self.tasks: list[Task] = sorted(
            client.get(f"{self.path}?archived=false").json()
            + client.get(f"{self.path}?archived=true").json(),
            key=lambda task: (task["created_at"], task["id"]),
            reverse=True,
        )
        assert len(self.tasks) == len(operations) + 1


def _insert_list(server: LocalServer, user: str, list_id: UUID, *, archived: bool) -> None:
    is_sqlite = server.settings.database.is_sqlite
    stored = list_id.hex if is_sqlite else str(list_id)
    moment = "'2026-01-01 00:00:00.000000'" if is_sqlite else "TIMESTAMPTZ '2026-01-01 00:00:00+00'"
    execute(
        server.settings,
        "INSERT INTO lists (user_id, id, name, position, created_at, updated_at, version, archived_at) "
        f"VALUES ('{user}', '{stored}', 'List', 'i8DhyrHb7o', {moment}, {moment}, 1, "
        f"{moment if archived else 'NULL'})",
    )


@pytest.fixture(scope="module")
def made(server: LocalServer) -> Iterator[Made]:
    with httpx2.Client(base_url=server.url, timeout=60) as client:
        yield Made(client, server)


# The model. It knows the table of comparisons, and nothing of text that sorts or of SQL.


def _midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))


@cache
def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Value:
    """A `due` or `start`: a date, a floating time, or a zoned time."""

    def __init__(self, text: str, zone: str | None) -> None:
        self.day = date.fromisoformat(text) if len(text) == 10 else None
        self.local = None if self.day or zone else _moment(text)
        self.instant = _moment(text).replace(tzinfo=ZoneInfo(zone)) if zone and not self.day else None

    def before(self, bound: str, zone: str) -> bool:
        if len(bound) == 10:
            return self._before_day(date.fromisoformat(bound), zone)
        instant, local = _both(bound, zone)
        if self.instant is not None:
            return self.instant < instant
        return self.local < local if self.local else self.day < local.date()  # type: ignore[operator]

    def after(self, bound: str, zone: str) -> bool:
        if len(bound) == 10:
            return not self._before_day(date.fromisoformat(bound) + timedelta(days=1), zone)
        instant, local = _both(bound, zone)
        if self.instant is not None:
            return self.instant > instant
        return self.local > local if self.local else self.day > local.date()  # type: ignore[operator]

    def _before_day(self, day: date, zone: str) -> bool:
        if self.instant is not None:
            return self.instant < _midnight(day, zone)
        return (self.day or self.local.date()) < day  # type: ignore[union-attr]

    def within(self, word: str, zone: str) -> bool:
        now = datetime.now(ZoneInfo(zone))
        today = now.date()
        match word:
            case "any":
                return True
            case "overdue":
                return self.before(now.isoformat(), zone)
            case "today" | "tomorrow" | "week":
                first, last = {"today": (0, 0), "tomorrow": (1, 1), "week": (0, 6)}[word]
                begin, end = _days(today, first, last + 1)
                return not self.before(begin, zone) and self.before(end, zone)
        return not self.before(word, zone) and not self.after(word, zone)


def _both(bound: str, zone: str) -> tuple[datetime, datetime]:
    moment = _moment(bound)
    instant = moment.replace(tzinfo=moment.tzinfo or ZoneInfo(zone))
    return instant, instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def _value(task: Task, name: str) -> Value | None:
    return Value(task[name], task["time_zone"]) if task[name] else None


def _due(task: Task, asked: str, zone: str) -> bool:
    value = _value(task, "due")
    return any(
        value is None if word == "none" else value is not None and value.within(word, zone)
        for word in asked.split(",")
        if word != "overdue" or not task["completed"]
    )


def _bounded(name: str, side: str) -> Callable[[Task, str, str], bool]:
    def holds(task: Task, bound: str, zone: str) -> bool:
        value = _value(task, name)
        return value is not None and (value.before if side == "before" else value.after)(bound, zone)

    return holds


def _started(task: Task, asked: str, zone: str) -> bool:
    start = _value(task, "start")
    waits = start is not None and start.after(datetime.now(ZoneInfo(zone)).isoformat(), zone)
    return waits == (asked == "false")


def _keys(task: Task) -> set[str]:
    return set(map(searched, task["labels"]))


def _one_of(name: str, without: str) -> Callable[[Task, str, str], bool]:
    return lambda task, asked, _: str(task[name] or without) in asked.split(",")


HOLDS: dict[str, Callable[[Task, str, str], bool]] = {
    "due": _due,
    **{f"{name}_{side}": _bounded(name, side) for name in ("due", "start") for side in ("before", "after")},
    "started": _started,
    "completed": lambda task, asked, _: task["completed"] == (asked == "true"),
    "completed_after": lambda task, asked, _: (task["completed_at"] or "") > asked,
    "completed_before": lambda task, asked, _: (task["completed_at"] or asked) < asked,
    "status": lambda task, asked, _: (
        asked == "all" or task["status"] == asked or (asked == "pending" and not task["completed"])
    ),
    "list": _one_of("list_id", "inbox"),
    "parent": _one_of("parent_id", "none"),
    "priority": _one_of("priority", "none"),
    "labelled": lambda task, asked, _: bool(task["labels"]) == (asked == "true"),
    "recurring": lambda _, asked, __: asked == "false",
    "q": lambda task, asked, _: asked.casefold() in task["title"].casefold(),
}


def expected(made: Made, text: str) -> list[Task]:
    """The tasks that a query finds, newest first."""
    query: Query = {}
    for name, value in parse_qsl(text):
        query.setdefault(name, []).append(value)
    (zone,) = query.pop("tz", ["UTC"])
    archived = query.pop("archived", ["" if "list" in query else "false"])
    labels = {name: set(map(searched, query.pop(name, []))) for name in ("label", "label_any", "label_not")}
    return [
        task
        for task in made.tasks
        if all(HOLDS[name](task, value, zone) for name, (value,) in query.items())
        and archived in ([""], [str(task["list_id"] == made.archived).lower()])
        and labels["label"] <= _keys(task)
        and (not labels["label_any"] or labels["label_any"] & _keys(task))
        and not labels["label_not"] & _keys(task)
    ]


def found(made: Made, query: str) -> list[Task]:
    answer = made.client.get(f"{made.path}?{query}")
    assert answer.status_code == 200, answer.text
    tasks: list[Task] = answer.json()
    return tasks


def _query(**members: Any) -> str:
    return urlencode(members, doseq=True)


_BOUNDS = (
    "2026-11-20", "2026-11-20T09:00", "2026-11-20T09:00:00", "2026-11-20T08:00:00Z",
    "2026-11-20T23:59:59-12:00", "1900-01-01", "9998-12-31", "9998-12-31T23:59:59",
)  # fmt: skip
_WORDS = (
    "any", "none", "overdue", "today", "tomorrow", "week", "none,today", "overdue,today",
    "tomorrow,overdue,none", "none,any", "2026-11-20", "2026-11-19,2026-11-21",
    "2026-11-20,none,overdue", "week,today,2026-11-21",
)  # fmt: skip
CASES: tuple[str, ...] = (
    *(_query(due=words, tz=zone) for words in _WORDS for zone in (NOON, BERLIN)),
    *(
        _query(**{name: bound, "tz": zone})
        for name in ("due_before", "due_after", "start_before", "start_after")
        for bound in _BOUNDS
        for zone in (BERLIN, KIRITIMATI, "Etc/GMT+12")
    ),
    _query(due_after="2026-11-19", due_before="2026-11-21", tz=NEW_YORK),
    _query(due_after="2026-11-20T09:00", due="2026-11-20", tz=BERLIN),
    _query(due="today,none", due_before="9000-01-01", tz=NOON),
    _query(due="overdue", completed="true", tz=NOON),
    _query(due="overdue", status="in_progress", tz=NOON),
    *(_query(started=asked, tz=zone) for asked in ("true", "false") for zone in (NOON, KIRITIMATI)),
    _query(started="true", due="today", tz=NOON),
    *(_query(status=word) for word in ("all", "pending", "open", "in_progress", "completed", "cancelled")),
    *(_query(completed=asked) for asked in ("true", "false")),
    _query(status="cancelled", completed="true"),
    _query(priority="1"), _query(priority="1,2"), _query(priority="none"), _query(priority="none,9,9"),
    *(_query(labelled=asked) for asked in ("true", "false")),
    *(
        _query(**{name: label})
        for name in ("label", "label_any", "label_not")
        for label in dict.fromkeys(chain.from_iterable(LABELS))
    ),
    _query(label=["home", "büro"]), _query(label=["home", "HOME"]), _query(label=["home", "work"]),
    _query(label_any=["home", "a,b", "nothing"]), _query(label_not=["home", "b"]), _query(label="nothing"),
    _query(label="home", label_not="büro"),
    _query(label_any=["home", "work"], label="home", priority="1,none"),
    _query(list="inbox"), _query(archived="true"), _query(archived="false"), "",
    _query(parent="none"), _query(recurring="true"), _query(recurring="false"),
    _query(completed_after="2026-01-01T00:00:00Z"), _query(completed_before="2026-01-01T00:00:00Z"),
    _query(q="task 1", due="any", priority="none,5", labelled="true", tz=BERLIN),
)  # fmt: skip


class TestFilters:
    def test_find_what_the_model_finds(self, made: Made, subtests: pytest.Subtests) -> None:
        for query in CASES:
            with subtests.test(query=query):
                assert found(made, query) == expected(made, query)

    def test_of_lists_and_parents(self, made: Made, subtests: pytest.Subtests) -> None:
        first, second, archived = map(str, made.lists)
        for query in (
            _query(list=first), _query(list=f"{first},{second}"), _query(list=f"inbox,{second}"),
            _query(list=archived), _query(list=archived, archived="false"), _query(list=unknown_id()),
            _query(list=f"{first.upper()},{archived},{unknown_id()}", archived="true"),
            _query(parent=made.parent["id"]), _query(parent=unknown_id()),
            _query(parent=made.parent["id"], due="any", priority="none"),
        ):  # fmt: skip
            with subtests.test(query=query):
                asked = query.replace(first.upper(), first)
                assert found(made, query) == expected(made, asked)

    def test_most_find_some_and_not_all(self, made: Made) -> None:
        """So that the cases can tell right from wrong."""
        sizes = [len(expected(made, query)) for query in CASES]
        assert sum(0 < size < len(made.tasks) for size in sizes) > 0.85 * len(CASES)

    def test_count_what_they_find(self, made: Made) -> None:
        for query in CASES[::9]:
            answer = made.client.get(f"{made.path}?{query}&limit=1", headers={"Prefer": "count=exact"})
            assert int(answer.headers["x-total-count"]) == len(expected(made, query))

    def test_of_somebody_else_find_nothing(self, made: Made, user: str) -> None:
        create(made.client, f"/api/{user}/tasks")
        assert made.client.get(f"/api/{user}/tasks?due=any&tz=UTC").json() == []
        assert made.client.get(f"/api/{user}/tasks?list={made.archived}").json() == []

    def test_delete_what_they_find(self, client: httpx2.Client, user: str, subtests: pytest.Subtests) -> None:
        path = f"/api/{user}/tasks"
        kept = create(client, path, due="2026-11-21", labels=["a"], priority=1)
        for query in (
            "due=2026-11-20&tz=UTC", "due_before=2026-11-21", "due_before=2026-11-21T00:00Z",
            "label=b&label=C", "label_any=b&label_any=z", "label_not=a", "priority=2,3",
            "status=in_progress", "started=true&due=none,2026-11-20",
        ):  # fmt: skip
            with subtests.test(query=query):
                create(client, path, due="2026-11-20", labels=["B", "c"], priority=2, status="in_progress")
                assert client.delete(f"{path}?{query}").json() == {"deleted": 1}
                assert client.get(path).json() == [kept]

    def test_of_many_words_are_refused(self, made: Made) -> None:
        days = _days(DAY, *range(31))
        assert violation(made.client.get(f"{made.path}?due={','.join(days)}"))["code"] == "too_many"
        most = _query(due=",".join(days[1:]), tz=BERLIN)
        assert found(made, most) == expected(made, most)
        labels = _query(label=[f"label {place}" for place in range(31)])
        assert violation(made.client.get(f"{made.path}?{labels}"))["code"] == "too_many"

    REFUSED = (
        *(
            ("due", text, "invalid_date")
            for text in ("yesterday", "today,", ",", "2026-11-31", "2026-11-20T09:00", "none any", "\u0661")
        ),
        *(
            (name, text, "invalid_date")
            for name in ("due_before", "due_after", "start_before", "start_after")
            for text in (
                "today",
                "2026",
                "1899-12-31",
                "9999-01-01",
                "2026-11-20T24:00",
                "2026-11-20T09:00:00.5Z",
            )
        ),
        *(
            ("tz", text, "unknown_time_zone")
            for text in ("europe/berlin", "GMT+1", "W. Europe Standard Time")
        ),
        *(("list", text, "invalid_id") for text in ("none", "inbox,", "1", "inbox;inbox")),
        *(("parent", text, "invalid_id") for text in ("inbox", "1", f"{unknown_id()},{unknown_id()}")),
        *(
            ("priority", text, "invalid_priority")
            for text in ("0", "10", "1,", "high", "-1", "1.0", "\u0661")
        ),
        *(("status", text, "invalid_status") for text in ("closed", "open,completed", "in progress")),
        *(("started", text, "invalid_flag") for text in ("now", "2")),
        ("labelled", "home", "invalid_flag"),
        ("label", "x" * 61, "too_long"),
        ("label_not", "\x07", "invalid_text"),
        ("completed_after", "2026-11-20", "invalid_instant"),
    )

    def test_that_are_not_understood_are_refused(self, made: Made, subtests: pytest.Subtests) -> None:
        for name, text, code in self.REFUSED:
            with subtests.test(name=name, text=text):
                for answer in (
                    made.client.get(made.path, params={name: text}),
                    made.client.delete(made.path, params={name: text}),
                ):
                    refused = violation(answer)
                    assert (refused["parameter"], refused["code"]) == (name, code)

    def test_a_word_is_read_in_any_case(self, made: Made) -> None:
        zone = quote(NOON)  # in the afternoon it has a plus
        assert found(made, f"due=Today,NONE&tz={zone}") == expected(made, f"due=today,none&tz={zone}")
        assert found(made, "list=Inbox&priority=NONE&status=In_Progress") == expected(
            made, "list=inbox&priority=none&status=in_progress"
        )

    def test_a_plus_that_is_not_encoded_is_a_plus(self, made: Made) -> None:
        for bound in ("2026-11-20T09:00+01:00", "2026-11-20T09:00:00+01:00"):
            assert found(made, f"due_before={bound}&tz={BERLIN}") == expected(
                made, _query(due_before=bound, tz=BERLIN)
            )

    def test_only_labels_may_be_repeated(self, made: Made) -> None:
        for name, value in (("due", "any"), ("list", "inbox"), ("priority", "1"), ("tz", "UTC")):
            refused = violation(made.client.get(f"{made.path}?{name}={value}&{name}={value}"))
            assert (refused["parameter"], refused["code"]) == (name, "repeated")

    def test_an_empty_one_is_none(self, made: Made) -> None:
        query = "due=&due_before=&tz=&list=&label=&label_any=&priority=&parent=&started=&archived="
        assert found(made, query) == expected(made, "")
        assert violation(made.client.delete(f"{made.path}?label="))["code"] == "blank"


KEYS = ("due", "start", "priority", "position", "completed_at")
ORDERS = (
    *(f"{sign}{key}" for key in KEYS for sign in ("", "-")),
    "priority,due", "-priority,-due", "title,-start", "-due,priority,title", "completed,-completed_at",
    "priority,-position", "-completed_at,created_at",
)  # fmt: skip
_FILTERS = (
    "", "due=any", "due=any&completed=false", f"due_after=2026-11-19&tz={BERLIN}", "due=none,any",
    "list=inbox", "priority=1,5,9", "priority=none,9", "started=false&tz=UTC",
)  # fmt: skip
# Each order with some of the filters is read page by page too, which takes up to twenty requests.
_SHARE_BY_PAGES = 4


def _sorted(tasks: Sequence[Task], sort: str) -> list[Task]:
    """By one key after the other; nulls last ascending, first descending."""
    terms = [(term.removeprefix("-"), term.startswith("-")) for term in sort.split(",")]
    last, descending = terms[-1]
    ties = [("id", descending)] if last == "position" else [("created_at", True), ("id", True)]
    ordered = list(tasks)
    for name, backwards in reversed([*terms, *(tie for tie in ties if tie[0] not in dict(terms))]):

        def key(task: Task, name: str = name) -> tuple[bool, Any]:
            value = task[name]
            return value is None, value.casefold() if name == "title" else value or 0

        groups = (
            [task for task in ordered if task[name] is not None],
            [task for task in ordered if task[name] is None],
        )
        groups[0].sort(key=key, reverse=backwards)
        ordered = [*groups[1], *groups[0]] if backwards else [*groups[0], *groups[1]]
    return ordered


class TestOrders:
    def test_are_those_of_python_page_by_page(self, made: Made, subtests: pytest.Subtests) -> None:
        for number, sort in enumerate(ORDERS):
            for place, query in enumerate(_FILTERS):
                with subtests.test(sort=sort, query=query):
                    tasks = _sorted(expected(made, query), sort)
                    assert found(made, f"{query}&sort={sort}") == tasks
                    if (number + place) % _SHARE_BY_PAGES and not EVERYTHING:
                        continue
                    limit = (5, 17, 100)[place % 3]
                    path = f"{made.path}?{query}&sort={sort}&limit={limit}"
                    assert [task for page in pages(made.client, path) for task in page] == tasks

    def test_tasks_without_a_value_are_last_and_descending_first(self, made: Made) -> None:
        for key in set(KEYS) - {"position"}:
            ascending = [task[key] is None for task in found(made, f"sort={key}")]
            assert ascending == sorted(ascending)
            descending = [task[key] is None for task in found(made, f"sort=-{key}")]
            assert descending == sorted(descending, reverse=True)
            assert any(ascending)
            assert not all(ascending)

    def test_a_date_stands_before_the_times_of_its_day(self, client: httpx2.Client, user: str) -> None:
        path = f"/api/{user}/tasks"
        dues = ["2026-11-20T00:00:00", "2026-11-20", "2026-11-19T23:59:59", "2026-11-21"]
        for due in dues:
            create(client, path, due=due)
        assert [task["due"] for task in client.get(f"{path}?sort=due").json()] == sorted(dues)


class TestZones:
    """Whose day it is: the request's, the user's, or the server's."""

    def _day_in(self, zone: str) -> str:
        return datetime.now(ZoneInfo(zone)).date().isoformat()

    def test_tz_says_what_today_is(self, client: httpx2.Client, user: str) -> None:
        path = f"/api/{user}/tasks"
        for day in dict.fromkeys(map(self._day_in, (KIRITIMATI, "Etc/GMT+12"))):
            create(client, path, due=day)
        for zone in (KIRITIMATI, "Etc/GMT+12"):
            (task,) = client.get(path, params={"due": "today", "tz": zone}).json()
            assert task["due"] == self._day_in(zone)

    def test_the_user_has_a_zone(self, client: httpx2.Client, user: str, server: LocalServer) -> None:
        path = f"/api/{user}/tasks"
        for day in dict.fromkeys(map(self._day_in, (KIRITIMATI, "Etc/GMT+12"))):
            create(client, path, due=day)
        for zone in (KIRITIMATI, "Etc/GMT+12"):
            execute(server.settings, f"UPDATE users SET time_zone = '{zone}' WHERE id = '{user}'")
            (task,) = client.get(path, params={"due": "today"}).json()
            assert task["due"] == self._day_in(zone)

    def test_the_server_has_one_for_users_without(self, database_url: str) -> None:
        for zone in (KIRITIMATI, "Etc/GMT+12"):
            settings = Settings(database_url=database_url, time_zone=zone)
            with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
                task = create(client, "/api/tasks", due=self._day_in(zone))
                assert task in client.get("/api/tasks?due=today").json()
                assert client.get("/api/tasks?due_before=2026-01-01T00:00Z").json() == []

    def test_two_zones_of_one_second_have_two_etags(self, client: httpx2.Client, user: str) -> None:
        path = f"/api/{user}/tasks"
        create(client, path, due="2026-11-20")
        for due in ("today", "overdue", "2026-11-20"):
            asked = [{"due": due, "tz": zone} for zone in (BERLIN, KIRITIMATI)]
            first, second = (client.get(path, params=query) for query in asked)
            assert first.headers["etag"] != second.headers["etag"]
            again = client.get(path, params=asked[1], headers={"If-None-Match": first.headers["etag"]})
            assert again.status_code == 200

    def test_another_zone_of_the_user_has_another_etag(
        self, client: httpx2.Client, user: str, server: LocalServer
    ) -> None:
        path = f"/api/{user}/tasks"
        create(client, path, due="2026-11-20")
        first = client.get(f"{path}?due=2026-11-20").headers["etag"]
        assert client.get(f"{path}?due=2026-11-20", headers={"If-None-Match": first}).status_code == 304
        execute(server.settings, f"UPDATE users SET time_zone = '{KIRITIMATI}' WHERE id = '{user}'")
        assert client.get(f"{path}?due=2026-11-20", headers={"If-None-Match": first}).status_code == 200

    def test_a_list_without_days_has_the_etag_of_any_zone(self, client: httpx2.Client, user: str) -> None:
        path = f"/api/{user}/tasks"
        create(client, path, due="2026-11-20")
        tags = {
            client.get(path, params={"due": "any", **zone}).headers["etag"]
            for zone in ({}, {"tz": BERLIN}, {"tz": KIRITIMATI})
        }
        assert len(tags) == 1

    def test_a_cursor_belongs_to_its_zone(self, client: httpx2.Client, user: str) -> None:
        path = f"/api/{user}/tasks"
        for _ in range(2):
            create(client, path, due="2026-11-20")
        link = client.get(f"{path}?due=2026-11-20&tz={BERLIN}&limit=1").links["next"]["url"]
        assert len(client.get(link).json()) == 1
        other = link.replace("Berlin", "Paris")
        assert violation(client.get(other))["code"] == "invalid_cursor"

    def test_what_depends_on_the_caller_is_not_taken_from_a_cache(
        self, client: httpx2.Client, server: LocalServer
    ) -> None:
        """Two users with one query, one after the other, on the way that remembers queries."""
        zones = {f"user-{uuid4().hex}": zone for zone in (KIRITIMATI, "Etc/GMT+12")}
        for user, zone in zones.items():
            create(client, f"/api/{user}/tasks", due=self._day_in(zone))
            execute(server.settings, f"UPDATE users SET time_zone = '{zone}' WHERE id = '{user}'")
        for user in [*zones, *zones]:
            assert len(client.get(f"/api/{user}/tasks?due=today&limit=5").json()) == 1
