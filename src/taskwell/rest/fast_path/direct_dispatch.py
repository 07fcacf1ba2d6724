"""The plainest requests, answered by the same endpoints without FastAPI between.

To find a route and to work out its parameters costs several times what the rest of a small request does. So
where a request is of one of the commonest kinds and there is nothing unusual about it, its parameters are put
together here. Anything else, and whatever would be refused, goes the usual way: there are no second rules.
"""

import re
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Any, TypeVar, cast
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from taskwell.auth.authorization import access_of
from taskwell.core import strict_json
from taskwell.core.errors import TaskwellError
from taskwell.core.settings import Settings
from taskwell.http.authorization import authorize
from taskwell.http.headers import lines
from taskwell.http.idempotency import IdempotentWrites
from taskwell.http.problems import response_of
from taskwell.http.request_state import body_of, caller_of, request_state
from taskwell.rest.routes import tasks
from taskwell.rest.routing import JSON
from taskwell.schemas.query import KnownQueries, TaskQuery
from taskwell.schemas.task import TaskCreate, TaskToggle
from taskwell.schemas.types import is_user_id

PATH = re.compile(
    r"/api(?:/(?P<user_id>[^/]{1,255}))?/tasks"
    r"(?:/(?P<task_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?P<toggle>/toggle)?)?",
    re.ASCII,
)
# The route, by the last part of a path and by whether a user is named.
ROUTES = {
    (part, named): f"/api{'/{user_id}' * named}/tasks{rest}"
    for part, rest in ((None, ""), ("task_id", "/{task_id}"), ("toggle", "/{task_id}/toggle"))
    for named in (False, True)
}
ROUTES["user_id", True] = ROUTES.pop((None, True))
# With one of these there is more to a request than is understood here.
BYPASS_HEADERS = frozenset(
    {b"prefer", b"idempotency-key", b"if-match", b"if-unmodified-since", b"content-encoding"}
)
_JSON = JSON.encode()
_NO_STATE = TaskToggle()

Answer = partial[Coroutine[Any, Any, Response]]
Model = TypeVar("Model", bound=BaseModel)


class DirectDispatch:
    """Pure ASGI. `queries`: those of lists that were read before, by their very bytes."""

    def __init__(self, app: ASGIApp, settings: Settings, queries: KnownQueries) -> None:
        self.app = app
        self.settings = settings
        self.queries = queries

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        found = PATH.fullmatch(scope["path"]) if request_state(scope).caller else None
        if found is None or not BYPASS_HEADERS.isdisjoint(lines(scope)):
            return self.app(scope, receive, send)
        request = Request(scope, receive)
        answer = self._answer(request, found)
        if answer is None:
            return self.app(scope, receive, send)
        scope["path_params"] = {"user_id": found["user_id"]} if found["user_id"] else {}
        request_state(scope).route = ROUTES[found.lastgroup, bool(found["user_id"])]
        return self._send(request, answer, send)

    async def _send(self, request: Request, answer: Answer, send: Send) -> None:
        try:
            authorize(request, access_of(answer.func))
            state = request_state(request.scope)
            if state.outcome is not None:  # it has been asked for already, see `rest.fast_path.cached_head`
                raise state.take_outcome()
            response = await answer()
        except TaskwellError as error:
            response = response_of(request.scope, error)
        await response(request.scope, request.receive, send)

    def _answer(self, request: Request, found: re.Match[str]) -> Answer | None:
        """The endpoint with its parameters, if the request is plain."""
        owner = found["user_id"] or caller_of(request.scope).user_id
        if not is_user_id(owner):
            return None
        match request.method, found["task_id"], found["toggle"], request.scope["query_string"]:
            case "GET", None, _, query:
                return self._list(request, owner, self.queries.find(query))
            case "GET", str(task_id), None, b"":
                # The canonical text will do: to make an id of it and a text again takes longer than the rest.
                same = cast("UUID", task_id)
                return partial(tasks.get_task, request, request.app.state.database, owner, same)
            case "POST", None, _, b"" if b"if-none-match" not in lines(request.scope):
                return self._create(request, owner)
            case "POST", str(task_id), str(), b"" if b"if-none-match" not in lines(request.scope):
                return self._toggle(request, owner, UUID(task_id))
        return None

    def _list(
        self, request: Request, owner: str, known: tuple[TaskQuery, int | None] | None
    ) -> Answer | None:
        if known is None:
            return None
        query, limit = known
        return partial(tasks.list_tasks, request, request.app.state.database, owner, query, {}, limit)

    def _create(self, request: Request, owner: str) -> Answer | None:
        new = _body(request, TaskCreate)
        if new is None:
            return None
        writes = self._writes(request, owner)
        return partial(tasks.create_task, request, writes, self.settings, owner, new, None)

    def _toggle(self, request: Request, owner: str, task_id: UUID) -> Answer | None:
        state = _body(request, TaskToggle) if body_of(request.scope) else _NO_STATE
        if state is None or self.settings.require_if_match:
            return None
        return partial(tasks.toggle_task, self._writes(request, owner), owner, task_id, None, state)

    def _writes(self, request: Request, owner: str) -> IdempotentWrites:
        return IdempotentWrites(request, request.app.state.database, owner, None)


def _body(request: Request, model: type[Model]) -> Model | None:
    """What the body says, or None if it would be refused: that is told the usual way."""
    if lines(request.scope).get(b"content-type") != [_JSON]:
        return None
    return parsed(body_of(request.scope), model)


def parsed(body: bytes, model: type[Model]) -> Model | None:
    try:
        return model.model_validate(strict_json.loads_body(body))
    except (strict_json.MalformedJson, ValidationError):
        return None
