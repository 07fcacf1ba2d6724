"""The phrases of dates, times and recurrence in a text, and what they mean. See `core.quick_words`."""

from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, NamedTuple

from taskwell.core import quick_tables as tables
from taskwell.core.quick_phrases import CLASSES, Word, compiled, match

_DIGITS = tuple("0123456789")
_MONTHS = {"MONTHLY": 1, "YEARLY": 12}
_NAMES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WORK = (0, 1, 2, 3, 4)


class Day(NamedTuple):
    """A date, and the time that its words tell (`tonight`), in minutes. None: it shall have no date."""

    day: date | None
    minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence. `nth`: which of the weekdays of a month, -1 for the last; a month day -1 is the last."""

    unit: str
    interval: int = 1
    weekdays: tuple[int, ...] = ()
    nth: int | None = None
    month: int | None = None
    month_days: tuple[int, ...] = ()
    minutes: int | None = None
    from_completion: bool = False

    def anchored(self, day: date) -> "Rule":
        """With the day named that it falls on, so that it returns to it after it was put off.

        From completion it counts on from any day.
        """
        if self.from_completion or self.weekdays or self.month_days:
            return self
        return {
            "DAILY": self,
            "WEEKLY": replace(self, weekdays=(day.weekday(),)),
            "MONTHLY": replace(self, month_days=(day.day,)),
            "YEARLY": replace(self, month=day.month, month_days=(day.day,)),
        }[self.unit]

    def first(self, day: date) -> date:
        """The first day of the rule that is not before."""
        days = (day + timedelta(days=index) for index in range(400))
        return next((candidate for candidate in days if self._has(candidate)), day)

    def _has(self, day: date) -> bool:
        last = monthrange(day.year, day.month)[1]
        if self.month not in (None, day.month):
            return False
        if self.month_days:
            return day.day in {last if wanted == -1 else min(wanted, last) for wanted in self.month_days}
        if self.weekdays and day.weekday() not in self.weekdays:
            return False
        return self.nth in (None, (day.day - 1) // 7 + 1, -1 if day.day + 7 > last else None)

    def text(self) -> str:
        """As RFC 5545 writes it."""
        nth = self.nth or ""
        named = ",".join(f"{nth}{_NAMES[day]}" for day in self.weekdays)
        parts = {
            "FREQ": self.unit,
            "INTERVAL": str(self.interval) if self.interval > 1 else "",
            "BYMONTH": str(self.month or ""),
            "BYMONTHDAY": ",".join(map(str, self._days())),
            "BYDAY": named,
            "BYSETPOS": "-1" if len(self._days()) > len(self.month_days) else "",
        }
        return ";".join(f"{name}={value}" for name, value in parts.items() if value)

    def _days(self) -> tuple[int, ...]:
        """Instead of a day that some months lack, the last of those that they have."""
        if len(self.month_days) == 1 and self.month_days[0] > 28:
            return tuple(range(28, self.month_days[0] + 1))
        return self.month_days


class Place(NamedTuple):
    """Where a phrase stands among the words. `prefix`: what is before it and belongs to it (`on`, `by`)."""

    words: Sequence[Word]
    start: int
    end: int
    prefix: str = ""

    def before(self) -> str:
        """The word before the phrase, without those that belong to it."""
        return self.words[self.start - 1].core if self.start else ""

    def after(self, count: int = 0) -> Word | None:
        """A word behind it, unless punctuation is between."""
        last = self.words[self.end - 1]
        at = self.end + count
        return None if last.tail or at >= len(self.words) else self.words[at]

    def stands_alone(self) -> bool:
        """Whether it is followed by nothing, or by what begins another phrase."""
        word = self.after()
        return word is None or word.raw[:1] in ("#", "@", "!") or _opens(word)


def _opens(word: Word) -> bool:
    times = (CLASSES[name].value(word) for name in ("clock", "half_day", "dotted", "iso"))
    return word.core in tables.OPENERS or any(time is not None for time in times)


def is_range(place: Place) -> bool:
    """Whether `to friday` or `- 10:00` follows: a stretch of time is no date to be done by."""
    sign, then = place.after(), place.after(1)
    if sign is None or then is None or sign.core not in tables.RANGES:
        return False
    return then.core[:1] in _DIGITS or CLASSES["weekday"].value(then) is not None


# --- Dates --------------------------------------------------------------------------------------------------


def _date(year: int, month: int, day: int) -> date | None:
    return date(year, month, day) if day <= monthrange(year, month)[1] else None


def _coming(today: date, month: int, day: int, year: int | None = None) -> Day | None:
    """The next one, today included, if no year is said."""
    years = [year] if year else range(today.year, today.year + 9)
    days = (_date(number, month, day) for number in years)
    return next((Day(found) for found in days if found and (year or found >= today)), None)


def _coming_nth(today: date, day: int) -> Day:
    """The next day of that number, in a month that has it."""
    days = (today + timedelta(days=index) for index in range(62))
    return Day(next(candidate for candidate in days if candidate.day == day))


def _weekday(today: date, weekday: int) -> Day:
    """The next one; today counts not."""
    return Day(today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1))


def _later(today: date, count: int, unit: str) -> Day:
    if unit not in _MONTHS:
        return Day(today + timedelta(days=count * (7 if unit == "WEEKLY" else 1)))
    months = today.month - 1 + count * _MONTHS[unit]
    year, month = today.year + months // 12, months % 12 + 1
    return Day(date(year, month, min(today.day, monthrange(year, month)[1])))


def _next(today: date, unit: str) -> Day:
    """The first day of the next week, month or year."""
    starts = {
        "DAILY": today,
        "WEEKLY": today - timedelta(days=today.weekday()),
        "MONTHLY": today.replace(day=1),
        "YEARLY": today.replace(month=1, day=1),
    }
    return _later(starts[unit], 1, unit)


def _weekend(today: date) -> Day:
    return Day(today + timedelta(days=(5 - today.weekday()) % 7))


def _end_of_month(today: date) -> Day:
    return Day(today.replace(day=monthrange(today.year, today.month)[1]))


def _end_of_year(today: date) -> Day:
    return Day(today.replace(month=12, day=31))


def _iso(_: date, found: tuple[int, int, int, int | None]) -> Day | None:
    year, month, day, minutes = found
    known = _date(year, month, day) if 1 <= month <= 12 and day else None
    return Day(known, minutes) if known else None


def _dotted(today: date, found: tuple[int, int, int | None]) -> Day | None:
    day, month, year = found
    return _coming(today, month, day, year)


def _always(_: Place) -> bool:
    return True


def _no_number(place: Place) -> bool:
    return place.before() not in tables.NO_NUMBER_AFTER


def _german(place: Place) -> bool:
    return place.prefix in ("am", "bis", "bis zum", "zum", "ab", "ab dem", "fällig am")


def _on_the(place: Place) -> bool:
    """`on the 15th`, but not "on the 2nd floor"."""
    word = place.after()
    ends = place.stands_alone() or (word is not None and word.raw in tables.AFTER_HOUR)
    return ends and place.prefix in ("on the", "by the", "on", "by")


def _german_nth(place: Place) -> bool:
    return _german(place) and place.prefix != "ab"


def _free(place: Place) -> bool:
    """Words such as `tomorrow`, which stand without `am` or `on`."""
    return place.prefix not in ("am", "zum", "bis zum", "on", "on the", "by the", "ab dem")


def _morgen(place: Place) -> bool:
    return _free(place) and place.before() not in tables.NO_MORGEN_AFTER


def _tom(place: Place) -> bool:
    """`tom`, unless it is a man: "call tom"."""
    word = place.words[place.end - 1]
    is_name = word.raw != word.core or place.before() in tables.NO_TOM_AFTER | tables.NO_DOUBTFUL_AFTER
    return not is_name and not place.prefix and place.stands_alone()


def _doubtful(place: Place) -> bool:
    """A word such as `sun` is a date where it has a preposition, or nothing else behind it."""
    names = {word.core for word in place.words[place.end - 1 : place.end]}
    if place.prefix or not names & tables.DOUBTFUL:
        return True
    return place.stands_alone() and place.before() not in tables.NO_DOUBTFUL_AFTER


def _day_month(place: Place) -> bool:
    """`1 may`, but not "1 may come"; `1 May` is a month."""
    of_month = [word for word in place.words[place.start : place.end] if word.core in tables.DOUBTFUL]
    return bool(place.prefix) or not of_month or of_month[0].raw[0].isupper() or place.stands_alone()


def _month_day(place: Place) -> bool:
    """`May 5`, but not "May 5 people come"."""
    doubtful = place.words[place.start].core in tables.DOUBTFUL
    return bool(place.prefix) or not doubtful or place.stands_alone()


class Form(NamedTuple):
    pattern: Any
    value: Callable[..., Any]
    holds: Callable[[Place], bool] = _always


def _form(text: str, value: Callable[..., Any], holds: Callable[[Place], bool] = _always) -> Form:
    return Form(compiled(text), value, holds)


_NEXT = "next|nächste|nächsten|nächster|nächstes|kommende|kommenden|kommender|kommendes"
_THIS = "this|diese|diesen|dieser|dieses"
_DATES = (
    _form("<iso>", _iso),
    _form("<dotted>", _dotted, _no_number),
    _form("<open>", _dotted, _german),
    _form("<day> [of] <month> [<year>]", lambda today, d, m, y: _coming(today, m, d, y), _day_month),
    _form("<month> <day,> <year>", _coming),
    _form("<month> <day>", _coming, _month_day),
    _form("<nth>", _coming_nth, _on_the),
    _form("<n.>", _coming_nth, _german_nth),
    _form("tonight", lambda today: Day(today, 1200), _free),
    _form("this <part>", Day, _free),
    _form("heute <part>", Day, _free),
    _form("today|heute", Day, _free),
    _form("tod", Day, _tom),
    _form("[the] day after tomorrow", lambda today: _later(today, 2, "DAILY"), _free),
    _form("übermorgen|uebermorgen", lambda today: _later(today, 2, "DAILY"), _free),
    _form("tomorrow", lambda today: _later(today, 1, "DAILY"), _free),
    _form("morgen", lambda today: _later(today, 1, "DAILY"), _morgen),
    _form("tom", lambda today: _later(today, 1, "DAILY"), _tom),
    _form(f"{_NEXT} weekend|wochenende", lambda today: _weekend(_next(today, "WEEKLY").day or today)),
    _form(f"[{_THIS}] [the] weekend", _weekend, _doubtful),
    _form(f"{_THIS} wochenende", _weekend),
    _form("wochenende", _weekend, _german),
    _form(f"{_NEXT} <unit>", _next),
    _form(f"{_NEXT}|{_THIS} <weekday>", _weekday),
    _form("<weekday>", _weekday, _doubtful),
    _form("in <num> <unit>", _later),
    _form("<shift>", lambda today, found: _later(today, *found)),
    _form("end of [the] month", _end_of_month),
    _form("end of [the] year", _end_of_year),
    _form("eom|monatsende", _end_of_month),
    _form("eoy|jahresende", _end_of_year),
    _form("ende des monats", _end_of_month),
    _form("ende des jahres", _end_of_year),
    _form("no date", lambda _: Day(None)),
    _form("ohne datum", lambda _: Day(None)),
    _form("kein datum", lambda _: Day(None)),
)
_PREFIXES = tuple(
    (text, compiled(text))
    for text in (
        "due on", "due by", "due", "on the", "on", "by the", "by", "at the", "over the", "fällig am", "am",
        "bis zum", "bis", "zum", "ab dem", "ab", "starting on", "starting",
    )
)  # fmt: skip
_FROM = ("from", compiled("from"))
_PART = compiled("[in the] <part>")
_AT = _form("at|um|by|gegen|ab|bis", lambda: True).pattern


class Found(NamedTuple):
    """A phrase up to that word, and what it means."""

    end: int
    value: Any


def _first(forms: Sequence[Form], words: Sequence[Word], start: int, at: int, **more: Any) -> Found | None:
    """The first form that holds, with its value. `start`: where the phrase begins, with its prefix."""
    context, prefix = more.get("context", ()), more.get("prefix", "")
    for form in forms:
        found = match(form.pattern, words, at)
        if found is None or not form.holds(Place(words, start, found.end, prefix)):
            continue
        value = form.value(*context, *found.values)
        if value is not None:
            return Found(found.end, value)
    return None


def date_at(words: Sequence[Word], start: int, today: date, *, chained: bool = False) -> Found | None:
    """The date that begins there. `chained`: right behind a recurrence, which may begin `from` a date."""
    prefixes = (_FROM, *_PREFIXES) if chained else _PREFIXES
    for name, pattern in prefixes:
        prefix = match(pattern, words, start)
        if prefix and (found := _date_behind(words, start, prefix.end, today, name)):
            return found
    before = words[start - 1].core if start and not words[start - 1].tail else ""
    if before in tables.NO_DATE_AFTER and not chained:
        return None
    return _date_behind(words, start, start, today, "")


def _date_behind(words: Sequence[Word], start: int, at: int, today: date, prefix: str) -> Found | None:
    if at > start and (words[at - 1].tail or (at < len(words) and words[at].has_lead)):
        return None
    found = _first(_DATES, words, start, at, context=(today,), prefix=prefix)
    if found is None or is_range(Place(words, start, found.end)):
        return None
    part = match(_PART, words, found.end) if not words[found.end - 1].tail else None
    if part is None or found.value.day is None:
        return found
    return Found(part.end, found.value._replace(minutes=part.values[0]))


# --- Times --------------------------------------------------------------------------------------------------


def _english_am(place: Place) -> bool:
    """`6 am`, but not "Kapitel 6 am Montag"."""
    word, then = place.words[place.end - 1], place.after()
    if word.core != "am" or then is None:
        return True
    is_german = then.core.endswith(("tag", "woch", "abend", "morgen", "wochenende"))
    return not is_german and CLASSES["dotted"].value(then) is None and CLASSES["n."].value(then) is None


def _at_hour(place: Place) -> bool:
    """`at 9`, but not "at 9 Main Street"; behind a date also before any word in lower case."""
    word = place.after()
    if word is None or place.stands_alone() or word.raw in tables.AFTER_HOUR:
        return True
    return place.prefix in ("date", "recurrence") and "a" <= word.raw[:1] <= "z"


def _um_hour(place: Place) -> bool:
    word = place.after()
    return word is None or word.core not in tables.COUNTED


_TIMES = (
    _form("<half_day>", lambda time: time),
    _form("<half> <meridiem>", lambda time, more: time + more, _english_am),
    _form("<clock> [uhr]", lambda time: time),
    _form("<clock.> uhr", lambda time: time),
    _form("<hour> uhr [<minute>]", lambda hour, minute: hour + (minute or 0)),
    _form("noon|midday|mittags", lambda: 720),
)
_TIMES_AT = {
    "at": (_form("<hour> [o'clock]", lambda hour: hour, _at_hour),),
    "um": (_form("<clock.>", lambda time: time), _form("<hour>", lambda hour: hour, _um_hour)),
}


def time_at(words: Sequence[Word], start: int, today: date, behind: str = "") -> Found | None:
    """The time of day that begins there, in minutes. `behind`: the kind of the phrase right before it."""
    prefix = words[start].core if match(_AT, words, start) else ""
    joined = prefix and not words[start].tail and start + 1 < len(words) and not words[start + 1].has_lead
    at = start + 1 if joined else start
    forms = (*_TIMES, *_TIMES_AT.get(prefix, ())) if joined else _TIMES
    before = words[start - 1].core if start and not words[start - 1].tail else ""
    if before in _NO_TIME_AFTER or (prefix == "bis" and (before[:1] in _DIGITS or before == "uhr")):
        return None
    found = _first(forms, words, start, at, prefix=behind)
    if found is None or (behind and until_at(words, found.end, today)):
        return found
    return None if is_range(Place(words, start, found.end)) else found


_NO_TIME_AFTER = tables.NO_NUMBER_AFTER | tables.RANGES - {"bis"} | {"from", "von"}


# --- Recurrence ---------------------------------------------------------------------------------------------


def _every_unit(number: int | None, unit: str) -> Rule:
    return Rule(unit, number or 1)


def _every_nth_unit(nth: int, unit: str) -> Rule | None:
    if unit == "DAILY" and nth in (-1, 1):
        return Rule("MONTHLY", month_days=(nth,))
    return Rule(unit, nth) if nth > 1 else None


def _every_nth_weekday(nth: int, weekday: int) -> Rule:
    return Rule("MONTHLY", weekdays=(weekday,), nth=nth)


def _every_weekdays(found: list[list[int]]) -> Rule:
    return Rule("WEEKLY", weekdays=tuple(sorted({day for days in found for day in days})))


def _every_date(day: int, month: int) -> Rule | None:
    """A leap year has every day that there is."""
    return Rule("YEARLY", month=month, month_days=(day,)) if day <= monthrange(2000, month)[1] else None


def _every_second(found: list[list[int]]) -> Rule:
    return replace(_every_weekdays(found), interval=2)


def _every_german_nth(nth: int, weekday: int) -> Rule:
    """`jeden zweiten Montag` is every other Monday; `jeden ersten Montag` that of a month."""
    if nth in (-1, 1):
        return _every_nth_weekday(nth, weekday)
    return Rule("WEEKLY", nth, weekdays=(weekday,))


def _days_of_month(days: list[int]) -> Rule:
    return Rule("MONTHLY", month_days=tuple(sorted(set(days))))


def _alone(place: Place) -> bool:
    return place.stands_alone()


def _alone_or_first(place: Place) -> bool:
    """`after 3 days`, but not "look after 3 day old kittens"."""
    return place.start == 0 or place.stands_alone()


_EVERY = "every!|jeden!|jede!|jedes!|jeder!"
_ON = "on|am"
_RULES = (
    _form(f"{_EVERY} month|monat {_ON} [the] <ordinal> <weekday>", _every_nth_weekday),
    _form(f"{_EVERY} month|monat {_ON} [the] <nth+>", _days_of_month),
    _form(f"{_EVERY} week|woche {_ON} <weekdays+>", _every_weekdays),
    _form(f"{_EVERY}|alle! <num> weeks|wochen {_ON} <weekdays+>",
          lambda number, days: replace(_every_weekdays(days), interval=number)),
    _form(f"{_EVERY} other|second|zweite week|woche {_ON} <weekdays+>", _every_second),
    _form(f"{_EVERY} [<num>] <unit>", _every_unit),
    _form("alle! <num> <unit>", _every_unit),
    _form(f"{_EVERY} other <unit>", lambda unit: Rule(unit, 2)),
    _form(f"{_EVERY} <ordinal> <unit> [of the month] [im monat] [des monats]", _every_nth_unit),
    _form(f"{_EVERY} other <weekdays+>", _every_second),
    _form("jeden! <ordinal> <weekday> im|des monat|monats", _every_nth_weekday),
    _form("jeden! <ordinal> <weekday>", _every_german_nth),
    _form("every! <ordinal> <weekday> [of the month]", _every_nth_weekday),
    _form(f"{_EVERY} weekday|weekdays|workday|workdays|werktag", lambda: Rule("WEEKLY", 1, _WORK)),
    _form(f"{_EVERY} weekend|wochenende", lambda: Rule("WEEKLY", 1, (5,))),
    _form(f"{_EVERY} <weekdays+>", _every_weekdays),
    _form(f"{_EVERY} <day> [of] <month>", _every_date),
    _form(f"{_EVERY} <month> <day>", lambda month, day: _every_date(day, month)),
    _form(f"{_EVERY} <nth+> of|im|des [the] month|monat|monats", _days_of_month),
    _form(f"{_EVERY} <nth+>", _days_of_month, _alone),
    _form(f"{_EVERY} <part>", lambda minutes: Rule("DAILY", minutes=minutes)),
    _form("after|nach <num> <unit>", lambda number, unit: Rule(unit, number, from_completion=True),
          _alone_or_first),
)  # fmt: skip
_COUNTS = (
    _form("for <times> time|times", lambda count: count),
    _form("für|insgesamt <times> mal", lambda count: count),
)
_UNTIL = compiled("until|till|bis [zum]")


def rule_at(words: Sequence[Word], start: int) -> Found | None:
    found = _first(_RULES, words, start, start)
    if found and words[start].tail == "!":
        return found._replace(value=replace(found.value, from_completion=True))
    return found


def count_at(words: Sequence[Word], start: int) -> Found | None:
    """How often it recurs: `for 5 times`."""
    return _first(_COUNTS, words, start, start)


def until_at(words: Sequence[Word], start: int, today: date) -> Found | None:
    """The last day of a recurrence."""
    prefix = match(_UNTIL, words, start)
    if prefix is None:
        return None
    found = _date_behind(words, start, prefix.end, today, "bis zum" if prefix.end - start > 1 else "bis")
    return found if found and found.value.day else None
