"""Text in the tasks of one user, whatever its case and normal form: a walk over them, and over no other's.

`docs/decisions/0005-search-without-an-index.md` says why no index of words is kept.
"""

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import col

from taskwell.models import Task


def contains_text(dialect: str, q: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the title or the description of a task has the text in it, which `searched` has made."""
    keyset_of = func.instr if dialect == "sqlite" else func.strpos
    return or_(*(keyset_of(column, q) > 0 for column in (col(Task.title_key), col(Task.description_key))))
