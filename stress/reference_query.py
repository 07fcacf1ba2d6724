"""What a list's query finds in the model, and in which order."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from stress.reference_dates import has_come, is_after, is_before, is_on, is_over, local_of
from stress.reference_model import Book, Record, by_version, folded, value_of

Query = Mapping[str, Any]  # a parameter that is repeated has a list
_FLAGS = {"true": True, "false": False}
_WORDS = {"today": (0, 1), "tomorrow": (1, 1), "week": (0, 7)}  # days from today, and how many


def clock(query: Query, now: datetime) -> str:
    """The minute or the day that the list changes with; else nothing."""
    words = set(str(query.get("due", "")).split(","))
    if "started" in query or "overdue" in words:
        return now.isoformat()
    return local_of(now, query.get("tz", "UTC")).date().isoformat() if words & _WORDS.keys() else ""


def select(book: Book, query: Query, now: datetime) -> list[Record]:
    """The tasks, in their order. `now`: the present minute."""
    found = [record for record in book.tasks.values() if _fits(book, record, query, now)]
    keys = query.get("sort", "-created_at").split(",")
    ties = {"position": ["id"], "-position": ["-id"]}.get(keys[-1], ["-created_at", "-id"])
    for key in reversed([*keys, *ties]):
        _sort(found, key.removeprefix("-"), descending=key.startswith("-"))
    return found


def doomed(book: Book, query: Query, now: datetime) -> list[Record]:
    """The tasks that a deletion of many takes: those found, and all below them, in the order of changes."""
    found = {one["id"]: one for record in select(book, query, now) for one in (record, *book.parts(record))}
    return by_version(found.values())


def overdue(record: Record, now: datetime, tz: str) -> bool:
    due = record["due"]
    return due is not None and not record["completed"] and is_over(due, record["time_zone"], now, tz)


def _sort(records: list[Record], name: str, *, descending: bool) -> None:
    """What is not there sorts last, and first if the order is descending."""

    def key(record: Record) -> tuple[bool, Any]:
        value = value_of(record[name])
        return (True, 0) if value is None else (False, value.casefold() if name == "title" else value)

    records.sort(key=key, reverse=descending)


def _fits(book: Book, record: Record, query: Query, now: datetime) -> bool:
    if (record["deleted_at"] is not None) != ("deleted" in query):
        return False
    archived = book.lists.get(record["list_id"], {}).get("archived_at") is not None
    if archived and not {"deleted", "archived", "list"} & query.keys():
        return False
    if "archived" in query and archived != _FLAGS[query["archived"]]:
        return False
    tz = query.get("tz", "UTC")
    return all(_TESTS[name](record, value, now, tz) for name, value in query.items() if name in _TESTS)


def _q(record: Record, text: str, _now: datetime, _tz: str) -> bool:
    texts = [folded(value) for value in (record["title"], record["description"]) if value is not None]
    return any(folded(text) in value for value in texts)


def _status(record: Record, status: str, _now: datetime, _tz: str) -> bool:
    if status in {"all", "pending"}:
        return status == "all" or not record["completed"]
    return bool(record["status"] == status)


def _due(record: Record, words: str, now: datetime, tz: str) -> bool:
    return any(_is_due(record, word, now, tz) for word in words.split(","))


def _is_due(record: Record, word: str, now: datetime, tz: str) -> bool:
    due, zone = record["due"], record["time_zone"]
    if word in {"none", "any"}:
        return (due is None) == (word == "none")
    if due is None:
        return False
    if word == "overdue":
        return overdue(record, now, tz)
    if word in _WORDS:
        start, days = _WORDS[word]
        return is_on(due, zone, local_of(now, tz).date() + timedelta(days=start), days, tz)
    return is_on(due, zone, date.fromisoformat(word), 1, tz)


def _bound(name: str, compare: Callable[[str, str | None, str, str], bool]) -> Callable[..., bool]:
    def test(record: Record, bound: str, _now: datetime, tz: str) -> bool:
        return record[name] is not None and compare(record[name], record["time_zone"], bound, tz)

    return test


def _moment(verb: str, *, after: bool) -> Callable[..., bool]:
    def test(record: Record, bound: str, _now: datetime, _tz: str) -> bool:
        at = value_of(record[f"{verb}_at"])
        return at is not None and (at > bound if after else at < bound)

    return test


def _started(record: Record, flag: str, now: datetime, tz: str) -> bool:
    start = record["start"]
    come = start is None or has_come(start, record["time_zone"], now, tz)
    return come == _FLAGS[flag]


def _one_of(name: str, nothing: str) -> Callable[..., bool]:
    def test(record: Record, words: str, _now: datetime, _tz: str) -> bool:
        value = record[name]
        return (nothing if value is None else str(value)) in words.split(",")

    return test


def _labels(record: Record) -> set[str]:
    return set(map(folded, record["labels"]))


_TESTS: Mapping[str, Callable[..., bool]] = {
    "completed": lambda record, flag, _now, _tz: record["completed"] == _FLAGS[flag],
    "status": _status,
    "q": _q,
    **{
        f"{verb}_{side}": _moment(verb, after=side == "after")
        for verb in ("created", "updated", "completed")
        for side in ("after", "before")
    },
    "due": _due,
    "due_before": _bound("due", is_before),
    "due_after": _bound("due", is_after),
    "start_before": _bound("start", is_before),
    "start_after": _bound("start", is_after),
    "started": _started,
    "list": _one_of("list_id", "inbox"),
    "parent": _one_of("parent_id", "none"),
    "priority": _one_of("priority", "none"),
    "label": lambda record, names, _now, _tz: set(map(folded, names)) <= _labels(record),
    "label_any": lambda record, names, _now, _tz: bool(set(map(folded, names)) & _labels(record)),
    "label_not": lambda record, names, _now, _tz: not set(map(folded, names)) & _labels(record),
    "labelled": lambda record, flag, _now, _tz: bool(record["labels"]) == _FLAGS[flag],
}
