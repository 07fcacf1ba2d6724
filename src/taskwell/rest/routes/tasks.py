"""Tasks, mounted twice: at `/api/tasks` for the caller and at `/api/{user_id}/tasks` for the path's user."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from taskwell.auth.authorization import TASKS_READ, TASKS_WRITE, requires
from taskwell.core.errors import PreconditionFailed
from taskwell.database.database import Transaction
from taskwell.http.conditional import (
    IfMatch,
    IfMatchOfList,
    IfMatchUnlessNew,
    creates,
    if_match_of_read,
    if_none_match,
    if_none_match_any,
    is_expected,
)
from taskwell.http.idempotency import REPLAYED, WritesDep
from taskwell.http.problems import inner_path, problems
from taskwell.http.root_path import link
from taskwell.rest.dependencies import (
    Cursor,
    DatabaseDep,
    Limit,
    Owner,
    PathTaskId,
    Preferences,
    SettingsDep,
    preferences,
)
from taskwell.rest.pages import TaskListing, check_of_list
from taskwell.rest.queries import FilterDep, QueryDep
from taskwell.rest.responses import (
    batch_response,
    count_response,
    task_json_response,
    task_response,
    unless_unchanged,
)
from taskwell.rest.routing import TaskwellRoute
from taskwell.rest.state import rest_state
from taskwell.schemas.batch import Batch, BatchResults
from taskwell.schemas.query import TaskQuery
from taskwell.schemas.task import (
    TaskCreate,
    TaskDeleted,
    TaskRead,
    TasksDeleted,
    TaskToggle,
    TaskUpdate,
)
from taskwell.services import batch, tasks, trash
from taskwell.services.sequence import lock
from taskwell.services.task_statements import TaskKey, get_tasks, insert_tasks, new_task, toggle_tasks
from taskwell.services.users import UserNotFound

router = APIRouter(route_class=TaskwellRoute, tags=["tasks"], dependencies=[Depends(preferences)])

_NO_STATE = TaskToggle()

_TEXT = {"schema": {"type": "string"}}
_ETAG = {"ETag": {"description": "The task's version, quoted.", **_TEXT}}
_LIST_ETAG = {"ETag": {"description": "Changes with every change of the user's tasks.", **_TEXT}}
_LOCATION = {"Location": {"description": "The task's path.", **_TEXT}}
_READ: dict[int | str, dict[str, Any]] = {
    200: {"description": "The task.", "headers": _ETAG},
    304: {"description": "The task is as the client knows it.", "headers": _ETAG},
}
_CHANGED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The task.", "headers": {**_ETAG, **REPLAYED}}
}
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {"description": "The new task.", "model": TaskRead, "headers": {**_ETAG, **_LOCATION, **REPLAYED}}
}
# What a write can answer besides; those of one task that exists; those with a body.
_WRITE = ("storage_full", "conflict", "idempotency_key_reused")
_GUARDED = ("not_found", "precondition_failed", "precondition_required", *_WRITE)
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
                    "description": "How many there are in all, if asked for.",
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
    database: DatabaseDep,
    owner: Owner,
    query: QueryDep,
    wanted: Preferences,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The tasks of the filters, newest first if not sorted otherwise. With `limit`, a page of them.

    `Prefer: count=exact` has the answer tell how many there are in all.
    """
    if cursor is None:
        rest_state(request.scope).queries.remember(request.scope["query_string"], query, limit)
    found = TaskListing(request, database, owner, query, limit, cursor)
    return await found.response(counted=wanted.get("count") == "exact")


@router.post(
    "",
    name="create_task",
    response_model=TaskRead,
    status_code=201,
    summary="Create a task",
    responses={**_CREATED, **problems("not_found", "precondition_failed", *_BODY, *_WRITE)},
)
@requires(TASKS_WRITE)
async def create_task(
    request: Request,
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    new: TaskCreate,
    expected: IfMatchOfList,
) -> Response:
    """A user's first task creates the user, unless the server is set to know its users beforehand (404)."""
    path = link(request.scope, inner_path(request.scope)).rstrip("/")
    check = check_of_list(expected, owner)

    async def operation(transaction: Transaction) -> Response:
        if check is not None:
            check(await lock(transaction, owner, create_user=settings.create_users))
        task = await tasks.create_task(transaction, owner, new, create_user=settings.create_users)
        return task_response(task, 201, {"Location": f"{path}/{task.id}"})

    if writes.key is None and check is None:
        with suppress(UserNotFound):  # whom the operation creates, or refuses
            wanted = new_task(owner, new)
            task = await writes.together(insert_tasks, wanted)
            return task_json_response(task, 201, (b"location", f"{path}/{wanted.id}".encode()))
    return await writes(operation)


@router.delete(
    "",
    name="delete_tasks",
    response_model=TasksDeleted,
    summary="Delete many tasks",
    responses={
        200: {"description": "How many.", "headers": REPLAYED},
        **problems("precondition_failed", *_WRITE),
    },
)
@requires(TASKS_WRITE)
async def delete_tasks(
    writes: WritesDep, owner: Owner, meant: FilterDep, expected: IfMatchOfList
) -> Response:
    """Move the tasks of the filters to the trash; without a filter, all of them.

    A parameter that is blank or not known is refused, whatever the request prefers: a slip would delete much.
    """
    check = check_of_list(expected, owner, TaskQuery(meant))

    async def operation(transaction: Transaction) -> Response:
        return count_response(await trash.delete_tasks(transaction, owner, meant, check))

    return await writes(operation)


@router.post(
    "/batch",
    name="run_batch",
    response_model=BatchResults,
    summary="Do many things at once",
    responses={
        200: {"description": "One result for each operation, in their order.", "headers": REPLAYED},
        **problems(*_BODY, *_GUARDED),
    },
)
@requires(TASKS_WRITE)
async def run_batch(
    writes: WritesDep, settings: SettingsDep, owner: Owner, wanted: Batch, expected: IfMatchOfList
) -> Response:
    """All operations happen or none does. A problem names the `index` of the operation that failed."""
    check = check_of_list(expected, owner)

    async def operation(transaction: Transaction) -> Response:
        if check is not None:
            check(await lock(transaction, owner, create_user=settings.create_users))
        results = await batch.run_batch(
            transaction,
            owner,
            wanted.operations,
            create_user=settings.create_users,
            require_versions=settings.require_if_match,
        )
        return batch_response(results)

    return await writes(operation)


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
    request: Request,
    database: DatabaseDep,
    owner: Owner,
    task_id: PathTaskId,
) -> Response:
    """With `If-None-Match`, 304 while the task is as the client knows it."""
    task = await database.look_up(get_tasks, TaskKey(owner, str(task_id)))
    if not is_expected(request, str(task.version)):
        raise PreconditionFailed(task.version)
    return unless_unchanged(request, task_json_response(task))


@router.patch(
    "/{task_id}",
    name="update_task",
    response_model=TaskRead,
    summary="Change a task",
    responses={**_CHANGED, **problems(*_BODY, *_GUARDED)},
)
@requires(TASKS_WRITE)
async def update_task(
    writes: WritesDep, owner: Owner, task_id: PathTaskId, changes: TaskUpdate, expected: IfMatch
) -> Response:
    """Merge (RFC 7396): what is absent stays as it is, `null` clears the description."""

    async def operation(transaction: Transaction) -> Response:
        return task_response(await tasks.update_task(transaction, owner, task_id, changes, expected=expected))

    return await writes(operation)


@router.put(
    "/{task_id}",
    name="put_task",
    response_model=TaskRead,
    summary="Change a task, or create it under an id of one's own",
    dependencies=[Depends(if_none_match_any)],
    responses={**_CHANGED, **_CREATED, **problems(*_BODY, *_GUARDED)},
)
@requires(TASKS_WRITE)
async def put_task(
    request: Request,
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    task_id: PathTaskId,
    changes: TaskUpdate,
    expected: IfMatchUnlessNew,
) -> Response:
    """Change a task as PATCH does. With `If-None-Match: *`, create this very task, which needs a title."""
    new = creates(request)

    async def operation(transaction: Transaction) -> Response:
        if not new:
            return task_response(
                await tasks.update_task(transaction, owner, task_id, changes, expected=expected)
            )
        task = await tasks.put_task(transaction, owner, task_id, changes, create_user=settings.create_users)
        return task_response(
            task, 201, {"Location": link(request.scope, inner_path(request.scope)).rstrip("/")}
        )

    return await writes(operation)


@router.delete(
    "/{task_id}",
    name="delete_task",
    status_code=204,
    summary="Delete a task",
    responses={
        200: {
            "description": "The deleted task, if asked for.",
            "model": TaskDeleted,
            "headers": {**_ETAG, **REPLAYED},
        },
        204: {"description": "Deleted.", "headers": REPLAYED},
        **problems(*_GUARDED),
    },
)
@requires(TASKS_WRITE)
async def delete_task(
    writes: WritesDep, owner: Owner, task_id: PathTaskId, expected: IfMatch, wanted: Preferences
) -> Response:
    """Move the task to the trash. With `Prefer: return=representation` the answer shows it."""

    async def operation(transaction: Transaction) -> Response:
        task = await tasks.delete_task(transaction, owner, task_id, expected=expected)
        if wanted.get("return") != "representation":
            return Response(status_code=204)
        return task_response(task, headers={"Preference-Applied": "return=representation"})

    return await writes(operation)


@router.post(
    "/{task_id}/restore",
    name="restore_task",
    response_model=TaskRead,
    summary="Restore a task",
    responses={**_CHANGED, **problems(*_GUARDED)},
)
@requires(TASKS_WRITE)
async def restore_task(writes: WritesDep, owner: Owner, task_id: PathTaskId, expected: IfMatch) -> Response:
    """Take the task out of the trash. One that is not in it stays as it is."""

    async def operation(transaction: Transaction) -> Response:
        return task_response(await tasks.restore_task(transaction, owner, task_id, expected=expected))

    return await writes(operation)


@router.patch(
    "/{task_id}/complete",
    name="complete_task",
    response_model=TaskRead,
    summary="Toggle a task (as POST toggle does)",
    responses={**_CHANGED, **problems(*_BODY, *_GUARDED)},
)
@router.post(
    "/{task_id}/toggle",
    name="toggle_task",
    response_model=TaskRead,
    summary="Toggle a task",
    responses={**_CHANGED, **problems(*_BODY, *_GUARDED)},
)
@requires(TASKS_WRITE)
async def toggle_task(
    writes: WritesDep, owner: Owner, task_id: PathTaskId, expected: IfMatch, state: TaskToggle = _NO_STATE
) -> Response:
    """Without a body the task is turned over, and back by a retry; `{"completed": true}` sets its state."""

    async def operation(transaction: Transaction) -> Response:
        return task_response(await tasks.toggle_task(transaction, owner, task_id, state, expected=expected))

    if writes.key is None and expected is None and not state.model_fields_set:
        return task_json_response(await writes.together(toggle_tasks, TaskKey(owner, str(task_id))))
    return await writes(operation)
