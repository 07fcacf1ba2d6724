"""On whose behalf the database is asked. Row-level security goes by it, whatever a statement says."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

EVERYBODY = "*"  # no user's id, since it has a character that none may have

_acting: ContextVar[str] = ContextVar("taskwell_acting", default="")


@contextmanager
def acting_as(user_id: str) -> Iterator[None]:
    """Within it, only what is the user's can be read or written; for `EVERYBODY`, everything."""
    token = _acting.set(user_id)
    try:
        yield
    finally:
        _acting.reset(token)


def act_as(user_id: str) -> None:
    """From now on, until the end of the `acting_as` that this is within."""
    _acting.set(user_id)


def acting_user() -> str:
    """Nobody ("") unless it was said."""
    return _acting.get()
