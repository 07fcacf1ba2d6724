"""The principal: the user on whose behalf statements run. Row-level security enforces it."""

from contextvars import ContextVar

# No user's id, since * is not allowed in one.
ALL_USERS = "*"

_principal: ContextVar[str] = ContextVar("taskwell_principal", default="")


class as_user:  # noqa: N801 (used like a function; a generator would cost each request a microsecond)
    """A context in which only the user's rows can be read or written; for `ALL_USERS`, all rows."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id

    def __enter__(self) -> None:
        self._token = _principal.set(self._user_id)

    def __exit__(self, *_: object) -> None:
        _principal.reset(self._token)


def set_user(user_id: str) -> None:
    """Set the principal until the end of the surrounding `as_user`."""
    _principal.set(user_id)


def current_user() -> str:
    """The principal; "" if none was set."""
    return _principal.get()
