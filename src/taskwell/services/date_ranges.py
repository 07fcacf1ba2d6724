"""Ranges of dates: conditions for a task's `due` or `start`, from the caller's words, zone and clock.

A range compares each kind of value with a bound of its own: a date by days, a floating time by the clock in
the caller's zone, and a zoned time by its instant.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from operator import ge, lt
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, func

from taskwell.core.time_zones import instant_of, local_time_of
from taskwell.services.task_dates import DATE_LENGTH

_DAY = timedelta(days=1)
# Clocks differ by up to 26 hours, so a value's text may be that far beyond a bound that its instant keeps.
_MARGIN = 2 * _DAY


class Bound(NamedTuple):
    """A point in time: `day` for dates, `local` for floating times, `instant` for zoned times."""

    day: str
    local: str
    instant: datetime


class Range(NamedTuple):
    """The values that are not before `since`, and before `before`. No bounds: every value but none."""

    since: Bound | None = None
    before: Bound | None = None


ANY = Range()


def today(zone: str, now: datetime) -> date:
    """The day of an instant in a zone."""
    return local_time_of(now, zone).date()


def days(first: date, count: int, zone: str) -> Range:
    """So many days in a zone, from the first one."""
    return Range(_beginning(first, zone), _beginning(first + count * _DAY, zone))


def before(when: date, zone: str) -> Range:
    """Before a day begins, before a local time of the zone, or before an instant.

    A date is before a time if it is before that time's day.
    """
    if not isinstance(when, datetime):
        return Range(before=_beginning(when, zone))
    local, instant = _at(when, zone)
    return Range(before=Bound(local.date().isoformat(), local.isoformat(), instant))


def after(when: date, zone: str) -> Range:
    """After a whole day, after a local time of the zone, or after an instant.

    A date is after a time if it is after that time's day.
    """
    return Range(since=_following(when, zone))


def until(when: date, zone: str) -> Range:
    """All that `after` leaves out."""
    return Range(before=_following(when, zone))


def named(word: str, zone: str, now: datetime) -> Range:
    """The range of a word: `any`, `overdue`, `today`, `tomorrow`, or `week`, seven days from today."""
    first = today(zone, now)
    match word:
        case "any":
            return ANY
        case "overdue":
            # A time counts from its very second on; a date when its day is over.
            return Range(before=_following(now, zone)._replace(day=first.isoformat()))
        case "today":
            return days(first, 1, zone)
        case "tomorrow":
            return days(first + _DAY, 1, zone)
        case "week":
            return days(first, 7, zone)
    raise ValueError(word)


def _beginning(day: date, zone: str) -> Bound:
    midnight = datetime.combine(day, time.min)
    return Bound(day.isoformat(), day.isoformat(), instant_of(midnight, zone))


def _following(when: date, zone: str) -> Bound:
    if not isinstance(when, datetime):
        return _beginning(when + _DAY, zone)
    local, instant = _at(when, zone)
    return Bound((local.date() + _DAY).isoformat(), _next_second(local).isoformat(), _next_second(instant))


def _next_second(moment: datetime) -> datetime:
    """The next value that a task can have."""
    return moment.replace(microsecond=0) + timedelta(seconds=1)


def _at(when: datetime, zone: str) -> tuple[datetime, datetime]:
    """A local time or an instant as both."""
    if when.tzinfo is None:
        return when, instant_of(when, zone)
    return local_time_of(when, zone), when.astimezone(UTC)


def matches(text: str | None, at: datetime | None, within: Range) -> bool:
    """Whether a value is within a range. `text`: the value; `at`: its instant if it is a zoned time."""
    if text is None:
        return False
    return (within.since is None or not _is_before(text, at, within.since)) and (
        within.before is None or _is_before(text, at, within.before)
    )


def _is_before(text: str, at: datetime | None, bound: Bound) -> bool:
    if at is not None:
        return at < bound.instant
    return text < (bound.day if len(text) == DATE_LENGTH else bound.local)


# SQL for `matches` is the conjunction of a rough condition, which can use an index, and the exact one. Each
# has parameters of its own, named by a prefix.

_SIDES: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {"since": ge, "before": lt}


def rough(text: ColumnElement[Any], ranges: Sequence[Range], prefix: str) -> ColumnElement[bool]:
    """The condition that has a value, which is near one of the ranges."""
    values = rough_parameters(ranges, prefix)
    return and_(
        text.is_not(None),
        *(
            compare(text, bindparam(name, values[name], text.type))
            for side, compare in _SIDES.items()
            if (name := f"{prefix}_{side}_near") in values
        ),
    )


def rough_parameters(ranges: Sequence[Range], prefix: str) -> dict[str, object]:
    values: dict[str, object] = {}
    if not ranges:
        return values
    since, before = [within.since for within in ranges], [within.before for within in ranges]
    if None not in since:
        values[f"{prefix}_since_near"] = _moved(min(bound.local for bound in since if bound), -_MARGIN)
    if None not in before:
        values[f"{prefix}_before_near"] = _moved(max(bound.local for bound in before if bound), _MARGIN)
    return values


def _moved(local: str, by: timedelta) -> str:
    return (datetime.fromisoformat(local) + by).isoformat()


def exact(
    text: ColumnElement[Any], at: ColumnElement[Any], within: Range, prefix: str
) -> ColumnElement[bool]:
    """The condition that has a value, which is within the range."""
    values = exact_parameters(within, prefix)

    def compared(side: str) -> ColumnElement[bool]:
        day, local, instant = (
            bindparam(name, values[name], column.type)
            for name, column in zip(_names(prefix, side), (text, text, at), strict=True)
        )
        compare = _SIDES[side]
        return case(
            (at.is_not(None), compare(at, instant)),
            (func.length(text) == DATE_LENGTH, compare(text, day)),
            else_=compare(text, local),
        )

    return and_(text.is_not(None), *(compared(side) for side in _SIDES if getattr(within, side)))


def exact_parameters(within: Range, prefix: str) -> dict[str, object]:
    bounds = {side: bound for side, bound in within._asdict().items() if bound}
    return {
        name: value
        for side, bound in bounds.items()
        for name, value in zip(_names(prefix, side), bound, strict=True)
    }


def _names(prefix: str, side: str) -> list[str]:
    return [f"{prefix}_{side}_{member}" for member in Bound._fields]
