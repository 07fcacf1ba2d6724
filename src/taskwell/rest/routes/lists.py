"""Lists, mounted twice as tasks are: at `/api/lists` for the caller and at `/api/{user_id}/lists`."""

import hashlib
from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from taskwell.auth.authorization import TASKS_EDIT, TASKS_READ, TASKS_WRITE, requires
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
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import inner_path, problems
from taskwell.http.root_path import link
from taskwell.rest.dependencies import (
    OperationsDep,
    Owner,
    PathListId,
    Preferences,
    SettingsDep,
    WritesDep,
    ZoneDep,
    preferences,
)
from taskwell.rest.pages import ListChanged
from taskwell.rest.responses import (
    created_list_response,
    list_response,
    no_content,
    read_list_response,
    unless_unchanged,
)
from taskwell.rest.routing import JSON, TaskwellRoute
from taskwell.schemas.query import Flag
from taskwell.schemas.task_list import (
    Fate,
    ListCounted,
    ListCreate,
    ListDeleted,
    ListMove,
    ListRead,
    ListUpdate,
    lists_json,
)
from taskwell.services.list_operations import (
    ArchiveList,
    CreateList,
    DeleteList,
    GetList,
    GetLists,
    MoveList,
    PutList,
    RestoreList,
    UpdateList,
)

router = APIRouter(route_class=TaskwellRoute, tags=["lists"], dependencies=[Depends(preferences)])

_TEXT = {"schema": {"type": "string"}}
_ETAG = {"ETag": {"description": "The list's version, quoted.", **_TEXT}}
_LISTS_ETAG = {"ETag": {"description": "Changes with every change of the user's tasks and lists.", **_TEXT}}
_CHANGED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The list.", "headers": {**_ETAG, **REPLAYED}}
}
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The new list.",
        "model": ListRead,
        "headers": {**_ETAG, "Location": {"description": "The list's path.", **_TEXT}, **REPLAYED},
    }
}
# The problems of every write, of a write to an existing list, and of a request with a body.
_WRITE = ("storage_full", "conflict", "idempotency_key_reused")
_CONDITIONAL = ("not_found", "precondition_failed", "precondition_required", *_WRITE)
_BODY = ("payload_too_large", "unsupported_media_type")


@router.get(
    "",
    name="list_lists",
    response_model=list[ListRead],
    summary="List lists",
    dependencies=[Depends(if_match_of_read), Depends(if_none_match)],
    responses={
        200: {
            "description": "The lists; with `deleted=true` each has `deleted_at` too, with `counts=true` the "
            "numbers `open` and `overdue`.",
            "headers": _LISTS_ETAG,
        },
        304: {"description": "Nothing has changed.", "headers": _LISTS_ETAG},
        **problems("precondition_failed"),
    },
)
@requires(TASKS_READ)
async def list_lists(
    request: Request,
    operations: OperationsDep,
    owner: Owner,
    zone: ZoneDep,
    deleted: Annotated[Flag, Query(description="The lists in the trash instead.")] = None,
    counts: Annotated[
        Flag, Query(description="With the numbers of open tasks; in the trash they are left out.")
    ] = None,
) -> Response:
    """All lists in the order of their positions, the archived ones too."""
    counted = bool(counts) and not deleted
    number, lists = await operations.execute(GetLists(owner, bool(deleted), counted, zone))
    tag = _tag(owner, number, lists, deleted=bool(deleted))
    if not is_expected(request, tag):
        raise ListChanged(tag)
    return unless_unchanged(request, Response(lists_json(lists), 200, {"ETag": f'"{tag}"'}, JSON))


def _tag(owner: str, number: int, lists: Sequence[ListRead] = (), *, deleted: bool = False) -> str:
    """The entity tag of the lists: the number of the owner's latest write, and a digest of the query.

    The digest has the counts, since tasks become overdue without a write.
    """
    counts = [f"{one.open},{one.overdue}" for one in lists if isinstance(one, ListCounted)]
    parts = ("lists", owner, str(deleted), *counts)
    return f"{number}-{hashlib.blake2b(chr(10).join(parts).encode(), digest_size=6).hexdigest()}"


def _check(expected: Set[str] | None, owner: str) -> Callable[[int], None] | None:
    """The check that a creation runs on the user's last number while it holds its lock. None: no check."""
    if expected is None:
        return None

    def check(number: int) -> None:
        tag = _tag(owner, number)
        if tag not in expected:
            raise ListChanged(tag)

    return check


@router.post(
    "",
    name="create_list",
    response_model=ListRead,
    status_code=201,
    summary="Create a list",
    responses={**_CREATED, **problems("not_found", "precondition_failed", *_BODY, *_WRITE)},
)
@requires(TASKS_EDIT)
async def create_list(
    request: Request,
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    new: ListCreate,
    expected: IfMatchOfList,
) -> Response:
    """It is the last list. A user has at most 1,000 of them, without those in the trash (409)."""
    operation = CreateList(owner, new, create_user=settings.create_users, check=_check(expected, owner))
    return await writes(operation, partial(created_list_response, request))


@router.get(
    "/{list_id}",
    name="get_list",
    response_model=ListRead,
    summary="Read a list",
    dependencies=[Depends(if_match_of_read), Depends(if_none_match)],
    responses={
        200: {"description": "The list.", "headers": _ETAG},
        304: {"description": "The list has not changed.", "headers": _ETAG},
        **problems("not_found", "precondition_failed"),
    },
)
@requires(TASKS_READ)
async def get_list(
    request: Request, operations: OperationsDep, owner: Owner, list_id: PathListId
) -> Response:
    """With `If-None-Match`, 304 while the list has not changed."""
    return read_list_response(request, await operations.execute(GetList(owner, list_id)))


@router.patch(
    "/{list_id}",
    name="update_list",
    response_model=ListRead,
    summary="Change a list",
    responses={**_CHANGED, **problems(*_BODY, *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def update_list(
    writes: WritesDep, owner: Owner, list_id: PathListId, changes: ListUpdate, expected: IfMatch
) -> Response:
    """Merge (RFC 7396): absent members stay unchanged, `null` clears the color."""
    return await writes(UpdateList(owner, list_id, changes, expected), list_response)


@router.put(
    "/{list_id}",
    name="put_list",
    response_model=ListRead,
    summary="Change a list, or create it with a chosen id",
    dependencies=[Depends(if_none_match_any)],
    responses={**_CHANGED, **_CREATED, **problems(*_BODY, *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def put_list(
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    list_id: PathListId,
    changes: ListUpdate,
    expected: IfMatchUnlessNew,
) -> Response:
    """Change a list as PATCH does. With `If-None-Match: *`, create it with this id; the name is required."""
    if not creates(writes.request):
        return await writes(UpdateList(owner, list_id, changes, expected), list_response)
    scope = writes.request.scope
    location = link(scope, inner_path(scope)).rstrip("/")
    created = partial(list_response, status=201, headers={"Location": location})
    return await writes(PutList(owner, list_id, changes, create_user=settings.create_users), created)


@router.delete(
    "/{list_id}",
    name="delete_list",
    status_code=204,
    summary="Delete a list",
    responses={
        200: {
            "description": "The deleted list; only with `Prefer: return=representation`.",
            "model": ListDeleted,
            "headers": {**_ETAG, **REPLAYED},
        },
        204: {"description": "Deleted.", "headers": REPLAYED},
        **problems(*_CONDITIONAL),
    },
)
@requires(TASKS_WRITE)
async def delete_list(
    writes: WritesDep,
    owner: Owner,
    list_id: PathListId,
    expected: IfMatch,
    preferred: Preferences,
    tasks: Annotated[
        Fate, Query(description="`keep`: the list's tasks go to the inbox instead of the trash.")
    ] = "delete",
) -> Response:
    """Move the list and its tasks to the trash. With `tasks=keep`, its tasks go to the inbox.

    A blank or unknown parameter is always refused: a typo would delete too much.
    """
    operation = DeleteList(owner, list_id, tasks, expected)
    if preferred.get("return") != "representation":
        return await writes(operation, no_content)
    shown = partial(list_response, headers={"Preference-Applied": "return=representation"})
    return await writes(operation, shown)


@router.post(
    "/{list_id}/restore",
    name="restore_list",
    response_model=ListRead,
    summary="Restore a list",
    responses={**_CHANGED, **problems(*_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def restore_list(writes: WritesDep, owner: Owner, list_id: PathListId, expected: IfMatch) -> Response:
    """Move the list out of the trash, with the tasks that were deleted with it.

    A list that is not in the trash stays unchanged.
    """
    return await writes(RestoreList(owner, list_id, expected), list_response)


@router.post(
    "/{list_id}/archive",
    name="archive_list",
    response_model=ListRead,
    summary="Archive a list",
    responses={**_CHANGED, **problems(*_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def archive_list(writes: WritesDep, owner: Owner, list_id: PathListId, expected: IfMatch) -> Response:
    """Its tasks stay as they are, but are left out of lists of tasks that do not ask for them."""
    return await writes(ArchiveList(owner, list_id, archived=True, expected=expected), list_response)


@router.post(
    "/{list_id}/unarchive",
    name="unarchive_list",
    response_model=ListRead,
    summary="Take a list out of the archive",
    responses={**_CHANGED, **problems(*_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def unarchive_list(writes: WritesDep, owner: Owner, list_id: PathListId, expected: IfMatch) -> Response:
    """A list that is not archived stays unchanged."""
    return await writes(ArchiveList(owner, list_id, archived=False, expected=expected), list_response)


@router.post(
    "/{list_id}/move",
    name="move_list",
    response_model=ListRead,
    summary="Move a list",
    responses={**_CHANGED, **problems(*_BODY, *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def move_list(
    writes: WritesDep, owner: Owner, list_id: PathListId, target: ListMove, expected: IfMatch
) -> Response:
    """Behind the list `after`, or in front of the list `before`; `null` is the top, or the end."""
    return await writes(MoveList(owner, list_id, target, expected), list_response)
