"""Which methods a path has: for `Allow`."""

from collections.abc import Callable, Mapping, Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from taskwell.schemas.types import is_task_id, is_user_id

_IS_ID: Mapping[str, Callable[[str], bool]] = {
    "user_id": is_user_id,
    "id": is_user_id,
    "task_id": is_task_id,
    "token_id": is_task_id,
}


def methods_at(routes: Sequence[BaseRoute], path: str) -> list[str]:
    """The methods of every route at this path, sorted; of `*`, those of all routes.

    A route with a word such as `batch` where it has an id does not count where another route has that word.
    """
    path = path.rstrip("/") or "/"
    by_word: set[str] = set()
    by_any: set[str] = set()
    for route in iter_route_contexts(routes):
        pattern = getattr(route, "path_regex", None)
        found = pattern.match(path) if pattern is not None else None
        if found is None and path != "*":
            continue
        methods = route.methods or {"GET"}  # a folder of files has no list of its own
        by_any |= methods
        if found is not None and all(
            _IS_ID.get(name, bool)(text) for name, text in found.groupdict().items()
        ):
            by_word |= methods
    methods = {*(by_word or by_any), "OPTIONS"}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
