"""The history and its undoing, mounted twice as tasks are."""

from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.auth.authorization import TASKS_EDIT, TASKS_READ, TASKS_WRITE, requires
from taskwell.core.errors import Invalid, Violation
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import problems
from taskwell.models.base import SEQUENCE_END
from taskwell.rest.cursors import bad_cursor, decode_cursor, encode_cursor
from taskwell.rest.dependencies import (
    CallerDep,
    Cursor,
    Limit,
    OperationsDep,
    Owner,
    PathListId,
    PathTaskId,
    WritesDep,
    preferences,
    some_of,
)
from taskwell.rest.pages import NEXT_PAGE, next_link
from taskwell.rest.routing import TaskwellRoute
from taskwell.schemas.base import Moment
from taskwell.schemas.change import KINDS, Kind
from taskwell.schemas.history import (
    OPS,
    VIAS,
    ClientName,
    CompletionRead,
    HistoryEntry,
    TokenOrMe,
    UndoRequest,
    UndoResult,
    completions_json,
    entries_json,
    undo_json,
)
from taskwell.schemas.query import ID_PATTERN
from taskwell.schemas.task_list import ListId
from taskwell.schemas.types import TaskId
from taskwell.services.history import DELETED, FIELDS
from taskwell.services.history_operations import GetObjectHistory, ListCompletions, ListHistory, Undo
from taskwell.services.history_query import HistoryFilter, HistoryPage
from taskwell.services.operations import ReadOperation

router = APIRouter(route_class=TaskwellRoute, tags=["history"], dependencies=[Depends(preferences)])
# Below a task or a list, whose paths are longer than those of this router.
task_router = APIRouter(route_class=TaskwellRoute, tags=["history"], dependencies=[Depends(preferences)])
list_router = APIRouter(route_class=TaskwellRoute, tags=["history"], dependencies=[Depends(preferences)])

DEFAULT_LIMIT = 100
_JSON = "application/json"
_NAMES = tuple(dict.fromkeys((*(name for names in FIELDS.values() for name in names), DELETED)))


def _one_of(names: tuple[str, ...], code: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in names:
            raise PydanticCustomError("invalid_" + code, "must be one of " + ", ".join(names))
        return value

    return check


# Empty as an example: with the example of `task` it would be a contradiction.
_ID_OR_EMPTY = WithJsonSchema({"type": "string", "pattern": f"^({ID_PATTERN})?$", "examples": [""]})


def _enum(names: tuple[str, ...]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(names)})


def _number(value: object) -> int:
    text = str(value)
    if not (text.isascii() and text.isdecimal()) or len(text) > 16:
        raise PydanticCustomError("invalid_version", "must be a version, a whole number")
    return int(text)


Version = Annotated[
    int | None,
    BeforeValidator(_number),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": SEQUENCE_END - 1}),
]


async def filter_of_request(  # noqa: PLR0913, PLR0917 (one for each parameter of the query)
    caller: CallerDep,
    token: Annotated[
        TokenOrMe | None,
        Query(description="What a token wrote; `me` is the token of the request."),
    ] = None,
    client: Annotated[ClientName | None, Query(description="What a program wrote.")] = None,
    via: Annotated[
        str | None,
        AfterValidator(_one_of(VIAS, "via")),
        _enum(VIAS),
        Query(description="What was written by this protocol."),
    ] = None,
    op: Annotated[
        str | None,
        *some_of(OPS, "invalid_op"),
        Query(description="Only these kinds of writes, comma-separated.", examples=["completed,deleted"]),
    ] = None,
    field: Annotated[
        str | None,
        AfterValidator(_one_of(_NAMES, "field")),
        _enum(_NAMES),
        Query(description="Only writes that changed this field."),
    ] = None,
    after: Annotated[Moment | None, Query(description="Only what was written after this instant.")] = None,
    before: Annotated[Moment | None, Query(description="Only what was written before this instant.")] = None,
    since: Annotated[
        Version,
        Query(description="Only versions after this one, oldest first, for followers. Else newest first."),
    ] = None,
) -> HistoryFilter:
    if token == "me":  # noqa: S105 (no password)
        token = caller.actor.token_id
        if token is None:
            raise Invalid(Violation("query", "token", "no_such_token", "the request has no API token"))
    return HistoryFilter(
        ops=tuple(dict.fromkeys(op.split(","))) if op else (),
        field=field,
        token_id=token,
        client=client,
        via=via,
        after=after,
        before=before,
        since=since,
    )


Filter = Annotated[HistoryFilter, Depends(filter_of_request)]
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The records.",
        "headers": {
            "History-Since": {
                "description": "The version after which the history is whole.",
                "schema": {"type": "integer"},
            },
            **NEXT_PAGE,
        },
    }
}


@router.get(
    "/history",
    name="list_history",
    response_model=list[HistoryEntry],
    summary="List what changed",
    responses={**_PAGE, **problems("gone")},
)
@requires(TASKS_READ)
async def list_history(  # noqa: PLR0913, PLR0917 (one for each parameter of the query)
    request: Request,
    operations: OperationsDep,
    owner: Owner,
    found: Filter,
    kind: Annotated[
        Kind | None,
        BeforeValidator(_one_of(KINDS, "kind")),
        _enum(KINDS),
        Query(description="Only tasks, lists or labels."),
    ] = None,
    task: Annotated[TaskId | None, Query(description="Only this task.")] = None,
    list_id: Annotated[
        ListId | None, _ID_OR_EMPTY, Query(alias="list", description="Only this list.")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """What each write did, and who wrote, newest first: one record for each version of a task, list or label.

    Without `limit` a page has 100 records.
    """
    both: tuple[tuple[object, Kind], ...] = ((task, "task"), (list_id, "list"))
    named = [one for one in both if one[0] is not None]
    if len(named) > 1:
        raise Invalid(Violation("query", "list", "contradiction", "must not come together with task"))
    found = replace(found, kind=kind)
    for object_id, its_kind in named:
        if kind not in (None, its_kind):
            raise Invalid(Violation("query", "kind", "contradiction", f"must be {its_kind} here"))
        found = _of(found, its_kind, object_id)
    return await _page(request, operations, partial(ListHistory, owner, found), found, limit, cursor)


@task_router.get(
    "/{task_id}/history",
    name="get_task_history",
    response_model=list[HistoryEntry],
    summary="List what changed in a task",
    responses={**_PAGE, **problems("not_found", "gone")},
)
@requires(TASKS_READ)
async def get_task_history(
    request: Request,
    operations: OperationsDep,
    owner: Owner,
    task_id: PathTaskId,
    found: Filter,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """What each write did to a task, alive or in the trash, as `list_history` shows it."""
    found = _of(found, "task", task_id)
    make = partial(GetObjectHistory, owner, task_id, found)
    return await _page(request, operations, make, found, limit, cursor)


@task_router.get(
    "/{task_id}/completions",
    name="list_completions",
    response_model=list[CompletionRead],
    summary="List the completed occurrences of a task",
    responses={
        200: {
            "description": "The occurrences.",
            "headers": NEXT_PAGE,
        },
        **problems("not_found"),
    },
)
@requires(TASKS_READ)
async def list_completions(
    request: Request,
    operations: OperationsDep,
    owner: Owner,
    task_id: PathTaskId,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The occurrences of a recurring task that were completed or skipped, newest first, as long as it exists.

    Those undone are left out. Without `limit` a page has 100.
    """
    query = ["completions", str(task_id)]
    position = _position(cursor, query) if cursor else None
    found, more = await operations.execute(ListCompletions(owner, task_id, limit or DEFAULT_LIMIT, position))
    headers = {}
    if more:
        following = encode_cursor([str(found[-1].version)], query=query)
        headers["Link"] = next_link(request.scope, following)
    return Response(completions_json(found), headers=headers, media_type=_JSON)


@list_router.get(
    "/{list_id}/history",
    name="get_list_history",
    response_model=list[HistoryEntry],
    summary="List what changed in a list",
    responses={**_PAGE, **problems("not_found", "gone")},
)
@requires(TASKS_READ)
async def get_list_history(
    request: Request,
    operations: OperationsDep,
    owner: Owner,
    list_id: PathListId,
    found: Filter,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """What each write did to a list itself, as `list_history` shows it. Its tasks have their own."""
    found = _of(found, "list", list_id)
    make = partial(GetObjectHistory, owner, list_id, found)
    return await _page(request, operations, make, found, limit, cursor)


def _of(found: HistoryFilter, kind: Kind, object_id: object) -> HistoryFilter:
    """The filter, of one object."""
    return replace(found, kind=kind, object_id=str(object_id))


async def _page(
    request: Request,
    operations: OperationsDep,
    make: Callable[[int, int | None], ReadOperation[HistoryPage]],
    found: HistoryFilter,
    limit: int | None,
    cursor: str | None,
) -> Response:
    query = [*map(str, astuple(found))]
    position = _position(cursor, query) if cursor else None
    page = await operations.execute(make(limit or DEFAULT_LIMIT, position))
    headers = {} if cursor else {"History-Since": str(page.start)}
    if page.more:
        following = encode_cursor([str(page.entries[-1].version)], query=query)
        headers["Link"] = next_link(request.scope, following)
    return Response(entries_json(page.entries), headers=headers, media_type=_JSON)


def _position(cursor: str, query: list[str]) -> int:
    (text, *more) = decode_cursor(cursor, query=query)
    if more or not text.isdecimal():
        raise bad_cursor()
    return int(text)


@router.post(
    "/undo",
    name="undo",
    response_model=UndoResult,
    summary="Undo changes",
    responses={
        200: {"description": "What was undone, and what was left as it is.", "headers": REPLAYED},
        **problems(
            "payload_too_large",
            "unsupported_media_type",
            "storage_full",
            "conflict",
            "idempotency_key_reused",
        ),
    },
)
@requires(TASKS_EDIT)
async def undo(writes: WritesDep, owner: Owner, caller: CallerDep, body: UndoRequest) -> Response:
    """Change tasks and lists back, field by field, all in one transaction.

    A token without `tasks:write` undoes only what it has written itself.

    A field that another write has changed since is left, and named in `left`. What was created goes to the
    trash, what was deleted comes back. The undoing is recorded, and can be undone. At most 1,000 objects.
    """
    own_only = TASKS_WRITE not in caller.scopes
    return await writes(Undo(owner, body, own_only), _undo_response)


def _undo_response(result: UndoResult) -> Response:
    return Response(undo_json(result), media_type=_JSON)
