"""Code and pages use the words of docs/glossary.md, not those that it replaced."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SOURCE = ROOT / "src" / "taskwell"
_WRITTEN = [_SOURCE / "migrations" / "versions", ROOT / "docs" / "plans.md", ROOT / "docs" / "reliability.md"]
FILES = sorted(
    file
    for file in [
        *_SOURCE.rglob("*.py"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "openapi.json")),
    ]
    if not any(file.is_relative_to(path) for path in _WRITTEN)
)
_SETTING = "the component or the client (only TASKWELL_METRICS has this value)"
# A word that was replaced, and the word to use.
REPLACED = {
    "nobody": _SETTING,
    "everybody": _SETTING,
    "somebody": "the component or the client",
    "anybody": "the component or the client",
    "whoever": "the component or the client",
    "whomever": "the component or the client",
    "who asks": "the caller",
    "who is asking": "the caller",
    "asked for together": "coalesced",
    "read_together": "read_coalesced",
    "run_together": "read_coalesced",
    "write_together": "write_coalesced",
    "look_up": "read_coalesced",
    "the long way": "the slow path",
    "the short way": "the fast path",
    "all the way": "the slow path",
    "on the spot": "inline",
    "OnTheSpot": "InlineConnection",
    "OnTheDriver": "DriverConnection",
    "shortcuts?": "fast path",
    "class Express": "FastPath",
    "plain requests?": "simple request",
    "PlainRequests": "SimpleRequests",
    "(?:through|without|all) the layers": "the middleware",
    "keep house": "purge",
    "keep_house": "run_forever",
    "tidy_up": "purge_expired",
    "run_in_turn": "serialized",
    "turn_of": "serialized",
    "in turns?": "serialized",
    "acting_as": "as_user",
    "act_as": "set_user",
    "acting_user": "current_user",
    "tally": "histogram",
    "Glance": "RequestPeek",
    "lanes?": "max_in_flight",
    "checkup": "doctor",
}
_SPACE = r"[\s#]+"  # also from one line of a comment to the next
_PATTERN = re.compile(
    "|".join(rf"(?P<w{index}>\b{word.replace(' ', _SPACE)}\b)" for index, word in enumerate(REPLACED)),
    re.IGNORECASE,
)
_METRICS = re.compile(
    r'"(?:nobody|everybody)"|`(?:nobody|everybody)`|TASKWELL_METRICS is nobody'
    r"|read /metrics: everybody, nobody, or auto"
)


def replaced(text: str) -> list[str]:
    """Each replaced word of a text, with the word to use."""
    words = list(REPLACED.values())
    found = _PATTERN.finditer(_METRICS.sub("", text))
    return [f"{match[0]}: say {words[int(str(match.lastgroup)[1:])]}" for match in found]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_has_none_of_the_replaced_words(file: Path) -> None:
    assert replaced(file.read_text()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Nobody waits.", [f"Nobody: say {_SETTING}"]),
        ("It goes\n    # the long way.", ["the long way: say the slow path"]),
        ("It is asked for\n    # together.", ["asked for\n    # together: say coalesced"]),
        ('metrics == "nobody", by `everybody`', []),
        ("database.turn_of(user)", ["turn_of: say serialized"]),
        ("It lacks a word_of_turn_of.", []),
    ],
)
def test_a_replaced_word_is_noticed(text: str, found: list[str]) -> None:
    assert replaced(text) == found
