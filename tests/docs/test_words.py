"""The pages use the field's standard words, and name components rather than people."""

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
    r"\b(?:nobody|whoever|somebody|anybody|everybody|who (?:asks?|comes|waits|writes)|who is asking"
    r"|together|plain|on the spot|shortcuts?|long way|short way|all the way|lanes?|rooms?|the house"
    r"|keep house|glance|tally|told at once|turn of a|in turns?)\b",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Without code, since a value may be such a word (`nobody`), and without the addresses of links."""
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
    assert words("Nobody waits. `nobody` is a value.\n\n```\nnobody\n```\n") == ["Nobody"]
