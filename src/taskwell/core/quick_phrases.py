"""The words of a text and the phrases of dates, times and recurrence in it. See `core.quick_words`.

A phrase is a pattern: words in their order, `a|b` one of two words, `<class>` a word of that class, whose
value is captured, `<class+>` several of them, and `[...]` what may be absent. Nothing is tried again, so that
a pattern costs as many steps as it has words.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskwell.core import quick_tables as tables

WHITE = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_LEADS = "([{"
_TAILS = ",;:.!?)]}…"
QUOTES = {'"': '"', "“": "”", "„": "“”", "«": "»", "»": "«"}
_SIGNS = "#@"
_MOST = 366  # the days of a year: a number of units beyond is none


@dataclass(frozen=True, slots=True)
class Word:
    """A word between white space: brackets, the core, and punctuation. Of quoted text, the core is empty.

    `quoted`: the text in the quotes, of a word such as `#"my list"`.
    """

    start: int
    core_end: int
    end: int
    raw: str
    core: str
    tail: str
    quoted: str | None = None

    lead: str = ""

    @property
    def has_lead(self) -> bool:
        return self.lead != ""

    @property
    def whole(self) -> str:
        return self.lead + self.raw + self.tail


def split(text: str) -> tuple[list[Word], int]:
    """The words, and where the notes begin, which is the end of a text that has none."""
    last = {closer: text.rfind(closer) for closers in QUOTES.values() for closer in closers}
    words: list[Word] = []
    at = 0
    while at < len(text):
        if text[at] in WHITE:
            at += 1
        elif text.startswith("//", at):
            return words, at
        else:
            words.append(_word(text, at, last))
            at = words[-1].end
    return words, len(text)


def _word(text: str, start: int, last: dict[str, int]) -> Word:
    core_start = start
    while core_start < len(text) and text[core_start] in _LEADS:
        core_start += 1
    sign = text[core_start : core_start + 1]
    opening = core_start + (sign != "" and sign in _SIGNS)
    closing = _closing(text, opening, last)
    end = opening if closing is None else closing + 1
    end = max(end, core_start)
    while end < len(text) and text[end] not in WHITE:
        end += 1
    core_end = end
    while core_end > core_start and text[core_end - 1] in _TAILS:
        core_end -= 1
    lead, raw, tail = text[start:core_start], text[core_start:core_end], text[core_end:end]
    if closing is None:
        return Word(start, core_end, end, raw, _core(raw), tail, None, lead)
    whole = opening > core_start and closing + 1 == core_end
    return Word(start, core_end, end, raw, "", tail, text[opening + 1 : closing] if whole else None, lead)


def _closing(text: str, opening: int, last: dict[str, int]) -> int | None:
    """Where the quotation ends that begins here. A mark that is not closed is a character as any other."""
    closers = QUOTES.get(text[opening : opening + 1], "")
    found = [text.index(closer, opening + 1) for closer in closers if last[closer] > opening]
    return min(found, default=None)


def _core(raw: str) -> str:
    return unicodedata.normalize("NFC", raw).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


class Read(NamedTuple):
    """A class of words: what a word means (None: it is not of the class), and what may follow its core."""

    value: Callable[[Word], Any]
    tails: tuple[str, ...] = ("",)


_DAY_MONTH = r"(0?[1-9]|[12][0-9]|3[01])\.(0?[1-9]|1[0-2])"


def _number(word: Word) -> int | None:
    if re.fullmatch("[1-9][0-9]{0,2}", word.core):
        number = int(word.core)
        return number if number <= _MOST else None
    return tables.NUMBERS.get(word.core)


def _times(word: Word) -> int | None:
    return int(word.core) if re.fullmatch("[1-9][0-9]{0,3}", word.core) else None


def _weekdays(word: Word) -> list[int] | None:
    """Of `mon`, `mon,thu` and `mon-fri`."""
    if first_last := re.fullmatch("([a-z]+)[-\N{EN DASH}]([a-z]+)", word.core):
        first, last = (tables.SHORT_WEEKDAYS.get(name) for name in first_last.groups())
        if first is None or last is None:
            return None
        return [(first + index) % 7 for index in range((last - first) % 7 + 1)]
    found = [tables.SHORT_WEEKDAYS.get(name) for name in word.core.split(",", 7)]
    return None if None in found else [day for day in found if day is not None]


def _ordinal(word: Word) -> int | None:
    if word.core in ("1", "2", "3", "4", "5") and word.tail == ".":
        return int(word.core)
    return tables.ORDINALS.get(word.core)


def _day(word: Word) -> int | None:
    """The day of a month: `5`, `5th`, `5.`."""
    found = re.fullmatch("([1-9]|[12][0-9]|3[01])(st|nd|rd|th)?", word.core)
    return int(found[1]) if found else None


def _nth(word: Word) -> int | None:
    """A day that cannot be a mere number."""
    return _day(word) if word.tail[:1] == "." or word.core[-1:] in ("t", "d", "h") else None


def _german_nth(word: Word) -> int | None:
    return _day(word) if word.core.isdecimal() and word.tail[:1] == "." else None


def _year(word: Word) -> int | None:
    return int(word.core) if re.fullmatch("2[01][0-9][0-9]", word.core) else None


def _iso(word: Word) -> tuple[int, int, int, int | None] | None:
    found = re.fullmatch(
        "(2[01][0-9][0-9])-([0-9]{2})-([0-9]{2})(?:t([01][0-9]|2[0-3]):([0-5][0-9])(?::00)?)?", word.core
    )
    if not found:
        return None
    minutes = None if found[4] is None else int(found[4]) * 60 + int(found[5])
    return int(found[1]), int(found[2]), int(found[3]), minutes


def _dotted(word: Word) -> tuple[int, int, int | None] | None:
    """`5.12.` and `5.12.2026`."""
    found = re.fullmatch(rf"{_DAY_MONTH}(?:\.(2[01][0-9]{{2}}|[0-9]{{2}}))?", word.core)
    if not found or (found[3] is None and word.tail[:1] != "."):
        return None
    return int(found[1]), int(found[2]), None if found[3] is None else 2000 + int(found[3]) % 1000


def _open_dotted(word: Word) -> tuple[int, int, None] | None:
    found = re.fullmatch(_DAY_MONTH, word.core)
    return (int(found[1]), int(found[2]), None) if found else None


def _shift(word: Word) -> tuple[int, str] | None:
    found = re.fullmatch(r"\+([1-9][0-9]{0,2})([dwmy])", word.core)
    return (int(found[1]), tables.UNITS[found[2]]) if found and int(found[1]) <= _MOST else None


def _hour(word: Word) -> int | None:
    return int(word.core) * 60 if re.fullmatch("[01]?[0-9]|2[0-3]", word.core) else None


def _minute(word: Word) -> int | None:
    return int(word.core) if re.fullmatch("[0-5][0-9]", word.core) else None


def _clock(word: Word) -> int | None:
    found = re.fullmatch("([01]?[0-9]|2[0-3]):([0-5][0-9])", word.core)
    return int(found[1]) * 60 + int(found[2]) if found else None


def _dotted_clock(word: Word) -> int | None:
    found = re.fullmatch(r"([01]?[0-9]|2[0-3])\.([0-5][0-9])", word.core)
    return int(found[1]) * 60 + int(found[2]) if found else None


def _half(word: Word) -> int | None:
    """A time of the clock of twelve hours, which `am` or `pm` completes."""
    found = re.fullmatch("(0?[1-9]|1[0-2])(?:[:.]([0-5][0-9]))?", word.core)
    return int(found[1]) % 12 * 60 + int(found[2] or 0) if found else None


def _meridiem(word: Word) -> int | None:
    return {"am": 0, "a.m": 0, "pm": 720, "p.m": 720}.get(word.core)


def _half_day(word: Word) -> int | None:
    found = re.fullmatch(r"(0?[1-9]|1[0-2])(?:[:.]([0-5][0-9]))?([ap])\.?m", word.core)
    if not found:
        return None
    return int(found[1]) % 12 * 60 + int(found[2] or 0) + (720 if found[3] == "p" else 0)


def _of(table: dict[str, Any]) -> Callable[[Word], Any]:
    return lambda word: table.get(word.core)


CLASSES = {
    "num": Read(_number),
    "times": Read(_times),
    "unit": Read(_of({word: unit for word, unit in tables.UNITS.items() if len(word) > 1})),
    "weekday": Read(_of(tables.WEEKDAYS)),
    "weekdays": Read(_weekdays),
    "ordinal": Read(_ordinal, ("", ".")),
    "day": Read(_day, ("", ".")),
    "day,": Read(_day, ("", ".", ",")),
    "nth": Read(_nth, ("", ".")),
    "n.": Read(_german_nth, (".",)),
    "month": Read(_of(tables.MONTHS), ("", ".")),
    "year": Read(_year),
    "iso": Read(_iso),
    "dotted": Read(_dotted),
    "open": Read(_open_dotted),
    "shift": Read(_shift),
    "hour": Read(_hour),
    "minute": Read(_minute),
    "clock": Read(_clock),
    "clock.": Read(_dotted_clock),
    "half": Read(_half),
    "meridiem": Read(_meridiem),
    "half_day": Read(_half_day),
    "part": Read(_of(tables.PARTS)),
}


class Element(NamedTuple):
    read: Read
    captures: bool
    repeats: bool


Pattern = tuple["Element | tuple[Element, ...]", ...]


def compiled(text: str) -> Pattern:
    parts = re.findall(r"\[[^]]*\]|[^ ]+", text)
    return tuple(
        tuple(map(_element, part[1:-1].split())) if part.startswith("[") else _element(part) for part in parts
    )


def _element(text: str) -> Element:
    if text.startswith("<"):
        name = text[1:-1]
        return Element(CLASSES[name.removesuffix("+")], captures=True, repeats=name.endswith("+"))
    names = frozenset(text.replace("!", "").split("|"))
    tails = ("", "!") if "!" in text else ("",)
    return Element(
        Read(lambda word: True if word.core in names else None, tails), captures=False, repeats=False
    )


class Match(NamedTuple):
    """Where a phrase ends, as an index of words, and the values of its classes; None for what is absent."""

    end: int
    values: list[Any]


def match(pattern: Pattern, words: Sequence[Word], start: int) -> Match | None:
    at = start
    tails: tuple[str, ...] = ("",)
    values: list[Any] = []
    for part in pattern:
        optional = not isinstance(part, Element)
        found = _run((part,) if isinstance(part, Element) else part, words, at, tails if at > start else None)
        if found is None:
            if not optional:
                return None
            values += [None] * sum(element.captures for element in part if isinstance(element, Element))
            continue
        at, tails = found[0], found[1]
        values += found[2]
    return Match(at, values)


def _run(
    elements: Sequence[Element], words: Sequence[Word], at: int, tails: tuple[str, ...] | None
) -> tuple[int, tuple[str, ...], list[Any]] | None:
    """All of them, one after the other, behind a word that may have such tails; None: nothing is before."""
    values: list[Any] = []
    for element in elements:
        value = _value(element, words, at) if _follows(words, at, tails) else None
        if value is None:
            return None
        at += 1
        tails = element.read.tails
        if element.repeats:
            value, at = _more(element, words, at, value)
        if element.captures:
            values.append(value)
    return at, tails or ("",), values


def _value(element: Element, words: Sequence[Word], at: int) -> Any:
    return element.read.value(words[at]) if at < len(words) and words[at].core else None


def _follows(words: Sequence[Word], at: int, tails: tuple[str, ...] | None) -> bool:
    return tails is None or (at < len(words) and words[at - 1].tail in tails and not words[at].has_lead)


def _more(element: Element, words: Sequence[Word], at: int, first: Any) -> tuple[list[Any], int]:
    """What follows after a comma or `and`."""
    values: list[Any] = [first]
    tails = (*element.read.tails, ",", ".,")
    while at < len(words) and words[at - 1].tail in tails:
        comma = "," in words[at - 1].tail
        conjunction = words[at].core in tables.ANDS and not words[at].tail
        then = at + conjunction
        value = _value(element, words, then) if comma or conjunction else None
        if value is None:
            break
        values.append(value)
        at = then + 1
    return values, at
