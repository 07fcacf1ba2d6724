"""The methods that a path has, for `Allow`."""

from fastapi.routing import iter_route_contexts
from starlette.types import Scope

from taskwell.http.app_state import app_state


def methods_at(scope: Scope) -> list[str]:
    """The methods of every route at the path of a request, sorted; of `*`, those of all routes.

    A route with a word such as `batch` where it has an id does not count where another route has that word.
    """
    state = app_state(scope)
    path = scope["path"].rstrip("/") or "/"
    prefix = state.prefixes.of(scope)
    if prefix.app is not None:
        return sorted({*prefix.methods, "OPTIONS"})
    by_word: set[str] = set()
    by_any: set[str] = set()
    for route in iter_route_contexts(scope["app"].routes):
        pattern = getattr(route, "path_regex", None)
        found = pattern.match(path) if pattern is not None else None
        if found is None and path != "*":
            continue
        methods = route.methods or {"GET"}  # a folder of files has no list of its own
        by_any |= methods
        if found is not None and all(
            state.path_ids.get(name, bool)(text) for name, text in found.groupdict().items()
        ):
            by_word |= methods
    methods = {*(by_word or by_any), "OPTIONS"}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
