"""The rules of lists. Every statement has the owner in its WHERE, so users see only their own lists.

A write locks the user's row first, so nothing that it has read changes before it ends. `expected` is the set
of versions that the list may have; without it the last write wins.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import ColumnElement, Executable, Row, case, func, select, update
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.core.errors import Conflict, Invalid, NotFound, PreconditionFailed, Violation
from taskwell.core.positions import key_of
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import Task, TaskList
from taskwell.models.base import table_of
from taskwell.schemas.history import Op
from taskwell.schemas.task_list import (
    LIST_COLUMNS,
    LIST_DELETED_COLUMNS,
    Fate,
    ListCounted,
    ListCreate,
    ListDeleted,
    ListMove,
    ListRead,
    ListUpdate,
)
from taskwell.services.date_ranges import exact, named
from taskwell.services.history import change_record, new_record, write_records
from taskwell.services.moves import Siblings, order_at, spot_of
from taskwell.services.sequence import last_number, lock, take_number, take_numbers
from taskwell.services.task_rows import write_tasks
from taskwell.services.users import UserNotFound
from taskwell.services.zones import ZoneOfRequest

MAX_LISTS = 1_000  # of a user, without those in the trash
_TASKS = table_of(Task).c
_MICROSECOND = timedelta(microseconds=1)

ExpectedVersions = frozenset[int]
Conditions = tuple[ColumnElement[bool], ...]


class ListNotFound(NotFound):
    detail = "There is no such list."


class ListExists(PreconditionFailed):
    detail = "There is a list with this id already, perhaps in the trash."


class ListOutdated(PreconditionFailed):
    detail = "The list is not in the state that the request expects: read it again."


class TooManyLists(Conflict):
    detail = f"A user has at most {MAX_LISTS:,} lists: delete one first."


async def get_list(transaction: ReadTransaction, user_id: str, list_id: UUID) -> ListRead:
    """Raises ListNotFound: missing, in the trash, or of another user."""
    row = await transaction.first(select(*LIST_COLUMNS).where(*_alive(user_id, list_id)))
    if row is None:
        raise ListNotFound
    return ListRead.of(row)


async def get_lists(
    transaction: ReadTransaction, user_id: str, *, deleted: bool = False
) -> tuple[int, list[ListRead]]:
    """The user's latest sequence number, and the lists in their order: the archived ones too, or the trash.

    A write between the two reads makes the number too low, so that a client asks again.
    """
    number = await last_number(transaction, user_id)
    deleted_at = col(TaskList.deleted_at)
    there = deleted_at.is_not(None) if deleted else deleted_at.is_(None)
    kind, columns = (ListDeleted, LIST_DELETED_COLUMNS) if deleted else (ListRead, LIST_COLUMNS)
    statement = select(*columns).where(col(TaskList.user_id) == user_id, there).order_by(*_ORDER)
    return number, [kind.of(row) for row in await transaction.all(statement)]


_ORDER = (col(TaskList.position), col(TaskList.id))


async def count_open(
    transaction: ReadTransaction, user_id: str, lists: Sequence[ListRead], zone: ZoneOfRequest
) -> list[ListCounted]:
    """The lists with the numbers of their open tasks. `zone`: where a task is overdue."""
    overdue = named("overdue", await zone.name(transaction, user_id), utc_now())
    is_overdue = exact(_TASKS.due, _TASKS.due_at, overdue, "due")
    list_id = col(Task.list_id)
    statement = (
        select(list_id, func.count(), func.sum(case((is_overdue, 1), else_=0)))
        .where(
            col(Task.user_id) == user_id,
            col(Task.deleted_at).is_(None),
            col(Task.completed).is_(False),
            list_id.is_not(None),
        )
        .group_by(list_id)
    )
    counts = {row[0]: row[1:] for row in await transaction.all(statement)}
    return [ListCounted(*_values(one), *counts.get(one.id, (0, 0))) for one in lists]


def _values(one: ListRead) -> list[Any]:
    return [getattr(one, column.name) for column in LIST_COLUMNS]


async def create_list(
    transaction: Transaction,
    user_id: str,
    new: ListCreate,
    *,
    create_user: bool,
    list_id: UUID | None = None,
    check: Callable[[int], None] | None = None,
) -> ListRead:
    """Create a list, and its owner too if `create_user`. `list_id`: the client's, or None for a new one.

    `check` gets the user's last sequence number, and raises to prevent the creation.

    Raises:
        UserNotFound: the owner does not exist, and `create_user` is false.
        ListExists: there is a list with that id, perhaps in the trash.
        TooManyLists: the user has as many lists as are allowed.
    """
    version = await take_numbers(transaction, user_id, 1, create_user=create_user)
    if check is not None:
        check(version - 1)
    if list_id is not None:
        taken = await transaction.first(select(col(TaskList.version)).where(*_list(user_id, list_id)))
        if taken is not None:
            raise ListExists(taken[0])
    await _require_room(transaction, user_id)
    now = utc_now()
    values = {"position": key_of(now), **_sent(new)}
    new_row = transaction.insert(TaskList).values(
        user_id=user_id,
        id=list_id or uuid7(),
        **values,
        created_at=now,
        updated_at=now,
        version=version,
    )
    created = ListRead.of(await _only(transaction, new_row.returning(*LIST_COLUMNS)))
    await write_records(transaction, [new_record(user_id, "list", created.id, now, asdict(created))], version)
    return created


async def put_list(
    transaction: Transaction, user_id: str, list_id: UUID, changes: ListUpdate, *, create_user: bool
) -> ListRead:
    """Create the list with the id that the client chose.

    Raises:
        Invalid: the name is missing.
        UserNotFound, ListExists, TooManyLists: as `create_list`.
    """
    values = _sent(changes)
    if "name" not in values:
        raise Invalid(Violation("body", "/name", "required", "is required"))
    new = ListCreate.model_construct(**values)
    return await create_list(transaction, user_id, new, create_user=create_user, list_id=list_id)


async def update_list(
    transaction: Transaction,
    user_id: str,
    list_id: UUID,
    changes: ListUpdate,
    *,
    expected: ExpectedVersions | None = None,
) -> ListRead:
    """Change the members that the client sent. Without any, the list stays and takes no number.

    Raises:
        ListNotFound: missing, in the trash, or of another user.
        ListOutdated: the list has none of the expected versions.
    """
    stored = await _locked(transaction, user_id, list_id, expected)
    return await _written(transaction, stored, _sent(changes))


async def archive_list(
    transaction: Transaction,
    user_id: str,
    list_id: UUID,
    *,
    archived: bool,
    expected: ExpectedVersions | None = None,
) -> ListRead:
    """Archive the list, or take it out of the archive; its tasks stay as they are.

    A list that is so already stays, and takes no number.

    Raises:
        ListNotFound, ListOutdated: as `update_list`.
    """
    stored = await _locked(transaction, user_id, list_id, expected)
    if (stored.archived_at is not None) == archived:
        return _read(stored)
    now = _now(stored)
    return await _written(transaction, stored, {"archived_at": now if archived else None, "updated_at": now})


async def move_list(
    transaction: Transaction,
    user_id: str,
    list_id: UUID,
    target: ListMove,
    *,
    expected: ExpectedVersions | None = None,
) -> ListRead:
    """Move the list beside another one.

    If there is no room between two, all lists get new positions, each under its number.

    Raises:
        Invalid: the neighbour is not another list of the user's.
        ListNotFound, ListOutdated: as `update_list`.
    """
    stored = await _locked(transaction, user_id, list_id, expected)
    lists = Siblings(table_of(TaskList), (*_all_alive(user_id), col(TaskList.id) != list_id), "another list")
    order = await order_at(transaction, lists, spot_of(target))
    moved = await _written(transaction, stored, {"position": order.position})
    for other, position in order.others:
        await _written(transaction, await _locked(transaction, user_id, other, None), {"position": position})
    return moved


async def delete_list(
    transaction: Transaction,
    user_id: str,
    list_id: UUID,
    *,
    tasks: Fate = "delete",
    expected: ExpectedVersions | None = None,
) -> ListDeleted:
    """Move the list to the trash, and its tasks with it at the same instant or, if kept, to the inbox.

    Raises:
        ListNotFound: missing, in the trash already, or of another user.
        ListOutdated: the list has none of the expected versions.
    """
    stored = await _locked(transaction, user_id, list_id, expected)
    there = (col(Task.user_id) == user_id, col(Task.list_id) == list_id, col(Task.deleted_at).is_(None))
    found = await transaction.all(
        select(col(Task.id), col(Task.updated_at)).where(*there).order_by(col(Task.version))
    )
    now = await _own_instant(transaction, user_id, _now(stored), [row.updated_at for row in found])
    change = {"list_id": None} if tasks == "keep" else {"deleted_at": now}
    rows = [{"id": row.id, **change} for row in found]
    op: Op = "updated" if tasks == "keep" else "deleted"
    await write_tasks(transaction, user_id, rows, op=op, updated_at=now)
    deleted = {"deleted_at": now, "updated_at": now}
    return ListDeleted.of(await write_list(transaction, stored, deleted, "deleted"))


async def _own_instant(
    transaction: Transaction, user_id: str, now: datetime, updated: Sequence[datetime]
) -> datetime:
    """An instant at which nothing else was deleted: by it `restore_list` knows what belongs together."""
    latest = select(func.max(col(Task.deleted_at))).where(
        col(Task.user_id) == user_id, col(Task.deleted_at).is_not(None)
    )
    row = await transaction.first(latest)
    after: list[datetime] = [row[0] + _MICROSECOND] if row and row[0] else []
    return max([now, *updated, *after])


async def restore_list(
    transaction: Transaction, user_id: str, list_id: UUID, *, expected: ExpectedVersions | None = None
) -> ListRead:
    """Move the list out of the trash, with the tasks that were deleted with it.

    A list that is not in the trash stays as it is.

    Raises:
        ListNotFound: missing, purged, or of another user.
        ListOutdated: the list has none of the expected versions.
        TooManyLists: the user has as many lists as are allowed.
    """
    stored = await _locked(transaction, user_id, list_id, expected, in_trash=True)
    if stored.deleted_at is None:
        return _read(stored)
    await _require_room(transaction, user_id)
    restored = await _written(transaction, stored, {"deleted_at": None}, "restored")
    there = (
        col(Task.user_id) == user_id,
        col(Task.list_id) == list_id,
        col(Task.deleted_at) == stored.deleted_at,
    )
    found = await transaction.all(
        select(col(Task.id), col(Task.parent_id)).where(*there).order_by(col(Task.version))
    )
    ids = {row.id for row in found}
    # A purge may have taken some of them.
    rows = [
        {"id": row.id, "deleted_at": None, "parent_id": row.parent_id if row.parent_id in ids else None}
        for row in found
    ]
    await write_tasks(transaction, user_id, rows, op="restored")
    return restored


async def _require_room(transaction: Transaction, user_id: str) -> None:
    row = await transaction.first(select(func.count()).select_from(TaskList).where(*_all_alive(user_id)))
    assert row is not None
    if row[0] >= MAX_LISTS:
        raise TooManyLists


async def _locked(
    transaction: Transaction,
    user_id: str,
    list_id: UUID,
    expected: ExpectedVersions | None,
    *,
    in_trash: bool = False,
) -> Row[Any]:
    """A list that no other transaction can change until the end. `in_trash`: it may be there, too.

    Raises:
        ListNotFound, ListOutdated: as `update_list`.
    """
    try:
        await lock(transaction, user_id, create_user=False)
    except UserNotFound:
        raise ListNotFound from None
    there = _list(user_id, list_id) if in_trash else _alive(user_id, list_id)
    row = await transaction.first(select(*LIST_DELETED_COLUMNS).where(*there))
    if row is None:
        raise ListNotFound
    if expected is not None and row.version not in expected:
        raise ListOutdated(row.version)
    return row


async def _written(
    transaction: Transaction, stored: Row[Any], values: dict[str, Any], op: Op = "updated"
) -> ListRead:
    """The list with new values of its columns, under the next number; without any it stays as it is."""
    if not values:
        return _read(stored)
    values = {"updated_at": _now(stored), **values}
    return _read(await write_list(transaction, stored, values, op))


async def write_list(
    transaction: Transaction,
    stored: Row[Any],
    values: dict[str, Any],
    op: Op,
    undoes: Sequence[int] | None = None,
) -> Row[Any]:
    """Set columns of a locked list under the next number, and record the change.

    Returns the `LIST_DELETED_COLUMNS`. `undoes`: the versions that the change undoes.
    """
    version = await take_number(transaction, stored.user_id)
    record = change_record("list", stored.id, op, values["updated_at"], stored._asdict(), values)
    await write_records(transaction, [record._replace(undoes=undoes)], version)
    statement = (
        update(TaskList)
        .where(*_list(stored.user_id, stored.id))
        .values(**values, version=version)
        .returning(*LIST_DELETED_COLUMNS)
    )
    return await _only(transaction, statement)


async def _only(transaction: Transaction, statement: Executable) -> Row[Any]:
    (row,) = await transaction.all(statement)
    return row


def _read(stored: Row[Any]) -> ListRead:
    return ListRead.of([getattr(stored, column.name) for column in LIST_COLUMNS])


def _now(stored: Row[Any]) -> datetime:
    """The instant of a change, never before the list's previous one, even if the clock is set back."""
    latest: datetime = stored.updated_at
    return max(utc_now(), latest)


def _sent(changes: ListCreate | ListUpdate) -> dict[str, Any]:
    """The fields that a request sent, by their names."""
    return {
        name: value for name in changes.model_fields_set if (value := getattr(changes, name)) is not MISSING
    }


def _list(user_id: str, list_id: UUID) -> Conditions:
    return (col(TaskList.user_id) == user_id, col(TaskList.id) == list_id)


def _alive(user_id: str, list_id: UUID) -> Conditions:
    return (*_list(user_id, list_id), col(TaskList.deleted_at).is_(None))


def _all_alive(user_id: str) -> Conditions:
    return (col(TaskList.user_id) == user_id, col(TaskList.deleted_at).is_(None))
