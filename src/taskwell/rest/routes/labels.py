"""Labels, mounted twice as tasks are: at `/api/labels` for the caller and at `/api/{user_id}/labels`.

A name is the last segment of the path or, for names with a slash, the parameter `name`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from taskwell.auth.authorization import TASKS_EDIT, TASKS_READ, TASKS_WRITE, requires
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import problems
from taskwell.rest.dependencies import OperationsDep, Owner, SettingsDep, WritesDep, preferences
from taskwell.rest.responses import label_response, labels_response, no_content
from taskwell.rest.routing import TaskwellRoute
from taskwell.schemas.label import LabelCounted, LabelPut, LabelRead, LabelUpdate
from taskwell.schemas.values import Label, label_key
from taskwell.services.label_operations import DeleteLabel, GetLabel, GetLabels, PutLabel, UpdateLabel

router = APIRouter(route_class=TaskwellRoute, tags=["labels"], dependencies=[Depends(preferences)])

PathName = Annotated[Label, Path(description="The label's name, in any case.", examples=["home"])]
QueryName = Annotated[
    Label, Query(description="The label's name, in any case; it may have a slash.", examples=["a/b"])
]
_CHANGED: dict[int | str, dict[str, Any]] = {200: {"description": "The label.", "headers": REPLAYED}}
_DELETED: dict[int | str, dict[str, Any]] = {204: {"description": "Removed.", "headers": REPLAYED}}
_WRITE = ("storage_full", "conflict", "idempotency_key_reused")
_BODY = ("payload_too_large", "unsupported_media_type")


@router.get(
    "",
    name="list_labels",
    response_model=list[LabelCounted],
    summary="List labels",
    responses={200: {"description": "The labels."}, **problems()},
)
@requires(TASKS_READ)
async def list_labels(
    operations: OperationsDep,
    owner: Owner,
    name: Annotated[
        Label | None, Query(description="Only the label with this name, if there is one.", examples=["a/b"])
    ] = None,
) -> Response:
    """Every label that a task has, and every one with a color or a place: those with a place first, by name.

    `open` and `total` count tasks, without those in archived lists.
    """
    labels = await operations.execute(GetLabels(owner))
    if name is not None:
        labels = [label for label in labels if label_key(label.name) == label_key(name)]
    return labels_response(labels)


@router.get(
    "/{name}",
    name="get_label",
    response_model=LabelCounted,
    summary="Read a label",
    responses={200: {"description": "The label."}, **problems("not_found")},
)
@requires(TASKS_READ)
async def get_label(operations: OperationsDep, owner: Owner, name: PathName) -> Response:
    """A label that a task has, or one with a color or a place."""
    label = await operations.execute(GetLabel(owner, name))
    return label_response(label)


@router.put(
    "/{name}",
    name="put_label",
    response_model=LabelRead,
    summary="Give a label a color or a place",
    responses={**_CHANGED, **problems("not_found", *_BODY, *_WRITE)},
)
@requires(TASKS_EDIT)
async def put_label(
    writes: WritesDep, settings: SettingsDep, owner: Owner, name: PathName, changes: LabelPut
) -> Response:
    """Whether a task has the label or not. Absent members stay unchanged."""
    operation = PutLabel(owner, name, changes, create_user=settings.create_users)
    return await writes(operation, label_response)


@router.patch(
    "/{name}",
    name="update_label",
    response_model=LabelRead,
    summary="Rename a label, or change its color or place",
    responses={**_CHANGED, **problems("not_found", *_BODY, *_WRITE)},
)
@requires(TASKS_EDIT)
async def update_label(writes: WritesDep, owner: Owner, name: PathName, changes: LabelUpdate) -> Response:
    """Another name replaces this one in every task, each with a new version. Two labels can become one."""
    return await writes(UpdateLabel(owner, name, changes), label_response)


@router.delete(
    "/{name}",
    name="delete_label",
    status_code=204,
    summary="Remove a label",
    responses={**_DELETED, **problems("not_found", *_WRITE)},
)
@requires(TASKS_WRITE)
async def delete_label(writes: WritesDep, owner: Owner, name: PathName) -> Response:
    """Remove the label from every task, each with a new version. The tasks stay."""
    return await writes(DeleteLabel(owner, name), no_content)


@router.put(
    "",
    name="put_label_by_name",
    response_model=LabelRead,
    summary="Give a label a color or a place, by its name in the query",
    responses={**_CHANGED, **problems("not_found", *_BODY, *_WRITE)},
)
@requires(TASKS_EDIT)
async def put_label_by_name(
    writes: WritesDep, settings: SettingsDep, owner: Owner, name: QueryName, changes: LabelPut
) -> Response:
    """As at the path with the name."""
    return await put_label(writes, settings, owner, name, changes)


@router.patch(
    "",
    name="update_label_by_name",
    response_model=LabelRead,
    summary="Rename a label, by its name in the query",
    responses={**_CHANGED, **problems("not_found", *_BODY, *_WRITE)},
)
@requires(TASKS_EDIT)
async def update_label_by_name(
    writes: WritesDep, owner: Owner, name: QueryName, changes: LabelUpdate
) -> Response:
    """As at the path with the name."""
    return await update_label(writes, owner, name, changes)


@router.delete(
    "",
    name="delete_label_by_name",
    status_code=204,
    summary="Remove a label, by its name in the query",
    responses={**_DELETED, **problems("not_found", *_WRITE)},
)
@requires(TASKS_WRITE)
async def delete_label_by_name(writes: WritesDep, owner: Owner, name: QueryName) -> Response:
    """As at the path with the name."""
    return await delete_label(writes, owner, name)
