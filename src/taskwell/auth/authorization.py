"""Callers, scopes and what an operation requires. A route that declares no access cannot be created."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from taskwell.core.principal import ALL_USERS, Actor, Principal
from taskwell.core.rates import Rate

TASKS_READ = "tasks:read"
TASKS_EDIT = "tasks:edit"  # every write but deletion
TASKS_WRITE = "tasks:write"  # deletion too: it includes TASKS_EDIT
WEBHOOKS = "webhooks"  # subscriptions, which get everything that happens to tasks
OF_PROGRAMS = frozenset({TASKS_READ, TASKS_EDIT, TASKS_WRITE, WEBHOOKS})
ADMIN = "admin"
# The account and its tokens. Signing in grants it. An API token never has it, so none can create another.
ACCOUNT = "account"
OF_A_USER = OF_PROGRAMS | {ACCOUNT}
ALL = OF_A_USER | {ADMIN}

_STREAM_SECONDS = 600.0
_API = Actor("api")

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user. `scopes` also has those that a granted one includes.

    `any_user`: the caller may act for every user that a path names, as in stub mode.
    `expires_at`: of the credentials, in seconds since the epoch. `actor`: what the history calls the caller.
    `rate`: of the API token.
    """

    user_id: str
    scopes: frozenset[str]
    email: str | None = None
    any_user: bool = False
    expires_at: float = math.inf
    actor: Actor = _API
    rate: Rate | None = None

    def __post_init__(self) -> None:
        if TASKS_WRITE in self.scopes and TASKS_EDIT not in self.scopes:
            object.__setattr__(self, "scopes", self.scopes | {TASKS_EDIT})

    @property
    def principal(self) -> Principal:
        return Principal(ALL_USERS if self.any_user else self.user_id, self.actor)

    def stream_seconds(self) -> float:
        """The maximum duration of a stream: after it the credentials are checked again."""
        return math.inf if self.any_user else min(self.expires_at - time.time(), _STREAM_SECONDS)


@dataclass(frozen=True, slots=True)
class Access:
    """The requirements of an operation.

    `scope`: None if it is public. `allow_admin`: ADMIN suffices too, for the data of any user.
    """

    scope: str | None
    allow_admin: bool = False


def requires(scope: str, *, allow_admin: bool = False) -> Callable[[Endpoint], Endpoint]:
    """Declare the scope that the route of an endpoint requires."""
    return _declaring(Access(scope, allow_admin))


def public(endpoint: Endpoint) -> Endpoint:
    """Declare that the route of an endpoint needs no credentials."""
    return _declaring(Access(None))(endpoint)


def _declaring(access: Access) -> Callable[[Endpoint], Endpoint]:
    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.access = access  # type: ignore[attr-defined]
        return endpoint

    return declare


def access_of(endpoint: Callable[..., Any]) -> Access:
    """The declared access. Raises TypeError if the endpoint declares none."""
    access = getattr(endpoint, "access", None)
    if not isinstance(access, Access):
        raise TypeError(f"the route of {endpoint.__name__} must say what it needs: @requires(...) or @public")
    return access
