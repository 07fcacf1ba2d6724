"""Undoes what the history has recorded, field by field.

A field goes back to its value before the first matched record that changed it, unless another record has
changed it since. Everything happens in one transaction that has locked the user's row, is recorded, and can
be undone too.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Row, select
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid, Violation
from taskwell.database.database import Transaction
from taskwell.models import ApiToken, HistoryRecord, Task, TaskList, User
from taskwell.models.base import table_of
from taskwell.schemas.change import Kind
from taskwell.schemas.history import (
    MAX_UNDONE,
    REMINDERS,
    Left,
    Reason,
    Undone,
    UndoRequest,
    UndoResult,
)
from taskwell.schemas.task import TASK_DELETED_COLUMNS, TaskDeleted, TaskRead
from taskwell.schemas.task_list import LIST_DELETED_COLUMNS, ListDeleted, ListRead
from taskwell.schemas.types import fold
from taskwell.services.history import DELETED
from taskwell.services.history_query import HistoryFilter, by_of, conditions
from taskwell.services.placement import NOWHERE, Place, parts_of, place_left, place_of
from taskwell.services.sequence import lock
from taskwell.services.task_dates import Dates, recomputed
from taskwell.services.task_fields import label_values
from taskwell.services.task_lists import write_list
from taskwell.services.task_rows import instant_of_writes, stretches, write_tasks
from taskwell.services.users import UserNotFound

_MAX_RECORDS = 20_000
_COLUMNS = table_of(HistoryRecord).c
_TASKS = table_of(Task).c
# Fields that belong to each other: of these either all go back or none does.
_GROUPS = (
    frozenset({"completed", "completed_at", "status"}),
    # With the rule: it counts from the dates.
    frozenset({"due", "start", "time_zone", "due_at", "recurrence", "recurrence_mode", "recurrence_exclude"}),
    frozenset({"list_id", "parent_id"}),
)
_PLACE = ("list_id", "parent_id")
# Of which one write may have made several records, with one instant.
_WRITTEN_TOGETHER = ("deleted", "undone")
Key = tuple[Kind, str]


@dataclass(slots=True)
class _Object:
    """A task, list or label, and its records from the first matched one on.

    `values`: what its fields go back to. `undone`: the versions that this undoes.
    """

    kind: Kind
    id: str
    matched: list[Row[Any]] = field(default_factory=list)
    others: list[Row[Any]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)

    def first_other(self, names: Iterable[str], after: int) -> Row[Any] | None:
        """The first record that is not matched and has changed one of the fields since a version."""
        names = set(names)
        return next(
            (row for row in self.others if row.version > after and names & _changes(row).keys()), None
        )


async def undo(
    transaction: Transaction,
    user_id: str,
    request: UndoRequest,
    *,
    own_only: bool = False,
) -> UndoResult:
    """Undo records. `own_only`: whether only those of the asking token may be undone.

    Raises:
        Invalid: there is no such token, or there is too much to undo at once.
    """
    try:
        last = await lock(transaction, user_id, create_user=False)
    except UserNotFound:
        return UndoResult(
            [], [Left(version, None, None, [], "unknown") for version in request.versions or ()]
        )
    matched, left = await _to_undo(transaction, user_id, request, last, own_only)
    objects = await _objects(transaction, user_id, matched)
    for one in objects:
        left += _plan(one)
        if one.kind == "label":
            left += _all_left(one, "unsupported")
    undone: list[Undone] = []
    changing = [one for one in objects if one.values]
    lists = [one for one in changing if one.kind == "list"]
    # A list comes back before its tasks, and goes after them.
    for apply, some in (
        (_apply_lists, [one for one in lists if not one.values.get(DELETED)]),
        (_apply_tasks, [one for one in changing if one.kind == "task"]),
        (_apply_lists, [one for one in lists if one.values.get(DELETED)]),
    ):
        done, stay = await apply(transaction, user_id, some)
        undone += done
        left += stay
    left.sort(key=lambda one: one.version)
    return UndoResult(sorted(undone, key=lambda one: one.version), left)


async def _to_undo(
    transaction: Transaction, user_id: str, request: UndoRequest, last: int, own_only: bool
) -> tuple[list[Row[Any]], list[Left]]:
    """The records to undo, and the versions that cannot be undone."""
    own, asked = transaction.actor.token_id, set(request.versions or ())
    matched = await _matched(transaction, user_id, request)
    left = await _missing(transaction, user_id, request.versions or (), matched, last)
    to_undo = []
    for row in matched:
        if own_only and (own is None or row.token_id != own):
            if row.version in asked:
                left.append(Left(row.version, row.kind, row.object_id, [], "not_yours"))
        elif row.op in REMINDERS:
            left.append(Left(row.version, row.kind, row.object_id, [], "unsupported"))
        else:
            to_undo.append(row)
    return to_undo, left


async def _matched(transaction: Transaction, user_id: str, request: UndoRequest) -> list[Row[Any]]:
    """The records to undo, in their order. Raises Invalid."""
    where = [_COLUMNS.user_id == user_id]
    if request.versions is not None:
        where.append(_COLUMNS.version.in_(request.versions))
    else:
        token_id = request.token if isinstance(request.token, UUID) else transaction.actor.token_id
        if request.token is None:
            token_id = None
        else:
            await _require_token(transaction, user_id, token_id)
        found = HistoryFilter(
            token_id=token_id,
            client=request.client,
            since=request.since,
            until=request.until,
        )
        where = conditions(transaction.dialect, user_id, found)
    statement = select(*_COLUMNS).where(*where).order_by(_COLUMNS.version).limit(_MAX_RECORDS + 1)
    rows = list(await transaction.all(statement))
    if request.versions is not None:
        rows += await _written_with(transaction, user_id, rows)
    if len(rows) > _MAX_RECORDS or len({(row.kind, row.object_id) for row in rows}) > MAX_UNDONE:
        detail = f"matches more than {MAX_UNDONE:,} tasks and lists: narrow it by since and until"
        raise Invalid(Violation("body", "", "too_many", detail))
    return rows


async def _require_token(transaction: Transaction, user_id: str, token_id: UUID | None) -> None:
    """Raises Invalid: the user has no such token, and had none that wrote."""
    if token_id is not None:
        own = select(col(ApiToken.id)).where(col(ApiToken.user_id) == user_id, col(ApiToken.id) == token_id)
        used = select(_COLUMNS.version).where(_COLUMNS.user_id == user_id, _COLUMNS.token_id == token_id)
        for statement in (own, used.limit(1)):
            if await transaction.first(statement) is not None:
                return
    raise Invalid(Violation("body", "/token", "no_such_token", "must be one of your tokens"))


async def _written_with(transaction: Transaction, user_id: str, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """The further records of a deletion or an undo, of which a record is matched.

    Of a deletion all: of the task's parts, of the list's tasks. Of an undo those of the same object, which it
    may have written several times, as a task and as a part of another one.
    """
    matched = {row.version for row in rows}
    wanted = {_write_of(row): row.at for row in rows if row.op in _WRITTEN_TOGETHER}
    if not wanted:
        return []
    statement = (
        select(*_COLUMNS)
        .where(
            _COLUMNS.user_id == user_id,
            _COLUMNS.op.in_(_WRITTEN_TOGETHER),
            _COLUMNS.at.in_(set(wanted.values())),
        )
        .order_by(_COLUMNS.version)
        .limit(_MAX_RECORDS)
    )
    found = await transaction.all(statement)
    return [row for row in found if row.version not in matched and _write_of(row) in wanted]


def _write_of(row: Row[Any]) -> tuple[Any, ...]:
    """What only the records of one deletion have in common, or of one undo those of one object."""
    return (row.op, row.at) if row.op == "deleted" else (row.op, row.at, row.kind, row.object_id)


async def _missing(
    transaction: Transaction, user_id: str, versions: Sequence[int], matched: Sequence[Row[Any]], last: int
) -> list[Left]:
    """Those of the named versions that no record has."""
    row = await transaction.first(select(col(User.history_seq)).where(col(User.id) == user_id))
    start = row[0] if row else 0
    there = {one.version for one in matched}

    def reason(version: int) -> Reason:
        if version <= start:
            return "expired"
        return "purged" if version <= last else "unknown"

    return [
        Left(version, None, None, [], reason(version))
        for version in dict.fromkeys(versions)
        if version not in there
    ]


async def _objects(transaction: Transaction, user_id: str, matched: Sequence[Row[Any]]) -> list[_Object]:
    """The objects of the matched records, with all later records of theirs, in the order of the first one."""
    objects: dict[Key, _Object] = {}
    versions = {row.version for row in matched}
    for row in sorted(matched, key=lambda one: one.version):
        objects.setdefault((row.kind, row.object_id), _Object(row.kind, row.object_id)).matched.append(row)
    if not objects:
        return []
    first = min(versions)
    for some in stretches(list(objects)):
        ids = [object_id for _, object_id in some]
        statement = select(*_COLUMNS).where(
            _COLUMNS.user_id == user_id,
            _COLUMNS.object_id.in_(ids),
            _COLUMNS.version > first,
            _COLUMNS.op.not_in(REMINDERS),  # they change nothing
        )
        for row in await transaction.all(statement.order_by(_COLUMNS.version)):
            one = objects.get((row.kind, row.object_id))
            if one is not None and row.version not in versions:
                one.others.append(row)
    return list(objects.values())


def _plan(one: _Object) -> list[Left]:
    """Set what the object's fields go back to. Returns what stays."""
    left: list[Left] = []
    created = next((row for row in one.matched if row.op == "created"), None)
    if created is not None:
        since = next((row for row in one.others if row.version > created.version), None)
        if since is None:
            one.values = {DELETED: True}
            one.undone = {row.version for row in one.matched}
            return []
        left.append(_left(one, created, list(_changes(created)), since))
    matched = [row for row in one.matched if row is not created]
    changed_since = _plan_fields(one, matched)
    for row in matched:
        names = _changes(row).keys()
        if names & one.values.keys():
            one.undone.add(row.version)
        if stays := sorted(names & changed_since.keys()):
            left.append(_left(one, row, stays, changed_since[stays[0]]))
    return left


def _plan_fields(one: _Object, matched: Sequence[Row[Any]]) -> dict[str, Row[Any]]:
    """Set the values of the fields that can go back. Returns the others, and what changed them since."""
    first: dict[str, Row[Any]] = {}
    for row in matched:
        for name in _changes(row):
            first.setdefault(name, row)
    changed_since: dict[str, Row[Any]] = {}
    for name, row in first.items():
        group = next((names for names in _GROUPS if name in names), {name})
        begin = min(first[other].version for other in group if other in first)
        since = one.first_other(group, begin)
        if since is None:
            one.values[name] = _changes(row)[name][0]
        else:
            changed_since[name] = since
    return changed_since


def _changes(row: Row[Any]) -> dict[str, Any]:
    changes: dict[str, Any] = from_json(row.changes)
    return changes


def _left(
    one: _Object,
    row: Row[Any],
    names: Sequence[str],
    since: Row[Any] | None,
    reason: Reason = "changed_since",
) -> Left:
    by = None if since is None else by_of(since)
    return Left(row.version, one.kind, one.id, list(names), reason, by)


def _all_left(one: _Object, reason: Reason) -> list[Left]:
    """Nothing of the object goes back."""
    names = sorted(one.values)
    return [_left(one, row, names, None, reason) for row in one.matched if row.version in one.undone]


async def _apply_lists(
    transaction: Transaction, user_id: str, objects: Sequence[_Object]
) -> tuple[list[Undone], list[Left]]:
    """Change lists back. One that has tasks does not go to the trash."""
    undone, left = [], []
    for one in objects:
        row = await transaction.first(
            select(*LIST_DELETED_COLUMNS).where(
                col(TaskList.user_id) == user_id, col(TaskList.id) == UUID(one.id)
            )
        )
        if row is None:
            left += _all_left(one, "purged")
            continue
        now = max(utc_now(), row.updated_at)
        values = _columns(one.values, now, {"archived_at"})
        if one.values.get(DELETED) and await _has_tasks(transaction, user_id, row.id):
            left += _all_left(one, "changed_since")
            continue
        versions = sorted(one.undone)
        written = await write_list(transaction, row, {"updated_at": now, **values}, "undone", versions)
        shown = ListRead.of(written[:-1]) if written.deleted_at is None else ListDeleted.of(written)
        undone.append(Undone(written.version, versions, list=shown))
    return undone, left


async def _has_tasks(transaction: Transaction, user_id: str, list_id: UUID) -> bool:
    there = (col(Task.user_id) == user_id, col(Task.list_id) == list_id, col(Task.deleted_at).is_(None))
    return await transaction.first(select(col(Task.id)).where(*there).limit(1)) is not None


async def _apply_tasks(
    transaction: Transaction, user_id: str, objects: Sequence[_Object]
) -> tuple[list[Undone], list[Left]]:
    """Change tasks back: first those that come out of the trash, last those that go into it.

    Others may be parts of the former, and may have been parts of the latter.
    """
    tasks = {UUID(one.id): one for one in objects}
    stored = await _rows(transaction, user_id, list(tasks))
    left: list[Left] = []
    for key in tasks.keys() - stored.keys():
        left += _all_left(tasks.pop(key), "purged")
    now = await instant_of_writes(transaction, user_id, list(tasks))
    back = _Back(transaction, user_id, now, tasks, stored)
    left += await back.place()
    going = {key for key, one in tasks.items() if one.values.get(DELETED)}
    for key in await _with_parts_left(transaction, user_id, going):
        left += _all_left(tasks.pop(key), "changed_since")
    rest = [key for key in tasks if key not in back.placed]
    for key in rest:
        left += await back.keep_out_of_rings(key)
    await back.write([back.row(key) for key in rest if tasks[key].values])
    changed = [key for key, one in tasks.items() if one.values]
    shown = (await _rows(transaction, user_id, changed, TASK_DELETED_COLUMNS)).values()
    return [Undone(row.version, back.undoes[row.id], task=_task(row)) for row in shown], left


class _Back:
    """Puts tasks where they go back to, if that is another place, with their other fields.

    `stored`: the tasks before. `placed`: those that are written.
    """

    def __init__(
        self,
        transaction: Transaction,
        user_id: str,
        now: datetime,
        tasks: Mapping[UUID, _Object],
        stored: Mapping[UUID, Row[Any]],
    ) -> None:
        self._transaction = transaction
        self._user_id = user_id
        self._now = now
        self._tasks = tasks
        self._stored = stored
        self.undoes = {key: sorted(one.undone) for key, one in tasks.items()}
        self.placed: set[UUID] = set()
        self._moving = {
            key
            for key, one in tasks.items()
            if not one.values.keys().isdisjoint(_PLACE)
            and not one.values.get(DELETED, stored[key].deleted_at is not None)
        }

    async def place(self) -> list[Left]:
        """Write those that come out of the trash or move. Returns what has no place to go back to."""
        coming = {key for key, one in self._tasks.items() if one.values.get(DELETED) is False}
        in_order = sorted(coming, key=lambda key: min(self._tasks[key].undone))
        still = [key for key in in_order if not self._moves_above(key, coming)]
        rows = {key: {**self.row(key), **await self._place_left(key, still)} for key in still}
        for key, row in rows.items():
            row["list_id"] = rows[self._upwards(key, rows)[-1]]["list_id"]
        await self.write(list(rows.values()))
        waiting = [key for key in in_order if key not in self.placed]
        waiting += [key for key in self._tasks if key in self._moving and key not in coming]
        # Where one goes can depend on where another has gone: below it, for instance.
        while waiting:
            failed = [key for key in waiting if not await self._move(key)]
            if len(failed) == len(waiting):
                break
            waiting = failed
        left: list[Left] = []
        for key in waiting:
            left += self._give_up_place(key)
            if key in coming:
                await self.write([{**self.row(key), **await self._place_left(key, ())}])
        return left

    def row(self, key: UUID) -> dict[str, Any]:
        return {"id": key, **_task_columns(self._tasks[key].values, self._stored[key], self._now)}

    async def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write tasks, in one statement those with the same columns."""
        shapes: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
        for row in rows:
            shapes.setdefault(tuple(sorted(row)), []).append(row)
            self.placed.add(row["id"])
        for some in shapes.values():
            await write_tasks(
                self._transaction,
                self._user_id,
                some,
                op="undone",
                updated_at=self._now,
                undoes=self.undoes,
            )

    def _moves_above(self, key: UUID, coming: set[UUID]) -> bool:
        """Whether it, or a task above it, may go to another place; of those that stay alive any may."""
        upwards = self._upwards(key, coming)
        has_more_above = self._stored[upwards[-1]].parent_id is not None
        return not self._moving.isdisjoint(upwards) or (has_more_above and not self._moving <= coming)

    def _upwards(self, key: UUID, coming: Container[UUID]) -> list[UUID]:
        """It, its parent and so on, as long as they come back too: the last one's list is theirs."""
        upwards = [key]
        while (above := self._stored[upwards[-1]].parent_id) in coming and above not in upwards:
            upwards.append(above)
        return upwards

    async def _place_left(self, key: UUID, coming: Sequence[UUID]) -> dict[str, Any]:
        """What is left of the place of a task in the trash."""
        stored = self._stored[key]
        place = Place(stored.list_id, stored.parent_id)
        if stored.parent_id not in coming:
            parts = await parts_of(self._transaction, self._user_id, key, deleted_at=stored.deleted_at)
            place = await place_left(self._transaction, self._user_id, place, parts)
        return place._asdict()

    async def keep_out_of_rings(self, key: UUID) -> list[Left]:
        """In the trash a task may be in a place that is gone, but not below itself."""
        above: UUID | None = self.row(key).get("parent_id")
        seen: set[UUID] = set()
        while above is not None and above not in seen:
            if above == key:
                return self._give_up_place(key)
            seen.add(above)
            rows = await _rows(self._transaction, self._user_id, [above])
            above = next((row.parent_id for row in rows.values()), None)
        return []

    def _give_up_place(self, key: UUID) -> list[Left]:
        """The other fields of the task go back all the same."""
        one = self._tasks[key]
        for name in _PLACE:
            one.values.pop(name, None)
        left = []
        for row in one.matched:
            names = sorted(_changes(row).keys() & set(_PLACE))
            if names and row.version in one.undone:
                left.append(_left(one, row, names, None, "no_place"))
        return left

    async def _move(self, key: UUID) -> bool:
        """Write a task at the place that it had, with the tasks below it. False: it cannot be there (now)."""
        (stored,) = (await _rows(self._transaction, self._user_id, [key])).values()
        before, row = Place(stored.list_id, stored.parent_id), self.row(key)
        there = {"deleted_at": stored.deleted_at} if stored.deleted_at is not None else {}
        parts = await parts_of(self._transaction, self._user_id, key, **there)
        sent = {name: row.get(name, getattr(before, name)) for name in _PLACE}
        if key not in self._moving:
            del sent["list_id"]  # it follows its parent
        elif there and sent["parent_id"] is None and sent["list_id"] == before.list_id:
            before = NOWHERE  # its list may be in the trash
        try:
            place = await place_of(self._transaction, self._user_id, sent, before, task_id=key, parts=parts)
        except Invalid:
            return False
        await self.write([{**row, **place._asdict()}])
        if not there and place.list_id != stored.list_id:
            along = [
                {"id": part.id, "list_id": place.list_id} for part in parts if part.id not in self._moving
            ]
            await write_tasks(self._transaction, self._user_id, along, op="undone", updated_at=self._now)
        return True


async def _rows(
    transaction: Transaction,
    user_id: str,
    ids: Sequence[UUID],
    columns: Sequence[ColumnElement[Any]] = tuple(_TASKS),
) -> dict[UUID, Row[Any]]:
    rows: dict[UUID, Row[Any]] = {}
    for some in stretches(ids):
        statement = select(*columns).where(col(Task.user_id) == user_id, col(Task.id).in_(some))
        rows |= {row.id: row for row in await transaction.all(statement)}
    return rows


def _task(row: Row[Any]) -> TaskRead:
    return TaskRead.of(row[:-1]) if row.deleted_at is None else TaskDeleted.of(row)


async def _with_parts_left(transaction: Transaction, user_id: str, going: set[UUID]) -> set[UUID]:
    """Those of the tasks that must stay, since a task below them is alive and stays."""
    staying: set[UUID] = set()
    for some in stretches(list(going)):
        parts = select(col(Task.id), col(Task.parent_id)).where(
            col(Task.user_id) == user_id, col(Task.parent_id).in_(some), col(Task.deleted_at).is_(None)
        )
        found = await transaction.all(parts)
        while more := {row.parent_id for row in found if row.id not in going - staying} - staying:
            staying |= more
    return staying


def _task_columns(values: Mapping[str, Any], stored: Row[Any], now: datetime) -> dict[str, Any]:
    """The columns for the values that the history has of a task's fields."""
    columns = _columns(values, now, {"completed_at", "due_at"})
    for name in columns.keys() & set(_PLACE):
        columns[name] = None if columns[name] is None else UUID(columns[name])
    columns |= {f"{name}_key": fold(columns[name]) for name in ("title", "description") if name in columns}
    if "labels" in columns:
        columns |= label_values(columns["labels"] or [])
    if columns.get("status") in ("open", "completed"):
        columns["status"] = None
    if columns.get("recurrence_mode") == "next":
        columns["recurrence_mode"] = None
    if not columns.keys().isdisjoint(Dates._fields):
        texts = {name: columns.get(name, getattr(stored, name)) for name in ("start", "due", "time_zone")}
        dates = recomputed(Dates(**texts, due_at=stored.due_at, start_at=stored.start_at))
        columns |= {"due_at": dates.due_at, "start_at": dates.start_at}
    return columns


def _columns(values: Mapping[str, Any], now: datetime, instants: set[str]) -> dict[str, Any]:
    columns = {name: value for name, value in values.items() if name != DELETED}
    for name in columns.keys() & instants:
        columns[name] = None if columns[name] is None else datetime.fromisoformat(columns[name])
    if DELETED in values:
        columns["deleted_at"] = now if values[DELETED] else None
    return columns
