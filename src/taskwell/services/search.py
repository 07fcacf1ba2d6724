"""Text in the tasks of one user, whatever its case and normal form: a walk over them, and over no other's.

`docs/decisions/0005-search-without-an-index.md` says why no index of words is kept.
"""

from typing import Any

from sqlalchemy import ColumnElement, func


def contains_text(dialect: str, column: ColumnElement[Any], text: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the column has the text in it. The column is made by `fold`, the text by `searched`."""
    position_of = func.instr if dialect == "sqlite" else func.strpos
    return position_of(column, text) > 0
