"""The occurrences of a rule from an anchor on, as dates or as local times.

Days and times are counted on the wall clock; instants only say what is past. Hours and minutes are elapsed
time, or time on the wall clock if the anchor is a floating time.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from taskwell.core.recurrence.days import Calendar, Chosen, indexes_of
from taskwell.core.recurrence.rule import Rule
from taskwell.core.time_zones import instant_of, local_time_of

LAST_YEAR = 9998
HORIZON = 100  # years
_LAST_SECOND = time(23, 59, 59)
_MONTHS = {"MONTHLY": 1, "YEARLY": 12}
_STEPS = {"HOURLY": timedelta(hours=1), "MINUTELY": timedelta(minutes=1)}
# Beyond every change of clocks, the day that Samoa left out among them.
_CHANGE = timedelta(hours=26)


class Occurrence(NamedTuple):
    """`number`: how many occurrences after the anchor it is, whether the series excludes them or not."""

    when: date
    number: int


def falls_on_anchor(rule: Rule, anchor: date) -> bool:
    """Whether an anchor is the first occurrence of the rule from itself. A rule with times wants a time."""
    if rule.is_timed:
        return isinstance(anchor, datetime)
    if rule.has_times and not isinstance(anchor, datetime):
        return False
    return Calendar(rule, anchor).falls_on_anchor()


@dataclass(frozen=True, slots=True)
class Series:
    """A rule from an anchor on, which is a date or a local time, and the first occurrence by definition.

    `zone`: in which days begin and local times have instants. `floating`: the anchor's time has no zone of
    its own. `excluded`: dates and local times; a date excludes its whole day.

    `whole_months`: months and years are added to the anchor as on a calendar, so that the 31st becomes the
    last day of a shorter month, where the rule has no BY part. Elapsed time may begin at an instant.
    """

    rule: Rule
    anchor: date
    zone: str
    floating: bool = False
    excluded: tuple[date, ...] = ()
    whole_months: bool = False

    def upcoming(self, now: datetime | None = None) -> Iterator[Occurrence]:
        """The occurrences after the anchor in order, to the end of the series or 100 years on.

        `now`: an instant; occurrences that are past by then are left out. A date is past after its day.
        """
        days, times = self._excluded()
        for occurrence in self._not_past(now, days):
            when, number = occurrence
            if self.rule.count is not None and number >= self.rule.count:
                return
            if self._is_after_until(when):
                return
            if when not in times and _day(when) not in days:
                yield occurrence

    def _excluded(self) -> tuple[frozenset[date], frozenset[date]]:
        """The days and the times that are excluded; of a series of dates only days."""
        times = {each for each in self.excluded if isinstance(each, datetime)}
        days = set(self.excluded) - times
        if not isinstance(self.anchor, datetime):
            return frozenset(days | {each.date() for each in times}), frozenset()
        return frozenset(days), frozenset(times)

    def _not_past(self, now: datetime | None, excluded_days: frozenset[date]) -> Iterator[Occurrence]:
        since = self._local_anchor
        if now is not None:
            since = max(since, _before_what_is_left(since, now, self.zone))
        if self.rule.is_timed:
            found = self._steps(since, now, excluded_days)
        elif self.whole_months and self.rule.is_plain and self.rule.frequency in _MONTHS:
            found = self._months()
        else:
            found = _days_after(since, Calendar(self.rule, self.anchor))
        if now is None or not isinstance(self.anchor, datetime):
            return found
        return (each for each in found if instant_of(_local(each.when), self.zone) > now)

    def _steps(
        self, since: date, now: datetime | None, excluded_days: frozenset[date]
    ) -> Iterator[Occurrence]:
        """Of hours or minutes. Each is later on the clock than the one before, also where clocks go back."""
        last = _local(since)
        # Of elapsed steps, a time that occurs twice does not tell the number.
        number = self._number(last if now is None or self.floating else now)
        last_day = date(min(last.year + HORIZON, LAST_YEAR), 12, 31)
        end = self._number(datetime.combine(last_day, _LAST_SECOND))
        while number < end:
            number += 1
            local = self._step(number)
            if local.date() in excluded_days:  # of which there may be many steps
                number = max(number, self._number(datetime.combine(local.date(), _LAST_SECOND)))
            elif local > last:
                last = local
                yield Occurrence(local, number)

    def _step(self, number: int) -> datetime:
        """The local time that is so many steps after the anchor."""
        after = number * self._length
        if self.floating:
            return _local(self.anchor) + after
        return local_time_of(self._instant(self.anchor) + after, self.zone)

    def _number(self, moment: datetime) -> int:
        """How many steps there are from the anchor to a local time or an instant."""
        if self.floating:
            return max(0, (moment - _local(self.anchor)) // self._length)
        return max(0, (self._instant(moment) - self._instant(self.anchor)) // self._length)

    def _instant(self, when: date) -> datetime:
        moment = _local(when)
        return moment if moment.tzinfo else instant_of(moment, self.zone)

    @property
    def _local_anchor(self) -> date:
        if isinstance(self.anchor, datetime) and self.anchor.tzinfo:
            return local_time_of(self.anchor, self.zone)
        return self.anchor

    @property
    def _length(self) -> timedelta:
        return _STEPS[self.rule.frequency] * self.rule.interval

    def _months(self) -> Iterator[Occurrence]:
        anchor, step = self.anchor, self.rule.interval * _MONTHS[self.rule.frequency]
        first = anchor.year * 12 + anchor.month - 1
        last = min(anchor.year + HORIZON, LAST_YEAR) * 12 + 11
        for number, months in enumerate(range(first + step, last + 1, step), 1):
            year, month = divmod(months, 12)
            day = min(anchor.day, monthrange(year, month + 1)[1])
            yield Occurrence(anchor.replace(year, month + 1, day), number)

    def _is_after_until(self, when: date) -> bool:
        until = self.rule.until
        if until is None:
            return False
        if not (isinstance(until, datetime) and isinstance(when, datetime)):
            return _day(when) > _day(until)
        if until.tzinfo is None:
            return when > until
        return instant_of(when, self.zone) > until


def _before_what_is_left(anchor: date, now: datetime, zone: str) -> date:
    """A date or local time, of the anchor's kind, near to which and before which everything is past."""
    local = local_time_of(now, zone)
    if not isinstance(anchor, datetime):
        return local.date() - timedelta(days=1)
    # A time that clocks have skipped today lies before the present time of the clock, and may still come.
    skipped = (local - local_time_of(now - _CHANGE, zone)) - _CHANGE
    return local - max(skipped, timedelta(0))


def _days_after(since: date, calendar: Calendar) -> Iterator[Occurrence]:
    """The occurrences later than a moment, which is not before the anchor."""
    number = _number_of(since, calendar)
    for year in range(since.year, min(since.year + HORIZON, LAST_YEAR) + 1):
        chosen = calendar.year(year)
        days = chosen.days
        if year == since.year:
            index = since.toordinal() - chosen.year.start
            days = days >> index << index
        for when in _moments(chosen, days, calendar):
            if when > since:
                number += 1
                yield Occurrence(when, number)


def _number_of(since: date, calendar: Calendar) -> int:
    """How many occurrences lie after the anchor and not after a moment."""
    years = (calendar.year(year) for year in range(calendar.anchor.year, since.year))
    whole = sum(_count(chosen, chosen.days, calendar) for chosen in years)
    return whole + _number_in_year(since, calendar) - _number_in_year(calendar.anchor, calendar)


def _number_in_year(moment: date, calendar: Calendar) -> int:
    """How many occurrences the year of a moment has until then, inclusive."""
    chosen = calendar.year(moment.year)
    day = 1 << moment.toordinal() - chosen.year.start
    of_day = sum(when <= moment for when in _moments(chosen, chosen.days & day, calendar))
    return _count(chosen, chosen.days & day - 1, calendar) + of_day


def _count(chosen: Chosen, days: int, calendar: Calendar) -> int:
    if not chosen.times:
        return days.bit_count() * len(calendar.times)
    return sum(len(chosen.times.get(index, calendar.times)) for index in indexes_of(days))


def _moments(chosen: Chosen, days: int, calendar: Calendar) -> Iterator[date]:
    for index in indexes_of(days):
        day = date.fromordinal(chosen.year.start + index)
        for moment in chosen.times.get(index, calendar.times):
            yield day if moment is None else datetime.combine(day, moment)


def _local(when: date) -> datetime:
    assert isinstance(when, datetime)
    return when


def _day(when: date) -> date:
    return when.date() if isinstance(when, datetime) else when
