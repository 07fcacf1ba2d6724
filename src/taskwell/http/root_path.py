"""Under which path clients find the application: below a proxy's path, or mounted in another application.

Every layer and route sees paths that begin at this application's root. What is said to clients (links and
`instance`) has the root path before it: `public` is the one place where it is put there. A link also has the
scheme and host before that, where `TASKWELL_PUBLIC_URL` names them: `link` puts them there.
"""

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote, unquote

from starlette.types import Scope

from taskwell.http.prefixes import Prefixes
from taskwell.http.request_state import detach_state, known_state, request_state

# What another application has left in the scope of a request that it passes on. A path parameter of its
# would be taken for one of this application: the user's id.
_OF_THE_PARENT = ("path_params", "route", "endpoint", "fastapi")


def public(scope: Scope, path: str) -> str:
    """A path of this application as its clients know it."""
    root = root_of(scope)
    return f"{root}{path}" if root else path


def link(scope: Scope, path: str) -> str:
    """The address of a path of this application, for `Location` and `Link`."""
    state = known_state(scope)
    return f"{state.origin}{public(scope, path)}" if state else path


def note_origin(scope: Scope, origin: str) -> None:
    request_state(scope).origin = origin


def root_of(scope: Scope) -> str:
    state = known_state(scope)
    return (state.root_path or "") if state else ""


def note_root(scope: Scope, root: str) -> None:
    """For a request whose paths begin at the root already."""
    request_state(scope).root_path = root


def detached(scope: Scope) -> Scope:
    """A copy of a scope that belongs to a server or application outside, which goes on using it."""
    copied = {name: value for name, value in scope.items() if name not in _OF_THE_PARENT}
    detach_state(copied)
    return copied


def enter(scope: MutableMapping[str, Any], configured: str, prefixes: Prefixes, forwarded: str = "") -> None:
    """Have the paths of a request begin at the root, whether or not they still have the root path.

    ASGI's `root_path` is what the server was told plus where other applications have mounted this one.
    `configured` stands for what the server was told. `forwarded` does too, where nothing is configured; it
    is never taken off a path: who can choose it could otherwise give every path another spelling, and pass a
    proxy that lets only some paths through.
    """
    state = request_state(scope)
    if state.root_path is not None:
        return
    whole: str = scope.get("root_path") or ""
    told: str = scope.get("app_root_path", whole)
    mounted = whole.removeprefix(told)
    path: str = scope["path"]
    inner = next((rest for root in (whole, mounted) if (rest := _below(root, path)) is not None), path)
    outer = configured or told.rstrip("/")
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
    """What follows the root path; None: the path is not below it."""
    if not root or not path.startswith(root):
        return None
    rest = path[len(root) :]
    if rest and rest[0] != "/" and root[-1] != "/":
        return None
    return rest if rest[:1] == "/" else f"/{rest}"


def _raw(whole: bytes | None, inner: str) -> bytes:
    """The end of the path as sent that is the inner path when decoded; or all of it, if none is.

    The latter has an encoded slash, for which it is refused.
    """
    if inner == "/" or whole is None:
        return quote(inner).encode()
    end = b"/" + b"/".join(whole.rsplit(b"/", inner.count("/"))[1:])
    return end if unquote(end.decode("ascii", "replace")) == inner else whole
