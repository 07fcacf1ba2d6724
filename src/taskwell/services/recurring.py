"""Recurring tasks: what a client may set, and what completing one does to its dates.

A task has the dates of its current occurrence alone. Its **anchor**, the date that its rule counts from, is
its `start` if the rule falls on it, else its `due`. Completing or skipping the occurrence makes it
**advance**: its dates move to another occurrence of the **series**, the rule from the anchor on. When none is
left, it has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Literal

from taskwell.core.errors import Invalid, Violation
from taskwell.core.recurrence.rule import Rule, RuleError, parse_rule, with_count
from taskwell.core.recurrence.series import Occurrence, Series, falls_on_anchor
from taskwell.core.time_zones import NAMES, instant_of, local_time_of
from taskwell.schemas.dates import YEARS
from taskwell.schemas.recurrence import RecurrenceMode
from taskwell.services.task_dates import DATE_LENGTH, Dates, recomputed

Standing = Literal["current", "earlier", "later"]


@dataclass(frozen=True, slots=True)
class Recurrence:
    """How a task recurs. `rule`: an RRULE value, None if it does not.

    `mode` says which occurrence follows: `next` the first that is not past, `each` the first one, and
    `completion` the first of the rule from the day of completion. `exclude`: dates and local times that are
    passed over.
    """

    rule: str | None = None
    mode: RecurrenceMode = "next"
    exclude: tuple[str, ...] = ()


NO_RECURRENCE = Recurrence()


@dataclass(frozen=True, slots=True)
class Shift:
    """By how much the dates beside the anchor move: by days, so that they keep their time of day.

    `clock`: by how much local times move on the clock; not by whole days where the anchor's time of day
    changes. `elapsed`: by how much their instants move instead, where the rule counts elapsed time.
    """

    days: int
    clock: timedelta
    elapsed: timedelta | None = None

    def moved(self, text: str, zone: str | None) -> str | None:
        """The date or local time afterwards; None if that is not within the years 1900 to 9998."""
        try:
            when = self._moved(_parsed(text), zone)
        except OverflowError:
            return None
        return when.isoformat() if when.year in YEARS else None

    def _moved(self, when: date, zone: str | None) -> date:
        if not isinstance(when, datetime):
            return when + timedelta(days=self.days)
        if self.elapsed is None or zone is None:
            return when + self.clock
        return local_time_of(instant_of(when, zone) + self.elapsed, zone)

    def moved_instant(self, instant: datetime, zone: str) -> datetime:
        """The instant afterwards, at its time of day in the zone.

        Raises:
            OverflowError: no such date exists.
        """
        if self.elapsed is not None:
            return instant + self.elapsed
        return instant_of(local_time_of(instant, zone) + self.clock, zone)


@dataclass(frozen=True, slots=True)
class Advance:
    """A task's dates and recurrence at its next occurrence, and how its other dates move."""

    dates: Dates
    recurrence: Recurrence
    shift: Shift


def advance(
    dates: Dates, recurrence: Recurrence, completed_at: datetime, zone: str, *, skips: bool = False
) -> Advance | None:
    """What completing or skipping the current occurrence makes of a task; None if the series ends by it.

    `completed_at`: an instant. `zone`: the caller's, for dates and floating times. `skips`: the occurrence is
    skipped, so that the next one is after it, also if it was still to come. A rule that the task's dates do
    not allow, or that does not parse (any more), has ended.
    """
    series = _series(dates, recurrence, zone)
    if series and skips:
        completed_at = max(completed_at, _instant(series))
    found = series and _following(series, recurrence.mode, completed_at)
    if not (series and found):
        return None
    shift = _shift(series, found.when)
    moved = _moved(dates, series.anchor, found.when, shift)
    return moved and Advance(moved, _counted_down(recurrence, series.rule, found), shift)


def standing_of(occurrence: date, dates: Dates, zone: str) -> Standing:
    """How an occurrence, as a client has it, stands to the current one: the `due`, else the `start`.

    An earlier one has been completed or skipped before. A date and a time of the same day are not the same:
    the client has not seen the one that the task has, which is `later` too. An instant is taken in the task's
    zone, else in the caller's.
    """
    text = dates.due or dates.start
    assert text is not None
    if isinstance(occurrence, datetime) and occurrence.tzinfo is not None:
        occurrence = local_time_of(occurrence, dates.time_zone or zone)
    given = occurrence.isoformat()
    if given == text:
        return "current"
    length = min(len(given), len(text))
    return "earlier" if given[:length] < text[:length] else "later"


def resolve(sent: Mapping[str, Any], stored: Recurrence, dates: Dates) -> Recurrence:
    """The recurrence after a request.

    `sent` has those of the members `recurrence`, `recurrence_mode` and `recurrence_exclude` that the request
    has, as `schemas.recurrence` parses them; None clears. `stored`: the recurrence before it, `NO_RECURRENCE`
    of a new task. `dates`: the dates after it. Without dates, a stored rule goes with them; without a rule,
    the other members have no effect.

    Raises:
        Invalid: the rule needs a date, or one with a time of day.
    """
    rule = sent.get("recurrence", stored.rule)
    if rule is not None and dates.due is None and dates.start is None:
        if "recurrence" in sent:
            raise _refusal("needs_date", "must have a due or a start beside it")
        rule = None
    if rule is None:
        return NO_RECURRENCE
    _check_times(rule, dates)
    return Recurrence(
        rule,
        sent.get("recurrence_mode", stored.mode),
        tuple(sent.get("recurrence_exclude", stored.exclude) or ()),
    )


def _check_times(rule: str, dates: Dates) -> None:
    try:
        parsed = parse_rule(rule)
    except RuleError as error:
        raise _refusal(error.code, error.detail) from None
    if parsed.is_timed and _anchor(parsed, dates) is None:
        raise _refusal("invalid", "must be DAILY or longer, or the due or start must have a time of day")


def _refusal(code: str, detail: str) -> Invalid:
    return Invalid(Violation("body", "/recurrence", code, detail))


def _series(dates: Dates, recurrence: Recurrence, zone: str) -> Series | None:
    try:
        rule = parse_rule(recurrence.rule or "")
    except RuleError:
        return None
    anchor = _anchor(rule, dates)
    if anchor is None:
        return None
    return Series(
        rule,
        anchor,
        # The tz database may lack a zone that it had.
        zone=dates.time_zone if dates.time_zone in NAMES else zone,
        floating=dates.time_zone is None,
        excluded=tuple(_parsed(text) for text in recurrence.exclude),
    )


def _anchor(rule: Rule, dates: Dates) -> date | None:
    """The date that the rule counts from, if there is one that it can count from."""
    start, due = (_parsed(text) if text else None for text in (dates.start, dates.due))
    if start is not None and falls_on_anchor(rule, start):
        return start
    anchor = due or start
    return None if rule.is_timed and not isinstance(anchor, datetime) else anchor


def _instant(series: Series) -> datetime:
    """The instant of the anchor; of a date, when its day begins."""
    anchor = series.anchor
    local = anchor if isinstance(anchor, datetime) else datetime.combine(anchor, time())
    return instant_of(local, series.zone)


def _following(series: Series, mode: RecurrenceMode, completed_at: datetime) -> Occurrence | None:
    match mode:
        case "next":
            return next(series.upcoming(completed_at), None)
        case "each":
            return next(series.upcoming(), None)
    count = series.rule.count
    if count == 1:
        return None
    found = next(_restarted(series, completed_at).upcoming(completed_at), None)
    return found and found._replace(number=1)


def _restarted(series: Series, completed_at: datetime) -> Series:
    """The series from the completion on, as long as it likes: of a COUNT each completion takes one."""
    anchor: date
    local = local_time_of(completed_at, series.zone)
    if series.rule.is_timed:
        minute = timedelta(seconds=local.second, microseconds=local.microsecond)
        anchor = local - minute if series.floating else completed_at - minute
    elif isinstance(series.anchor, datetime):
        anchor = datetime.combine(local.date(), series.anchor.time())
    else:
        anchor = local.date()
    return replace(series, rule=replace(series.rule, count=None), anchor=anchor, whole_months=True)


def _shift(series: Series, when: date) -> Shift:
    anchor = series.anchor
    days = when.toordinal() - anchor.toordinal()
    if not (isinstance(when, datetime) and isinstance(anchor, datetime)):
        return Shift(days, timedelta(days))
    elapsed = None
    if series.rule.is_timed and not series.floating:
        elapsed = instant_of(when, series.zone) - instant_of(anchor, series.zone)
    return Shift(days, when - anchor, elapsed)


def _moved(dates: Dates, anchor: date, when: date, shift: Shift) -> Dates | None:
    """The dates with the anchor at its new place; None if one of them would be after the year 9998."""
    texts = {anchor.isoformat(): when.isoformat()}
    for text in (dates.start, dates.due):
        if text is not None and text not in texts:
            moved = shift.moved(text, dates.time_zone)
            if moved is None and shift.days > 0:
                return None
            texts[text] = moved or text
    start, due = (text and texts[text] for text in (dates.start, dates.due))
    return recomputed(Dates(start, due, dates.time_zone))


def _counted_down(recurrence: Recurrence, rule: Rule, found: Occurrence) -> Recurrence:
    text = recurrence.rule or ""
    if rule.count is not None:
        text = with_count(text, rule.count - found.number)
    return replace(recurrence, rule=text, exclude=_left(recurrence.exclude, found.when.isoformat()))


def _left(exclude: tuple[str, ...], when: str) -> tuple[str, ...]:
    """Those that are not before a date or local time, by days if either is a date."""
    lengths = ((text, min(len(text), len(when))) for text in exclude)
    return tuple(text for text, length in lengths if text[:length] >= when[:length])


def _parsed(text: str) -> date:
    return date.fromisoformat(text) if len(text) == DATE_LENGTH else datetime.fromisoformat(text)
