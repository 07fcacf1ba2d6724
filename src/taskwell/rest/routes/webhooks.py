"""Webhooks, mounted twice as tasks are: at `/api` for the caller and at `/api/{user_id}`."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.auth.authorization import WEBHOOKS, requires
from taskwell.core.errors import Invalid, Violation
from taskwell.http.app_state import app_state
from taskwell.http.idempotency import REPLAYED
from taskwell.http.problems import problems
from taskwell.rest.cursors import bad_cursor, decode_cursor, encode_cursor
from taskwell.rest.dependencies import (
    CallerDep,
    Cursor,
    Limit,
    OperationsDep,
    Owner,
    SettingsDep,
    WritesDep,
    preferences,
    refusing_dry_run,
)
from taskwell.rest.pages import NEXT_PAGE, next_link
from taskwell.rest.responses import (
    created_webhook_response,
    json_response,
    no_content,
    secret_response,
    webhook_response,
)
from taskwell.rest.routing import TaskwellRoute
from taskwell.schemas.types import TaskId, is_task_id
from taskwell.schemas.webhook import (
    OUTCOMES,
    DeliveryRead,
    Redelivered,
    WebhookCreate,
    WebhookCreated,
    WebhookRead,
    WebhookRedeliver,
    WebhookRotate,
    WebhookUpdate,
    deliveries_json,
    delivery_json,
    redelivered_json,
    webhooks_json,
)
from taskwell.services.deliveries import LogFilter
from taskwell.services.webhook_operations import (
    CreateWebhook,
    DeleteWebhook,
    GetWebhook,
    ListDeliveries,
    ListWebhooks,
    RedeliverSince,
    RotateSecret,
    UpdateWebhook,
)
from taskwell.services.webhooks import Sender

router = APIRouter(route_class=TaskwellRoute, tags=["webhooks"], dependencies=[Depends(preferences)])

DEFAULT_LIMIT = 100
_ROTATE = WebhookRotate()
_BODY = ("payload_too_large", "unsupported_media_type")
_WRITE = ("storage_full", "conflict", "idempotency_key_reused")
_NO_SECRET = Depends(refusing_dry_run("the response would contain a secret that does not exist"))
_NOT_SENT = Depends(refusing_dry_run("what is sent cannot be taken back"))


async def sender_of_request(request: Request) -> Sender:
    return app_state(request.scope).webhooks


async def maker_of_request(caller: CallerDep) -> UUID | None:
    """The API token of the request, which sees what it made itself."""
    return caller.actor.token_id


def refusing_key(reason: str) -> Callable[[Request], Awaitable[None]]:
    """The dependency of an operation that takes no Idempotency-Key. It raises Invalid."""

    async def refuse(request: Request) -> None:
        if "idempotency-key" in request.headers:
            detail = f"is not supported here: {reason}; leave it out"
            raise Invalid(Violation("header", "Idempotency-Key", "not_allowed", detail))

    return refuse


def _outcome(value: object) -> str:
    if value not in OUTCOMES:
        raise PydanticCustomError("invalid_outcome", "must be one of " + ", ".join(OUTCOMES))
    return str(value)


_NO_KEY_BY_SECRET = Depends(refusing_key("a response that contains a secret is never stored"))
_NO_KEY_BY_MESSAGE = Depends(refusing_key("each request sends a message anew"))
SenderDep = Annotated[Sender, Depends(sender_of_request)]
Maker = Annotated[UUID | None, Depends(maker_of_request)]
PathWebhookId = Annotated[TaskId, Path(description="The webhook's id.")]
WantedOutcome = Annotated[
    str | None,
    BeforeValidator(_outcome),
    WithJsonSchema({"type": "string", "enum": list(OUTCOMES)}),
    Query(description="Only attempts with this outcome."),
]
_SHOWN: dict[int | str, dict[str, Any]] = {200: {"description": "The webhook.", "headers": REPLAYED}}


@router.get(
    "",
    name="list_webhooks",
    response_model=list[WebhookRead],
    summary="List webhooks",
    responses={200: {"description": "The webhooks, the oldest first."}, **problems()},
)
@requires(WEBHOOKS)
async def list_webhooks(operations: OperationsDep, owner: Owner, maker: Maker) -> Response:
    """All webhooks, without their secrets. An API token sees those that were made with it."""
    found = await operations.execute(ListWebhooks(owner, maker))
    return json_response(webhooks_json(found))


@router.post(
    "",
    name="create_webhook",
    response_model=WebhookCreated,
    status_code=201,
    summary="Create a webhook",
    dependencies=[_NO_SECRET, _NO_KEY_BY_SECRET],
    responses={
        201: {"description": "The new webhook, with its secret, which is shown this once."},
        **problems("not_found", "conflict", "gone", "storage_full", *_BODY),
    },
)
@requires(WEBHOOKS)
async def create_webhook(
    request: Request,
    operations: OperationsDep,
    sender: SenderDep,
    settings: SettingsDep,
    owner: Owner,
    new: WebhookCreate,
) -> Response:
    """Send what happens to tasks and lists to a URL from now on, in order, signed as Standard Webhooks says.

    What an API token made ends with the token.
    """
    await sender.check_url(new.url)
    made = await operations.execute(CreateWebhook(owner, new, create_user=settings.create_users))
    sender.follow(owner)
    return created_webhook_response(request, made)


@router.get(
    "/{webhook_id}",
    name="get_webhook",
    response_model=WebhookRead,
    summary="Get a webhook",
    responses={200: {"description": "The webhook."}, **problems("not_found")},
)
@requires(WEBHOOKS)
async def get_webhook(
    operations: OperationsDep, owner: Owner, maker: Maker, webhook_id: PathWebhookId
) -> Response:
    """One webhook, without its secret. `failing_since` tells whether it works."""
    return webhook_response(await operations.execute(GetWebhook(owner, maker, webhook_id)))


@router.patch(
    "/{webhook_id}",
    name="update_webhook",
    response_model=WebhookRead,
    summary="Change a webhook",
    responses={**_SHOWN, **problems("not_found", *_BODY, *_WRITE)},
)
@requires(WEBHOOKS)
async def update_webhook(
    writes: WritesDep,
    sender: SenderDep,
    owner: Owner,
    maker: Maker,
    webhook_id: PathWebhookId,
    changes: WebhookUpdate,
) -> Response:
    """Change the members that are sent. Switched on again, it goes on where it was; `cursor` skips that."""
    if isinstance(changes.url, str):
        await sender.check_url(changes.url)
    response = await writes(UpdateWebhook(owner, maker, webhook_id, changes), webhook_response)
    sender.follow(owner)
    return response


@router.delete(
    "/{webhook_id}",
    name="delete_webhook",
    status_code=204,
    summary="Delete a webhook",
    responses={
        204: {"description": "Nothing more is sent.", "headers": REPLAYED},
        **problems("not_found", *_WRITE),
    },
)
@requires(WEBHOOKS)
async def delete_webhook(
    writes: WritesDep, owner: Owner, maker: Maker, webhook_id: PathWebhookId
) -> Response:
    """Delete a webhook and its log."""
    return await writes(DeleteWebhook(owner, maker, webhook_id), no_content)


@router.post(
    "/{webhook_id}/ping",
    name="ping_webhook",
    response_model=DeliveryRead,
    summary="Ping a webhook",
    dependencies=[_NOT_SENT, _NO_KEY_BY_MESSAGE],
    responses={
        200: {"description": "The attempt, whether or not it succeeded."},
        **problems("not_found", "conflict", "storage_full"),
    },
)
@requires(WEBHOOKS)
async def ping_webhook(sender: SenderDep, owner: Owner, maker: Maker, webhook_id: PathWebhookId) -> Response:
    """Send the event `webhook.ping` now, and wait for the answer for 15 s at most."""
    return json_response(delivery_json(await sender.ping(owner, maker, webhook_id)))


@router.post(
    "/{webhook_id}/rotate",
    name="rotate_webhook",
    response_model=WebhookCreated,
    summary="Give a webhook a new secret",
    dependencies=[_NO_SECRET, _NO_KEY_BY_SECRET],
    responses={
        200: {"description": "The webhook with its new secret, which is shown this once."},
        **problems("not_found", "conflict", "storage_full", *_BODY),
    },
)
@requires(WEBHOOKS)
async def rotate_webhook(
    operations: OperationsDep,
    sender: SenderDep,
    owner: Owner,
    maker: Maker,
    webhook_id: PathWebhookId,
    sent: WebhookRotate = _ROTATE,
) -> Response:
    """The old secret signs too until the overlap has passed, so that no message is refused meanwhile."""
    overlap = timedelta(hours=sent.overlap_hours)
    rotated = await operations.execute(RotateSecret(owner, maker, webhook_id, overlap))
    sender.follow(owner)
    return secret_response(rotated)


@router.get(
    "/{webhook_id}/deliveries",
    name="list_deliveries",
    response_model=list[DeliveryRead],
    summary="List the deliveries of a webhook",
    responses={
        200: {
            "description": "The attempts.",
            "headers": NEXT_PAGE,
        },
        **problems("not_found"),
    },
)
@requires(WEBHOOKS)
async def list_deliveries(  # noqa: PLR0913, PLR0917 (one for each parameter)
    request: Request,
    operations: OperationsDep,
    owner: Owner,
    maker: Maker,
    webhook_id: PathWebhookId,
    outcome: WantedOutcome = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """The log, newest first: the last 200 attempts, of 7 days. Without `limit` a page has 100."""
    query = ("deliveries", owner, str(webhook_id), outcome or "")
    before = None
    if cursor is not None:
        (text,) = decode_cursor(cursor, query=query)
        if not is_task_id(text):
            raise bad_cursor()
        before = UUID(text)
    size = limit or DEFAULT_LIMIT
    found = await operations.execute(
        ListDeliveries(owner, maker, webhook_id, LogFilter(outcome, before), size)
    )
    response = json_response(deliveries_json(found[:size]))
    if len(found) > size:
        last = encode_cursor([str(found[size - 1].id)], query=query)
        response.headers["Link"] = next_link(request.scope, last)
    return response


@router.post(
    "/{webhook_id}/redeliver",
    name="redeliver",
    response_model=Redelivered,
    summary="Send events again",
    dependencies=[_NOT_SENT, _NO_KEY_BY_MESSAGE],
    responses={
        200: {"description": "The attempt, or where it goes on."},
        **problems("not_found", "conflict", "gone", "storage_full", *_BODY),
    },
)
@requires(WEBHOOKS)
async def redeliver(
    operations: OperationsDep,
    sender: SenderDep,
    owner: Owner,
    maker: Maker,
    webhook_id: PathWebhookId,
    sent: WebhookRedeliver,
) -> Response:
    """Send one event (`version`) now and once, or all from one on (`since`) in order, with the same ids."""
    delivery = None
    if sent.version is not None:
        delivery = await sender.send_again(owner, maker, webhook_id, sent.version)
        cursor = (await operations.execute(GetWebhook(owner, maker, webhook_id))).cursor
    else:
        cursor = await operations.execute(RedeliverSince(owner, maker, webhook_id, sent.since or 0))
        sender.follow(owner)
    return json_response(redelivered_json(Redelivered(cursor, delivery)))
