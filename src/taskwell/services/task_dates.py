"""The dates of a task: `start` and `due`, their time zone, and the instants that follow from them.

A date is `YYYY-MM-DD`, a local time `YYYY-MM-DDTHH:MM:SS`. A time with a zone has an instant beside it; a
date and a time without a zone (a floating time) have none: it would depend on the caller's zone.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from taskwell.core.errors import Invalid, Violation
from taskwell.core.time_zones import NAMES, instant_of, local_time_of
from taskwell.schemas.dates import DATE_DETAIL, YEARS

DATE_LENGTH = len("2026-11-20")


class Dates(NamedTuple):
    """The columns of a task's dates. `due_at` and `start_at` follow from the others."""

    start: str | None = None
    due: str | None = None
    time_zone: str | None = None
    due_at: datetime | None = None
    start_at: datetime | None = None


NO_DATES = Dates()


def resolve(sent: Mapping[str, Any], stored: Dates, default_zone: str) -> Dates:
    """The dates after a request.

    `sent` has those of the members `start`, `due` and `time_zone` that the request has, as `schemas.dates`
    parses them; None clears. `stored`: the dates before it, `NO_DATES` of a new task. `default_zone`: the
    caller's, for instants if neither the request nor the task has a zone.

    A sent zone keeps the local times. A zone of null makes them floating, but an instant that is sent along
    still needs a zone, and takes the default. A zone stays only as long as a time is left.

    Raises:
        Invalid: `start` is later than `due`, or an instant is outside the years in that zone.
    """
    if not sent.keys() & {"start", "due", "time_zone"}:
        return stored
    zone = _zone(sent, stored, default_zone)
    start = _text(sent, "start", stored.start, zone)
    due = _text(sent, "due", stored.due, zone)
    # What is stored already may come from a protocol without this rule.
    if (start, due) != (stored.start, stored.due) and _is_later(start, due):
        raise Invalid(Violation("body", "/start", "start_after_due", "must not be later than due"))
    return _completed(start, due, zone)


def recomputed(dates: Dates) -> Dates:
    """The dates with the instants that the present tz database gives; unchanged if it lacks the zone."""
    if dates.time_zone is not None and dates.time_zone not in NAMES:
        return dates
    return _completed(dates.start, dates.due, dates.time_zone)


def _completed(start: str | None, due: str | None, zone: str | None) -> Dates:
    if not (has_time(start) or has_time(due)):
        zone = None
    return Dates(start, due, zone, due_at=_instant(due, zone), start_at=_instant(start, zone))


def _zone(sent: Mapping[str, Any], stored: Dates, default_zone: str) -> str | None:
    zone: str | None = sent.get("time_zone", stored.time_zone)
    if zone is None and any(_is_instant(sent.get(name)) for name in ("start", "due")):
        return default_zone
    return zone


def _text(sent: Mapping[str, Any], name: str, stored: str | None, zone: str | None) -> str | None:
    if name not in sent:
        return stored
    when: date | None = sent[name]
    if isinstance(when, datetime) and when.tzinfo is not None:
        assert zone is not None
        when = local_time_of(when, zone)
        if when.year not in YEARS:
            raise Invalid(Violation("body", f"/{name}", "invalid_date", DATE_DETAIL))
    return None if when is None else when.isoformat()


def _is_instant(when: object) -> bool:
    return isinstance(when, datetime) and when.tzinfo is not None


def has_time(text: str | None) -> bool:
    return text is not None and len(text) > DATE_LENGTH


def _instant(text: str | None, zone: str | None) -> datetime | None:
    if text is None or zone is None or not has_time(text):
        return None
    return instant_of(datetime.fromisoformat(text), zone)


def _is_later(start: str | None, due: str | None) -> bool:
    """By days if either is a date, else by local times: both are in one zone."""
    if start is None or due is None:
        return False
    length = min(len(start), len(due))
    return start[:length] > due[:length]
