"""What has changed since a number: the feed that a client keeps its copy by.

A cursor is the number of the last change that was seen, and behind a hyphen the highest number that had been
purged when the client began: `17-4`. Whoever begins anew misses nothing by what was purged before.
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
    number: int
    purged: int

    @classmethod
    def at(cls, number: int) -> Self:
        """The place of somebody who has seen everything up to a number."""
        return cls(number, 0)

    def __str__(self) -> str:
        return f"{self.number}-{self.purged}"

    def event_id(self) -> str:
        """The number alone, as events bear it, unless that would be refused for what was purged."""
        return str(self) if 0 < self.number < self.purged else str(self.number)


def parse_cursor(text: str, source: str = "query", name: str = "since") -> Cursor:
    """A number alone, as an event bears it, is a cursor too. `source`, `name`: where it was sent.

    Raises:
        Invalid: it is no cursor.
    """
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise Invalid(Violation(source, name, "invalid_cursor", "is not a cursor of this feed"))
    return Cursor(int(found[1]), int(found[2] or 0))


async def list_changes(
    transaction: ReadTransaction, user_id: str, since: Cursor | None, *, limit: int
) -> ChangePage:
    """At most `limit` changes that follow `since`; from the beginning without it.

    Raises:
        Gone: what followed the cursor has been purged, or the cursor is of another time line.
    """
    number = since.number if since else 0
    rows = await changed_since(transaction, user_id, number, limit=limit + 1)
    # Read after the changes: what is purged between the two is told, not missed.
    last, purged = await _numbers(transaction, user_id)
    if since is not None and number:
        _check(since, last, purged)
    changes = [_change(row) for row in rows[:limit]]
    following = Cursor(changes[-1].version if changes else number, since.purged if since else purged)
    return ChangePage(changes, str(following), more=len(rows) > limit)


async def changed_since(
    transaction: ReadTransaction, user_id: str, number: int, *, limit: int
) -> Sequence[Row[Any]]:
    """The tasks that follow a number, in the order of their versions, those in the trash too."""
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

    Tasks that were restored have numbers of an earlier epoch. Who reads them page by page has begun in the
    present one all the same: a new epoch counts as a purge of everything before it.
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
    """Where a stream begins: what it follows, and the user's number at that time."""

    since: Cursor
    last: int


async def start_of(transaction: ReadTransaction, user_id: str, since: Cursor | None) -> Start:
    """Raises Gone, as `list_changes` does for a cursor."""
    last, purged = await _numbers(transaction, user_id)
    if since is None:
        return Start(Cursor(last, purged), last)
    if not since.number:
        return Start(Cursor(0, purged), last)
    _check(since, last, purged)
    return Start(since, last)
