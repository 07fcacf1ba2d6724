"""The page on webhooks names every type of message."""

from taskwell.schemas.webhook import LIST_TYPES, TASK_TYPES
from tests.docs import DOCS


def test_each_type_is_named() -> None:
    (line,) = [
        line for line in (DOCS / "webhooks.md").read_text().splitlines() if line.startswith("- Types:")
    ]
    assert [one for one in (*TASK_TYPES, *LIST_TYPES) if f"`{one}`" not in line] == []
