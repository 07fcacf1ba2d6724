"""On whose behalf the database is asked. Row-level security goes by it, whatever a statement says."""

from contextvars import ContextVar

ALL_USERS = "*"  # no user's id, since it has a character that none may have

_acting: ContextVar[str] = ContextVar("taskwell_acting", default="")


class as_user:  # noqa: N801 (used like a function; a generator would cost each request a microsecond)
    """Within it, only what is the user's can be read or written; for `ALL_USERS`, everything."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id

    def __enter__(self) -> None:
        self._token = _acting.set(self._user_id)

    def __exit__(self, *_: object) -> None:
        _acting.reset(self._token)


def set_user(user_id: str) -> None:
    """From now on, until the end of the `as_user` that this is within."""
    _acting.set(user_id)


def current_user() -> str:
    """Nobody ("") unless it was said."""
    return _acting.get()
