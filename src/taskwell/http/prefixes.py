"""The table of path prefixes: one row per prefix configures the middleware.

The application creates the table and passes it to the middleware. A protocol package adds a row with its
application; the middleware needs no change.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Scope

from taskwell.http.request_state import request_state

REST_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# RFC 4918 (WebDAV), 3253 (REPORT) and 4791 (MKCALENDAR).
DAV_METHODS = (
    "GET", "HEAD", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "REPORT", "MKCOL", "MKCALENDAR", "COPY",
    "MOVE", "LOCK", "UNLOCK",
)  # fmt: skip
_WITH_BODY = frozenset(
    {"POST", "PUT", "PATCH", "PROPFIND", "PROPPATCH", "REPORT", "MKCOL", "MKCALENDAR", "LOCK"}
)


@dataclass(frozen=True, slots=True)
class Prefix:
    """A path and everything below it.

    `app`: the ASGI application that serves it, mounted there; None: the routes of the main router do.
    `methods`: those of `app`, without OPTIONS, which a middleware answers.
    `route`: the label of its requests in the metrics, where no route of the router is found.
    `whole_segment`: False if `/healthz` belongs to `/health` as well.
    `authenticated`: its requests need credentials. `limited`: its callers and its failed authentications are
    counted. `max_body`: bytes; None: the limit of the settings. `cors`: pages of other origins may read it.
    `cacheable`: caches may store its responses, unless these say otherwise.
    `any_host`: it is served under every host name. `always_admitted`: overload does not refuse it.
    """

    path: str
    app: ASGIApp | None = None
    methods: tuple[str, ...] = REST_METHODS
    route: str | None = None
    whole_segment: bool = True
    authenticated: bool = False
    limited: bool = False
    max_body: int | None = None
    cors: bool = True
    cacheable: bool = True
    any_host: bool = False
    always_admitted: bool = False

    def matches(self, path: str) -> bool:
        return path.startswith(self.path) and (
            not self.whole_segment or len(path) == len(self.path) or path[len(self.path)] == "/"
        )


# Where no line matches. Nothing is served there but errors.
_ELSEWHERE = Prefix("")


class Prefixes:
    """The table. Its first line that matches a path is that path's."""

    def __init__(self, table: Iterable[Prefix]) -> None:
        self._table = tuple(table)
        # Of all prefixes, in the order of the table.
        self.methods = tuple(dict.fromkeys(chain.from_iterable(prefix.methods for prefix in self._table)))
        self.methods_with_body = _WITH_BODY.intersection(self.methods)
        self._admitted = tuple(prefix.path for prefix in self._table if prefix.always_admitted)
        paths = "|".join(re.escape(prefix.path) for prefix in self._table)
        self._own_path = re.compile(rf"/|({paths})(/.*)?", re.DOTALL)

    def __iter__(self) -> Iterator[Prefix]:
        return iter(self._table)

    def find(self, path: str) -> Prefix:
        for prefix in self._table:
            if prefix.matches(path):
                return prefix
        return _ELSEWHERE

    def of(self, scope: Scope) -> Prefix:
        """The prefix of a request, which is found once: its path must begin at the root already."""
        state = request_state(scope)
        if state.prefix is None:
            state.prefix = self.find(scope["path"])
        return state.prefix

    def is_always_admitted(self, path: str) -> bool:
        return path.startswith(self._admitted) and self.find(path).always_admitted

    def is_own(self, path: str) -> bool:
        """Whether the path can be one of this application."""
        return self._own_path.fullmatch(path) is not None


class PrefixMount(Mount):
    """Serves the path itself too, which Starlette redirects to the one with a slash."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["path"] != self.path:
            return super().matches(scope)
        path = f"{scope['path']}/"
        match, child = super().matches({**scope, "path": path})
        return match, {**child, "path": path}
