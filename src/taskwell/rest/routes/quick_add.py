"""Quick add, mounted twice as tasks are."""

from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from taskwell.auth.authorization import TASKS_EDIT, requires
from taskwell.http.conditional import IfMatchOfList
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import inner_path, problems
from taskwell.http.root_path import link
from taskwell.rest.dependencies import Owner, SettingsDep, WritesDep, ZoneDep, preferences
from taskwell.rest.pages import check_of_list
from taskwell.rest.routing import TaskwellRoute
from taskwell.schemas.quick_add import QuickAdded, QuickText, added_json
from taskwell.services.quick_add import QuickAdd

router = APIRouter(route_class=TaskwellRoute, tags=["tasks"], dependencies=[Depends(preferences)])

_ADDED: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "The new task, and what the words said.",
        "headers": {
            "Location": {"description": "The task's path.", "schema": {"type": "string"}},
            **REPLAYED,
        },
    }
}


@router.post(
    "/tasks/quick",
    name="quick_add",
    response_model=QuickAdded,
    status_code=201,
    summary="Create a task from words",
    responses={
        **_ADDED,
        200: {"model": QuickAdded, "description": "With `dry_run=true`: what the words say, and no task."},
        **problems(
            "not_found",
            "precondition_failed",
            "payload_too_large",
            "unsupported_media_type",
            "storage_full",
            "conflict",
            "idempotency_key_reused",
        ),
    },
)
@requires(TASKS_EDIT)
async def quick_add(
    request: Request,
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    sent: QuickText,
    expected: IfMatchOfList,
    zone: ZoneDep,
) -> Response:
    """Words such as `tomorrow 18:00`, `every monday`, `#list`, `@label` and `!1` become fields of the task.

    With `dry_run=true` the answer, a 200, shows what was understood, and nothing is created.
    """
    zone = zone if sent.tz is None else replace(zone, asked=sent.tz)
    check = check_of_list(expected, owner)
    operation = QuickAdd(owner, sent.text, zone, settings.create_users, check)
    return await writes(operation, partial(_response, request, 200 if writes.dry_run else 201))


def _response(request: Request, status: int, added: QuickAdded) -> Response:
    tasks = link(request.scope, inner_path(request.scope)).rstrip("/").removesuffix("/quick")
    location = {"Location": f"{tasks}/{added.task.id}"}
    return Response(added_json(added), status, location, "application/json")
