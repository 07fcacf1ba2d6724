"""Completes and skips occurrences of recurring tasks.

A recurring task that is completed stays open: its dates move to the next occurrence. What was completed is
in the history alone. `services.recurring` computes the dates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, select
from sqlmodel import col

from taskwell.core.errors import Conflict, Invalid, Violation
from taskwell.database.database import Transaction
from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.values import DONE
from taskwell.services import recurring
from taskwell.services.placement import Part
from taskwell.services.recurring import Recurrence, Shift
from taskwell.services.reminder_times import moved_reminders
from taskwell.services.task_dates import Dates, recomputed
from taskwell.services.task_fields import NO_CLAIM
from taskwell.services.task_rows import stretches, write_tasks
from taskwell.services.zones import ZoneOfRequest

_EARLIEST, _AHEAD = datetime(1970, 1, 1, tzinfo=UTC), timedelta(minutes=1)
_OPEN: dict[str, Any] = {"completed": False, "completed_at": None, "status": None}


class NotRecurring(Conflict):
    detail = "The task has no occurrence to skip: it does not recur, or it is completed."


class OccurrenceAhead(Conflict):
    detail = "The task has an earlier occurrence than the request names. Read the task again."


@dataclass(frozen=True, slots=True)
class Completion:
    """What a request says about a completion: when it was, and of which occurrence."""

    at: datetime | None = None
    occurrence: date | None = None

    def moment(self, now: datetime) -> datetime:
        """When the task is completed. Raises Invalid: it is before 1970, or in the future."""
        if self.at is None:
            return now
        if not _EARLIEST <= self.at <= now + _AHEAD:
            detail = "must be from 1970 to the present; leave it out for the present"
            raise Invalid(Violation("body", "/completed_at", "out_of_range", detail))
        return self.at


def take_completion(sent: dict[str, Any]) -> Completion:
    """Take the members `completed_at` and `occurrence` out of a request.

    Raises:
        Invalid: there is an occurrence, and the request does not complete the task.
    """
    completion = Completion(sent.pop("completed_at", None), sent.pop("occurrence", None))
    if completion.occurrence is not None and not completes(sent):
        detail = "must come together with completed: true"
        raise Invalid(Violation("body", "/occurrence", "invalid_occurrence", detail))
    return completion


def completes(sent: Mapping[str, Any]) -> bool:
    """Whether a request completes an open task."""
    return sent.get("completed") is True or sent.get("status") in DONE


def dates_of(columns: Mapping[str, Any]) -> Dates:
    return Dates(**{name: columns[name] for name in Dates._fields})


def recurrence_of(columns: Mapping[str, Any]) -> Recurrence:
    exclude = tuple(columns["recurrence_exclude"] or ())
    return Recurrence(columns["recurrence"], columns["recurrence_mode"] or "next", exclude)


def recurrence_columns(recurrence: Recurrence) -> dict[str, Any]:
    mode = None if recurrence.mode == "next" else recurrence.mode
    return {
        "recurrence": recurrence.rule,
        "recurrence_mode": mode,
        "recurrence_exclude": list(recurrence.exclude),
    }


async def is_over(
    transaction: Transaction, stored: Row[Any], occurrence: date | None, zone: ZoneOfRequest
) -> bool:
    """Whether an occurrence of a locked task was completed or skipped before; of a retry it was.

    Raises:
        OccurrenceAhead: it is later than the one that the task has.
    """
    if occurrence is None or stored.recurrence is None:
        return False
    if stored.completed:
        return True
    name = await zone.name(transaction, stored.user_id)
    standing = recurring.standing_of(occurrence, dates_of(stored._asdict()), name)
    if standing == "later":
        raise OccurrenceAhead
    return standing == "earlier"


class Step(NamedTuple):
    """What completing or skipping an occurrence writes. `shift` None: it was the last one.

    `columns`: of a task that goes on. `zone`: the caller's.
    """

    occurrence: str
    columns: Mapping[str, Any]
    shift: Shift | None
    zone: str


async def step_of(
    transaction: Transaction,
    columns: Mapping[str, Any],
    moment: datetime,
    zone: ZoneOfRequest,
    *,
    skips: bool = False,
) -> Step:
    """The step of a recurring task at a moment. `columns`: all of the task's. `skips`: as `advance`."""
    dates, recurrence = dates_of(columns), recurrence_of(columns)
    occurrence = dates.due or dates.start
    assert occurrence is not None
    name = await zone.name(transaction, columns["user_id"])
    advance = recurring.advance(dates, recurrence, moment, name, skips=skips)
    if advance is None:
        return Step(occurrence, {}, None, name)
    reminders = moved_reminders(columns["reminders"], advance.shift, dates.time_zone, name)
    moved = {"reminders": reminders, **advance.dates._asdict(), **recurrence_columns(advance.recurrence)}
    # A claim is of one occurrence.
    return Step(occurrence, {**moved, **_OPEN, **NO_CLAIM}, advance.shift, name)


async def reopen_parts(
    transaction: Transaction,
    user_id: str,
    parts: Sequence[Part],
    shift: Shift,
    zone: str,
    now: datetime,
    *,
    with_open: bool,
) -> None:
    """Reopen the completed tasks below a task that has moved on, and move their dates along.

    One that recurs itself stays as it is, with all below it. `with_open`: the request completes the open ones
    too, which then are open again.
    """
    stored = await _rows(transaction, user_id, [part.id for part in parts])
    staying: set[UUID] = set()
    done: list[dict[str, Any]] = []
    undone: list[dict[str, Any]] = []
    for part in parts:
        row = stored[part.id]
        if row.recurrence is not None or part.parent_id in staying:
            staying.add(part.id)
        elif row.completed or with_open:
            (done if row.completed else undone).append({"id": row.id, **_moved(row, shift, zone)})
    await write_tasks(transaction, user_id, [row | _OPEN for row in done], op="reopened", updated_at=now)
    await write_tasks(transaction, user_id, undone, updated_at=now)


async def _rows(transaction: Transaction, user_id: str, ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
    others = (col(Task.id), col(Task.completed), col(Task.recurrence), col(Task.reminders))
    columns: tuple[Any, ...] = (*others, *_date_columns())
    rows: dict[UUID, Row[Any]] = {}
    for some in stretches(ids):
        statement = select(*columns).where(col(Task.user_id) == user_id, col(Task.id).in_(some))
        rows |= {row.id: row for row in await transaction.all(statement)}
    return rows


def _date_columns() -> list[Any]:
    return [table_of(Task).c[name] for name in Dates._fields]


def _moved(row: Row[Any], shift: Shift, zone: str) -> dict[str, Any]:
    """The dates and reminders of a task after a shift. One that would be out of the years stays."""
    texts = (row.start, row.due)
    start, due = (text and (shift.moved(text, row.time_zone) or text) for text in texts)
    dates = recomputed(Dates(start, due, row.time_zone, row.due_at, row.start_at))
    reminders = moved_reminders(row.reminders, shift, row.time_zone, zone)
    return {"reminders": reminders, **dates._asdict()}
