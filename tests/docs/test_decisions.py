"""All decisions have one form, and an entry in the navigation under their title."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.docs import DOCS, ROOT, name

DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
SECTIONS = ["Context", "Decision", "Consequences", "What enforces it"]


def number(page: Path) -> int:
    return int(page.name[:4])


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_has_its_date_its_status_and_its_sections(page: Path) -> None:
    text = page.read_text()
    head = re.match(r"# (\d+)\. .+\n\n- \*\*Date\*\*: (\S+)\n- \*\*Status\*\*: (accepted|superseded)\b", text)
    assert head is not None
    assert int(head[1]) == number(page)
    assert date.fromisoformat(head[2]) >= date(2026, 11, 21)
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == SECTIONS
    assert all(part.strip() for part in re.split(r"^## .*$", text, flags=re.MULTILINE))


def test_they_are_numbered_without_gaps() -> None:
    assert [number(page) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_the_navigation_has_them_in_their_order() -> None:
    navigation: Any = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    (explanation,) = [entry["Explanation"] for entry in navigation if "Explanation" in entry]
    (decisions,) = [entry["Decisions"] for entry in explanation if "Decisions" in entry]
    entries = [(title, target) for entry in decisions for title, target in entry.items()]
    assert [target for _, target in entries] == [f"decisions/{page.name}" for page in DECISIONS]
    assert [int(title.split(".")[0]) for title, _ in entries] == [number(page) for page in DECISIONS]
