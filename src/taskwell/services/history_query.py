"""Reads the history: pages of records, newest first, or in their order after a version; and completions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import gt, le, lt
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Row, select, text
from sqlmodel import col

from taskwell.core.errors import Gone
from taskwell.core.principal import Actor
from taskwell.database.database import ReadTransaction
from taskwell.models import HistoryRecord, Task, TaskList, User
from taskwell.models.base import table_of
from taskwell.schemas.actor import ActorRead
from taskwell.schemas.change import Kind
from taskwell.schemas.history import CompletionRead, HistoryEntry
from taskwell.services.task_lists import ListNotFound
from taskwell.services.tasks import TaskNotFound

_COLUMNS = table_of(HistoryRecord).c
# Whether the changes of a record have a field. The name is a parameter: it never becomes SQL.
_HAS_FIELD = {
    "sqlite": "json_type(task_history.changes, '$.\"' || :field || '\"') IS NOT NULL",
    "postgresql": "jsonb_exists(CAST(task_history.changes AS jsonb), :field)",
}


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which records. None: any. `after`, `before`: of their instants; `since`, `until`: of their versions."""

    kind: Kind | None = None
    object_id: str | None = None
    ops: tuple[str, ...] = ()
    field: str | None = None
    token_id: UUID | None = None
    client: str | None = None
    via: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """`start`: the history is whole after this version. `more`: whether there are more records."""

    entries: Sequence[HistoryEntry]
    start: int
    more: bool


async def list_history(
    transaction: ReadTransaction,
    user_id: str,
    found: HistoryFilter,
    *,
    limit: int,
    position: int | None = None,
) -> HistoryPage:
    """A page of records: in their order if the filter has `since`, else newest first.

    `position`: the version of the last record of the page before.

    Raises:
        Gone: the history after `since` is not whole any more.
    """
    version = _COLUMNS.version
    where = conditions(transaction.dialect, user_id, found)
    ascending = found.since is not None
    if position is not None:
        where.append(version > position if ascending else version < position)
    order = version if ascending else version.desc()
    statement = select(*_COLUMNS).where(*where).order_by(order).limit(limit + 1)
    rows = await transaction.all(statement)
    # Read after the records, so that a purge between the two reads is noticed.
    last, start = await _numbers(transaction, user_id)
    if found.since and not start <= found.since <= last:
        raise Gone
    return HistoryPage([entry_of(row) for row in rows[:limit]], start, len(rows) > limit)


async def read_history(
    transaction: ReadTransaction, user_id: str, position: int, *, limit: int
) -> list[HistoryEntry]:
    """The records after a version, in their order."""
    statement = select(*_COLUMNS).where(_COLUMNS.user_id == user_id, _COLUMNS.version > position)
    rows = await transaction.all(statement.order_by(_COLUMNS.version).limit(limit))
    return [entry_of(row) for row in rows]


async def object_history(
    transaction: ReadTransaction,
    user_id: str,
    object_id: UUID,
    found: HistoryFilter,
    *,
    limit: int,
    position: int | None = None,
) -> HistoryPage:
    """The same, of one task or list, alive or in the trash.

    Raises:
        TaskNotFound, ListNotFound: missing, purged, or of another user.
    """
    await _require(transaction, user_id, object_id, found.kind)
    return await list_history(transaction, user_id, found, limit=limit, position=position)


async def _require(transaction: ReadTransaction, user_id: str, object_id: UUID, kind: Kind | None) -> None:
    table, missing = (Task, TaskNotFound) if kind == "task" else (TaskList, ListNotFound)
    there = select(col(table.id)).where(col(table.user_id) == user_id, col(table.id) == object_id)
    if await transaction.first(there) is None:
        raise missing


async def list_completions(
    transaction: ReadTransaction, user_id: str, task_id: UUID, *, limit: int, position: int | None
) -> tuple[Sequence[CompletionRead], bool]:
    """The completed and skipped occurrences of a task but for those undone, newest first.

    `position`: the version of the last one of the page before. Returns too whether there are more.

    Raises:
        TaskNotFound: missing, purged, or of another user.
    """
    await _require(transaction, user_id, task_id, "task")
    own = (_COLUMNS.user_id == user_id, _COLUMNS.object_id == str(task_id))
    undone = await _undone(transaction, own)
    statement = select(*_COLUMNS).where(*own, _COLUMNS.occurrence.is_not(None))
    if position is not None:
        statement = statement.where(_COLUMNS.version < position)
    if undone:
        statement = statement.where(_COLUMNS.version.not_in(undone))
    rows = await transaction.all(statement.order_by(_COLUMNS.version.desc()).limit(limit + 1))
    found = [
        CompletionRead(row.version, row.occurrence, row.completed_at, row.op == "skipped", by_of(row))
        for row in rows[:limit]
    ]
    return found, len(rows) > limit


async def _undone(transaction: ReadTransaction, own: tuple[Any, ...]) -> set[int]:
    """The versions of the task that are undone. What undoes an undoing brings its versions back."""
    statement = select(_COLUMNS.version, _COLUMNS.undoes).where(*own, _COLUMNS.undoes.is_not(None))
    undone: set[int] = set()
    undoing: dict[int, Sequence[int]] = {}
    for row in await transaction.all(statement.order_by(_COLUMNS.version)):
        versions: list[int] = from_json(row.undoes)
        for version in versions:
            undone ^= {version, *undoing.get(version, ())}
        undoing[row.version] = versions
    return undone


async def _numbers(transaction: ReadTransaction, user_id: str) -> tuple[int, int]:
    columns = (col(User.last_seq), col(User.history_seq))
    row = await transaction.first(select(*columns).where(col(User.id) == user_id))
    return (row.last_seq, row.history_seq) if row else (0, 0)


def conditions(dialect: str, user_id: str, found: HistoryFilter) -> list[ColumnElement[bool]]:
    equal = ("kind", "object_id", "token_id", "client", "via")
    bounds: tuple[tuple[Any, Any, Any], ...] = (
        (_COLUMNS.at, gt, found.after),
        (_COLUMNS.at, lt, found.before),
        (_COLUMNS.version, gt, found.since),
        (_COLUMNS.version, le, found.until),
    )
    where = [_COLUMNS.user_id == user_id]
    where += [_COLUMNS[name] == value for name in equal if (value := getattr(found, name)) is not None]
    where += [compare(column, value) for column, compare, value in bounds if value is not None]
    if found.ops:
        where.append(_COLUMNS.op.in_(found.ops))
    if found.field is not None:
        where.append(_has_field(dialect, found.field))
    return where


def _has_field(dialect: str, field: str) -> Any:
    return text(_HAS_FIELD[dialect]).bindparams(field=field)


def entry_of(row: Row[Any]) -> HistoryEntry:
    undoes = None if row.undoes is None else from_json(row.undoes)
    changes = from_json(row.changes)
    return HistoryEntry(
        row.version,
        row.kind,
        row.object_id,
        row.op,
        row.at,
        by_of(row),
        changes,
        row.occurrence,
        row.completed_at,
        undoes,
    )


def by_of(row: Row[Any]) -> ActorRead:
    return ActorRead.of(row.user_id, Actor(row.via, row.client, row.token_id, row.token_name))
