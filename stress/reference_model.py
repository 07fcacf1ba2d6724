"""Dicts that do what the server promises to do: the model that `model` holds it to.

Its rules are those of the documentation, written once more; nothing here is the server's code. `Book` has
the tasks and lists of one user, `reference_labels` adds the labels, `reference_query` finds and sorts.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from fractional_indexing import generate_n_keys_between

from stress import reference_recurrence as recurrence
from stress.reference_dates import StartAfterDue, after_request

Record = dict[str, Any]

FIELDS = frozenset(
    {
        "title", "description", "completed", "status", "subtasks", "list_id", "parent_id", "position",
        "start", "due", "time_zone", "priority", "labels", "labels_add", "labels_remove", "link", "extra",
        *recurrence.NONE,
    }
)  # fmt: skip
LIST_FIELDS = frozenset({"name", "color", "position"})
_DATES = frozenset({"start", "due", "time_zone"})
_DONE = frozenset({"completed", "cancelled"})
_STATE = frozenset({"completed", "status", "subtasks"})
_OPEN: Record = {"completed": False, "completed_at": None, "status": "open"}
_LEVELS = 8
_MOST_LABELS = 30
_NEW = "new"  # the key of what the server has yet to name


class Unknown:
    """What the server decides: an id, a place, a time.

    Taken from what it shows first, it has to stay. In several records, it is one value in all of them.
    """

    def __init__(self) -> None:
        self.value: Any = None


class Between(Unknown):
    """A place between two others; None: the top, the end."""

    def __init__(self, lower: str | None, upper: str | None) -> None:
        super().__init__()
        self.bounds = (lower, upper)

    def check(self) -> None:
        lower, upper = self.bounds
        assert lower is None or lower < self.value, f"{self.value} is not after {lower}"
        assert upper is None or self.value < upper, f"{self.value} is not before {upper}"


def value_of(value: Any) -> Any:
    return value.value if isinstance(value, Unknown) else value


class Refused(Exception):
    """`code`: what a 400 names. `version`: what a 412 says of the task or list."""

    def __init__(self, status: int, code: str | None = None, version: int | None = None) -> None:
        super().__init__(status, code, version)
        self.status = status
        self.code = code
        self.version = version


@dataclass(frozen=True, slots=True)
class Operation:
    """On one task or list. `guard`: the versions that will do; None: any. `tz`: the zone of the request.

    `now`: when it is sent.
    """

    op: str
    id: str | None
    body: Record | None = None
    guard: frozenset[int] | None = None
    kind: str = "task"
    tz: str = "UTC"
    now: datetime = field(default_factory=recurrence.now)

    def entry(self) -> Record:
        """As a batch has it."""
        entry: Record = {"op": self.op}
        if self.kind == "list":
            entry["kind"] = "list"
        if self.id is not None:
            entry["id"] = self.id
        if self.body is not None:
            entry |= self.body if self.op in {"move", "delete", "skip"} else {self.kind: self.body}
        if self.guard is not None:
            (entry["version"],) = self.guard
        return entry


@dataclass(frozen=True, slots=True)
class Change:
    """What a number was given for. `before` None: it was made."""

    kind: str
    before: Record | None
    after: Record


def folded(text: str) -> str:
    """What two spellings of one text have in common."""
    return unicodedata.normalize("NFC", text.strip().casefold())


def distinct(names: Sequence[str]) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(folded(name), name.strip())
    return list(found.values())


def by_version(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record["version"])


class Book:
    """One user's tasks and lists, those in the trash too, and the number of the latest change."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.tasks: dict[str, Record] = {}
        self.lists: dict[str, Record] = {}
        self.labels: dict[str, Record] = {}  # those with a row, and the tombstones of rows
        self.changes: list[Change] = []  # in the order of their numbers
        self.unknown: Callable[[], Any] = Unknown
        self.now = recurrence.now()
        self.completion: str | None = None  # what the latest operation has said of a recurring task

    def trial(self) -> "Book":
        """A copy to see what would come of it; what the server decides is made up.

        Records are replaced, never changed, but by `show`.
        """
        book = copy(self)
        book.tasks, book.lists = dict(self.tasks), dict(self.lists)
        book.changes = list(self.changes)
        made_up = count()
        book.unknown = lambda: f"zz{next(made_up):06}"
        return book

    def apply(self, operation: Operation) -> str:
        """Returns the key of the task or list. Raises Refused."""
        body = operation.body or {}
        self.now, self.completion = operation.now, None
        if operation.kind == "task":
            _check_alone(body)
        if operation.op == "create":
            create = self._create if operation.kind == "task" else self._create_list
            return create(operation.id, body, operation.tz)
        assert operation.id is not None
        record = self._find(operation, trash=operation.op == "restore")
        act: Any = getattr(self, f"_{operation.op}" + ("_list" if operation.kind == "list" else ""))
        act(record, body, operation.tz)
        return operation.id

    def _find(self, operation: Operation, *, trash: bool) -> Record:
        assert operation.id is not None
        record = self.rows(operation.kind).get(operation.id)
        if record is None or (record["deleted_at"] is not None and not trash):
            raise Refused(404)
        if operation.guard is not None and record["version"] not in operation.guard:
            raise Refused(412, version=record["version"])
        return record

    def rows(self, kind: str) -> dict[str, Record]:
        return {"task": self.tasks, "list": self.lists, "label": self.labels}[kind]

    # Tasks

    def _create(self, key: str | None, body: Record, tz: str) -> str:
        now = self.unknown()
        nothing: Record = {
            "id": self.unknown(), "user_id": self.user, "title": None, "description": None,
            "completed": False, "completed_at": None, "status": "open", "list_id": None, "parent_id": None,
            **recurrence.NONE, "reminders": [],
            "position": self.unknown(), "start": None, "due": None, "time_zone": None, "due_at": None,
            "priority": None, "labels": [], "link": None, "extra": {}, "created_at": now, "deleted_at": None,
        }  # fmt: skip
        # A new task is in the list of its parent; null is as good as nothing.
        absent = {name for name in ("list_id", "parent_id") if body.get(name) is None}
        body = {name: value for name, value in body.items() if name not in absent}
        changes = self._changes(nothing, body, now, tz)
        if key is not None:
            nothing["id"] = key
        key = _free(self.tasks, key)
        self._write(nothing, changes, now, key=key)
        return key

    def _update(self, record: Record, body: Record, tz: str) -> None:
        if _is_over(record, body.get("occurrence")):
            body = {name: value for name, value in body.items() if name not in _STATE}
        if body.keys().isdisjoint(FIELDS):
            return
        parts = self.parts(record)
        now = self.unknown()
        changes = self._changes(record, body, now, tz)
        if _completes_occurrence(record, changes):
            self._complete_occurrence(record, changes, parts, now, tz, with_open="subtasks" in body)
            return
        self._write(record, changes, now)
        self._take_along(changes, record, parts)
        if "subtasks" in body:
            self._complete(parts, now)

    def _complete_occurrence(
        self, record: Record, changes: Record, parts: Sequence[Record], now: Any, tz: str, *, with_open: bool
    ) -> None:
        """What a request makes of a recurring task that it completes: it moves on, or has ended."""
        advance = recurrence.advance({**record, **changes}, self.now, tz)
        if advance is None:
            changes = {**changes, "completed_at": self.unknown()}  # a little before the write
        else:
            changes = {**changes, **advance.changes, **_OPEN}
        self._write(record, changes, now)
        first = last = self.number
        self._take_along(changes, record, parts)
        if advance is not None:
            last = self._reopen(parts, advance.days, now, with_open=with_open) or first
        elif with_open:
            self._complete(parts, now)
            last = self.number
        self.completion = f"{first}" if last == first else f"{first}-{last}"

    def _reopen(self, parts: Sequence[Record], days: int, now: Any, *, with_open: bool) -> int | None:
        """The parts of a task that has moved on; those that recur stay, with what is below them."""
        staying: set[str] = set()
        moving = []
        for part in parts:
            if part["recurrence"] is not None or part["parent_id"] in staying:
                staying.add(part["id"])
            elif part["completed"] or with_open:
                moving.append(part)
        for part in sorted(moving, key=lambda one: not one["completed"]):
            moved = recurrence.moved_dates(part, days)
            self._write(self.tasks[part["id"]], moved | (_OPEN if part["completed"] else {}), now)
        return self.number if moving else None

    def _skip(self, record: Record, body: Record, tz: str) -> None:
        if _is_over(record, body.get("occurrence")):
            return
        if record["recurrence"] is None or record["completed"]:
            raise Refused(409)
        now = self.unknown()
        advance = recurrence.advance(record, self.now, tz, skips=True)
        ended = {"completed": True, "completed_at": now, "status": "cancelled"}
        self._write(record, ended if advance is None else {**advance.changes, **_OPEN}, now)

    def _toggle(self, record: Record, body: Record, tz: str) -> None:
        self._update(record, {"completed": not record["completed"]} | body, tz)

    def _move(self, record: Record, body: Record, _tz: str) -> None:
        place = self._place(record, body)
        siblings = [
            one
            for one in self.alive()
            if all(one[name] == place[name] for name in place) and one["id"] != record["id"]
        ]
        position, others = self._order(siblings, body)
        parts = self.parts(record)
        self._write(record, {**place, "position": position}, self.unknown())
        self._take_along(place, record, parts)
        self._spread(self.tasks, others)

    def _delete(self, record: Record, _body: Record, _tz: str) -> None:
        self.delete_at_once([record, *self.parts(record)])

    def delete_at_once(self, records: Sequence[Record]) -> None:
        now = self.unknown()
        for record in records:
            self._write(record, {"deleted_at": now}, now)

    def _restore(self, record: Record, _body: Record, _tz: str) -> None:
        """With what was deleted with it."""
        if record["deleted_at"] is None:
            return
        parts = self.parts(record, deleted_at=record["deleted_at"])
        place = self._place_left(record, parts)
        now = self.unknown()
        self._write(record, {**place, "deleted_at": None}, now)
        for part in parts:
            self._write(part, {"list_id": place["list_id"], "deleted_at": None}, now)

    def _changes(self, record: Record, body: Record, now: Any, tz: str) -> Record:
        """What a request makes of a task. Raises Refused."""
        same = ("description", "position", "priority", "link")
        changes = {name: body[name] for name in same if name in body}
        if "title" in body:
            changes["title"] = body["title"].strip()
        if isinstance(changes.get("link"), str):
            changes["link"] = changes["link"].strip()
        changes |= _state(record, body, now)
        changes["labels"] = _labels(record, body)
        if "extra" in body:
            changes["extra"] = {} if body["extra"] is None else _merged(record["extra"], body["extra"])
        if not _DATES.isdisjoint(body):
            try:
                changes |= after_request(body, record, tz)
            except StartAfterDue:
                raise Refused(400, "start_after_due") from None
        try:
            changes |= recurrence.after_request(body, record, {**record, **changes})
        except recurrence.NeedsDate:
            raise Refused(400, "needs_date") from None
        return changes | self._place(record, body)

    def _complete(self, parts: Sequence[Record], now: Any) -> None:
        """Those that are open, but for those that recur."""
        for part in parts:
            if not part["completed"] and part["recurrence"] is None:
                done = {"completed": True, "status": "completed", "completed_at": now}
                self._write(self.tasks[part["id"]], done, now)

    def _take_along(self, changes: Record, before: Record, parts: Sequence[Record]) -> None:
        """The parts of a task into its list."""
        if changes["list_id"] != before["list_id"]:
            now = self.unknown()
            for part in parts:
                self._write(part, {"list_id": changes["list_id"]}, now)

    # Trees

    def alive(self) -> list[Record]:
        return [record for record in self.tasks.values() if record["deleted_at"] is None]

    def parts(self, record: Record, deleted_at: Any = None) -> list[Record]:
        """Everything below a task, level by level: what is alive, or was deleted at one instant."""
        found: list[Record] = []
        level = [record]
        while level:
            above = {one["id"] for one in level}
            below = (one for one in self.tasks.values() if one["parent_id"] in above)
            level = by_version(one for one in below if one["deleted_at"] is deleted_at)
            found += level
        return found

    def _levels_below(self, record: Record, parts: Sequence[Record]) -> int:
        children = [part for part in parts if part["parent_id"] == record["id"]]
        return max((1 + self._levels_below(child, parts) for child in children), default=0)

    def _level(self, record: Record) -> int:
        parent = record["parent_id"]
        return 1 if parent is None else 1 + self._level(self.tasks[parent])

    def _place(self, record: Record, body: Record) -> Record:
        """The list and the parent after a request. Raises Refused."""
        before = {"list_id": record["list_id"], "parent_id": record["parent_id"]}
        if body.keys().isdisjoint(before):
            return before
        parent_id = body.get("parent_id", before["parent_id"])
        if "parent_id" not in body and body["list_id"] != before["list_id"]:
            parent_id = None
        if parent_id is not None:
            return self._place_below(record, parent_id, body)
        list_id = body.get("list_id", before["list_id"])
        if list_id not in {None, before["list_id"]} and not self._is_list(list_id):
            raise Refused(400, "no_such_list")
        return {"list_id": list_id, "parent_id": None}

    def _place_below(self, record: Record, parent_id: str, body: Record) -> Record:
        parts = self.parts(record)
        if parent_id in {record["id"], *(part["id"] for part in parts)}:
            raise Refused(400, "cycle")
        parent = self.tasks.get(parent_id)
        if parent is None or parent["deleted_at"] is not None:
            raise Refused(400, "no_such_parent")
        if self._level(parent) + 1 + self._levels_below(record, parts) > _LEVELS:
            raise Refused(400, "too_deep")
        if body.get("list_id", parent["list_id"]) != parent["list_id"]:
            raise Refused(400, "no_such_list")
        return {"list_id": parent["list_id"], "parent_id": parent_id}

    def _place_left(self, record: Record, parts: Sequence[Record]) -> Record:
        """What is left of the place of a task that is restored."""
        list_id = record["list_id"] if self._is_list(record["list_id"]) else None
        parent = self.tasks.get(record["parent_id"])
        fits = (
            parent is not None
            and parent["deleted_at"] is None
            and parent["list_id"] == record["list_id"]
            and self._level(parent) + 1 + self._levels_below(record, parts) <= _LEVELS
        )
        return {"list_id": list_id, "parent_id": record["parent_id"] if fits else None}

    def _is_list(self, key: str | None) -> bool:
        return key is not None and key in self.lists and self.lists[key]["deleted_at"] is None

    # Order

    def _order(self, siblings: list[Record], body: Record) -> tuple[Any, list[tuple[str, str]]]:
        """The place of what is moved beside one of the siblings, and the new places of others.

        Where two neighbours have one place, all get new ones. Raises Refused.
        """
        siblings.sort(key=lambda one: (value_of(one["position"]), value_of(one["id"])))
        after = "after" in body
        beside = body["after"] if after else body["before"]
        ids = [value_of(one["id"]) for one in siblings]
        if beside is None:
            index = 0 if after else len(ids)
        elif beside in ids:
            index = ids.index(beside) + after
        else:
            raise Refused(400, "invalid_position")
        places = [None, *(value_of(one["position"]) for one in siblings), None]
        lower, upper = places[index], places[index + 1]
        if lower is None or lower != upper:
            return Between(lower, upper) if self.unknown is Unknown else self.unknown(), []
        keys = generate_n_keys_between(None, None, len(siblings) + 1)
        position = keys.pop(index)
        moved = zip(siblings, keys, strict=True)
        return position, [(one["id"], key) for one, key in moved if one["position"] != key]

    def _spread(self, rows: dict[str, Record], others: Sequence[tuple[str, str]]) -> None:
        for key, position in others:
            self._write(rows[key], {"position": position}, self.unknown())

    # Lists

    def _create_list(self, key: str | None, body: Record, _tz: str) -> str:
        now = self.unknown()
        record: Record = {
            "id": key or self.unknown(), "user_id": self.user, "name": None, "color": None,
            "position": self.unknown(), "archived_at": None, "created_at": now, "deleted_at": None,
        }  # fmt: skip
        key = _free(self.lists, key)
        self._write(record, _of_list(body), now, key=key)
        return key

    def _update_list(self, record: Record, body: Record, _tz: str) -> None:
        if changes := _of_list(body):
            self._write(record, changes, self.unknown())

    def _archive_list(self, record: Record, _body: Record, _tz: str) -> None:
        if record["archived_at"] is None:
            now = self.unknown()
            self._write(record, {"archived_at": now}, now)

    def _unarchive_list(self, record: Record, _body: Record, _tz: str) -> None:
        if record["archived_at"] is not None:
            self._write(record, {"archived_at": None}, self.unknown())

    def _move_list(self, record: Record, body: Record, _tz: str) -> None:
        alive = [one for one in self.lists.values() if one["deleted_at"] is None]
        position, others = self._order([one for one in alive if one["id"] != record["id"]], body)
        self._write(record, {"position": position}, self.unknown())
        self._spread(self.lists, others)

    def _delete_list(self, record: Record, body: Record, _tz: str) -> None:
        now = self.unknown()
        change = {"list_id": None} if body.get("tasks") == "keep" else {"deleted_at": now}
        for task in by_version(task for task in self.alive() if task["list_id"] == record["id"]):
            self._write(task, change, now)
        self._write(record, {"deleted_at": now}, now)

    def _restore_list(self, record: Record, _body: Record, _tz: str) -> None:
        """With the tasks that went with it."""
        if (deleted_at := record["deleted_at"]) is None:
            return
        self._write(record, {"deleted_at": None}, self.unknown())
        gone = (task for task in self.tasks.values() if task["list_id"] == record["id"])
        went = by_version(task for task in gone if task["deleted_at"] is deleted_at)
        ids, now = {task["id"] for task in went}, self.unknown()
        for task in went:
            parent_id = task["parent_id"] if task["parent_id"] in ids else None
            self._write(task, {"deleted_at": None, "parent_id": parent_id}, now)

    # What is shown

    def _write(self, record: Record, changes: Record, now: Any, *, key: str | None = None) -> None:
        rows = self.tasks if "title" in record else self.lists
        changed = {**record, **changes, "updated_at": now}
        kind = "task" if rows is self.tasks else "list"
        rows[key or record["id"]] = self.number_change(kind, None if key else record, changed)

    @property
    def number(self) -> int:
        return len(self.changes)

    def number_change(self, kind: str, before: Record | None, after: Record) -> Record:
        """What is changed, with the number that its change takes."""
        after = {**after, "version": self.number + 1}
        self.changes.append(Change(kind, before, after))
        return after

    def show(self, key: str, shown: Record, kind: str = "task") -> None:
        """The server shows a task or list: what is known has to be so, what is unknown becomes known."""
        rows = self.rows(kind)
        record = rows[key]
        deleted = record["deleted_at"] is not None
        assert shown.keys() == record.keys() - (set() if deleted else {"deleted_at"}), shown
        adopt(record, shown)
        if key == _NEW:
            rows[record["id"]] = rows.pop(key)

    def show_gone(self, shown: Record, kind: str = "task") -> None:
        """The server shows a task or list as the feed tells of one that is in the trash."""
        record = self.rows(kind)[shown["id"]]
        assert shown.keys() == {"id", "deleted", "version", "deleted_at"}
        assert shown["deleted"] is True
        assert record["deleted_at"] is not None
        adopt(record, {name: value for name, value in shown.items() if name != "deleted"})

    def has_unknowns(self) -> bool:
        records = [*self.tasks.values(), *self.lists.values()]
        values = (value for one in records for value in one.values())
        return any(isinstance(value, Unknown) and value.value is None for value in values)

    def changed_since(self, number: int, kinds: Sequence[str]) -> list[tuple[str, Record]]:
        """The kinds and the records, in their order."""
        found = [(kind, record) for kind in kinds for record in self.rows(kind).values()]
        found = [(kind, record) for kind, record in found if record["version"] > number]
        return sorted(found, key=lambda one: one[1]["version"])


def adopt(record: Record, shown: Record) -> None:
    """What is shown of a record has to be so, or becomes known."""
    for name, value in shown.items():
        known = record[name]
        if isinstance(known, Unknown):
            if known.value is None:
                known.value = value
            if isinstance(known, Between):
                known.check()
            if name in {"id", "position"}:
                record[name] = value
        assert value_of(known) == value, f"{name}: {value!r} instead of {value_of(known)!r}"


def _free(rows: dict[str, Record], key: str | None) -> str:
    """The key of a new task or list. Raises Refused."""
    if key in rows:
        raise Refused(412, version=rows[key]["version"])
    return key or _NEW


def _check_alone(body: Record) -> None:
    """What is wrong with a body whatever the task. Raises Refused."""
    if "subtasks" in body and not (body.get("completed") or body.get("status") in _DONE):
        raise Refused(400, "invalid_subtasks")
    if "status" in body:
        done = body["status"] in _DONE
        if body.get("completed", done) != done:
            raise Refused(400, "status_conflict")


def _is_over(record: Record, occurrence: str | None) -> bool:
    """Whether the occurrence that a request completes was completed before. Raises Refused."""
    if occurrence is None or record["recurrence"] is None:
        return False
    if record["completed"]:
        return True
    standing = recurrence.standing(occurrence, record)
    if standing == "later":
        raise Refused(409)
    return standing == "earlier"


def _completes_occurrence(record: Record, changes: Record) -> bool:
    done = changes["status"] == "completed" and not record["completed"]
    return done and changes["recurrence"] is not None


def _state(record: Record, body: Record, now: Any) -> Record:
    completed: Any
    if "status" in body:
        status, completed = body["status"], body["status"] in _DONE
    else:
        completed, status = body.get("completed", record["completed"]), record["status"]
        if completed != record["completed"]:
            status = "completed" if completed else "open"
    at: Any = (record["completed_at"] if record["completed"] else now) if completed else None
    return {"status": status, "completed": completed, "completed_at": at}


def _labels(record: Record, body: Record) -> list[str]:
    names = (body["labels"] or []) if "labels" in body else record["labels"]
    names = distinct([*names, *body.get("labels_add", ())])
    removed = set(map(folded, body.get("labels_remove", ())))
    names = [name for name in names if folded(name) not in removed]
    if len(names) > _MOST_LABELS:
        raise Refused(400, "too_many")
    return names


def _merged(stored: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(stored) if isinstance(stored, dict) else {}
    for name, value in patch.items():
        before = result.pop(name, None)
        if value is not None:
            result[name] = _merged(before, value)
    return result


def _of_list(body: Record) -> Record:
    changes = {name: body[name] for name in LIST_FIELDS if name in body}
    if "name" in changes:
        changes["name"] = changes["name"].strip()
    if isinstance(changes.get("color"), str):
        changes["color"] = changes["color"][:7].lower()
    return changes
