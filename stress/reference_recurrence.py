"""What the documentation says of recurring tasks, once more: nothing here is the server's code.

The occurrences are those of python-dateutil, of rules that count days.
"""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from dateutil.rrule import rrulestr

from stress.reference_dates import due_at, is_date, local_of, of_local

Record = Mapping[str, Any]
NONE: dict[str, Any] = {"recurrence": None, "recurrence_mode": "next", "recurrence_exclude": []}
_MIDNIGHT = time()


class NeedsDate(Exception):
    pass


class Advance(NamedTuple):
    """The dates and the recurrence of a task at its next occurrence, and by how many days it has moved."""

    changes: dict[str, Any]
    days: int


class _Rule(NamedTuple):
    """`text`: without its end. `most`, `until`: the end, if there is one."""

    text: str
    most: int | None
    until: date | None

    @classmethod
    def of(cls, text: str) -> "_Rule":
        parts = dict(part.split("=") for part in text.split(";"))
        count, until = parts.pop("COUNT", None), parts.pop("UNTIL", None)
        rest = ";".join(f"{name}={value}" for name, value in parts.items())
        return cls(rest, int(count) if count else None, date.fromisoformat(until) if until else None)

    @property
    def is_plain(self) -> bool:
        return "BY" not in self.text

    def occurrences(self, anchor: datetime) -> Iterator[datetime]:
        """From the anchor on, if the rule falls on it."""
        return iter(rrulestr(self.text, dtstart=anchor))


def after_request(sent: Record, before: Record, dates: Record) -> dict[str, Any]:
    """The members of recurrence after a request. `dates`: the dates after it."""
    if dates["start"] is None and dates["due"] is None:
        if sent.get("recurrence") is not None:
            raise NeedsDate
        return NONE
    after = {name: sent.get(name, before[name]) for name in NONE}
    return NONE if after["recurrence"] is None else after


def advance(record: Record, now: datetime, tz: str, *, skips: bool = False) -> Advance | None:
    """What completing the current occurrence at an instant makes of a task; None: it was the last one."""
    rule, zone = _Rule.of(record["recurrence"]), record["time_zone"] or tz
    anchor = _anchor(record, rule)
    if skips:
        now = max(now, of_local(_moment(anchor), zone))
    found = _following(record, rule, anchor, now, zone)
    if found is None:
        return None
    when, number = found
    days = (when.date() - _moment(anchor).date()).days
    moved = moved_dates(record, days)
    counted = record["recurrence"]
    if rule.most is not None:
        counted = counted.replace(f"COUNT={rule.most}", f"COUNT={rule.most - number}")
    shown = when.date().isoformat() if is_date(anchor) else when.isoformat()
    exclude = [one for one in record["recurrence_exclude"] if not _is_before(one, shown)]
    changes = {**moved, "recurrence": counted, "recurrence_exclude": exclude}
    return Advance({**changes, "recurrence_mode": record["recurrence_mode"]}, days)


def moved_dates(record: Record, days: int) -> dict[str, Any]:
    """The dates that many days later, at their place on the clock."""
    start, due = (record[name] and _later(record[name], days) for name in ("start", "due"))
    return {"start": start, "due": due, "due_at": due_at(due, record["time_zone"])}


def standing(occurrence: str, record: Record) -> str:
    """How what a client takes for the current occurrence stands to it."""
    current = record["due"] or record["start"]
    if occurrence == current:
        return "current"
    return "earlier" if _is_before(occurrence, current) else "later"


def _following(
    record: Record, rule: _Rule, anchor: str, now: datetime, zone: str
) -> tuple[datetime, int] | None:
    """The next occurrence, and how many the COUNT goes down by."""
    mode, first = record["recurrence_mode"], _moment(anchor)
    if mode == "completion":
        if rule.most == 1:
            return None
        rule, first = rule._replace(most=None), datetime.combine(local_of(now, zone).date(), first.time())
    following = (
        _months(rule, first) if mode == "completion" and _is_by_month(rule) else rule.occurrences(first)
    )
    later = (when for when in following if when > first)
    for number, when in enumerate(later, 1):
        if rule.most is not None and number >= rule.most:
            return None
        if rule.until is not None and when.date() > rule.until:
            return None
        if mode != "each" and _is_past(when, anchor, now, zone):
            continue
        if not _is_excluded(when, record["recurrence_exclude"], anchor):
            return when, 1 if mode == "completion" else number
    raise AssertionError  # the rules in use go on


def _anchor(record: Record, rule: _Rule) -> str:
    """The start if the rule falls on it, else the due."""
    start: str | None = record["start"]
    if start is not None and next(rule.occurrences(_moment(start))) == _moment(start):
        return start
    found: str = record["due"] or record["start"]
    return found


def _is_by_month(rule: _Rule) -> bool:
    return rule.is_plain and rule.text.startswith("FREQ=MONTHLY")


def _months(rule: _Rule, first: datetime) -> Iterator[datetime]:
    """As on a calendar: a month after the 31st is the last day of a shorter one."""
    step = int(rule.text.partition("INTERVAL=")[2] or 1)
    month = first.year * 12 + first.month - 1
    while True:
        month += step
        year, index = divmod(month, 12)
        yield first.replace(year, index + 1, min(first.day, monthrange(year, index + 1)[1]))


def _is_past(when: datetime, anchor: str, now: datetime, zone: str) -> bool:
    if is_date(anchor):
        return when.date() < local_of(now, zone).date()
    return of_local(when, zone) <= now


def _is_excluded(when: datetime, exclude: list[str], anchor: str) -> bool:
    days = {one[:10] for one in exclude if is_date(one) or is_date(anchor)}
    return when.date().isoformat() in days or when.isoformat() in exclude


def _is_before(text: str, other: str) -> bool:
    length = min(len(text), len(other))
    return text[:length] < other[:length]


def _moment(text: str) -> datetime:
    return (
        datetime.combine(date.fromisoformat(text), _MIDNIGHT)
        if is_date(text)
        else datetime.fromisoformat(text)
    )


def _later(text: str, days: int) -> str:
    parse = date.fromisoformat if is_date(text) else datetime.fromisoformat
    return (parse(text) + timedelta(days=days)).isoformat()


def now() -> datetime:
    return datetime.now(UTC)
