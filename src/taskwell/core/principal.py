"""The principal: the user on whose behalf statements run, and who acts for them.

Row-level security enforces the user; the history stores the actor.
"""

import re
from contextvars import ContextVar
from typing import NamedTuple
from uuid import UUID

# No user's id, since * is not allowed in one.
ALL_USERS = "*"
CLIENT_PATTERN = "[!-~]([ -~]{0,98}[!-~])?"
_CLIENT = re.compile(CLIENT_PATTERN)


class Actor(NamedTuple):
    """Who writes. `via`: the protocol. `client`: the name of a program, which only a token or JWT proves."""

    via: str = "server"
    client: str | None = None
    token_id: UUID | None = None
    token_name: str | None = None


SERVER = Actor()


def is_client_name(text: str) -> bool:
    """Whether a name can be stored: 1 to 100 printable ASCII characters, no space at the ends."""
    return _CLIENT.fullmatch(text) is not None


class Principal(NamedTuple):
    user_id: str
    actor: Actor = SERVER


_UNSET = Principal("")
_principal: ContextVar[Principal] = ContextVar("taskwell_principal", default=_UNSET)


class as_principal:  # noqa: N801 (used like a function; a generator would cost each request a microsecond)
    """A context in which a principal acts: only the user's rows can be read or written.

    For `ALL_USERS`, all rows.
    """

    def __init__(self, principal: Principal) -> None:
        self._new = principal

    def __enter__(self) -> None:
        self._token = _principal.set(self._new)

    def __exit__(self, *_: object) -> None:
        _principal.reset(self._token)


def as_user(user_id: str, actor: Actor | None = None) -> as_principal:
    """A context with another user; without an actor, the present one stays."""
    return as_principal(Principal(user_id, current_actor() if actor is None else actor))


def set_user(user_id: str) -> None:
    """Set the user until the end of the surrounding `as_user`."""
    _principal.set(Principal(user_id, current_actor()))


def current_user() -> str:
    """The user of the principal; "" if none was set."""
    return _principal.get().user_id


def current_actor() -> Actor:
    return _principal.get().actor
