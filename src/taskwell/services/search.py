"""Text in the tasks of one user, whatever its case.

The result is that of a plain comparison on every database. The index of three-character pieces only finds
candidates: PostgreSQL weighs it against a walk over the tasks of the user, SQLite is asked for it outright.
"""

from sqlalchemy import ColumnElement, and_, bindparam, or_, text
from sqlmodel import col

from taskwell.core.database import ReadTransaction
from taskwell.models import Task
from taskwell.schemas.text import fold

_PIECE = 3  # characters; the index knows nothing shorter

_CANDIDATES = """
tasks.id IN (
    SELECT id FROM tasks_search_rows WHERE user_id = :search_user AND number IN (
        SELECT rowid FROM tasks_search WHERE tasks_search MATCH :search_terms
    )
)
"""


def contains_text(transaction: ReadTransaction, user_id: str, q: str) -> ColumnElement[bool]:
    """Whether the title or the description of a task has the text in it."""
    key = fold(q)
    columns = (col(Task.title_key), col(Task.description_key))
    plainly = or_(*(column.contains(key, autoescape=True) for column in columns))
    if transaction.dialect != "sqlite" or len(key) < _PIECE:
        return plainly
    owner = user_id.encode().hex().upper()[-16:]
    terms = f'owner: "<{owner}>" AND {{title_key description_key}}: {_phrase(key)}'
    candidates = text(_CANDIDATES).bindparams(
        bindparam("search_user", user_id), bindparam("search_terms", terms)
    )
    return and_(candidates, plainly)


def _phrase(key: str) -> str:
    """A string of the FTS5 query language, in which nothing but a quotation mark means anything."""
    return '"' + key.replace('"', '""') + '"'
