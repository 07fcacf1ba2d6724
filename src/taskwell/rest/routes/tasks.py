"""Tasks, mounted twice: at `/api/tasks` for the caller and at `/api/{user_id}/tasks` for the path's user."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from taskwell.auth.authorization import TASKS_EDIT, TASKS_READ, TASKS_WRITE, Caller, requires
from taskwell.core.errors import Forbidden
from taskwell.http.conditional import (
    IfMatch,
    IfMatchOfList,
    IfMatchUnlessNew,
    creates,
    if_match_of_read,
    if_none_match,
    if_none_match_any,
)
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import inner_path, problems
from taskwell.http.root_path import link
from taskwell.rest.cursors import split_cursor
from taskwell.rest.dependencies import (
    CallerDep,
    Cursor,
    Limit,
    OperationsDep,
    Owner,
    PathTaskId,
    Preferences,
    SettingsDep,
    WritesDep,
    ZoneDep,
    preferences,
)
from taskwell.rest.pages import TaskListing, check_of_list
from taskwell.rest.queries import Fields, FilterDep, QueryDep
from taskwell.rest.responses import (
    batch_response,
    count_response,
    created_response,
    no_content,
    read_response,
    task_response,
    with_fields,
)
from taskwell.rest.routing import TaskwellRoute
from taskwell.rest.state import rest_state
from taskwell.rest.text_limits import within_limits
from taskwell.schemas.batch import Batch, BatchResults, Operation, UpdateOperation
from taskwell.schemas.query import TaskQuery
from taskwell.schemas.task import (
    TaskCreate,
    TaskDeleted,
    TaskMove,
    TaskRead,
    TasksDeleted,
    TaskSkip,
    TaskToggle,
    TaskUpdate,
)
from taskwell.services.batch import RunBatch
from taskwell.services.operations import (
    CreateTask,
    DeleteTask,
    DeleteTasks,
    GetTask,
    MoveTask,
    Operations,
    PutTask,
    RestoreTask,
    SkipTask,
    ToggleTask,
    UpdateTask,
)

router = APIRouter(route_class=TaskwellRoute, tags=["tasks"], dependencies=[Depends(preferences)])

_NO_STATE = TaskToggle()
_PRESENT = TaskSkip()

_TEXT = {"schema": {"type": "string"}}
_ETAG = {"ETag": {"description": "The task's version, quoted.", **_TEXT}}
_LIST_ETAG = {"ETag": {"description": "Changes with every change of the user's tasks.", **_TEXT}}
_LOCATION = {"Location": {"description": "The task's path.", **_TEXT}}
_READ: dict[int | str, dict[str, Any]] = {
    200: {"description": "The task.", "headers": _ETAG},
    304: {"description": "The task has not changed.", "headers": _ETAG},
}
_CHANGED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The task.", "headers": {**_ETAG, **REPLAYED}}
}
_COMPLETION = {
    "Completion": {
        "description": "Where an occurrence of a recurring task was completed: the version that undoes it, "
        "or the first and the last one, as `41-43`, if completed subtasks were reopened.",
        **_TEXT,
    }
}
_COMPLETED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The task.", "headers": {**_ETAG, **_COMPLETION, **REPLAYED}}
}
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {"description": "The new task.", "model": TaskRead, "headers": {**_ETAG, **_LOCATION, **REPLAYED}}
}
# The problems of every write, of a write to an existing task, and of a request with a body.
_WRITE = ("storage_full", "conflict", "idempotency_key_reused")
_CONDITIONAL = ("not_found", "precondition_failed", "precondition_required", *_WRITE)
_BODY = ("payload_too_large", "unsupported_media_type")


@router.get(
    "",
    name="list_tasks",
    response_model=list[TaskRead],
    summary="List tasks",
    dependencies=[Depends(if_match_of_read), Depends(if_none_match)],
    responses={
        200: {
            "description": "The tasks; with `deleted=true` each has `deleted_at` too.",
            "headers": {
                **_LIST_ETAG,
                "Link": {"description": '`rel="next"` while there is more; only with `limit`.', **_TEXT},
                "X-Total-Count": {
                    "description": "The number of all tasks of the list; only with `Prefer: count=exact`.",
                    "schema": {"type": "integer"},
                },
            },
        },
        304: {"description": "No task of the user has changed.", "headers": _LIST_ETAG},
        **problems("precondition_failed"),
    },
)
@requires(TASKS_READ)
async def list_tasks(
    request: Request,
    operations: OperationsDep,
    owner: Owner,
    query: QueryDep,
    preferred: Preferences,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The tasks of the filters, newest first if not sorted otherwise. With `limit`, a page of them.

    With `Prefer: count=exact`, `X-Total-Count` is the number of all of them.
    """
    text, cursor_at_end = split_cursor(request.scope["query_string"])
    if cursor == cursor_at_end:  # other requests for its pages are simple ones from now on
        zone = query.filter.tz if request.query_params.get("tz") else None
        rest_state(request.scope).queries.remember(text, query.without_clock(zone), limit)
    listing = TaskListing(request, operations, owner, query, limit, cursor)
    return await listing.response(counted=preferred.get("count") == "exact")


@router.post(
    "",
    name="create_task",
    response_model=TaskRead,
    status_code=201,
    summary="Create a task",
    responses={**_CREATED, **problems("not_found", "precondition_failed", *_BODY, *_WRITE)},
)
@requires(TASKS_EDIT)
async def create_task(
    request: Request,
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    new: TaskCreate,
    expected: IfMatchOfList,
    zone: ZoneDep,
) -> Response:
    """A user's first task creates the user, unless the server creates no users by itself (404)."""
    check = check_of_list(expected, owner)
    operation = CreateTask(owner, new, create_user=settings.create_users, check=check, zone=zone)
    return await writes(operation, partial(created_response, request))


@router.delete(
    "",
    name="delete_tasks",
    response_model=TasksDeleted,
    summary="Delete many tasks",
    responses={
        200: {"description": "The number of deleted tasks.", "headers": REPLAYED},
        **problems("precondition_failed", *_WRITE),
    },
)
@requires(TASKS_WRITE)
async def delete_tasks(
    writes: WritesDep, owner: Owner, task_filter: FilterDep, expected: IfMatchOfList
) -> Response:
    """Move the tasks of the filters to the trash; without a filter, all of them.

    A blank or unknown parameter is always refused: a typo would delete too much.
    """
    operation = DeleteTasks(owner, task_filter, check_of_list(expected, owner, TaskQuery(task_filter)))
    return await writes(operation, count_response)


@router.post(
    "/batch",
    name="run_batch",
    response_model=BatchResults,
    summary="Run several operations",
    responses={
        200: {"description": "One result for each operation, in their order.", "headers": REPLAYED},
        **problems(*_BODY, *_CONDITIONAL),
    },
)
@requires(TASKS_EDIT)
async def run_batch(
    writes: WritesDep,
    caller: CallerDep,
    settings: SettingsDep,
    owner: Owner,
    batch: Batch,
    expected: IfMatchOfList,
    zone: ZoneDep,
) -> Response:
    """Run operations in one transaction: all or none. A problem has the `index` of the one that failed.

    An operation that deletes requires the scope `tasks:write`.
    """
    _authorize_deletions(caller, batch.operations)
    operation = RunBatch(
        owner,
        await _within_limits(writes.operations, owner, batch.operations),
        create_user=settings.create_users,
        require_versions=settings.require_if_match,
        check=check_of_list(expected, owner),
        zone=zone,
    )
    return await writes(operation, batch_response)


def _authorize_deletions(caller: Caller, steps: Sequence[Operation]) -> None:
    """Raise Forbidden at the first step that deletes, unless the caller may delete."""
    for index, step in enumerate(steps):
        if step.op == "delete" and TASKS_WRITE not in caller.scopes:
            error = Forbidden(scope=TASKS_WRITE)
            error.index = index
            raise error


async def _within_limits(
    operations: Operations, owner: str, steps: Sequence[Operation]
) -> Sequence[Operation]:
    for index, step in enumerate(steps):
        if isinstance(step, UpdateOperation):
            pointer = f"/operations/{index}/task"
            step.task = await within_limits(operations, owner, step.id, step.task, pointer)
    return steps


@router.get(
    "/{task_id}",
    name="get_task",
    response_model=TaskRead,
    summary="Read a task",
    dependencies=[Depends(if_match_of_read), Depends(if_none_match)],
    responses={**_READ, **problems("not_found", "precondition_failed")},
)
@requires(TASKS_READ)
async def get_task(
    request: Request, operations: OperationsDep, owner: Owner, task_id: PathTaskId, fields: Fields = None
) -> Response:
    """With `If-None-Match`, 304 while the task has not changed."""
    task = await operations.execute(GetTask(owner, task_id))
    return read_response(request, task if fields is None else with_fields(task, fields))


@router.patch(
    "/{task_id}",
    name="update_task",
    response_model=TaskRead,
    summary="Change a task",
    responses={**_COMPLETED, **problems(*_BODY, *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def update_task(
    writes: WritesDep,
    owner: Owner,
    task_id: PathTaskId,
    changes: TaskUpdate,
    expected: IfMatch,
    zone: ZoneDep,
) -> Response:
    """Merge (RFC 7396): absent members stay unchanged, `null` clears what may be empty."""
    changes = await within_limits(writes.operations, owner, task_id, changes)
    return await writes(UpdateTask(owner, task_id, changes, expected, zone), task_response)


@router.put(
    "/{task_id}",
    name="put_task",
    response_model=TaskRead,
    summary="Change a task, or create it with a chosen id",
    dependencies=[Depends(if_none_match_any)],
    responses={**_COMPLETED, **_CREATED, **problems(*_BODY, *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def put_task(
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    task_id: PathTaskId,
    changes: TaskUpdate,
    expected: IfMatchUnlessNew,
    zone: ZoneDep,
) -> Response:
    """Change a task as PATCH does. With `If-None-Match: *`, create it with this id; the title is required."""
    new = creates(writes.request)
    changes = await within_limits(writes.operations, owner, None if new else task_id, changes)
    if not new:
        return await writes(UpdateTask(owner, task_id, changes, expected, zone), task_response)
    scope = writes.request.scope
    location = link(scope, inner_path(scope)).rstrip("/")
    created = partial(task_response, status=201, headers={"Location": location})
    operation = PutTask(owner, task_id, changes, create_user=settings.create_users, zone=zone)
    return await writes(operation, created)


@router.delete(
    "/{task_id}",
    name="delete_task",
    status_code=204,
    summary="Delete a task",
    responses={
        200: {
            "description": "The deleted task; only with `Prefer: return=representation`.",
            "model": TaskDeleted,
            "headers": {**_ETAG, **REPLAYED},
        },
        204: {"description": "Deleted.", "headers": REPLAYED},
        **problems(*_CONDITIONAL),
    },
)
@requires(TASKS_WRITE)
async def delete_task(
    writes: WritesDep, owner: Owner, task_id: PathTaskId, expected: IfMatch, preferred: Preferences
) -> Response:
    """Move the task to the trash. With `Prefer: return=representation` the response contains it."""
    operation = DeleteTask(owner, task_id, expected)
    if preferred.get("return") != "representation":
        return await writes(operation, no_content)
    shown = partial(task_response, headers={"Preference-Applied": "return=representation"})
    return await writes(operation, shown)


@router.post(
    "/{task_id}/restore",
    name="restore_task",
    response_model=TaskRead,
    summary="Restore a task",
    responses={**_CHANGED, **problems(*_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def restore_task(writes: WritesDep, owner: Owner, task_id: PathTaskId, expected: IfMatch) -> Response:
    """Move the task out of the trash. A task that is not in the trash stays unchanged."""
    return await writes(RestoreTask(owner, task_id, expected), task_response)


@router.post(
    "/{task_id}/move",
    name="move_task",
    response_model=TaskRead,
    summary="Move a task",
    responses={**_CHANGED, **problems(*_BODY, *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def move_task(
    writes: WritesDep, owner: Owner, task_id: PathTaskId, move: TaskMove, expected: IfMatch
) -> Response:
    """Put the task beside another one, and into another list or below another task if the body says so."""
    return await writes(MoveTask(owner, task_id, move, expected), task_response)


@router.patch(
    "/{task_id}/complete",
    name="complete_task",
    response_model=TaskRead,
    summary="Toggle a task (as POST toggle does)",
    responses={**_COMPLETED, **problems(*_BODY, *_CONDITIONAL)},
)
@router.post(
    "/{task_id}/toggle",
    name="toggle_task",
    response_model=TaskRead,
    summary="Toggle a task",
    responses={**_COMPLETED, **problems(*_BODY, *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def toggle_task(
    writes: WritesDep,
    owner: Owner,
    task_id: PathTaskId,
    expected: IfMatch,
    zone: ZoneDep,
    state: TaskToggle = _NO_STATE,
) -> Response:
    """Without a body, invert the task's state, so that a retry reverts it; `{"completed": true}` sets it.

    A task that recurs stays open: its dates move to the next occurrence. Send the `occurrence` that is meant,
    so that a retry does not complete the next one too.
    """
    return await writes(ToggleTask(owner, task_id, state, expected, zone), task_response)


@router.post(
    "/{task_id}/skip",
    name="skip_occurrence",
    response_model=TaskRead,
    summary="Skip an occurrence",
    responses={**_CHANGED, **problems(*_BODY, *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def skip_occurrence(
    writes: WritesDep,
    owner: Owner,
    task_id: PathTaskId,
    expected: IfMatch,
    zone: ZoneDep,
    skip: TaskSkip = _PRESENT,
) -> Response:
    """Move a recurring task to its next occurrence without completing this one; the last one is cancelled.

    A task that does not recur, or is completed, is a 409.
    """
    return await writes(SkipTask(owner, task_id, skip, expected, zone), task_response)
