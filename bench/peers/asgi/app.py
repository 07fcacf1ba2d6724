"""The floor: tasks by a bare ASGI application, with one statement a request and nothing between."""

import os
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

import msgspec

if os.environ["DATABASE_URL"].startswith("postgresql"):
    from postgres import Store
else:
    from sqlite import Store

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_PATH = re.compile(r"/api/([^/]+)/tasks(?:/([0-9a-f-]{36})(/toggle)?)?")
_JSON = (b"content-type", b"application/json")


class Task(msgspec.Struct):
    """In the order of the statements' columns."""

    id: UUID | str
    user_id: str
    title: str
    description: str | None
    completed: bool
    completed_at: datetime | str | None
    created_at: datetime | str
    updated_at: datetime | str
    version: int


class NewTask(msgspec.Struct):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    description: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


store = Store(os.environ["DATABASE_URL"])
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(NewTask).decode


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    status, headers, body = await respond(scope, receive)
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await store.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await store.close()
    await send({"type": "lifespan.shutdown.complete"})


async def respond(scope: Scope, receive: Receive) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    found = _PATH.fullmatch(scope["path"])
    if not found:
        return 404, [], b""
    user_id, task_id, toggle = found.groups()
    if task_id is None:
        if scope["method"] == "GET":
            return await list_tasks(scope, user_id)
        return await create_task(user_id, receive)
    row = await (store.toggle if toggle else store.read)(user_id, task_id)
    return (200, [_JSON], encode(Task(*row))) if row else (404, [], b"")


async def list_tasks(scope: Scope, user_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    headers = [_JSON]
    limit = parse_qs(scope["query_string"]).get(b"limit")
    if not limit:
        count, versions, updated_at = await store.state(user_id)
        etag = f'"{count}-{versions}-{updated_at}"'.replace(" ", "T").encode()
        headers.append((b"etag", etag))
        if (b"if-none-match", etag) in scope["headers"]:
            return 304, headers[1:], b""
    rows = await store.list(user_id, int(limit[0]) if limit else None)
    return 200, headers, encode([Task(*row) for row in rows])


async def create_task(user_id: str, receive: Receive) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        new = decode(body)
    except msgspec.MsgspecError:
        return 400, [], b""
    row = await store.create(user_id, new.title, new.description)
    return 201, [_JSON], encode(Task(*row))
