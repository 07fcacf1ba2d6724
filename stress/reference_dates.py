"""What the documentation says of dates, once more: nothing here is the server's code.

A date is `2026-11-20`, a local time `2026-11-20T09:00:00`; with a zone, a local time has an instant.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_LENGTH = len("2026-11-20")


class StartAfterDue(Exception):
    pass


class Edge(NamedTuple):
    """What the three kinds of values are compared with: dates, local times without a zone, instants."""

    day: date
    local: datetime
    instant: datetime


def after_request(sent: Mapping[str, Any], before: Mapping[str, Any], zone_of_request: str) -> dict[str, Any]:
    """`start`, `due`, `time_zone` and `due_at` after a request that sent some of the first three."""
    zone = sent.get("time_zone", before["time_zone"])
    if zone is None and any(_is_instant(sent.get(name)) for name in ("start", "due")):
        zone = zone_of_request
    start, due = (_written(sent[name], zone) if name in sent else before[name] for name in ("start", "due"))
    if start and due and (start, due) != (before["start"], before["due"]):
        length = min(len(start), len(due))
        if start[:length] > due[:length]:
            raise StartAfterDue
    if not any(value and len(value) > _LENGTH for value in (start, due)):
        zone = None
    return {"start": start, "due": due, "time_zone": zone, "due_at": due_at(due, zone)}


def due_at(due: str | None, zone: str | None) -> str | None:
    """As a task shows it."""
    at = instant_of(due, zone)
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"


def is_date(value: str) -> bool:
    return len(value) == _LENGTH


def _is_instant(value: str | None) -> bool:
    return value is not None and len(value) > _LENGTH and datetime.fromisoformat(value).tzinfo is not None


def _written(value: str | None, zone: str | None) -> str | None:
    """As a task shows it: an instant in its zone, and seconds also where the request left them out."""
    if value is None or len(value) == _LENGTH:
        return value
    when = datetime.fromisoformat(value)
    if when.tzinfo is not None:
        assert zone is not None
        when = local_of(when, zone)
    return when.isoformat()


def instant_of(value: str | None, zone: str | None) -> datetime | None:
    """The instant of a time in a zone. In a gap the offset before it counts; of two, the first."""
    if value is None or zone is None or len(value) == _LENGTH:
        return None
    return of_local(datetime.fromisoformat(value), zone)


def of_local(local: datetime, zone: str) -> datetime:
    return local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


def local_of(instant: datetime, zone: str) -> datetime:
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def is_before(value: str, zone: str | None, bound: str, tz: str) -> bool:
    """Before a day begins, before a local time, or before an instant."""
    return _compare(value, zone, _edge(bound, tz)) < 0


def is_after(value: str, zone: str | None, bound: str, tz: str) -> bool:
    """After a whole day, after a local time, or after an instant."""
    if len(bound) > _LENGTH:
        return _compare(value, zone, _edge(bound, tz)) > 0
    return not is_before(value, zone, (date.fromisoformat(bound) + _DAY).isoformat(), tz)


def is_on(value: str, zone: str | None, first: date, days: int, tz: str) -> bool:
    last = (first + days * _DAY).isoformat()
    return is_before(value, zone, last, tz) and not is_before(value, zone, first.isoformat(), tz)


def has_come(value: str, zone: str | None, now: datetime, tz: str) -> bool:
    """Whether a start has come: its day has begun, or its time is there."""
    local = local_of(now, tz)
    return _compare(value, zone, Edge(local.date(), local, now)) <= 0


def is_over(value: str, zone: str | None, now: datetime, tz: str) -> bool:
    """Whether a due is overdue: its day has ended, or its time has come."""
    if len(value) == _LENGTH:
        return date.fromisoformat(value) < local_of(now, tz).date()
    return has_come(value, zone, now, tz)


def _edge(bound: str, tz: str) -> Edge:
    if len(bound) == _LENGTH:
        midnight = datetime.combine(date.fromisoformat(bound), time.min)
        return Edge(midnight.date(), midnight, of_local(midnight, tz))
    when = datetime.fromisoformat(bound)
    if when.tzinfo is None:
        return Edge(when.date(), when, of_local(when, tz))
    local = local_of(when, tz)
    return Edge(local.date(), local, when)


def _compare(value: str, zone: str | None, edge: Edge) -> int:
    """Negative, zero, or positive: the value is before the edge, at it, or after it."""
    if len(value) == _LENGTH:
        return _sign(date.fromisoformat(value), edge.day)
    at = instant_of(value, zone)
    return _sign(datetime.fromisoformat(value), edge.local) if at is None else _sign(at, edge.instant)


def _sign(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)
