"""The state of one request: a typed object under one key of the ASGI scope.

Copies of a scope share the object: a middleware may copy the scope, and outer middleware still sees what
inner middleware notes. `root_path.detached` gives a copy of its own to a request of another application.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from starlette.types import Scope

from taskwell.auth.authorization import Caller

if TYPE_CHECKING:
    from taskwell.http.prefixes import Prefix

KEY = "taskwell"


class LocalLimit(Protocol):
    """A rate limit that is counted in this process, so the fast path can count a request."""

    def take(self, user_id: str) -> bytes | None: ...
    def give_back(self, user_id: str) -> None: ...


@dataclass(init=False, eq=False)
class RequestState:
    """Fields have their default until the middleware that sets them has run.

    The defaults are the class's own, without `__init__` and slots: to set all fields of each request would
    cost more than all look-ups.

    The connection sets `overloaded` (refuse it: the server has too much to do), `malformed` (the type of the
    problem that the parser found), `started_at` (of a request that the fast path has started, as
    `time.perf_counter`) and `outcome` (the error that the fast path got).

    `prefix`: see `prefixes.Prefixes.of`. `headers`: the header values by name, see `headers.lines`.
    `root_path`: percent-encoded, see `root_path.enter`. `origin`: scheme and host for absolute links.
    `query`: the query string while it is hidden from traces.
    `checks`: conditions under which the same headers still have the same caller.
    `cacheable`: False if the middleware has to see every request of this client. `scope_id`: of the scope
    that the middleware got: a wrapper of the application that copies the scope may have changed it.
    `body`: the whole body, where the body limit has read it.
    `route`: the template of the route, where it was found without FastAPI.
    `status`: of the response, once it has started.
    """

    request_id: str = ""
    prefix: "Prefix | None" = None
    headers: dict[bytes, list[bytes]] | None = None
    root_path: str | None = None
    origin: str = ""
    overloaded: bool = False
    malformed: str | None = None
    query: bytes | None = None
    caller: Caller | None = None
    checks: tuple[Callable[[], bool], ...] = ()
    cacheable: bool = True
    scope_id: int = 0
    limit: LocalLimit | None = None
    body: bytes | None = None
    route: str | None = None
    status: int | None = None
    started_at: float | None = None
    outcome: BaseException | None = None

    def add_check(self, check: Callable[[], bool]) -> None:
        self.checks = (*self.checks, check)

    def take_outcome(self) -> BaseException:
        """Return the error and clear it, so that it and the frames it passes form no reference cycle."""
        outcome, self.outcome = self.outcome, None
        assert outcome is not None
        return outcome


def request_state(scope: Scope) -> RequestState:
    """The state of the scope's request, which is made at the first call."""
    state: RequestState | None = scope.get(KEY)
    if state is None:
        state = scope[KEY] = RequestState()
    return state


def known_state(scope: Scope) -> RequestState | None:
    """The same, or None if nothing has been noted yet."""
    state: RequestState | None = scope.get(KEY)
    return state


def detach_state(scope: Scope) -> None:
    """Give a copied scope a state of its own."""
    if (state := known_state(scope)) is not None:
        state = scope[KEY] = copy(state)
        state.prefix = None


def caller_of(scope: Scope) -> Caller:
    """The authenticated caller, on paths that need one."""
    caller = request_state(scope).caller
    assert caller is not None
    return caller


def body_of(scope: Scope) -> bytes:
    """The request's body, for methods whose body the body limit reads."""
    body = request_state(scope).body
    assert body is not None
    return body
