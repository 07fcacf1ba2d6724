"""Answers made of records: bytes from `schemas`, headers from here."""

import hashlib
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from taskwell.api.conditions import is_unchanged
from taskwell.api.headers import lines
from taskwell.api.problems import path_as_sent
from taskwell.core.database import Database
from taskwell.core.pagination import bad_cursor, decode_cursor, encode_cursor
from taskwell.schemas.batch import BatchResults, results_json
from taskwell.schemas.change import Changes, changes_json
from taskwell.schemas.query import TaskQuery
from taskwell.schemas.task import TaskRead, task_json
from taskwell.schemas.token import TokenCreated, TokenRead, token_json, tokens_json
from taskwell.schemas.user import UserRead, user_json
from taskwell.services.sequence import last_numbers
from taskwell.services.task_lists import Part, PartKey, Place, count_tasks, list_parts, place_of
from taskwell.services.together import TaskJson

_JSON = "application/json"
_CHUNK = 1_000
_SHORT = 101
_NEWEST = TaskQuery()


def task_response(task: TaskRead, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A single task, with its version as a strong ETag (RFC 9110, 8.8.3)."""
    return Response(task_json(task), status, {"ETag": f'"{task.version}"', **(headers or {})}, _JSON)


class JsonResponse(Response):
    """Bytes and headers that need no working out, which is what takes the time of a `Response`."""

    def __init__(self, body: bytes, status: int, *headers: tuple[bytes, bytes]) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        length = (b"content-length", b"%d" % len(body))
        self.raw_headers = [length, (b"content-type", b"application/json"), *headers]


def task_json_response(task: TaskJson, status: int = 200, *headers: tuple[bytes, bytes]) -> Response:
    return JsonResponse(task.json.encode(), status, (b"etag", b'"%d"' % task.version), *headers)


def user_response(user: UserRead, status: int, headers: dict[str, str]) -> Response:
    return Response(user_json(user), status, headers, _JSON)


def token_response(token: TokenCreated) -> Response:
    return Response(token_json(token), 201, {"Cache-Control": "no-store"}, _JSON)


def tokens_response(tokens: list[TokenRead]) -> Response:
    return Response(tokens_json(tokens), media_type=_JSON)


def count_response(count: int) -> Response:
    return Response(b'{"deleted":%d}' % count, media_type=_JSON)


def batch_response(results: BatchResults) -> Response:
    return Response(results_json(results), media_type=_JSON)


def changes_response(changes: Changes) -> Response:
    return Response(changes_json(changes), media_type=_JSON)


def unless_unchanged(request: Request, response: Response) -> Response:
    """The answer, or a 304 if the client has it already."""
    if b"if-none-match" not in lines(request.scope):
        return response
    if not is_unchanged(request, response.headers["etag"]):
        return response
    kept = {name: response.headers[name] for name in ("etag", "link") if name in response.headers}
    return Response(status_code=304, headers=kept)


class TaskList:
    """A list as it was asked for: whole, or a page of it."""

    def __init__(
        self, request: Request, database: Database, owner: str, query: TaskQuery, limit: int | None
    ) -> None:
        self.request = request
        self.database = database
        self.owner = owner
        self.query = query
        self.limit = limit

    async def response(self, cursor: str | None, *, counted: bool) -> Response:
        """The answer: 304, a page with its `Link`, or the whole list.

        The check for 304 reads the user's last number, not the tasks.
        """
        after = self._decode(cursor)
        tag = self._tag(cursor)
        if b"if-none-match" in lines(self.request.scope):
            etag = f'"{await self.database.read_together(last_numbers, self.owner)}-{tag}"'
            if is_unchanged(self.request, etag):
                return Response(status_code=304, headers={"ETag": etag})
        part = await self._part(_CHUNK if self.limit is None else self.limit + 1, after)
        headers = {"ETag": f'"{part.number or 0}-{tag}"'}
        if counted:
            count = await self.database.read(count_tasks, self.owner, self.query.filter)
            headers |= {"X-Total-Count": str(count), "Preference-Applied": "count=exact"}
        if self.limit is None:
            return self._whole(part, headers)
        return self._page(part, self.limit, headers)

    async def _part(self, size: int, after: Place | None) -> Part:
        # A short page in the index's own order is a matter of microseconds; anything else may take its time.
        short = size <= _SHORT and self.query == _NEWEST
        key = PartKey(self.owner, self.query, size, after)
        return await self.database.read_together(list_parts, key, most=1, short=short)

    def _page(self, part: Part, limit: int, headers: dict[str, str]) -> Response:
        if part.count > limit:
            part = part.without_last()
            others = [
                (name, value) for name, value in self.request.query_params.multi_items() if name != "cursor"
            ]
            query = urlencode([*others, ("cursor", self._encode(part))])
            headers["Link"] = f'<{path_as_sent(self.request.scope)}?{query}>; rel="next"'
        return Response(f"[{part.json}]", headers=headers, media_type=_JSON)

    def _whole(self, part: Part, headers: dict[str, str]) -> Response:
        """A chunk at a time: memory does not grow with the list, and a slow reader holds no connection.

        The first chunk is there before the answer begins, so a fault is an error answer; a later one breaks
        the connection.
        """
        if part.count < _CHUNK:
            return Response(f"[{part.json}]", headers=headers, media_type=_JSON)
        return StreamingResponse(self._chunks(part), headers=headers, media_type=_JSON)

    async def _chunks(self, part: Part) -> AsyncGenerator[str]:
        yield f"[{part.json}"
        while part.count == _CHUNK:
            part = await self._part(_CHUNK, place_of(part.last(), self.query))
            if part.count:
                yield f",{part.json}"
        yield "]"

    def _tag(self, cursor: str | None) -> str:
        """What makes this list another one than the user's others."""
        # With the owner: a browser keeps `/api/tasks` by its address alone, also when another user signs in.
        parts = (self.owner, *self.query.fingerprint(), str(self.limit), cursor or "")
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=6).hexdigest()

    def _encode(self, part: Part) -> str:
        place = [_to_text(value) for value in place_of(part.last(), self.query)]
        return encode_cursor(place, query=(self.owner, *self.query.fingerprint()))

    def _decode(self, cursor: str | None) -> Place | None:
        if cursor is None:
            return None
        texts = decode_cursor(cursor, query=(self.owner, *self.query.fingerprint()))
        names = [key.name for key in self.query.order()]
        try:
            place = [_FROM_TEXT[name](text) for name, text in zip(names, texts, strict=True)]
        except ValueError:
            raise bad_cursor() from None
        if [_to_text(value) for value in place] != texts:  # another spelling of it than ours
            raise bad_cursor()
        return tuple(place)


def _to_text(value: Any) -> str:
    if isinstance(value, UUID):
        return value.hex
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.utcoffset() != timedelta(0):
        raise ValueError
    return instant


_FROM_TEXT: dict[str, Any] = {
    "created_at": _instant,
    "updated_at": _instant,
    "title": str,
    "completed": "True".__eq__,
    "id": UUID,
}
