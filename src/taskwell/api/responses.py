"""Answers made of records: bytes from `schemas`, headers from here."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from taskwell.api.problems import path_as_sent
from taskwell.core.pagination import bad_cursor, decode_cursor, encode_cursor
from taskwell.schemas.task import TaskRead, task_json, tasks_json

_JSON = "application/json"
_CHUNK = 1_000

Place = tuple[datetime, UUID]
Fetch = Callable[[int, Place | None], Awaitable[list[TaskRead]]]


def task_response(task: TaskRead, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A single task, with its version as a strong ETag (RFC 9110, 8.8.3)."""
    return Response(task_json(task), status, {"ETag": f'"{task.version}"', **(headers or {})}, _JSON)


async def page_response(
    request: Request, user_id: str, limit: int, cursor: str | None, fetch: Fetch
) -> Response:
    """One page, with the `Link` to the next while there is one (RFC 8288)."""
    after = _decode(cursor, user_id)
    tasks = await fetch(limit + 1, after)
    headers = {}
    if len(tasks) > limit:
        tasks = tasks[:limit]
        query = urlencode({"limit": limit, "cursor": _encode(tasks[-1], user_id)})
        headers["Link"] = f'<{path_as_sent(request.scope)}?{query}>; rel="next"'
    return Response(tasks_json(tasks), headers=headers, media_type=_JSON)


async def whole_response(user_id: str, cursor: str | None, fetch: Fetch) -> Response:
    """The whole list, a chunk at a time.

    Memory does not grow with it, and a slow reader holds no connection to the database. The first chunk is
    read before the answer begins, so that a fault is an error answer; a later one breaks the connection.
    """
    first = await fetch(_CHUNK, _decode(cursor, user_id))
    if len(first) < _CHUNK:
        return Response(tasks_json(first), media_type=_JSON)
    return StreamingResponse(_chunks(first, fetch), media_type=_JSON)


async def _chunks(tasks: list[TaskRead], fetch: Fetch) -> AsyncGenerator[bytes]:
    yield tasks_json(tasks)[:-1]
    while len(tasks) == _CHUNK:
        tasks = await fetch(_CHUNK, (tasks[-1].created_at, tasks[-1].id))
        if tasks:
            yield b"," + tasks_json(tasks)[1:-1]
    yield b"]"


def _encode(task: TaskRead, user_id: str) -> str:
    position = (task.created_at.isoformat(), task.id.hex)
    return encode_cursor(position, query=("tasks", user_id))


def _decode(cursor: str | None, user_id: str) -> Place | None:
    if cursor is None:
        return None
    try:
        created_at, task_id = decode_cursor(cursor, query=("tasks", user_id))
        place = datetime.fromisoformat(created_at), UUID(task_id)
    except ValueError:
        raise bad_cursor() from None
    if (place[0].isoformat(), place[1].hex, place[0].utcoffset()) != (created_at, task_id, timedelta(0)):
        raise bad_cursor()
    return place
