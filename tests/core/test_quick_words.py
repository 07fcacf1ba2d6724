"""Quick add: one file of cases for the grammar in Python and in JavaScript, and what holds for any text."""

import json
import random
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.node import program
from taskwell.core import quick_tables
from taskwell.core.quick_phrases import WHITE
from taskwell.core.quick_words import TEXT_MAX_LENGTH, QuickWords, parse
from taskwell.core.recurrence.rule import parse_rule
from taskwell.core.recurrence.series import falls_on_anchor

_FOLDER = Path(__file__).parents[1] / "quick"
_WORDS_JS = Path(quick_tables.__file__).parents[1] / "web" / "static" / "words.js"
CASES: list[dict[str, Any]] = json.loads((_FOLDER / "cases.json").read_text("utf-8"))
_NOW = datetime(2026, 11, 20, 10, 30)  # noqa: DTZ001  # a local time
_LISTS = ["Home", "My list", "my", "Straße", "tomorrow"]
_RULE = re.compile(
    r"FREQ=(DAILY|(WEEKLY|MONTHLY|YEARLY))(;INTERVAL=[1-9]\d{0,2})?(;BYMONTH=\d+)?(;BYMONTHDAY=(-1|[\d,]+))?"
    r"(;BYDAY=-?[1-5]?[A-Z]{2}(,[A-Z]{2})*)?(;BYSETPOS=-1)?(;COUNT=[1-9]\d{0,3}|;UNTIL=\d{8})?"
)
_NOTHING: dict[str, Any] = {
    "due": None,
    "recurrence": None,
    "recurrence_mode": "next",
    "list_name": None,
    "labels": [],
    "priority": None,
    "description": None,
    "unknown_lists": [],
    "problem": None,
}
# What a text is made of: all words of the tables, phrases, signs, and what looks alike.
_TABLES = [table for table in vars(quick_tables).values() if isinstance(table, dict | frozenset)]
_TABLE_WORDS = sorted({str(word) for table in _TABLES for word in table})
_PHRASES = """
next this every every! jeden! alle at um by on due tomorrow today heute morgen übermorgen date datum
5 15th 5. 5.12. 5.12.26 2026-12-05 2026-12-05T18:00 18:00 6pm 6:30 am p.m. uhr 9 + +3d starting eom
#home #my list #"my @a @"b c" !1 p2 // ( ) (on friday) “ ” „ « » noon times mal weekend other
mon,thu mon-fri o'clock 12am day after foo Bar , . 📞 غدا Ünï İ STRASSE
"""
_LOOK_ALIKES = ["u\u0308bermorgen", "o\u2019clock", "\u017f", "\u03c2", "\u212a"]
_PIECES = [*_TABLE_WORDS, *_PHRASES.split(), *_LOOK_ALIKES]


def said(text: str, words: QuickWords) -> dict[str, Any]:
    """In the form of the cases."""
    members = json.loads(json.dumps(asdict(words)))
    marks = [[text[span["start"] : span["end"]], span["kind"]] for span in members.pop("spans")]
    return {**members, "marks": marks}


def python(case: dict[str, Any]) -> dict[str, Any]:
    now = datetime.fromisoformat(case["now"])
    return said(case["text"], parse(case["text"], now, case.get("lists", ())))


def javascript(cases: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """A module of a browser is one for Node by its name."""
    module = shutil.copy(_WORDS_JS, folder / "words.mjs")
    done = subprocess.run(
        [program("node"), _FOLDER / "run.mjs", module],
        input="\n".join(map(json.dumps, cases)),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def bare(text: str) -> str:
    return "".join(character for character in text if character not in WHITE)


def drawn(seed: int, count: int) -> list[dict[str, Any]]:
    """Texts by chance, the same each time."""
    chance = random.Random(seed)
    cases = []
    for _ in range(count):
        pieces = chance.choices(_PIECES, k=chance.randint(1, 9))
        pieces = [chance.choice([piece.upper(), piece.capitalize(), *[piece] * 4]) for piece in pieces]
        ends = chance.choices([" ", " ", " ", "  ", ", ", ". ", "! ", "\n", "\xa0", ") "], k=len(pieces))
        text = "".join(piece + end for piece, end in zip(pieces, ends, strict=True))
        day = datetime.fromordinal(chance.randint(738_000, 760_000))
        now = day.replace(hour=chance.randrange(24), minute=chance.randrange(60))
        cases.append({"now": now.isoformat(timespec="minutes"), "text": text, "lists": _LISTS})
    return cases


texts = st.one_of(
    st.text(max_size=120),
    st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=4)), max_size=14).map(" ".join),
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2150, 12, 31))  # noqa: DTZ001


class TestCases:
    def test_there_are_enough_and_none_twice(self) -> None:
        keys = {(case["now"], case["text"], str(case.get("lists"))) for case in CASES}
        assert len(CASES) == len(keys) >= 400

    @pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case["text"][:60]))
    def test_in_python(self, case: dict[str, Any]) -> None:
        assert python(case) == _NOTHING | case["gives"]

    def test_in_javascript(self, tmp_path: Path) -> None:
        found = javascript(CASES, tmp_path)
        wrong = [
            (case["text"], gives)
            for case, gives in zip(CASES, found, strict=True)
            if gives != _NOTHING | case["gives"]
        ]
        assert wrong == []

    def test_other_texts_mean_the_same_in_both(self, tmp_path: Path) -> None:
        cases = drawn(1, 4_000)
        found = zip(cases, map(python, cases), javascript(cases, tmp_path), strict=True)
        assert [(case, one, other) for case, one, other in found if one != other] == []


class TestAnyText:
    @given(texts, moments)
    def test_the_title_is_what_is_outside_of_the_spans(self, text: str, now: datetime) -> None:
        words = parse(text, now, _LISTS)
        at, outside = 0, ""
        for span in words.spans:
            assert at <= span.start < span.end <= len(text)
            outside += text[at : span.start]
            at = span.end
        assert bare(words.title) == bare(outside + text[at:])
        assert (words.title == "") == (words.problem == "nothing_left")
        assert words.title == words.title.strip("".join(WHITE))

    @given(texts, moments)
    def test_what_it_says_has_the_forms_of_a_task(self, text: str, now: datetime) -> None:
        words = parse(text, now, _LISTS)
        assert words.due is None or datetime.fromisoformat(words.due)
        assert words.recurrence is None or (words.due and _RULE.fullmatch(words.recurrence))
        assert words.list_name is None or words.list_name in _LISTS
        assert words.priority in (None, 1, 5, 9)
        assert words == parse(text, now, _LISTS)

    @given(st.sampled_from(CASES))
    def test_what_is_left_of_one_phrase_is_a_title(self, case: dict[str, Any]) -> None:
        """Of a phrase that stood at the end, and if nothing before it gave way to it."""
        title, marks = case["gives"]["title"], case["gives"]["marks"]
        alone = len(marks) == 1 and case["text"] == f"{title} {marks[0][0]}"
        kinds = {kind for _, kind in marks}
        if alone and not _gave_way(case, kinds):
            assert parse(title, datetime.fromisoformat(case["now"]), case.get("lists", ())).title == title

    @given(st.text(min_size=TEXT_MAX_LENGTH + 1, max_size=TEXT_MAX_LENGTH + 9))
    def test_a_long_text_is_not_looked_at(self, text: str) -> None:
        words = parse(text + " tomorrow", _NOW)
        assert (words.problem, words.due, words.spans) == ("too_long", None, ())


def _gave_way(case: dict[str, Any], kinds: set[str]) -> bool:
    words = parse(case["gives"]["title"], datetime.fromisoformat(case["now"]), case.get("lists", ()))
    return bool(kinds & {span.kind for span in words.spans})


class TestSteps:
    """Twice the length takes about twice the steps: counted, since a clock depends on the machine."""

    @pytest.mark.parametrize(
        "piece",
        [
            "next ", "every ", "every mon, ", "every mon and ", "the day after ", "in 3 ", "5 dec ", "at 9 ",
            '"', '" ', "„ ", '@" ', "#", "# ", "#my ", "(", "((a ", "!", ". ", "every day until ", "x",
            "a.b.", "mon,", "bis zum 5. ", "tomorrow ", "18:00 ", "// ", "@a ", "a, @b ",
        ],
    )  # fmt: skip
    def test_they_grow_with_the_length(self, piece: str) -> None:
        one, two = (self.steps((piece * 500)[:length]) for length in (500, 1000))
        assert two < 2.5 * one + 200
        assert two < 1_000_000

    def steps(self, text: str) -> int:
        count = 0

        def counted(*_: object) -> None:
            nonlocal count
            count += 1

        before = sys.getprofile()
        sys.setprofile(counted)
        try:
            parse(text, _NOW, [*_LISTS, "my my my my my my my", "# # # #"])
        finally:
            sys.setprofile(before)
        return count


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["gives"].get("recurrence")], ids=lambda case: case["text"]
)
def test_a_recurrence_is_a_rule_and_begins_at_one_of_its_dates(case: dict[str, Any]) -> None:
    due = case["gives"]["due"]
    begin = date.fromisoformat(due) if len(due) == 10 else datetime.fromisoformat(due)
    assert falls_on_anchor(parse_rule(case["gives"]["recurrence"]), begin)
