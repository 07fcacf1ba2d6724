"""Text in the tasks of one user, whatever its case: a walk over them, and never over anybody else's.

`docs/decisions/0005-search-without-an-index.md` says why no index of words is kept.
"""

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import col

from taskwell.core.database import ReadTransaction
from taskwell.models import Task
from taskwell.schemas.text import fold


def contains_text(transaction: ReadTransaction, q: str) -> ColumnElement[bool]:
    """Whether the title or the description of a task has the text in it."""
    place_of = func.instr if transaction.dialect == "sqlite" else func.strpos
    return or_(
        *(place_of(column, fold(q)) > 0 for column in (col(Task.title_key), col(Task.description_key)))
    )
