"""Who may do what. Every route says what it needs; one that does not cannot be made."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

TASKS_READ = "tasks:read"
TASKS_WRITE = "tasks:write"
ADMIN = "admin"
# One's own account and tokens: whoever signs in has it. No API token does, so none can make another.
ACCOUNT = "account"
OF_A_USER = frozenset({TASKS_READ, TASKS_WRITE, ACCOUNT})
ALL = OF_A_USER | {ADMIN}

_STREAM_SECONDS = 600.0

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Caller:
    """`any_user`: the caller acts for whatever user a path names, as in stub mode.

    `expires_at`: when the credentials do, in seconds of the epoch.
    """

    user_id: str
    scopes: frozenset[str]
    email: str | None = None
    any_user: bool = False
    expires_at: float = math.inf

    def stream_seconds(self) -> float:
        """How long a stream may go on before the credentials are looked at again."""
        return math.inf if self.any_user else min(self.expires_at - time.time(), _STREAM_SECONDS)


@dataclass(frozen=True, slots=True)
class Access:
    """What an operation needs. `scope` None: nothing. `allow_admin`: ADMIN will do too, for any user."""

    scope: str | None
    allow_admin: bool = False


def requires(scope: str, *, allow_admin: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Declare what the route of an endpoint needs."""
    return _declaring(Access(scope, allow_admin))


def public(endpoint: Endpoint) -> Endpoint:
    """Declare that the route of an endpoint is everybody's."""
    return _declaring(Access(None))(endpoint)


def _declaring(access: Access) -> Callable[[Endpoint], Endpoint]:
    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.access = access  # type: ignore[attr-defined]
        return endpoint

    return declare


def access_of(endpoint: Callable[..., Any]) -> Access:
    """Raises TypeError: the endpoint declares nothing."""
    access = getattr(endpoint, "access", None)
    if not isinstance(access, Access):
        raise TypeError(f"the route of {endpoint.__name__} must say what it needs: @requires(...) or @public")
    return access
