"""The headers of a request, looked through once: there are a dozen layers that want to know of one."""

from starlette.types import Scope

Header = tuple[bytes, bytes]


def lines(scope: Scope) -> dict[bytes, list[bytes]]:
    """The values of each header, by its name in lower case, in the order in which they came."""
    found: dict[bytes, list[bytes]] | None = scope.get("taskwell.headers")
    if found is None:
        found = scope["taskwell.headers"] = {}
        for name, value in scope["headers"]:
            found.setdefault(name, []).append(value)
    return found
