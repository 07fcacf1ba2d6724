"""The root path: the application is below a proxy's path, or mounted in another application.

All middleware and routes see paths that begin at this application's root. Paths in responses (links and
`instance`) begin with the root path: only `public` adds it. A link also begins with scheme and host, where
`TASKWELL_PUBLIC_URL` names them: only `link` adds these.
"""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote, unquote

from starlette.types import Scope

from taskwell.http.prefixes import Prefixes
from taskwell.http.request_state import detach_state, known_state, request_state

# Keys that an outer application leaves in the scope. Its path parameters could be mistaken for those of this
# application, such as the user's id.
_OF_THE_PARENT = ("path_params", "route", "endpoint", "fastapi")


def public(scope: Scope, path: str) -> str:
    """A path of this application with the root path, as its clients see it."""
    root = root_of(scope)
    return f"{root}{path}" if root else path


def link(scope: Scope, path: str) -> str:
    """The URL of a path of this application, for `Location` and `Link`."""
    state = known_state(scope)
    return f"{state.origin}{public(scope, path)}" if state else path


def note_origin(scope: Scope, origin: str) -> None:
    request_state(scope).origin = origin


def root_of(scope: Scope) -> str:
    state = known_state(scope)
    return (state.root_path or "") if state else ""


def note_root(scope: Scope, root: str) -> None:
    """Set the root path of a request whose path begins at the root already."""
    request_state(scope).root_path = root


def detached(scope: Scope) -> Scope:
    """A copy of the scope, since the server or the outer application goes on using the original."""
    copied = {name: value for name, value in scope.items() if name not in _OF_THE_PARENT}
    detach_state(copied)
    return copied


def enter(scope: MutableMapping[str, Any], configured: str, prefixes: Prefixes, forwarded: str = "") -> None:
    """Make the path of a request begin at the root, whether or not it still has the root path.

    ASGI's `root_path` is the server's option plus the paths of the mounts. `configured` replaces the server's
    option. `forwarded` does too, if nothing is configured; it is never removed from a path: a client that can
    choose it could otherwise spell every path differently, and get past a proxy that allows only some paths.
    """
    state = request_state(scope)
    if state.root_path is not None:
        return
    whole: str = scope.get("root_path") or ""
    server_root_path: str = scope.get("app_root_path", whole)
    mounted = whole.removeprefix(server_root_path)
    path: str = scope["path"]
    inner = next((rest for root in (whole, mounted) if (rest := _below(root, path)) is not None), path)
    outer = configured or server_root_path.rstrip("/")
    rest = _below(outer, inner)
    # Where a root path is itself a path of this application, both `/api/tasks` and `/api/api/tasks` may
    # come; only in the second is what follows a path of this application.
    if rest is not None and (not prefixes.is_own(outer) or prefixes.is_own(rest)):
        inner = rest
    if inner != path:
        scope["path"], scope["raw_path"] = inner, _raw(scope.get("raw_path"), inner)
    scope["root_path"] = ""
    # A link that begins with two slashes would lead to another host.
    root = quote(f"{outer or forwarded}{mounted}").strip("/")
    state.root_path = f"/{root}" if root else ""


def _below(root: str, path: str) -> str | None:
    """The path without the root path; None: it is not below it."""
    if not root or not path.startswith(root):
        return None
    rest = path[len(root) :]
    if rest and rest[0] != "/" and root[-1] != "/":
        return None
    return rest if rest[:1] == "/" else f"/{rest}"


def _raw(whole: bytes | None, inner: str) -> bytes:
    """The end of the raw path that decodes to the inner path; the whole raw path, if there is none.

    The latter has an encoded slash, so it will be refused.
    """
    if inner == "/" or whole is None:
        return quote(inner).encode()
    end = b"/" + b"/".join(whole.rsplit(b"/", inner.count("/"))[1:])
    return end if unquote(end.decode("ascii", "replace")) == inner else whole
