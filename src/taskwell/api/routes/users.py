"""Users."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Response

from taskwell.api.dependencies import Caller, DatabaseDep, preferences
from taskwell.api.problems import problems
from taskwell.api.routing import TaskwellRoute
from taskwell.schemas.text import UserId
from taskwell.schemas.user import UserCreate, UserRead
from taskwell.services import users

router = APIRouter(route_class=TaskwellRoute, tags=["users"], dependencies=[Depends(preferences)])

PathUserId = Annotated[UserId, Path(description="The user's id.")]


@router.post(
    "",
    status_code=201,
    summary="Create a user",
    responses={
        201: {
            "description": "The new user.",
            "headers": {"Location": {"description": "The user's path.", "schema": {"type": "string"}}},
        },
        **problems("conflict", "payload_too_large", "unsupported_media_type", "storage_full"),
    },
)
async def create_user(database: DatabaseDep, response: Response, new: UserCreate) -> UserRead:
    """Not needed before a user's first task: it fixes the id or the e-mail address beforehand."""
    user = await database.run(users.create_user, new)
    response.headers["Location"] = f"/api/users/{quote(user.id)}"
    return user


@router.get("/me", summary="Read the caller", responses={200: {"description": "The caller."}, **problems()})
async def get_me(database: DatabaseDep, caller: Caller) -> UserRead:
    """Who is asking, also before their first write."""
    user = await database.read(users.find_user, caller)
    return user or UserRead(id=caller, email=None, created_at=None)


@router.get(
    "/{user_id}",
    summary="Read a user",
    responses={200: {"description": "The user."}, **problems("not_found")},
)
async def get_user(database: DatabaseDep, user_id: PathUserId) -> UserRead:
    return await database.read(users.get_user, user_id)


@router.delete(
    "/{user_id}",
    status_code=204,
    summary="Delete a user",
    responses={204: {"description": "Deleted."}, **problems("not_found", "storage_full")},
)
async def delete_user(database: DatabaseDep, user_id: PathUserId) -> None:
    """Delete the user and all of their tasks, for ever."""
    await database.run(users.delete_user, user_id)
