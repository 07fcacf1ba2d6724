"""A dict that does what the server promises to do: the model that `model` holds it to.

The fields of a task and what becomes of their values come from `harness.task_bodies`. By name it knows
`completed`, which has a time, `position`, which the server makes, and what lists are filtered by.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

from harness.task_bodies import FIELDS, as_changed, as_shown

Record = dict[str, Any]

# What the server decides: a time, an id. Taken from what it shows first, it has to stay.
UNKNOWN = object()
_NEW = "new"


class Refused(Exception):
    """`version`: what a 412 says of the task."""

    def __init__(self, status: int, version: int | None = None) -> None:
        super().__init__(status, version)
        self.status = status
        self.version = version


@dataclass(frozen=True, slots=True)
class Operation:
    """On one task. `guard`: the versions that will do; None: any."""

    op: str
    id: str | None
    task: Record | None = None
    guard: frozenset[int] | None = None

    def entry(self) -> Record:
        """As a batch has it."""
        entry: Record = {"op": self.op}
        if self.id is not None:
            entry["id"] = self.id
        if self.task is not None:
            entry["task"] = self.task
        if self.guard is not None:
            (entry["version"],) = self.guard
        return entry


class Book:
    """One user's tasks, those in the trash too, and the number of the latest change."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.tasks: dict[str, Record] = {}
        self.number = 0

    def trial(self) -> "Book":
        """A copy to see what would come of it. Records are replaced, never changed, but by `show`."""
        book = copy(self)
        book.tasks = dict(self.tasks)
        return book

    def apply(self, operation: Operation) -> str:
        """Returns the key of the task. Raises Refused."""
        body = operation.task or {}
        if operation.op == "create":
            return self._create(operation.id, body)
        assert operation.id is not None
        record = self._find(operation.id, operation.guard, trash=operation.op == "restore")
        changes = self._changes(operation.op, record, body)
        if changes is not None:
            self._change(record, changes)
        return operation.id

    def _changes(self, op: str, record: Record, body: Record) -> Record | None:
        match op:
            case "update":
                return None if body.keys().isdisjoint(FIELDS) else as_changed(record, body)
            case "toggle":
                return as_changed(record, {"completed": body.get("completed", not record["completed"])})
            case "delete":
                return {"deleted_at": UNKNOWN}
            case _:
                return None if record["deleted_at"] is None else {"deleted_at": None}

    def _create(self, key: str | None, body: Record) -> str:
        if key in self.tasks:
            raise Refused(412, self.tasks[key]["version"])
        key = key or _NEW
        record = {
            "id": UNKNOWN if key == _NEW else key,
            "user_id": self.user,
            "completed": False,
            "completed_at": None,
            "position": UNKNOWN,
            "created_at": UNKNOWN,
            "deleted_at": None,
        }
        self.tasks[key] = record
        self._change(record, as_shown(body), key)
        return key

    def _find(self, key: str, guard: frozenset[int] | None, *, trash: bool) -> Record:
        record = self.tasks.get(key)
        if record is None or (record["deleted_at"] is not None and not trash):
            raise Refused(404)
        if guard is not None and record["version"] not in guard:
            raise Refused(412, record["version"])
        return record

    def _change(self, record: Record, changes: Record, key: str | None = None) -> None:
        self.number += 1
        changed = {**record, **changes, "updated_at": UNKNOWN, "version": self.number}
        if not changed["completed"]:
            changed["completed_at"] = None
        elif not record["completed"]:
            changed["completed_at"] = UNKNOWN
        self.tasks[key or record["id"]] = changed

    def delete_many(self, query: Record) -> int:
        doomed = sorted(self.select(query), key=lambda record: record["version"])
        for record in doomed:
            self._change(record, {"deleted_at": UNKNOWN})
        return len(doomed)

    def show(self, key: str, shown: Record) -> None:
        """The server shows a task: what is known has to be so, what is unknown becomes known."""
        record = self.tasks[key]
        deleted = record["deleted_at"] is not None
        assert shown.keys() == record.keys() - (set() if deleted else {"deleted_at"})
        self._adopt(record, shown)
        if key == _NEW:
            self.tasks[record["id"]] = self.tasks.pop(key)

    def show_gone(self, shown: Record) -> None:
        """The server shows a task as the feed tells of one that is in the trash."""
        record = self.tasks[shown["id"]]
        assert shown.keys() == {"id", "deleted", "version", "deleted_at"}
        assert shown["deleted"] is True
        assert record["deleted_at"] is not None
        self._adopt(record, {name: value for name, value in shown.items() if name != "deleted"})

    def _adopt(self, record: Record, shown: Record) -> None:
        now = {shown[name] for name in shown if name.endswith("_at") and record[name] is UNKNOWN}
        assert len(now) <= 1, "what happens at once has one time"
        for name, value in shown.items():
            if record[name] is UNKNOWN:
                record[name] = value
            assert record[name] == value, f"{name}: {value!r} instead of {record[name]!r}"
        if "updated_at" not in shown and now:
            record["updated_at"] = record["deleted_at"]

    def has_unknowns(self) -> bool:
        return any(UNKNOWN in record.values() for record in self.tasks.values())

    def select(self, query: Record) -> list[Record]:
        """The tasks of a list's query, in its order."""
        found = [record for record in self.tasks.values() if _fits(record, query)]
        keys = query.get("sort", "-created_at").split(",")
        for key in reversed([*keys, "-created_at", "-id"]):
            name = key.removeprefix("-")
            found.sort(key=lambda record: _sortable(record[name]), reverse=key.startswith("-"))
        return found

    def changed_since(self, number: int) -> Iterator[Record]:
        found = (record for record in self.tasks.values() if record["version"] > number)
        yield from sorted(found, key=lambda record: record["version"])


def _sortable(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _fits(record: Record, query: Record) -> bool:
    texts = [text.casefold() for text in (record["title"], record["description"]) if text is not None]
    wanted = query.get("q", "").strip().casefold()
    state = {"true": True, "completed": True, "false": False, "pending": False}
    return (
        (record["deleted_at"] is not None) == ("deleted" in query)
        and (not wanted or any(wanted in text for text in texts))
        and all(
            record["completed"] == state.get(query.get(name, ""), record["completed"])
            for name in ("completed", "status")
        )
        and all(record[f"{name[:7]}_at"] > query[name] for name in query if name.endswith("_after"))
        and all(record[f"{name[:7]}_at"] < query[name] for name in query if name.endswith("_before"))
    )
