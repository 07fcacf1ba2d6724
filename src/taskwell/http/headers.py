"""The headers of a request by name, parsed once: middleware reads them a dozen times."""

from starlette.types import Scope

from taskwell.http.request_state import KEY, RequestState, request_state

Header = tuple[bytes, bytes]


def lines(scope: Scope) -> dict[bytes, list[bytes]]:
    """The values of each header, by its name in lower case, in the order in which they came."""
    state: RequestState | None = scope.get(KEY)  # not by a function: this is called most often
    found = state.headers if state is not None else None
    if found is None:
        found = request_state(scope).headers = {}
        for name, value in scope["headers"]:
            found.setdefault(name, []).append(value)
    return found
