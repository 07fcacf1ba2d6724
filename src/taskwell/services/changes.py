"""The changes feed: what has changed since a sequence number, for clients that sync a copy.

A cursor is the sequence number of the last change that was read and, behind a hyphen, the highest one that
had been purged when the client began: `17-4`. A client that begins again misses nothing by earlier purges.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Table,
    and_,
    func,
    literal,
    literal_column,
    select,
    union_all,
)
from sqlmodel import col

from taskwell.core.errors import Gone, Invalid, Violation
from taskwell.database.database import ReadTransaction
from taskwell.models import HistoryRecord, Label, Task, TaskList, User
from taskwell.models.base import table_of
from taskwell.models.user import EPOCH
from taskwell.schemas.change import (
    KINDS,
    LABEL_DELETED_COLUMNS,
    Change,
    ChangePage,
    Kind,
    Reminded,
    TaskGone,
    TypedLabel,
    TypedLabelGone,
    TypedList,
    TypedListGone,
    TypedTask,
    TypedTaskGone,
)
from taskwell.schemas.history import REMINDERS
from taskwell.schemas.task import TASK_DELETED_COLUMNS, TaskRead
from taskwell.schemas.task_list import LIST_DELETED_COLUMNS

_CURSOR = re.compile(r"(\d{1,16})(?:-(\d{1,16}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cursor:
    """`number`: the sequence number of the last change that was read. `purged`: see the module."""

    number: int
    purged: int

    @classmethod
    def at(cls, number: int) -> Self:
        """The cursor of a client that has read everything up to a sequence number."""
        return cls(number, 0)

    def __str__(self) -> str:
        return f"{self.number}-{self.purged}"

    def event_id(self) -> str:
        """The sequence number alone, as event ids are, unless a purge would make that an expired cursor."""
        return str(self) if 0 < self.number < self.purged else str(self.number)


def parse_cursor(text: str, source: str = "query", name: str = "since") -> Cursor:
    """Parse a cursor or an event's id, a sequence number alone. `source`, `name`: of the parameter.

    Raises:
        Invalid: it is not a cursor.
    """
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise Invalid(Violation(source, name, "invalid_cursor", "is not a cursor of this feed"))
    return Cursor(int(found[1]), int(found[2] or 0))


async def list_changes(
    transaction: ReadTransaction,
    user_id: str,
    since: Cursor | None,
    *,
    limit: int,
    kinds: Sequence[Kind] = ("task",),
    typed: bool = False,
) -> ChangePage:
    """List at most `limit` changes of some kinds after `since`; without it, from the beginning.

    `typed`: whether the records of tasks have a type, as those of the other kinds always do.

    Raises:
        Gone: changes after the cursor have been purged, or the cursor is of another epoch.
    """
    number = since.number if since else 0
    found = await changed_since(transaction, user_id, number, limit=limit + 1, kinds=kinds)
    # Read after the changes, so that a purge between the two reads is noticed.
    last, purged = await _numbers(transaction, user_id)
    if since is not None and number:
        _check(since, last, purged)
    changes = [_change(stored, typed=typed) for stored in found[:limit]]
    following = Cursor(changes[-1].version if changes else number, since.purged if since else purged)
    return ChangePage(changes, str(following), more=len(found) > limit)


class EventPage(NamedTuple):
    """Changes, and reminders between them. `last`: the number up to which there are no others."""

    events: Sequence[Change | Reminded]
    last: int
    more: bool


async def list_events(
    transaction: ReadTransaction, user_id: str, since: Cursor, upto: int, *, limit: int
) -> EventPage:
    """List at most `limit` changes of every kind after `since`, and the reminders that were sent meanwhile.

    `upto`: a number that the user has had before. Raises Gone, as `list_changes`.
    """
    page = await list_changes(transaction, user_id, since, limit=limit, kinds=KINDS)
    changes: list[Change | Reminded] = [*page.changes]
    last = page.changes[-1].version if page.changes else since.number
    # Numbers become visible in their order. Those up to here were, when the changes were read.
    last = last if page.more else max(last, upto)
    if last - since.number == len(changes):
        return EventPage(changes, last, page.more)
    # Of two reads, the second may see what was written between them, but not up to this number.
    reminded = await _reminded(transaction, user_id, since.number, last, limit)
    more = page.more
    if len(reminded) == limit:
        last, more = reminded[-1].version, True
    events = [change for change in changes if change.version <= last] + reminded
    return EventPage(sorted(events, key=lambda event: event.version), last, more)


async def _reminded(
    transaction: ReadTransaction, user_id: str, since: int, upto: int, limit: int
) -> list[Reminded]:
    """The first reminders between two numbers, which the history alone has."""
    columns = table_of(HistoryRecord).c
    statement = (
        select(columns.version, columns.object_id, columns.op, columns.changes)
        .where(columns.user_id == user_id, columns.version > since, columns.version <= upto)
        .where(columns.op.in_(REMINDERS))
        .order_by(columns.version)
        .limit(limit)
    )
    return [
        Reminded(row.version, UUID(row.object_id), row.op, datetime.fromisoformat(at))
        for row in await transaction.all(statement)
        for _, at in [from_json(row.changes)["at"]]
    ]


class Stored(NamedTuple):
    """A task, list or label. `values`: of the columns of its kind, `deleted_at` the last of them."""

    kind: Kind
    values: Sequence[Any]


_COLUMNS: Mapping[Kind, tuple[ColumnElement[Any], ...]] = {
    "task": TASK_DELETED_COLUMNS,
    "list": LIST_DELETED_COLUMNS,
    "label": LABEL_DELETED_COLUMNS,
}
_TABLES: Mapping[Kind, Table] = {
    "task": table_of(Task),
    "list": table_of(TaskList),
    "label": table_of(Label),
}


async def changed_since(
    transaction: ReadTransaction, user_id: str, number: int, *, limit: int, kinds: Sequence[Kind] = ("task",)
) -> list[Stored]:
    """What has changed after a sequence number, in the order of the versions, including the trash."""
    if len(kinds) == 1:
        (kind,) = kinds
        columns = _COLUMNS[kind]
        statement = _after(_TABLES[kind], columns, user_id, number, limit)
        return [Stored(kind, row) for row in await transaction.all(statement)]
    rows = await transaction.all(select_several(transaction.dialect, user_id, number, limit, kinds))
    spans: dict[Kind, slice] = {}
    start = 1
    for kind in kinds:
        spans[kind] = slice(start, start := start + len(_COLUMNS[kind]))
    return [Stored(row[0], row[spans[row[0]]]) for row in rows]


def _after(
    table: Table, columns: Sequence[ColumnElement[Any]], user_id: str, number: int, limit: int
) -> Select[Any]:
    return (
        select(*columns)
        .where(table.c.user_id == user_id, table.c.version > number, _has_version(table))
        .order_by(table.c.version)
        .limit(limit)
    )


def _has_version(table: Table) -> ColumnElement[bool]:
    """The condition of the index of tasks, which all meet."""
    condition: ColumnElement[bool] = table.c.version > literal_column("0")
    return condition


def select_several(dialect: str, user_id: str, number: int, limit: int, kinds: Sequence[Kind]) -> Select[Any]:
    """The kind, and the columns of each of the kinds, all but its own null.

    It is one statement, since several could see different moments: one kind's later changes, but not
    another's earlier ones, which the cursor would then skip.
    """
    parts = []
    for kind in kinds:
        table = _TABLES[kind]
        columns = (literal(kind).label("kind"), table.c.version.label("version"))
        parts.append(select(_after(table, columns, user_id, number, limit).subquery()))
    merged = union_all(*parts).subquery()
    page = select(merged).order_by(merged.c.version).limit(limit).subquery("page")
    joined: FromClause = page
    for kind in kinds:
        table = _TABLES[kind]
        has_version = _has_version(table)
        if dialect == "sqlite":
            # Without statistics it takes a range to find fewer rows than an equality, and would read all
            # changes of the user for each one of the page, unless it is told that the range holds always.
            has_version = func.likelihood(has_version, literal_column("1.0"))
        own = (table.c.user_id == user_id, table.c.version == page.c.version, has_version)
        joined = joined.outerjoin(table, and_(page.c.kind == kind, *own))
    shown = (column for kind in kinds for column in _COLUMNS[kind])
    return select(page.c.kind, *shown).select_from(joined).order_by(page.c.version)


async def _numbers(transaction: ReadTransaction, user_id: str) -> tuple[int, int]:
    columns = (col(User.last_seq), col(User.purged_seq))
    row = await transaction.first(select(*columns).where(col(User.id) == user_id))
    return (row.last_seq, row.purged_seq) if row else (0, 0)


def _check(since: Cursor, last: int, purged: int) -> None:
    """Raises Gone.

    What is from a backup has versions of an earlier epoch. A client that pages through it still started in
    the present epoch: a new epoch counts as a purge of everything before it.
    """
    known = max(since.number, since.purged)
    if since.number > last or known // EPOCH != last // EPOCH or known < purged:
        raise Gone


_TYPED: Mapping[Kind, tuple[Callable[..., Change], Callable[..., Change]]] = {
    "task": (TypedTask, TypedTaskGone),
    "list": (TypedList, TypedListGone),
    "label": (TypedLabel, TypedLabelGone),
}


def _change(stored: Stored, *, typed: bool) -> Change:
    *values, deleted_at = stored.values
    # The first column of every kind names it, and the last one is its version.
    gone: Any = (values[0], True, values[-1], deleted_at)
    if stored.kind == "task" and not typed:
        return TaskRead.of(values) if deleted_at is None else TaskGone(*gone)
    alive, lost = _TYPED[stored.kind]
    return alive(stored.kind, *values) if deleted_at is None else lost(stored.kind, *gone)


@dataclass(frozen=True, slots=True)
class Start:
    """The start of a stream: its cursor, and the user's sequence number at that time."""

    since: Cursor
    last: int


async def start_of(transaction: ReadTransaction, user_id: str, since: Cursor | None) -> Start:
    """Where a stream starts. Raises Gone, as `list_changes` does for a cursor."""
    last, purged = await _numbers(transaction, user_id)
    if since is None:
        return Start(Cursor(last, purged), last)
    if not since.number:
        return Start(Cursor(0, purged), last)
    _check(since, last, purged)
    return Start(since, last)
