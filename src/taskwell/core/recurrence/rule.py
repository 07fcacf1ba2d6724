"""Recurrence rules: the RRULE values of RFC 5545, less what costs without bound and what it forbids."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal, get_args

Code = Literal["invalid", "unsupported", "out_of_range", "too_many", "too_long", "required"]
Frequency = Literal["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]

MAX_LENGTH = 500
MAX_INTERVAL = 32_767
MAX_COUNT = 10_000
MAX_TIMES_OF_DAY = 48

_FREQUENCIES = get_args(Frequency)
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_BY_PARTS = (
    "BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY", "BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS",
)  # fmt: skip
_PARTS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", *_BY_PARTS}
_OF_OTHER_STANDARDS = {"RSCALE", "SKIP"}
# RFC 5545, the table of 3.3.10: where a BY part has no meaning.
_ONLY_WITH = {
    "BYWEEKNO": {"YEARLY"},
    "BYYEARDAY": {"YEARLY"},
    "BYMONTHDAY": {"YEARLY", "MONTHLY", "DAILY"},
}
_NUMBER = re.compile("[0-9]+")
_SIGNED = re.compile("[+-]?[0-9]+")
_DAY = re.compile(f"([+-]?[0-9]+)?({'|'.join(_WEEKDAYS)})")
_UNTIL = re.compile("([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z?))?")
_COUNT = re.compile("(?<=COUNT=)[0-9]+", re.IGNORECASE)


class RuleError(ValueError):
    """A text that is no recurrence rule. `detail` says what to do, and repeats nothing of the text."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code: Code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule. Parts that it lacks are empty.

    `until`: a date, a local time without `tzinfo`, or an instant in UTC; inclusive. `days`: pairs of a
    number, 0 for every one, and a weekday from 0, Monday. `week_start`: likewise.
    """

    frequency: Frequency
    interval: int = 1
    count: int | None = None
    until: date | None = None
    months: tuple[int, ...] = ()
    weeks: tuple[int, ...] = ()
    year_days: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    days: tuple[tuple[int, int], ...] = ()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0

    @property
    def is_timed(self) -> bool:
        """Whether it counts hours or minutes."""
        return self.frequency in {"HOURLY", "MINUTELY"}

    @property
    def has_times(self) -> bool:
        """Whether it names times of the day."""
        return bool(self.hours or self.minutes or self.seconds)

    @property
    def is_plain(self) -> bool:
        """Whether it has no BY part: only the anchor says on which day it falls."""
        return not (
            self.months
            or self.weeks
            or self.year_days
            or self.month_days
            or self.days
            or self.has_times
            or self.positions
        )


@lru_cache(1024)
def parse_rule(text: str) -> Rule:
    """Parse the value of an RRULE, without the name of the property. Case does not matter.

    Raises:
        RuleError: it is no rule, or one of those that are not supported.
    """
    parts = _split(text)
    frequency = _frequency(parts)
    _check_parts(parts, frequency)
    rule = Rule(
        frequency,
        interval=_limited(parts, "INTERVAL", MAX_INTERVAL) or 1,
        count=_limited(parts, "COUNT", MAX_COUNT),
        until=_until(parts),
        months=_numbers(parts, "BYMONTH", _unsigned, range(1, 13)),
        weeks=_numbers(parts, "BYWEEKNO", _signed, range(1, 54)),
        year_days=_numbers(parts, "BYYEARDAY", _signed, range(1, 367)),
        month_days=_numbers(parts, "BYMONTHDAY", _signed, range(1, 32)),
        days=_days(parts, frequency),
        hours=_numbers(parts, "BYHOUR", _unsigned, range(24)),
        minutes=_numbers(parts, "BYMINUTE", _unsigned, range(60)),
        seconds=_numbers(parts, "BYSECOND", _unsigned, range(60)),
        positions=_numbers(parts, "BYSETPOS", _signed, range(1, 367)),
        week_start=_week_start(parts),
    )
    if (len(rule.hours) or 1) * (len(rule.minutes) or 1) * (len(rule.seconds) or 1) > MAX_TIMES_OF_DAY:
        raise RuleError("too_many", f"must name at most {MAX_TIMES_OF_DAY} times of the day")
    return rule


def with_count(text: str, count: int) -> str:
    """The text of a rule that has a COUNT, with another one."""
    return _COUNT.sub(str(count), text)


def _split(text: str) -> Mapping[str, str]:
    if len(text) > MAX_LENGTH:
        raise RuleError("too_long", f"must have at most {MAX_LENGTH} characters")
    if not text:
        raise RuleError("required", "must have a FREQ, such as FREQ=DAILY")
    if not (text.isascii() and text.isprintable()) or text.upper().startswith("RRULE"):
        raise RuleError("invalid", "must be one line, the value of an RRULE without its name: FREQ=DAILY")
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, equals, value = part.partition("=")
        _check_name(name, parts)
        if not (equals and value):
            raise RuleError("invalid", f"{name} must have a value, such as FREQ=DAILY")
        parts[name] = value
    return parts


def _check_name(name: str, before: Mapping[str, str]) -> None:
    if name in _OF_OTHER_STANDARDS:
        raise RuleError("unsupported", f"must be without {name}: only the Gregorian calendar is supported")
    if name not in _PARTS:
        raise RuleError("invalid", "must have only parts of RFC 5545, as in FREQ=WEEKLY;BYDAY=MO")
    if name in before:
        raise RuleError("invalid", f"must have {name} only once")


def _frequency(parts: Mapping[str, str]) -> Frequency:
    value = parts.get("FREQ")
    if value is None:
        raise RuleError("required", "must have a FREQ, such as FREQ=DAILY")
    if value == "SECONDLY":
        raise RuleError("unsupported", "must not recur by the second: use MINUTELY, or a longer FREQ")
    for frequency in _FREQUENCIES:
        if value == frequency:
            return frequency  # type: ignore[no-any-return]  # get_args has no type
    raise RuleError("invalid", "FREQ must be YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY or MINUTELY")


def _check_parts(parts: Mapping[str, str], frequency: Frequency) -> None:
    by_parts = [name for name in _BY_PARTS if name in parts]
    if by_parts and frequency in {"HOURLY", "MINUTELY"}:
        raise RuleError("unsupported", f"must be without BY parts: {frequency} has none here; use DAILY")
    for name in by_parts:
        if frequency not in _ONLY_WITH.get(name, _FREQUENCIES):
            raise RuleError("invalid", f"must not have {name} with {frequency} (RFC 5545)")
    if by_parts == ["BYSETPOS"]:
        raise RuleError("invalid", "must have another BY part beside BYSETPOS (RFC 5545)")
    if "COUNT" in parts and "UNTIL" in parts:
        raise RuleError("invalid", "must not have both COUNT and UNTIL (RFC 5545)")


def _limited(parts: Mapping[str, str], name: str, limit: int) -> int | None:
    if name not in parts:
        return None
    if not _NUMBER.fullmatch(parts[name]):
        raise RuleError("invalid", f"{name} must be a whole number from 1 to {limit:,}")
    number = int(parts[name])
    if not 1 <= number <= limit:
        raise RuleError("out_of_range", f"{name} must be from 1 to {limit:,}")
    return number


def _until(parts: Mapping[str, str]) -> date | None:
    if "UNTIL" not in parts:
        return None
    found = _UNTIL.fullmatch(parts["UNTIL"])
    try:
        if found is not None:
            return _moment(*found.groups())
    except ValueError:
        pass
    raise RuleError(
        "invalid",
        "UNTIL must be a day that exists, such as 20261231, or a time such as 20261231T080000 or "
        "20261231T080000Z",
    )


def _moment(year: str, month: str, day: str, hour: str | None, *rest: str) -> date:
    if hour is None:
        return date(int(year), int(month), int(day))
    minute, second, utc = rest
    numbers = (int(year), int(month), int(day), int(hour), int(minute), int(second))
    return datetime(*numbers, tzinfo=UTC if utc else None)


def _numbers(
    parts: Mapping[str, str], name: str, read: Callable[[str], int | None], allowed: range
) -> tuple[int, ...]:
    """In ascending order, each once. `allowed`: without regard to the sign."""
    if name not in parts:
        return ()
    sign = "" if read is _unsigned else ", or counted from the end with a minus"
    limits = f"from {allowed.start} to {allowed.stop - 1}{sign}"
    numbers = [read(text) for text in parts[name].split(",")]
    if None in numbers:
        raise RuleError("invalid", f"{name} must be whole numbers {limits}, with commas between them")
    return _in_range(name, (number for number in numbers if number is not None), allowed, limits)


def _in_range(name: str, numbers: Iterable[int], allowed: range, limits: str) -> tuple[int, ...]:
    distinct = sorted(set(numbers))
    if not all(abs(number) in allowed for number in distinct):
        raise RuleError("out_of_range", f"{name} must be {limits}")
    return tuple(distinct)


def _unsigned(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _signed(text: str) -> int | None:
    return int(text) if _SIGNED.fullmatch(text) else None


def _days(parts: Mapping[str, str], frequency: Frequency) -> tuple[tuple[int, int], ...]:
    if "BYDAY" not in parts:
        return ()
    found = [_DAY.fullmatch(text) for text in parts["BYDAY"].split(",")]
    days = [(match[1], _WEEKDAYS.index(match[2])) for match in found if match]
    if len(days) < len(found):
        raise RuleError("invalid", "BYDAY must be days such as MO or -1FR, with commas between them")
    highest = {"MONTHLY": 5, "YEARLY": 53}.get(frequency)
    numbers = [int(number) for number, _ in days if number is not None]
    if numbers and (highest is None or "BYWEEKNO" in parts):
        raise RuleError("invalid", "BYDAY must have no numbers but by month, or by year without BYWEEKNO")
    _in_range(
        "BYDAY", numbers, range(1, (highest or 0) + 1), f"days with numbers from 1 to {highest} or none"
    )
    return tuple(sorted({(int(number or 0), weekday) for number, weekday in days}))


def _week_start(parts: Mapping[str, str]) -> int:
    value = parts.get("WKST", "MO")
    if value not in _WEEKDAYS:
        raise RuleError("invalid", f"WKST must be one of {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(value)
