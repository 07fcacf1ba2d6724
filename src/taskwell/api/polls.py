"""Polls of a list that has not changed, the commonest request of all, answered before it is routed.

Routing and reading the query cost ten times what the look-up does. So a list that was sent once is remembered
by the very bytes of its path and query, which need no second reading; everything else goes the usual way.
"""

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from taskwell.api.callers import Caller, may_read
from taskwell.api.conditions import matches
from taskwell.api.problems import response_of
from taskwell.core.database import Database
from taskwell.core.errors import TaskwellError
from taskwell.services.sequence import last_number

_MOST = 10_000
_LONGEST = 512  # bytes: all of them take some megabytes at most


@dataclass(frozen=True, slots=True)
class KnownList:
    """`tag`: what makes it another list than the user's others."""

    owner: str
    tag: str

    def etag(self, number: int) -> str:
        """That of the list at a number of its owner's sequence."""
        return f'"{number}-{self.tag}"'


class KnownLists:
    """The lists that were sent, by the caller and by the path and the query that they came with."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str, bytes, bytes], KnownList] = {}

    def remember(self, scope: Scope, known: KnownList) -> None:
        key = _key(scope)
        if len(key[1]) + len(key[2]) > _LONGEST:
            return
        if len(self._lists) >= _MOST:
            self._lists.clear()
        self._lists[key] = known

    def find(self, scope: Scope) -> KnownList | None:
        return self._lists.get(_key(scope))


def _key(scope: Scope) -> tuple[str, bytes, bytes]:
    caller: Caller = scope["taskwell.caller"]
    return (caller.user_id, scope.get("raw_path") or b"", scope["query_string"])


class Polls:
    """Pure ASGI."""

    def __init__(self, app: ASGIApp, lists: KnownLists) -> None:
        self.app = app
        self.lists = lists

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._unchanged(scope) if "taskwell.caller" in scope else None
        await (response or self.app)(scope, receive, send)

    async def _unchanged(self, scope: Scope) -> Response | None:
        known = self.lists.find(scope) if scope["method"] == "GET" else None
        if known is None or not may_read(scope, known.owner):
            return None
        headers = Headers(scope=scope)
        tags = headers.getlist("if-none-match")
        if not tags or "prefer" in headers:
            return None
        database: Database = scope["app"].state.database
        try:
            etag = known.etag(await database.peek(last_number, known.owner))
            return Response(status_code=304, headers={"ETag": etag}) if matches(tags, etag) else None
        except TaskwellError as error:
            return response_of(scope, error)
