"""The messages that pages quote are those of the server."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import DOCS, ROOT, name


def constants(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [text for path in (ROOT / "src").rglob("*.py") for text in constants(path)]


def quoted(page: Path) -> list[str]:
    """Spans of several words at the beginning of a table's row, or after a colon: those of a message."""
    rows = re.findall(r"^\| (?:\d+: )?`([^`]+ [^`]+)`", page.read_text(), flags=re.MULTILINE)
    logged = re.findall(r"(?:logs|With|under|a 503,) `([^`]+ [^`]+)`", page.read_text())
    return rows + logged


@pytest.mark.parametrize(
    ("page", "at_least"), [(DOCS / "troubleshooting.md", 22), (DOCS / "rate-limits.md", 1)], ids=str
)
def test_quoted_messages_are_the_servers(page: Path, at_least: int, texts: list[str]) -> None:
    found = quoted(page)
    assert len(found) >= at_least, name(page)
    for message in found:
        for part in message.split(" … "):
            assert any(part in text for text in texts), part
