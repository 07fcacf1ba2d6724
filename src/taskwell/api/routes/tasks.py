"""Tasks, mounted twice: at `/api/tasks` for the caller and at `/api/{user_id}/tasks` for the path's user."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from taskwell.api.dependencies import (
    Cursor,
    DatabaseDep,
    Limit,
    Owner,
    Preferences,
    SettingsDep,
    TaskId,
    preferences,
)
from taskwell.api.problems import path_as_sent, problems
from taskwell.api.responses import page_response, task_response, whole_response
from taskwell.api.routing import TaskwellRoute
from taskwell.schemas.task import TaskCreate, TaskDeleted, TaskRead, TaskToggle, TaskUpdate
from taskwell.services import tasks

router = APIRouter(route_class=TaskwellRoute, tags=["tasks"], dependencies=[Depends(preferences)])

_WRITE = ("payload_too_large", "unsupported_media_type", "storage_full")
_NO_STATE = TaskToggle()
_ETAG = {"ETag": {"description": "The task's version, quoted.", "schema": {"type": "string"}}}
_TASK: dict[int | str, dict[str, Any]] = {200: {"description": "The task.", "headers": _ETAG}}


@router.get(
    "",
    response_model=list[TaskRead],
    summary="List tasks",
    responses={
        200: {
            "description": "Tasks, newest first.",
            "headers": {
                "Link": {
                    "description": '`rel="next"` while there is more; only with `limit`.',
                    "schema": {"type": "string"},
                }
            },
        },
        **problems(),
    },
)
async def list_tasks(
    request: Request,
    database: DatabaseDep,
    owner: Owner,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """All tasks that are not in the trash, newest first. With `limit`, a page of them."""

    async def fetch(most: int, after: Any) -> list[TaskRead]:
        return await database.read(tasks.list_tasks, owner, limit=most, after=after)

    if limit is None:
        return await whole_response(owner, cursor, fetch)
    return await page_response(request, owner, limit, cursor, fetch)


@router.post(
    "",
    response_model=TaskRead,
    status_code=201,
    summary="Create a task",
    responses={
        201: {
            "description": "The new task.",
            "headers": {
                **_ETAG,
                "Location": {"description": "The task's path.", "schema": {"type": "string"}},
            },
        },
        **problems("not_found", *_WRITE),
    },
)
async def create_task(
    request: Request, database: DatabaseDep, settings: SettingsDep, owner: Owner, new: TaskCreate
) -> Response:
    """A user's first task creates the user, unless the server is set to know its users beforehand (404)."""
    task = await database.run(tasks.create_task, owner, new, create_user=settings.create_users)
    location = f"{path_as_sent(request.scope).rstrip('/')}/{task.id}"
    return task_response(task, 201, {"Location": location})


@router.get(
    "/{task_id}",
    response_model=TaskRead,
    summary="Read a task",
    responses={**_TASK, **problems("not_found")},
)
async def get_task(database: DatabaseDep, owner: Owner, task_id: TaskId) -> Response:
    return task_response(await database.read(tasks.get_task, owner, task_id))


@router.put(
    "/{task_id}",
    name="put_task",
    response_model=TaskRead,
    summary="Change a task (as PATCH does)",
    responses={**_TASK, **problems("not_found", *_WRITE)},
)
@router.patch(
    "/{task_id}",
    response_model=TaskRead,
    summary="Change a task",
    responses={**_TASK, **problems("not_found", *_WRITE)},
)
async def update_task(database: DatabaseDep, owner: Owner, task_id: TaskId, changes: TaskUpdate) -> Response:
    """Merge (RFC 7396): what is absent stays as it is, `null` clears the description. PUT does the same."""
    return task_response(await database.run(tasks.update_task, owner, task_id, changes))


@router.delete(
    "/{task_id}",
    status_code=204,
    summary="Delete a task",
    responses={
        200: {"description": "The deleted task, if asked for.", "model": TaskDeleted, "headers": _ETAG},
        204: {"description": "Deleted."},
        **problems("not_found", "storage_full"),
    },
)
async def delete_task(database: DatabaseDep, owner: Owner, task_id: TaskId, wanted: Preferences) -> Response:
    """Move the task to the trash. With `Prefer: return=representation` the answer shows it."""
    task = await database.run(tasks.delete_task, owner, task_id)
    if wanted.get("return") != "representation":
        return Response(status_code=204)
    return task_response(task, headers={"Preference-Applied": "return=representation"})


@router.patch(
    "/{task_id}/complete",
    name="complete_task",
    response_model=TaskRead,
    summary="Toggle a task (as POST toggle does)",
    responses={**_TASK, **problems("not_found", *_WRITE)},
)
@router.post(
    "/{task_id}/toggle",
    response_model=TaskRead,
    summary="Toggle a task",
    responses={**_TASK, **problems("not_found", *_WRITE)},
)
async def toggle_task(
    database: DatabaseDep, owner: Owner, task_id: TaskId, state: TaskToggle = _NO_STATE
) -> Response:
    """Without a body the task is turned over, and back by a retry; `{"completed": true}` sets its state."""
    return task_response(await database.run(tasks.toggle_task, owner, task_id, state))
