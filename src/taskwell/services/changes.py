"""The changes feed: what has changed since a sequence number, for clients that sync a copy.

A cursor is the sequence number of the last change that was read and, behind a hyphen, the highest one that
had been purged when the client began: `17-4`. A client that begins again misses nothing by earlier purges.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Row, select
from sqlmodel import col

from taskwell.core.errors import Gone, Invalid, Violation
from taskwell.database.database import ReadTransaction
from taskwell.models import Task, User
from taskwell.models.user import EPOCH
from taskwell.schemas.change import Change, ChangePage, TaskGone
from taskwell.schemas.task import TASK_DELETED_COLUMNS, TaskRead

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
    transaction: ReadTransaction, user_id: str, since: Cursor | None, *, limit: int
) -> ChangePage:
    """List at most `limit` changes after `since`; without it, from the beginning.

    Raises:
        Gone: changes after the cursor have been purged, or the cursor is of another epoch.
    """
    number = since.number if since else 0
    rows = await changed_since(transaction, user_id, number, limit=limit + 1)
    # Read after the changes, so that a purge between the two reads is noticed.
    last, purged = await _numbers(transaction, user_id)
    if since is not None and number:
        _check(since, last, purged)
    changes = [_change(row) for row in rows[:limit]]
    following = Cursor(changes[-1].version if changes else number, since.purged if since else purged)
    return ChangePage(changes, str(following), more=len(rows) > limit)


async def changed_since(
    transaction: ReadTransaction, user_id: str, number: int, *, limit: int
) -> Sequence[Row[Any]]:
    """The tasks after a sequence number, in the order of their versions, including the trash."""
    statement = (
        select(*TASK_DELETED_COLUMNS)
        .where(col(Task.user_id) == user_id, col(Task.version) > number)
        .order_by(col(Task.version))
        .limit(limit)
    )
    return await transaction.all(statement)


async def _numbers(transaction: ReadTransaction, user_id: str) -> tuple[int, int]:
    columns = (col(User.last_seq), col(User.purged_seq))
    row = await transaction.first(select(*columns).where(col(User.id) == user_id))
    return (row.last_seq, row.purged_seq) if row else (0, 0)


def _check(since: Cursor, last: int, purged: int) -> None:
    """Raises Gone.

    Tasks from a backup have versions of an earlier epoch. A client that pages through them still started in
    the present epoch: a new epoch counts as a purge of everything before it.
    """
    known = max(since.number, since.purged)
    if since.number > last or known // EPOCH != last // EPOCH or known < purged:
        raise Gone


def _change(row: Row[Any]) -> Change:
    if row.deleted_at is None:
        return TaskRead.of(list(row)[:-1])
    return TaskGone(row.id, True, row.version, row.deleted_at)


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
