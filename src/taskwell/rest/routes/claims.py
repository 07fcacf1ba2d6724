"""Claims, mounted twice as tasks are: at `/api` for the caller and at `/api/{user_id}`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import MISSING

from taskwell.auth.authorization import TASKS_EDIT, TASKS_READ, TASKS_WRITE, requires
from taskwell.core.errors import Invalid, Violation
from taskwell.core.settings import Settings
from taskwell.http.conditional import IfMatch, IfMatchOfList
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import problems
from taskwell.rest.dependencies import (
    OperationsDep,
    Owner,
    PathTaskId,
    SettingsDep,
    WritesDep,
    ZoneDep,
    preferences,
)
from taskwell.rest.pages import check_of_list
from taskwell.rest.responses import claim_response, no_content, taken_response
from taskwell.rest.routing import TaskwellRoute
from taskwell.schemas.claim import (
    DEFAULT_SECONDS,
    ClaimCreate,
    ClaimFilter,
    ClaimNumber,
    ClaimRead,
    ClaimRenew,
    ClaimRenewed,
    ClaimsTaken,
    ClaimTaken,
)
from taskwell.schemas.claim import ClaimNext as Next
from taskwell.schemas.query import OrderTerm, TaskFilter, TaskQuery, parse_sort
from taskwell.services.claim_operations import ClaimNext, ClaimTask, ListClaims, ReleaseClaim, RenewClaim
from taskwell.services.claims import NewClaim

router = APIRouter(route_class=TaskwellRoute, tags=["claims"], dependencies=[Depends(preferences)])

PathClaim = Annotated[ClaimNumber, Path(description="The number of the claim.")]

_CREATE, _NEXT, _RENEW = ClaimCreate(), Next(), ClaimRenew()
_OLDEST_FIRST = (OrderTerm("created_at", descending=False),)
_ETAG = {"ETag": {"description": "The task's version, quoted.", "schema": {"type": "string"}}}
_RELEASED: dict[int | str, dict[str, Any]] = {204: {"description": "Released.", "headers": REPLAYED}}
_WRITE = ("storage_full", "conflict", "idempotency_key_reused")
_CONDITIONAL = ("not_found", "precondition_failed", "precondition_required", *_WRITE)
_BODY = ("payload_too_large", "unsupported_media_type")


@router.get(
    "/claims",
    name="list_claims",
    response_model=list[ClaimRead],
    summary="List claims",
    responses={200: {"description": "The claims."}, **problems()},
)
@requires(TASKS_READ)
async def list_claims(operations: OperationsDep, owner: Owner) -> Response:
    """Every claim that holds a task now, in the order in which they were made."""
    claims = await operations.execute(ListClaims(owner))
    return claim_response(claims)


@router.post(
    "/tasks/claims",
    name="claim_next_tasks",
    response_model=ClaimsTaken,
    summary="Claim the next tasks",
    responses={
        200: {"description": "The claims; none if there is no such task.", "headers": REPLAYED},
        **problems("precondition_failed", *_BODY, *_WRITE),
    },
)
@requires(TASKS_EDIT)
async def claim_next_tasks(
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    expected: IfMatchOfList,
    zone: ZoneDep,
    sent: Next = _NEXT,
) -> Response:
    """Claim the first tasks of the filter that are open and not claimed, in one step."""
    count = 1 if sent.count is MISSING else sent.count
    sort = _OLDEST_FIRST if sent.sort is None else parse_sort(sent.sort)
    query = TaskQuery(_filter(sent.filter or ClaimFilter()), sort)
    check = check_of_list(expected, owner)
    operation = ClaimNext(owner, count, _new(settings, sent), query, check, zone)
    return await writes(operation, claim_response)


@router.post(
    "/tasks/{task_id}/claim",
    name="claim_task",
    response_model=ClaimTaken,
    summary="Claim a task",
    responses={
        200: {"description": "The claim, with the task.", "headers": {**_ETAG, **REPLAYED}},
        **problems("claimed", *_BODY, *_CONDITIONAL),
    },
)
@requires(TASKS_EDIT)
async def claim_task(
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    task_id: PathTaskId,
    expected: IfMatch,
    sent: ClaimCreate = _CREATE,
) -> Response:
    """Claim an open task that is not claimed. Its new version is the number of the claim."""
    return await writes(ClaimTask(owner, task_id, _new(settings, sent), expected), taken_response)


@router.delete(
    "/tasks/{task_id}/claim",
    name="release_task",
    status_code=204,
    summary="Release a task",
    responses={**_RELEASED, **problems(*_CONDITIONAL)},
)
@requires(TASKS_WRITE)
async def release_task(writes: WritesDep, owner: Owner, task_id: PathTaskId, expected: IfMatch) -> Response:
    """End the claim of a task, of any holder. A task without a claim stays unchanged."""
    return await writes(ReleaseClaim(owner, task_id, expected=expected), no_content)


@router.patch(
    "/tasks/{task_id}/claim/{claim}",
    name="renew_claim",
    response_model=ClaimRenewed,
    summary="Renew a claim",
    responses={
        200: {"description": "The claim.", "headers": REPLAYED},
        **problems("claim_lost", *_BODY, *_CONDITIONAL),
    },
)
@requires(TASKS_EDIT)
async def renew_claim(
    writes: WritesDep,
    settings: SettingsDep,
    owner: Owner,
    task_id: PathTaskId,
    claim: PathClaim,
    expected: IfMatch,
    sent: ClaimRenew = _RENEW,
) -> Response:
    """Let a claim last for some seconds from now on, also one that has expired, unless another followed."""
    seconds = _seconds(settings, sent)
    return await writes(RenewClaim(owner, task_id, claim, seconds, expected), claim_response)


@router.delete(
    "/tasks/{task_id}/claim/{claim}",
    name="release_claim",
    status_code=204,
    summary="Release a claim",
    responses={**_RELEASED, **problems("claim_lost", *_CONDITIONAL)},
)
@requires(TASKS_EDIT)
async def release_claim(
    writes: WritesDep, owner: Owner, task_id: PathTaskId, claim: PathClaim, expected: IfMatch
) -> Response:
    """End this claim, also if it has expired, unless another followed."""
    return await writes(ReleaseClaim(owner, task_id, claim, expected), no_content)


def _new(settings: Settings, sent: ClaimCreate) -> NewClaim:
    return NewClaim(_seconds(settings, sent), sent.note)


def _seconds(settings: Settings, sent: ClaimCreate | ClaimRenew) -> int:
    """Raises Invalid: longer than the server allows."""
    most = settings.claim_max_seconds
    if sent.seconds is MISSING:
        return min(DEFAULT_SECONDS, most)
    if sent.seconds > most:
        raise Invalid(Violation("body", "/seconds", "out_of_range", f"must be at most {most}"))
    return sent.seconds


def _filter(sent: ClaimFilter) -> TaskFilter:
    try:
        return TaskFilter.of(sent)
    except ValueError:
        detail = "contradicts completed"
        raise Invalid(Violation("body", "/filter/status", "contradiction", detail)) from None
