"""Text search, independent of case and normal form: a scan over one user's tasks.

`docs/decisions/0005-search-without-an-index.md` says why there is no full-text index.
"""

from typing import Any

from sqlalchemy import ColumnElement, func


def contains_text(dialect: str, column: ColumnElement[Any], text: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the column contains the text. `fold` makes the column, `searched` the text."""
    position_of = func.instr if dialect == "sqlite" else func.strpos
    return position_of(column, text) > 0
