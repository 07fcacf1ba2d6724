"""Users."""

from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from taskwell.auth.authorization import ACCOUNT, ADMIN, TASKS_READ, requires
from taskwell.http.app_state import app_state
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import problems
from taskwell.http.root_path import link
from taskwell.http.sse import STREAMING_HEADERS
from taskwell.rest.dependencies import (
    CallerDep,
    DatabaseDep,
    SettingsDep,
    WritesDep,
    preferences,
    refuse_reserved,
)
from taskwell.rest.responses import no_content, user_response
from taskwell.rest.routing import TaskwellRoute
from taskwell.schemas.types import KnownUserId
from taskwell.schemas.user import UserCreate, UserRead, UserUpdate
from taskwell.services import users
from taskwell.services.export import export_lines
from taskwell.services.operations import CreateUser, DeleteUser, UpdateUser

router = APIRouter(route_class=TaskwellRoute, tags=["users"], dependencies=[Depends(preferences)])

_TEXT = {"schema": {"type": "string"}}


# Not `user_id`, which names the owner of tasks: idempotency keys belong to the caller, not to this user.
async def user_of_path(
    user_id: Annotated[KnownUserId, Path(alias="id", description="The user's id.")], database: DatabaseDep
) -> str:
    await refuse_reserved(database, "id", user_id)
    return user_id


PathUserId = Annotated[str, Depends(user_of_path)]


@router.post(
    "",
    name="create_user",
    response_model=UserRead,
    status_code=201,
    summary="Create a user",
    responses={
        201: {
            "description": "The new user.",
            "headers": {"Location": {"description": "The user's path.", **_TEXT}, **REPLAYED},
        },
        **problems(
            "conflict",
            "payload_too_large",
            "unsupported_media_type",
            "idempotency_key_reused",
            "storage_full",
        ),
    },
)
@requires(ADMIN, allow_admin=True)
async def create_user(request: Request, writes: WritesDep, new: UserCreate) -> Response:
    """Create a user with a given id or e-mail address. A user's first task creates the user as well."""

    def respond(user: UserRead) -> Response:
        return user_response(user, 201, {"Location": link(request.scope, f"/api/users/{quote(user.id)}")})

    return await writes(CreateUser(writes.owner, new), respond)


@router.get(
    "/me",
    name="get_me",
    summary="Read the caller",
    responses={200: {"description": "The caller."}, **problems()},
)
@requires(TASKS_READ)
async def get_me(database: DatabaseDep, caller: CallerDep) -> UserRead:
    """The caller, also before the first write."""
    user = await database.read(users.find_user, caller.user_id)
    return user or UserRead(caller.user_id, caller.email, time_zone=None, created_at=None)


@router.patch(
    "/me",
    name="update_me",
    response_model=UserRead,
    summary="Change the caller",
    responses={
        200: {"description": "The caller.", "headers": REPLAYED},
        **problems(
            "not_found",
            "conflict",
            "payload_too_large",
            "unsupported_media_type",
            "idempotency_key_reused",
            "storage_full",
        ),
    },
)
@requires(ACCOUNT)
async def update_me(writes: WritesDep, settings: SettingsDep, changes: UserUpdate) -> Response:
    """Merge (RFC 7396). A user's first change creates the user, unless the server creates none (404)."""
    operation = UpdateUser(writes.owner, changes, create_user=settings.create_users)
    return await writes(operation, partial(user_response, status=200))


@router.get(
    "/{id}",  # noqa: FAST003 (it has an alias)
    name="get_user",
    summary="Read a user",
    responses={200: {"description": "The user."}, **problems("not_found")},
)
@requires(TASKS_READ, allow_admin=True)
async def get_user(database: DatabaseDep, user_id: PathUserId) -> UserRead:
    """A user that exists: one that was created, or has written anything; else a 404."""
    return await database.read(users.get_user, user_id)


@router.delete(
    "/{id}",  # noqa: FAST003 (it has an alias)
    name="delete_user",
    status_code=204,
    summary="Delete a user",
    responses={
        204: {"description": "Deleted.", "headers": REPLAYED},
        **problems("not_found", "conflict", "idempotency_key_reused", "storage_full"),
    },
)
@requires(ACCOUNT, allow_admin=True)
async def delete_user(request: Request, writes: WritesDep, user_id: PathUserId) -> Response:
    """Delete the user with all tasks, tokens and stored responses, permanently."""
    response = await writes(DeleteUser(writes.owner, user_id), no_content)
    app_state(request.scope).noted_emails.pop(user_id, None)
    return response


@router.get(
    "/{id}/export",  # noqa: FAST003 (it has an alias)
    name="export_user",
    response_class=Response,
    summary="Export a user's data",
    responses={
        200: {
            "description": "JSON Lines: the `user` first, then each `token`, `webhook`, `task`, `list` and "
            "`label`, each `claim` that holds a task, then the `history`.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        **problems("not_found"),
    },
)
@requires(ACCOUNT, allow_admin=True)
async def export_user(database: DatabaseDep, user_id: PathUserId) -> Response:
    """All stored data of a user. A task that changes during the export may appear twice: the last counts."""
    user = await database.read(users.get_user, user_id)
    lines = export_lines(database, user)
    headers = {**STREAMING_HEADERS, "Content-Disposition": 'attachment; filename="taskwell.ndjson"'}
    return StreamingResponse(lines, headers=headers, media_type="application/x-ndjson")
