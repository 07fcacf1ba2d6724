"""A typed client of taskwell.

`taskwell_client.api` has a module for each operation, `taskwell_client.models` what is sent and answered.
Both are generated from the server's OpenAPI document; what makes them handy is here.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar, cast
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from httpx import Response as HttpResponse

from taskwell_client.client import AuthenticatedClient, Client
from taskwell_client.models import ChangePage, Problem, TaskGone, TaskRead
from taskwell_client.types import UNSET, Response, Unset

__all__ = [
    "UNSET",
    "AuthenticatedClient",
    "Client",
    "Problem",
    "ProblemError",
    "connect",
    "expect",
    "pages",
    "sync",
]

T = TypeVar("T")


class ProblemError(Exception):
    """The server refused. A program decides by `problem.type_`, a person is shown `problem.detail`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.type_}: {problem.detail}")
        self.problem = problem


def connect(url: str, token: str | None = None) -> AuthenticatedClient:
    """A client of the server at this URL. An answer that the document does not know is an error."""
    if token is None:
        # The generator takes "a token, or nobody is asked" for "a token". Both kinds of clients do the same.
        return cast("AuthenticatedClient", Client(base_url=url, raise_on_unexpected_status=True))
    return AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)


def expect(answer: T | Problem | None) -> T:
    """What was asked for.

    Raises:
        ProblemError: the answer is a problem.
    """
    if isinstance(answer, Problem):
        raise ProblemError(answer)
    return answer  # type: ignore[return-value]  # None is an answer without content


def pages(
    page: Callable[[str | Unset], Response[list[TaskRead] | Problem]],
) -> Iterator[TaskRead]:
    """Every task of a list, page by page; `page` asks for the one at a cursor."""
    cursor: str | Unset | None = UNSET
    while cursor is not None:
        answer = page(cursor)
        yield from expect(answer.parsed)
        cursor = _next(answer)


def _next(answer: Response[list[TaskRead] | Problem]) -> str | None:
    links = HttpResponse(200, headers={"Link": answer.headers.get("Link", "")}).links
    if "next" not in links:
        return None
    (cursor,) = parse_qs(urlsplit(links["next"]["url"]).query)["cursor"]
    return cursor


def sync(
    changes: Callable[[str | Unset], ChangePage | Problem | None],
    copy: dict[UUID, TaskRead],
    since: str | None = None,
) -> str:
    """Bring the copy of the tasks up to date; `changes` asks for what has changed since a cursor.

    It asks without `types`. Keep what is returned for the next time.
    """
    while True:
        page = changes(UNSET if since is None else since)
        if isinstance(page, Problem) and page.type_ == "gone" and since is not None:
            copy.clear()
            since = None
            continue
        known = expect(page)
        for change in known.changes:
            if isinstance(change, TaskRead):
                copy[change.id] = change
            elif isinstance(change, TaskGone):
                copy.pop(change.id, None)
        since = known.next_
        if not known.more:
            return since
