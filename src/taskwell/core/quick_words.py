"""Quick add: the dates, lists, labels and the priority that a line of text names, and the title that is left.

One small grammar, English and German, without guesses: the same text gives the same task. It is written
twice, here and in `web/static/words.js` for a page that marks words while one types; both run the cases of
`tests/quick/cases.json`. docs/quick-add.md has all forms.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple

from taskwell.core.quick_dates import Day, Rule, count_at, date_at, rule_at, time_at, until_at
from taskwell.core.quick_phrases import QUOTES, WHITE, Word, split
from taskwell.core.quick_tables import PRIORITIES

TEXT_MAX_LENGTH = 1_000
_LIST_MAX_WORDS = 8  # a list with a longer name needs quotes
_ABSORBED = ",;:."
_WHITE = "".join(WHITE)
_DIGITS = "0123456789"
_NO_NAME = frozenset([*_DIGITS, *QUOTES])  # what no label begins with

Kind = Literal["date", "time", "recurrence", "list", "label", "priority", "description"]


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of the text that became no part of the title, `text[start:end]`."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class QuickWords:
    """What a text says. `spans` are in order and do not overlap; the title is what is outside of them.

    Attributes:
        due: `2026-11-20`, or a local time `2026-11-20T18:00:00`.
        recurrence: an RRULE value; there is a `due`, then.
        list_name: as it is written in `lists`.
        labels: as they are written, the first of those that differ only in case.
        priority: 1, 5, 9, or None, also if a span says that there is none.
        unknown_lists: the names after a `#` that are of no list, which stay in the title.
        problem: `nothing_left` for a title, which is empty then; `too_long` to be looked at.
    """

    title: str
    due: str | None = None
    recurrence: str | None = None
    recurrence_mode: Literal["next", "completion"] = "next"
    list_name: str | None = None
    labels: tuple[str, ...] = ()
    priority: int | None = None
    description: str | None = None
    unknown_lists: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    problem: Literal["nothing_left", "too_long"] | None = None


class _Before(NamedTuple):
    """Where the recurrence begins that a phrase belongs to, and the kind of the phrase right before it."""

    rule: int | None
    kind: str


class _Item(NamedTuple):
    """A phrase of the words from `start` to `end`. `rule`: the recurrence that a bound belongs to."""

    kind: str
    start: int
    end: int
    value: Any
    rule: int | None = None


def parse(text: str, now_local: datetime, lists: Iterable[str] = ()) -> QuickWords:
    """What a text says at that local time, which has no `tzinfo`. `lists`: the names that a `#` may name."""
    if len(text) > TEXT_MAX_LENGTH:
        return QuickWords(" ".join(_split(text)), problem="too_long")
    words, notes = split(text)
    found = _items(words, now_local.date(), _folded_lists(lists))
    items = _chosen(found)
    title, spans = _rest(words, items)
    description = text[notes + 2 :].strip(_WHITE) or None
    if notes < len(text):
        spans.append(Span(notes, len(text.rstrip(_WHITE)), "description"))
    named = {item.kind: item.value for item in items}
    said = QuickWords(
        title,
        list_name=named.get("list"),
        labels=tuple(_distinct([item.value for item in items if item.kind == "label"])),
        priority=named.get("priority"),
        description=description,
        # A second list that exists stays in the title, but is known.
        unknown_lists=tuple(_unknown(words, [*items, *(item for item in found if item.kind == "list")])),
        spans=tuple(spans),
        problem=None if title else "nothing_left",
    )
    return _with_dates(said, now_local, items)


# --- Which words mean something -----------------------------------------------------------------------------


def _items(words: Sequence[Word], today: date, lists: dict[str, str]) -> list[_Item]:
    """All phrases from left to right."""
    items: list[_Item] = []
    at, rule, behind = 0, None, ""  # the recurrence and the phrase that the one at hand is right behind
    while at < len(words):
        item = _item(words, at, today, lists, _Before(rule, behind))
        if item is None:
            at, rule, behind = at + 1, None, ""
            continue
        behind = item.kind
        if behind == "recurrence":
            rule = item.start
        items.append(item)
        at = item.end
    return items


def _item(
    words: Sequence[Word], at: int, today: date, lists: dict[str, str], before: _Before
) -> _Item | None:
    rule, behind = before
    if item := _sign(words, at, lists):
        return item
    if found := rule_at(words, at):
        return _Item("recurrence", at, found.end, found.value)
    if rule is not None and (found := until_at(words, at, today) or count_at(words, at)):
        return _Item("bound", at, found.end, found.value, rule)
    if found := date_at(words, at, today, chained=rule is not None):
        return _Item("date", at, found.end, found.value)
    if found := time_at(words, at, today, behind):
        return _Item("time", at, found.end, found.value)
    return None


def _sign(words: Sequence[Word], at: int, lists: dict[str, str]) -> _Item | None:
    """A list, a label or a priority."""
    word = words[at]
    if word.raw.startswith("#"):
        return _list(words, at, lists)
    if word.raw.startswith("@"):
        label = _label(word)
        return _Item("label", at, at + 1, label) if label else None
    if len(word.raw) == 2 and word.raw[0] in "!p" and word.raw[1] in PRIORITIES:
        return _Item("priority", at, at + 1, PRIORITIES[word.raw[1]])
    return None


def _label(word: Word) -> str | None:
    """An address, a time of day and an account (`@ann@example.org`) are none."""
    if word.quoted is not None:
        return " ".join(_split(word.quoted)) or None
    name = word.raw[1:]
    return name if word.core and "@" not in name and name[:1] not in _NO_NAME else None


def _list(words: Sequence[Word], at: int, lists: dict[str, str]) -> _Item | None:
    """The longest name that fits."""
    if (quoted := words[at].quoted) is not None:
        name = lists.get(_fold(" ".join(_split(quoted))))
        return _Item("list", at, at + 1, name) if name else None
    best, before = None, ""
    for end in range(at, min(at + _LIST_MAX_WORDS, len(words))):
        word = words[end]
        if end > at and (word.has_lead or not word.core):
            break
        raw = word.raw if end > at else word.raw[1:]
        for candidate in (raw, raw + word.tail):
            if name := lists.get(_fold(before + candidate)):
                best = _Item("list", at, end + 1, name, None)
        before += raw + word.tail + " "
    return best


def _unknown(words: Sequence[Word], items: Sequence[_Item]) -> list[str]:
    """`#12` is a number."""
    taken = {index for item in items for index in range(item.start, item.end)}
    names = (
        word.quoted or word.raw[1:]
        for index, word in enumerate(words)
        if word.raw.startswith("#") and index not in taken
    )
    return [name for name in names if name and name[0] not in QUOTES and name.strip(_DIGITS)]


def _folded_lists(lists: Iterable[str]) -> dict[str, str]:
    folded: dict[str, str] = {}
    for name in lists:
        folded.setdefault(_fold(" ".join(_split(name))), name)
    folded.pop("", None)
    return folded


def _fold(text: str) -> str:
    """What two spellings of a name have in common. JavaScript has no `casefold`."""
    upper = unicodedata.normalize("NFC", text).upper()
    return unicodedata.normalize(
        "NFC", upper.lower().replace("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")
    )


def _split(text: str) -> list[str]:
    """The pieces between white space."""
    return [piece for piece in _with_spaces(text).split(" ") if piece]


def _with_spaces(text: str) -> str:
    return "".join(" " if character in WHITE else character for character in text)


def _distinct(names: Iterable[str]) -> list[str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(_fold(name), name)
    return list(found.values())


def _chosen(items: Sequence[_Item]) -> list[_Item]:
    """All labels, and of each other kind the last: earlier ones are words of the title."""
    last = {item.kind: item for item in items}
    rule, bound, day = last.get("recurrence"), last.get("bound"), last.get("date")
    if bound and (rule is None or bound.rule != rule.start):
        del last["bound"]
    if day and day.value.day is None and rule is None:
        last.pop("time", None)
    return [item for item in items if item.kind == "label" or last.get(item.kind) is item]


# --- The title ----------------------------------------------------------------------------------------------


def _rest(words: Sequence[Word], items: Sequence[_Item]) -> tuple[str, list[Span]]:
    """The words outside of all phrases, with one space between, and the spans of the phrases."""
    title, spans, at = "", [], 0
    last = _tail_of_items(words, items)  # from there on, a comma before a phrase would end the title
    glued = True  # whether the next word follows without a space
    for item in [*items, None]:
        for word in words[at : item.start if item else len(words)]:
            title += ("" if glued else " ") + word.whole
            glued = False
        if item is None:
            break
        span, lead, tail = _span(words[item.start], words[item.end - 1], item.kind, is_first=not title)
        if item.start >= last and not lead and title[-1:] in (",", ";"):
            title, span = title[:-1].rstrip(" "), replace(span, start=words[item.start - 1].end - 1)
        spans.append(span)
        if lead:
            title, glued = title + ("" if glued else " ") + lead, True
        title += tail
        at = item.end
    return _with_spaces(title), spans


def _tail_of_items(words: Sequence[Word], items: Sequence[_Item]) -> int:
    """The word from which there are only phrases, up to the end."""
    at = len(words)
    for item in reversed(items):
        if item.end != at:
            break
        at = item.start
    return at


def _span(first: Word, last: Word, kind: str, *, is_first: bool) -> tuple[Span, str, str]:
    """Of a phrase, with its brackets and the comma behind it; and what is left of both words for the title.

    Where the title has nothing yet, the span takes the mark behind the phrase along.
    """
    absorbed = len(last.tail) - len(last.tail.lstrip(_ABSORBED))
    lead, tail = first.lead, last.tail[absorbed:]
    if lead and tail[:1] == {"(": ")", "[": "]", "{": "}"}[lead[-1]]:
        lead, tail, absorbed = lead[:-1], tail[1:], absorbed + 1
        more = len(tail) - len(tail.lstrip(_ABSORBED))
        tail, absorbed = tail[more:], absorbed + more
    if is_first and not lead:
        absorbed, tail = len(last.tail), ""
    shown: Kind = "recurrence" if kind == "bound" else kind  # type: ignore[assignment]
    return Span(first.start + len(lead), last.core_end + absorbed, shown), lead, tail


# --- Dates --------------------------------------------------------------------------------------------------


def _with_dates(said: QuickWords, now: datetime, items: Sequence[_Item]) -> QuickWords:
    named = {item.kind: item.value for item in items}
    rule: Rule | None = named.get("recurrence")
    day: Day = named.get("date") or Day(None)
    minutes = _time(named.get("time"), day, rule)
    if rule is None:
        due = day.day
        if "date" not in named and minutes is not None:
            due = _not_past(now, minutes)
        return replace(said, due=_due(due, minutes))
    begin = day.day or _not_past(now, minutes)
    rule = rule.anchored(begin)
    bound = named.get("bound")
    return replace(
        said,
        due=_due(rule.first(begin), minutes),
        recurrence=rule.text() + _bound(bound),
        recurrence_mode="completion" if rule.from_completion else "next",
    )


def _time(said: int | None, day: Day, rule: Rule | None) -> int | None:
    if said is not None:
        return said
    if day.minutes is not None or rule is None:
        return day.minutes
    return rule.minutes


def _not_past(now: datetime, minutes: int | None) -> date:
    """Today, or tomorrow if the time of day is over."""
    is_over = minutes is not None and minutes < now.hour * 60 + now.minute
    return now.date() + timedelta(days=is_over)


def _due(day: date | None, minutes: int | None) -> str | None:
    if day is None:
        return None
    if minutes is None:
        return day.isoformat()
    return f"{day}T{minutes // 60:02}:{minutes % 60:02}:00"


def _bound(bound: Day | int | None) -> str:
    if bound is None:
        return ""
    return f";COUNT={bound}" if isinstance(bound, int) else f";UNTIL={bound.day:%Y%m%d}"
