"""Builds the operations of simple requests without FastAPI.

A simple request is of one of the four most frequent kinds, and has no header or parameter that changes its
meaning. FastAPI's routing and parameter handling would cost several times as much as the rest of the request.
Any other request, and any request that would be refused, goes through FastAPI, so each rule exists once.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from taskwell.auth.authorization import Access, access_of
from taskwell.core import strict_json
from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid
from taskwell.core.settings import Settings
from taskwell.rest.cursors import split_cursor
from taskwell.rest.pages import keyset_of
from taskwell.rest.routes import tasks
from taskwell.schemas.query import QueryCache, TaskQuery
from taskwell.schemas.task import TaskCreate, TaskMove, TaskToggle
from taskwell.schemas.types import DEFAULT_LIMITS, TextLimits, text_limits
from taskwell.services.operations import CreateTask, GetTask, ListTasks, MoveTask, Operation, ToggleTask
from taskwell.services.zones import ZoneOfRequest

PATH = re.compile(
    r"/api(?:/(?P<user_id>[^/]{1,255}))?/tasks"
    r"(?:/(?P<task_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:(?P<toggle>/toggle)|(?P<move>/move))?)?",
    re.ASCII,
)
# The route, by the last part of the path and by whether the path has a user.
ROUTES = {
    (part, with_user): f"/api{'/{user_id}' * with_user}/tasks{rest}"
    for part, rest in (
        (None, ""),
        ("task_id", "/{task_id}"),
        ("toggle", "/{task_id}/toggle"),
        ("move", "/{task_id}/move"),
    )
    for with_user in (False, True)
}
ROUTES["user_id", True] = ROUTES.pop((None, True))
# A request with one of these headers needs more than the operation.
BYPASS_HEADERS = frozenset(
    {b"prefer", b"idempotency-key", b"if-match", b"if-unmodified-since", b"content-encoding"}
)
_NO_STATE = TaskToggle()

Model = TypeVar("Model", bound=BaseModel)
SimpleOperation = GetTask | CreateTask | ToggleTask | MoveTask


class Kind(NamedTuple):
    """A kind of simple request. `access`: what its route requires. `status`: the status of a success."""

    operation: type[Operation[Any]]
    access: Access
    status: int = 200
    writes: bool = False


GET = Kind(GetTask, access_of(tasks.get_task))
LIST = Kind(ListTasks, access_of(tasks.list_tasks))
CREATE = Kind(CreateTask, access_of(tasks.create_task), status=201, writes=True)
TOGGLE = Kind(ToggleTask, access_of(tasks.toggle_task), writes=True)
MOVE = Kind(MoveTask, access_of(tasks.move_task), writes=True)
# By the method and the last part of the path.
KINDS: Mapping[tuple[str, str | None], Kind] = {
    ("GET", "task_id"): GET,
    ("POST", "toggle"): TOGGLE,
    ("POST", "move"): MOVE,
    ("POST", None): CREATE,
    ("POST", "user_id"): CREATE,
    ("GET", None): LIST,
    ("GET", "user_id"): LIST,
}


class AskedList(NamedTuple):
    """A list that is asked for. A filter that depends on the zone has the request's own, or none."""

    query: TaskQuery
    limit: int | None
    cursor: str | None

    def needs_owner(self) -> bool:
        """Whether the list depends on the zone of its owner."""
        task_filter = self.query.filter
        return task_filter.tz is None and task_filter.needs_zone()


class SimpleRequests:
    """Builds the operations of simple requests. `queries`: parsed queries of earlier list requests."""

    def __init__(self, settings: Settings, queries: QueryCache) -> None:
        self._settings = settings
        self._queries = queries
        self._zone = ZoneOfRequest(default=settings.time_zone)
        self._limits = TextLimits(settings.title_max_length, settings.description_max_length)

    def operation(
        self, kind: Kind, owner: str, task_id: str, query: bytes, body: bytes
    ) -> SimpleOperation | None:
        """Of a request for a single task. None: it is not simple."""
        if query or (body and not kind.writes):
            return None
        if kind is GET:
            return GetTask(owner, task_id)
        if kind is CREATE:
            return self._create(owner, body)
        return (self._move if kind is MOVE else self._toggle)(owner, task_id, body)

    def asked_list(self, text: bytes) -> AskedList | None:
        """The list of a query string. None: it is not known."""
        query, cursor = split_cursor(text)
        known = self._queries.find(query)
        return None if known is None else AskedList(*known, cursor)

    def page(self, owner: str, text: bytes) -> ListTasks | None:
        """None: the query is not known, it depends on the zone of its owner, or the cursor is none of it."""
        asked = self.asked_list(text)
        if asked is None or asked.needs_owner():
            return None
        query = asked.query.at(asked.query.filter.tz, utc_now())
        try:
            after = keyset_of(asked.cursor, owner, query)
        except Invalid:
            return None
        return ListTasks(owner, query, asked.limit, after)

    def _create(self, owner: str, body: bytes) -> CreateTask | None:
        if self._limits != DEFAULT_LIMITS:
            text_limits.set(self._limits)
        new = _parsed(body, TaskCreate)
        if new is None:
            return None
        return CreateTask(owner, new, create_user=self._settings.create_users, zone=self._zone)

    def _toggle(self, owner: str, task_id: str, body: bytes) -> ToggleTask | None:
        state = _parsed(body, TaskToggle) if body else _NO_STATE
        if state is None or self._settings.require_if_match:
            return None
        return ToggleTask(owner, task_id, state, zone=self._zone)

    def _move(self, owner: str, task_id: str, body: bytes) -> MoveTask | None:
        move = _parsed(body, TaskMove)
        if move is None or self._settings.require_if_match:
            return None
        return MoveTask(owner, UUID(task_id), move)

    def is_page(self, query: bytes) -> bool:
        """Whether the query is known, and has a `limit`."""
        asked = self.asked_list(query)
        return asked is not None and asked.limit is not None and not asked.needs_owner()


def _parsed(body: bytes, model: type[Model]) -> Model | None:
    """None: the body is invalid. FastAPI then parses it again and creates the error."""
    try:
        return model.model_validate(strict_json.loads_body(body))
    except (strict_json.MalformedJson, ValidationError):
        return None
