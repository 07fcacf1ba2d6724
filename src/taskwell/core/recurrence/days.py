"""The days on which a rule falls: those of a year are the bits of an integer, of which bit 0 is 1 January.

A rule's parts are intersections and unions of such integers, so a year costs the same whether the rule falls
on each of its days or on none. No search walks from day to day.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time
from functools import cache, reduce
from itertools import product
from operator import or_
from typing import NamedTuple

from taskwell.core.recurrence.rule import Rule

_WEEK = 0b111_1111


def with_day_of(rule: Rule, anchor: date) -> Rule:
    """The rule with the day that it takes from its anchor, unless it names one (RFC 5545, 3.3.10)."""
    if rule.days or rule.month_days or rule.year_days:
        return rule
    if rule.frequency == "WEEKLY" or rule.weeks:
        return replace(rule, days=((0, anchor.weekday()),))
    if rule.frequency == "YEARLY":
        return replace(rule, months=rule.months or (anchor.month,), month_days=(anchor.day,))
    return replace(rule, month_days=(anchor.day,)) if rule.frequency == "MONTHLY" else rule


def times_of(rule: Rule, anchor: date) -> tuple[time | None, ...]:
    """The times of each day, in order, by the rule and its anchor. A date has none, but one entry."""
    if not isinstance(anchor, datetime):
        return (None,)
    hours, minutes = rule.hours or (anchor.hour,), rule.minutes or (anchor.minute,)
    return tuple(time(*parts) for parts in product(hours, minutes, rule.seconds or (anchor.second,)))


class Month(NamedTuple):
    """Where a month begins and ends in its year: `end` is the index of the day after it."""

    start: int
    end: int

    @property
    def days(self) -> int:
        return (1 << self.end) - (1 << self.start)


@cache
def _months(leap: bool) -> tuple[Month, ...]:
    year, after = (2000, 2001) if leap else (2001, 2002)
    firsts = [date(year, month, 1).toordinal() for month in range(1, 13)] + [date(after, 1, 1).toordinal()]
    return tuple(Month(firsts[n] - firsts[0], firsts[n + 1] - firsts[0]) for n in range(12))


@cache
def _month_day(leap: bool, number: int) -> int:
    """One day of all months, counted from the first, or from the last if it is negative."""
    indexes = (
        (month, month.start + number - 1 if number > 0 else month.end + number) for month in _months(leap)
    )
    return _union(1 << index for month, index in indexes if month.start <= index < month.end)


@cache
def _every(step: int) -> int:
    """Every so many days, over a year and a week on both sides."""
    return _union(1 << index for index in range(0, 380, step))


@cache
def _weeks_every(days: int) -> int:
    return _union(_WEEK << index for index in range(0, 380, days))


def _union(days: Iterable[int]) -> int:
    return reduce(or_, days, 0)


def _shifted(days: int, by: int) -> int:
    return days << by if by >= 0 else days >> -by


def indexes_of(days: int) -> Iterator[int]:
    """The indexes of the days, in order."""
    while days:
        lowest = days & -days
        yield lowest.bit_length() - 1
        days ^= lowest


def _week_one(first: int, week_start: int) -> int:
    """Where week 1 begins, which has at least four days of the year. `first`: the weekday of 1 January."""
    index = (week_start - first) % 7
    return index - 7 if index >= 4 else index


class Year:
    """A year of the calendar. `first`: the weekday of 1 January."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.start = date(number, 1, 1).toordinal()
        self.leap = date(number, 12, 31).toordinal() - self.start == 365
        self.length = 366 if self.leap else 365
        self.first = (self.start - 1) % 7

    @property
    def all_days(self) -> int:
        return (1 << self.length) - 1

    def weeks(self, week_start: int) -> tuple[int, int]:
        """The index at which week 1 begins, -3 to 3, and how many weeks there are."""
        start = _week_one(self.first, week_start)
        return start, (self.length + _week_one(self.first + self.length, week_start) - start) // 7

    def weekday(self, weekday: int) -> int:
        return (_every(7) << (weekday - self.first) % 7) & self.all_days

    def nth_weekday(self, number: int, weekday: int, start: int, end: int) -> int:
        """The nth weekday of a part of the year, counted from its end if the number is negative."""
        if number > 0:
            index = start + (weekday - self.first - start) % 7 + 7 * (number - 1)
        else:
            index = end - 1 - (self.first + end - 1 - weekday) % 7 + 7 * (number + 1)
        return 1 << index if start <= index < end else 0


def _in_weeks(rule: Rule, year: Year) -> int:
    """The days in weeks with these numbers; days at either end may be in weeks of the year beside."""
    found = 0
    for owner in (Year(year.number - 1), year, Year(year.number + 1)):
        start, count = owner.weeks(rule.week_start)
        for week in rule.weeks:
            number = week if week > 0 else count + 1 + week
            if 1 <= number <= count:
                found |= _shifted(_WEEK, owner.start - year.start + start + 7 * (number - 1))
    return found


def _on_weekdays(rule: Rule, year: Year) -> int:
    """The days of BYDAY. Its numbers count in a month, or in the year if the rule names no month."""
    plain = _union(year.weekday(weekday) for number, weekday in rule.days if number == 0)
    numbered = [day for day in rule.days if day[0]]
    if not numbered:
        return plain
    months = _months(year.leap)
    if rule.frequency == "YEARLY":
        parts = [months[month - 1] for month in rule.months] or [Month(0, year.length)]
    else:
        parts = list(months)
    return plain | _union(year.nth_weekday(*day, *part) for day in numbered for part in parts)


def _days_of_year(rule: Rule, year: Year) -> int:
    """All days of a year that the rule's BY parts leave, whatever its interval."""
    days = year.all_days
    if rule.months:
        days &= _union(_months(year.leap)[month - 1].days for month in rule.months)
    if rule.weeks:
        days &= _in_weeks(rule, year)
    if rule.year_days:
        indexes = (number - 1 if number > 0 else year.length + number for number in rule.year_days)
        days &= _union(1 << index for index in indexes if index >= 0)
    if rule.month_days:
        days &= _union(_month_day(year.leap, number) for number in rule.month_days)
    return days & _on_weekdays(rule, year) if rule.days else days


def _aligned(rule: Rule, anchor: date, year: Year) -> int:
    """The days of a year in periods that the interval counts, from the anchor's on."""
    match rule.frequency:
        case "YEARLY":
            return 0 if (year.number - anchor.year) % rule.interval else year.all_days
        case "MONTHLY":
            months = (year.number - anchor.year) * 12 - anchor.month + 1
            parts = enumerate(_months(year.leap))
            return _union(part.days for index, part in parts if (months + index) % rule.interval == 0)
        case "WEEKLY":
            week = anchor.toordinal() - (anchor.weekday() - rule.week_start) % 7
            return _shifted(
                _weeks_every(7 * rule.interval), (week - year.start + 6) % (7 * rule.interval) - 6
            )
    return _every(rule.interval) << (anchor.toordinal() - year.start) % rule.interval


class Chosen(NamedTuple):
    """The days of a year on which a series falls, and the times of those days that lack some."""

    year: Year
    days: int
    times: Mapping[int, tuple[time | None, ...]]


class Calendar:
    """The days of a series and their times. It does not end, and has what comes before the anchor."""

    def __init__(self, rule: Rule, anchor: date) -> None:
        self.rule, self.anchor = with_day_of(rule, anchor), anchor
        self.times = times_of(rule, anchor)
        self._years: dict[int, Chosen] = {}
        self._of_kinds: dict[tuple[bool, int], int] = {}
        self._picked: dict[int, dict[int, tuple[time | None, ...]]] = {}
        if rule.frequency == "DAILY" and rule.positions:
            # Of each day the same times.
            self.times, self.rule = self._pick(1).get(0, ()), replace(self.rule, positions=())

    def year(self, number: int) -> Chosen:
        if number not in self._years:
            year = Year(number)
            if self.rule.positions:
                self._years[number] = self._at_positions(year)
            else:
                self._years[number] = Chosen(year, self._days(year), {})
        return self._years[number]

    def falls_on_anchor(self) -> bool:
        """Whether the anchor is an occurrence itself."""
        year, days, times = self.year(self.anchor.year)
        index = self.anchor.toordinal() - year.start
        wanted = self.anchor.time() if isinstance(self.anchor, datetime) else None
        return bool(days >> index & 1) and wanted in times.get(index, self.times)

    def _days(self, year: Year) -> int:
        aligned = _aligned(self.rule, self.anchor, year) if self.times else 0
        return aligned and aligned & self._left_by_parts(year)

    def _left_by_parts(self, year: Year) -> int:
        if self.rule.weeks:  # which depend on the years beside it too
            return _days_of_year(self.rule, year)
        kind = year.leap, year.first
        if kind not in self._of_kinds:
            self._of_kinds[kind] = _days_of_year(self.rule, year)
        return self._of_kinds[kind]

    def _at_positions(self, year: Year) -> Chosen:
        """BYSETPOS: of the occurrences of each period, those at its positions."""
        chosen, times = 0, {}
        for start, days in self._periods(year):
            for index, left in self._pick(days).items():
                if 0 <= start + index < year.length:
                    chosen |= 1 << start + index
                    if len(left) < len(self.times):
                        times[start + index] = left
        return Chosen(year, chosen, times)

    def _periods(self, year: Year) -> Iterator[tuple[int, int]]:
        """The days of each period that has some, and the index at which it begins."""
        days = self._days(year)
        match self.rule.frequency:
            case "YEARLY":
                periods: Iterable[tuple[int, int]] = [(0, days)]
            case "MONTHLY":
                periods = ((month.start, (days & month.days) >> month.start) for month in _months(year.leap))
            case _:
                periods = self._weeks(year, days)
        return ((start, days) for start, days in periods if days)

    def _weeks(self, year: Year, days: int) -> Iterator[tuple[int, int]]:
        before, after = Year(year.number - 1), Year(year.number + 1)
        wide = self._days(before) | days << before.length | self._days(after) << before.length + year.length
        first = (self.rule.week_start - year.first) % 7 - 7
        return ((start, wide >> before.length + start & _WEEK) for start in range(first, year.length, 7))

    def _pick(self, days: int) -> Mapping[int, tuple[time | None, ...]]:
        """The days of a period with the times at the rule's positions."""
        if days not in self._picked:
            indexes, times = list(indexes_of(days)), self.times
            count = len(indexes) * len(times)
            places = {place - 1 if place > 0 else count + place for place in self.rule.positions}
            picked: dict[int, tuple[time | None, ...]] = {}
            for place in sorted(place for place in places if 0 <= place < count):
                nth_day, nth_time = divmod(place, len(times))
                index = indexes[nth_day]
                picked[index] = (*picked.get(index, ()), times[nth_time])
            self._picked[days] = picked
        return self._picked[days]
