"""docs/cli.md has every command; those in its blocks are run with all others, by `test_docs.py`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from taskwell.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def commands(group: Any, name: str = "taskwell") -> Iterator[str]:
    for part, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {part}")
        else:
            yield f"{name} {part}"


def test_every_command_is_on_the_page() -> None:
    text = PAGE.read_text()
    found = list(commands(get_command(app)))
    assert len(found) >= 15
    assert [command for command in found if command not in text] == []


def test_every_command_on_the_page_exists() -> None:
    known = set(commands(get_command(app))) | {"taskwell users"}
    named = re.findall(r"taskwell (?:(?:db|users|tokens) )?[a-z][a-z-]+", PAGE.read_text())
    assert set(named) <= known
