"""When the server reminds of a task: the instants of its reminders, and of its due date.

A date counts from its 00:00 in its user's zone, and so do the times of a task without a zone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, Literal, NamedTuple

from taskwell.core.time_zones import NAMES, instant_of
from taskwell.schemas.dates import YEARS
from taskwell.schemas.reminder import Distance, distance_of
from taskwell.services.recurring import Shift
from taskwell.services.task_dates import DATE_LENGTH

ReminderKind = Literal["reminder", "due"]
# The columns of a task that its instants follow from.
REMINDED_BY = ("start", "due", "time_zone", "reminders")
_MORNING = time(9)


class Alarm(NamedTuple):
    kind: ReminderKind
    at: datetime


def alarms_of(task: Mapping[str, Any], zone: str) -> set[Alarm]:
    """All alarms of a task, past ones too. `task`: the columns `REMINDED_BY`; `zone`: the user's.

    A date is due at 9:00 of its day. A reminder whose date the task does not have is silent, and so is one
    after the year 9999.
    """
    local = _zone_of(task["time_zone"], zone)

    def zone_of(text: str) -> str:
        return zone if len(text) == DATE_LENGTH else local

    due, start = task["due"], task["start"]
    alarms = set()
    if due is not None:
        alarms.add(Alarm("due", _instant(due, zone_of(due), _MORNING)))
    for reminder in task["reminders"] or ():
        distance = distance_of(reminder["trigger"])
        text = start if "from" in reminder else due or start
        if distance is None:
            alarms.add(Alarm("reminder", _instant(reminder["trigger"], local)))
        elif text is not None:
            at = _at_distance(text, distance, zone_of(text))
            alarms |= {Alarm("reminder", at)} if at else set()
    return alarms


def depends_on_user(task: Mapping[str, Any]) -> bool:
    """Whether the instants of a task depend on its user's zone."""
    texts = (task["start"], task["due"])
    return task["time_zone"] is None or any(text and len(text) == DATE_LENGTH for text in texts)


def _zone_of(time_zone: str | None, zone: str) -> str:
    """The task's own zone, if it has one. The tz database may lack one that it had."""
    return time_zone if time_zone in NAMES else zone


def _instant(text: str, zone: str, of_date: time = time()) -> datetime:
    """The instant of a text as tasks and triggers have it; of a date at a time of the day."""
    when = datetime.fromisoformat(text)
    if len(text) == DATE_LENGTH:
        when = datetime.combine(when, of_date)
    return when if when.tzinfo is not None else instant_of(when, zone)


def _at_distance(text: str, distance: Distance, zone: str) -> datetime | None:
    """The instant; None if no calendar has it.

    Days keep the time of day. From a date, hours do too: nine hours after it are 9:00, on every day.
    """
    try:
        when = datetime.fromisoformat(text) + timedelta(distance.days)
        if len(text) == DATE_LENGTH:
            return instant_of(when + distance.time, zone)
        return instant_of(when, zone) + distance.time
    except OverflowError:
        return None


def moved_reminders(
    reminders: Sequence[Mapping[str, str]] | None, shift: Shift, time_zone: str | None, zone: str
) -> list[dict[str, str]]:
    """The reminders of a task whose dates move: those at an instant or a local time move along.

    `time_zone`: the task's. `zone`: the user's. What would be out of the years stays.
    """
    local = _zone_of(time_zone, zone)
    return [{**one, "trigger": _moved(one["trigger"], shift, local)} for one in reminders or ()]


def _moved(trigger: str, shift: Shift, zone: str) -> str:
    if distance_of(trigger) is not None:
        return trigger
    when = datetime.fromisoformat(trigger)
    if when.tzinfo is None:
        return shift.moved(trigger, zone) or trigger
    try:
        moved = shift.moved_instant(when, zone)
    except (OverflowError, ValueError):
        return trigger
    return moved.isoformat().replace("+00:00", "Z") if moved.year in YEARS else trigger
