"""The tables of the page on quick add say what the grammar does."""

import re
from datetime import datetime

import pytest

from taskwell.core.quick_words import parse
from tests.docs import DOCS

_NOW = datetime(2026, 11, 20, 10, 30)  # noqa: DTZ001  # a local time, that of the page
_PAGE = (DOCS / "quick-add.md").read_text("utf-8")


def rows(heading: str) -> list[tuple[str, list[str]]]:
    """Each of the words, with what stands as code in the other columns."""
    section = _PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [line.strip("|").split(" | ") for line in lines]
    return [
        (words, re.findall(r"`([^`]+)`", " ".join(others)))
        for first, *others in cells
        for words in re.findall(r"`([^`]+)`", first)
    ]


@pytest.mark.parametrize(("words", "meant"), [*rows("Dates"), *rows("Times")])
def test_dates_and_times(words: str, meant: list[str]) -> None:
    found = parse(f"Walk {words}", _NOW)
    assert (found.title, found.due, found.recurrence) == ("Walk", meant[0] if meant else None, None)


@pytest.mark.parametrize(("words", "meant"), rows("Recurrence"))
def test_recurrence(words: str, meant: list[str]) -> None:
    found = parse(f"Walk {words}", _NOW)
    assert (found.title, found.recurrence, found.due) == ("Walk", *meant)


def test_there_are_rows() -> None:
    assert [len(rows(heading)) > 20 for heading in ("Dates", "Times", "Recurrence")] == [True] * 3


@pytest.mark.parametrize("text", re.findall(r'"([A-Za-z0-9 ]+)"', _PAGE.partition("## What is left")[2]))
def test_titles(text: str) -> None:
    """Of what is left alone, but for the one that names a Monday."""
    due = "2026-11-23" if "Kapitel" in text else None
    assert parse(text, _NOW).due == due
