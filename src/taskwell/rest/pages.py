"""Responses with task lists: whole, or a page at a time."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Set
from typing import Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import QueryParams
from starlette.types import Scope

from taskwell.core.errors import PreconditionFailed
from taskwell.http.conditional import is_expected, is_unchanged
from taskwell.http.headers import lines
from taskwell.http.problems import inner_path
from taskwell.http.root_path import link
from taskwell.rest.cursors import bad_cursor, decode_cursor, encode_cursor
from taskwell.schemas.query import Keyset, TaskQuery
from taskwell.services.operations import CHUNK_SIZE, CountTasks, GetLastNumber, ListTasks, Operations
from taskwell.services.task_query import SEPARATOR, Chunk

_JSON = "application/json"
_NEWEST = TaskQuery()


class ListChanged(PreconditionFailed):
    detail = "The list does not match the `If-Match` of the request: read it again."


class Page(NamedTuple):
    """A page of a list. `link`: to the next page, if there is one."""

    json: str
    etag: str
    link: str | None


# For the OpenAPI document.
NEXT_PAGE: dict[str, Any] = {
    "Link": {"description": "The next page, if there is one.", "schema": {"type": "string"}}
}


def next_link(scope: Scope, cursor: str) -> str:
    """The `Link` to the next page of a request."""
    sent = QueryParams(scope["query_string"])  # with the client's own names, on either path
    others = [(name, value) for name, value in sent.multi_items() if name != "cursor"]
    query = urlencode([*others, ("cursor", cursor)])
    return f'<{link(scope, inner_path(scope))}?{query}>; rel="next"'


class TaskListing:
    """The list that a request reads: whole, or a page of it."""

    def __init__(
        self,
        request: Request,
        operations: Operations,
        owner: str,
        query: TaskQuery,
        limit: int | None,
        cursor: str | None = None,
    ) -> None:
        self.request = request
        self.operations = operations
        self.owner = owner
        self.query = query
        self.limit = limit
        self.cursor = cursor

    async def response(self, *, counted: bool) -> Response:
        """The response: 304, a page with its `Link`, or the whole list.

        The check for 304 reads the user's last number, not the tasks.

        Raises:
            ListChanged: `If-Match` does not hold.
        """
        after = keyset_of(self.cursor, self.owner, self.query)
        if b"if-none-match" in lines(self.request.scope):
            number = await self.operations.execute(GetLastNumber(self.owner))
            self._check(number)
            etag = self._etag(number)
            if is_unchanged(self.request, etag):
                return Response(status_code=304, headers={"ETag": etag})
        chunk = await self.chunk(after)
        self._check(chunk.number)
        headers = {}
        if counted:
            count = await self.operations.execute(CountTasks(self.owner, self.query.filter))
            headers = {"X-Total-Count": str(count), "Preference-Applied": "count=exact"}
        if self.limit is None:
            return self._whole(chunk, {"ETag": self._etag(chunk.number), **headers})
        page = self.page(chunk)
        if page.link:
            headers["Link"] = page.link
        return Response(page.json, headers={"ETag": page.etag, **headers}, media_type=_JSON)

    async def chunk(self, after: Keyset | None = None) -> Chunk:
        """The tasks after a keyset: up to one more than the page holds, to detect a next page."""
        return await self.operations.execute(ListTasks(self.owner, self.query, self.limit, after))

    def page(self, chunk: Chunk) -> Page:
        """The page of a chunk, without the task that only shows that a next page exists."""
        etag = self._etag(chunk.number)
        if self.limit is None or chunk.count <= self.limit:
            return Page(f"[{chunk.json}]", etag, None)
        chunk = chunk.without_last()
        return Page(f"[{chunk.json}]", etag, next_link(self.request.scope, self._encode(chunk)))

    def _whole(self, chunk: Chunk, headers: dict[str, str]) -> Response:
        """Stream the list in chunks: memory does not grow with it, and a slow client holds no connection.

        The first chunk is read before the response starts, so that a fault becomes an error response. A fault
        in a later chunk closes the connection.
        """
        if chunk.count < CHUNK_SIZE:
            return Response(f"[{chunk.json}]", headers=headers, media_type=_JSON)
        return StreamingResponse(self._chunks(chunk), headers=headers, media_type=_JSON)

    async def _chunks(self, chunk: Chunk) -> AsyncGenerator[str]:
        yield f"[{chunk.json}"
        while chunk.count == CHUNK_SIZE:
            chunk = await self.chunk(self.query.keyset_of(chunk.last()))
            if chunk.count:
                yield f"{SEPARATOR}{chunk.json}"
        yield "]"

    def _etag(self, number: int | None) -> str:
        return f'"{self._tag(number)}"'

    def _tag(self, number: int | None) -> str:
        return _tag_of_list(self.owner, self.query, number, str(self.limit), self.cursor or "")

    def _check(self, number: int | None) -> None:
        if b"if-match" in lines(self.request.scope) and not is_expected(self.request, self._tag(number)):
            raise ListChanged(self._tag(number))

    def _encode(self, chunk: Chunk) -> str:
        texts = self.query.encode_keyset(self.query.keyset_of(chunk.last()))
        return encode_cursor(texts, query=(self.owner, *self.query.fingerprint()))


def keyset_of(cursor: str | None, owner: str, query: TaskQuery) -> Keyset | None:
    """The keyset of a page's cursor. Raises Invalid: it is none of this list."""
    if cursor is None:
        return None
    texts = decode_cursor(cursor, query=(owner, *query.fingerprint()))
    try:
        return query.decode_keyset(texts)
    except ValueError:
        raise bad_cursor() from None


def _tag_of_list(
    owner: str, query: TaskQuery, number: int | None, limit: str = "None", cursor: str = ""
) -> str:
    """The entity tag of a list: the number of the owner's latest write, and a digest of the query."""
    # The digest has the owner: a browser caches `/api/tasks` by its URL, also when another user signs in.
    parts = (owner, *query.fingerprint(), limit, cursor, *filter(None, (query.clock(),)))
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()
    return f"{number or 0}-{digest}"


def check_of_list(
    expected: Set[str] | None, owner: str, query: TaskQuery = _NEWEST
) -> Callable[[int], None] | None:
    """The check that a write runs on the user's last number while it holds its lock. None: no check.

    It raises ListChanged if no tag in `expected` is the tag of the whole list of the query.
    """
    if expected is None:
        return None

    def check(number: int) -> None:
        tag = _tag_of_list(owner, query, number)
        if tag not in expected:
            raise ListChanged(tag)

    return check
