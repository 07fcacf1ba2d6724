"""Direct dispatch: executes the operation of a simple request, behind the middleware and without FastAPI."""

import re
from collections.abc import Awaitable
from functools import partial

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from taskwell.core.clock import utc_now
from taskwell.core.errors import TaskwellError
from taskwell.core.settings import Settings
from taskwell.http.app_state import app_state
from taskwell.http.authorization import authorize
from taskwell.http.headers import lines
from taskwell.http.idempotency import IdempotentWrites
from taskwell.http.problems import response_of
from taskwell.http.request_state import body_of, caller_of, request_state
from taskwell.rest.fast_path.simple_requests import (
    BYPASS_HEADERS,
    KINDS,
    LIST,
    PATH,
    ROUTES,
    AskedList,
    Kind,
    SimpleOperation,
    SimpleRequests,
)
from taskwell.rest.pages import TaskListing
from taskwell.rest.responses import created_response, read_response, task_response
from taskwell.rest.routing import JSON
from taskwell.schemas.query import QueryCache
from taskwell.schemas.types import is_user_id
from taskwell.services.operations import CreateTask, GetTask, MoveTask, ToggleTask, zone_of
from taskwell.services.zones import ZoneOfRequest

_JSON = JSON.encode()


class DirectDispatch:
    """The innermost ASGI middleware, in front of the router."""

    def __init__(self, app: ASGIApp, settings: Settings, queries: QueryCache) -> None:
        self.app = app
        self._requests = SimpleRequests(settings, queries)
        self._default_zone = settings.time_zone

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        found = PATH.fullmatch(scope["path"]) if request_state(scope).caller else None
        kind = KINDS.get((scope["method"], found.lastgroup)) if found else None
        if found is None or kind is None or not _is_simple(kind, scope):
            return self.app(scope, receive, send)
        operation = self._operation(kind, scope, found)
        if operation is None:
            return self.app(scope, receive, send)
        scope["path_params"] = {"user_id": found["user_id"]} if found["user_id"] else {}
        request_state(scope).route = ROUTES[found.lastgroup, bool(found["user_id"])]
        owner = found["user_id"] or caller_of(scope).user_id
        return self._send(Request(scope, receive), kind, owner, operation, send)

    def _operation(
        self, kind: Kind, scope: Scope, found: re.Match[str]
    ) -> SimpleOperation | AskedList | None:
        owner = found["user_id"] or caller_of(scope).user_id
        if not is_user_id(owner):
            return None
        if kind is LIST:
            return self._requests.asked_list(scope["query_string"])
        body = body_of(scope) if kind.writes else b""
        return self._requests.operation(kind, owner, found["task_id"], scope["query_string"], body)

    async def _send(
        self, request: Request, kind: Kind, owner: str, operation: SimpleOperation | AskedList, send: Send
    ) -> None:
        try:
            authorize(request, kind.access)
            state = request_state(request.scope)
            if state.outcome is not None:  # the fast path has executed the operation
                raise state.take_outcome()
            if isinstance(operation, AskedList):
                response = await self._list(request, owner, operation)
            else:
                response = await _response(request, operation)
        except TaskwellError as error:
            response = response_of(request.scope, error)
        await response(request.scope, request.receive, send)

    async def _list(self, request: Request, owner: str, asked: AskedList) -> Response:
        operations, query = app_state(request.scope).operations, asked.query
        zone = None
        if query.filter.needs_zone():
            zone = await zone_of(operations, owner, ZoneOfRequest(query.filter.tz, self._default_zone))
        query = query.at(zone, utc_now())
        listing = TaskListing(request, operations, owner, query, asked.limit, asked.cursor)
        return await listing.response(counted=False)


def _is_simple(kind: Kind, scope: Scope) -> bool:
    sent = lines(scope)
    if not BYPASS_HEADERS.isdisjoint(sent):
        return False
    if not kind.writes:
        return True
    return b"if-none-match" not in sent and (not body_of(scope) or sent.get(b"content-type") == [_JSON])


async def _response(request: Request, operation: SimpleOperation) -> Response:
    operations = app_state(request.scope).operations
    owner = operation.user_id
    match operation:
        case GetTask():
            return read_response(request, await operations.execute(operation))
        case CreateTask():
            writes = IdempotentWrites(request, operations, owner, None)
            return await writes(operation, partial(created_response, request))
        case ToggleTask():
            return await IdempotentWrites(request, operations, owner, None)(operation, task_response)
        case MoveTask():
            return await IdempotentWrites(request, operations, owner, None)(operation, task_response)
