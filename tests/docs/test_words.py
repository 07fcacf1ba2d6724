"""The prose of the pages has no private words. See also `tests/project/test_vocabulary.py`."""

import re
from pathlib import Path

import pytest

from tests.docs import PAGES, ROOT, name, prose

# These take their sentences from the source, or are written by a program.
_QUOTING = {
    "docs/errors.md",
    "docs/settings.md",
    "docs/plans.md",
    "docs/reliability.md",
    "docs/requirements.md",
}
_NOT_OURS = {"README.md", "CONTRIBUTING.md"}
_PRIVATE = re.compile(
    r"\b(?:who (?:ask|comes|waits|writes)|together|plain|long way|short way|rooms?|the house|told at once"
    r"|turn of a)\b",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Without code, which may quote others (`text/plain`), and without the addresses of links."""
    bare = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", prose(text))
    return _PRIVATE.findall(bare)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if str(page.relative_to(ROOT)) not in _QUOTING | _NOT_OURS],
    ids=name,
)
def test_a_page_has_no_private_words(page: Path) -> None:
    assert words(page.read_text()) == []


def test_a_private_word_is_noticed() -> None:
    assert words("Plain words. `text/plain` is a value.\n\n```\nplain\n```\n") == ["Plain"]
