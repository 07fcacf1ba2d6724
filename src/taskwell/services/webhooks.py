"""Webhooks: subscriptions to a user's history.

Nothing is queued: a subscription is a row with a cursor, and what follows the cursor in the history is to be
sent. `services.deliveries` sends it.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, select, update
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.core.errors import Conflict, Invalid, NotFound, VersionGone, Violation
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import ApiToken, User, Webhook
from taskwell.models.base import table_of
from taskwell.schemas.actor import ActorToken
from taskwell.schemas.webhook import (
    MAX_WEBHOOKS,
    DeliveryRead,
    WebhookCreate,
    WebhookCreated,
    WebhookRead,
    WebhookUpdate,
)
from taskwell.services.sequence import lock, next_numbers
from taskwell.services.tokens import keep_token

_SECRET_PREFIX = "whsec_"  # noqa: S105 (its form, not one)
_SECRET_BYTES = 32
COLUMNS = table_of(Webhook).c
# A holder of the lease loses it: what it has read does not hold any more.
_NO_LEASE: Mapping[Any, Any] = {col(Webhook.lease): col(Webhook.lease) + 1, col(Webhook.leased_until): None}
# Attempts begin anew.
_AFRESH: dict[str, Any] = {"attempt": 0, "failing_since": None, "disabled_reason": None}


class WebhookNotFound(NotFound):
    detail = "There is no such webhook."


class TooManyWebhooks(Conflict):
    detail = f"A user may have {MAX_WEBHOOKS} webhooks: delete an unused one first."


class Sender(Protocol):
    """Sends events. The protocols need no more of it."""

    async def check_url(self, url: str) -> None:
        """Check where a subscription would connect to.

        Raises:
            Invalid: the server may not connect there.
        """

    async def ping(self, user_id: str, maker: UUID | None, webhook_id: UUID) -> DeliveryRead:
        """Send a ping. Raises WebhookNotFound, NotDelivering, Overloaded."""

    async def send_again(
        self, user_id: str, maker: UUID | None, webhook_id: UUID, version: int
    ) -> DeliveryRead:
        """Send one event again. Raises WebhookNotFound, NotDelivering, Overloaded, VersionGone."""

    def follow(self, user_id: str) -> None:
        """Look for what is to be sent to the user's subscriptions, now and at their later writes."""


def new_secret() -> str:
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def secret_bytes(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_SECRET_PREFIX))


def own(user_id: str, maker: UUID | None, webhook_id: UUID | None = None) -> ColumnElement[bool]:
    """The subscriptions that a caller may see: those of the user; of an API token, what it made itself.

    With another's it could let events go on to flow when it is revoked.
    """
    conditions = [col(Webhook.user_id) == user_id]
    if maker is not None:
        conditions.append(col(Webhook.token_id) == maker)
    if webhook_id is not None:
        conditions.append(col(Webhook.id) == webhook_id)
    return and_(*conditions)


async def list_webhooks(
    transaction: ReadTransaction, user_id: str, maker: UUID | None = None
) -> list[WebhookRead]:
    """The user's subscriptions, oldest first."""
    statement = _shown().where(own(user_id, maker)).order_by(col(Webhook.id))
    return [_read(row) for row in await transaction.all(statement)]


async def get_webhook(
    transaction: ReadTransaction, user_id: str, maker: UUID | None, webhook_id: UUID
) -> WebhookRead:
    """Return a subscription. Raises WebhookNotFound."""
    row = await transaction.first(_shown().where(own(user_id, maker, webhook_id)))
    if row is None:
        raise WebhookNotFound
    return _read(row)


async def create_webhook(
    transaction: Transaction, user_id: str, new: WebhookCreate, *, create_user: bool
) -> WebhookCreated:
    """Create a subscription. It takes no sequence number.

    Raises:
        UserNotFound: the user does not exist, and `create_user` is false.
        TooManyWebhooks: the user has the maximum number of subscriptions.
        Invalid, VersionGone: `since` is a version of the future, or the history does not go back so far.
        TokenRefused: the token that asks was revoked meanwhile.
    """
    last = await lock(transaction, user_id, create_user=create_user)
    if transaction.actor.token_id is not None:
        await keep_token(transaction, user_id, transaction.actor.token_id)  # the subscription goes with it
    count = await transaction.first(
        select(func.count()).select_from(Webhook).where(col(Webhook.user_id) == user_id)
    )
    if count is not None and count[0] >= MAX_WEBHOOKS:
        raise TooManyWebhooks
    if new.since is not None:
        await _check_version(transaction, user_id, new.since, last)
    now = utc_now()
    webhook = Webhook(
        user_id=user_id,
        id=uuid7(),
        token_id=transaction.actor.token_id,
        url=new.url,
        events=_stored_events(new.events),
        payload=new.payload,
        description=new.description,
        active=new.active,
        secret=new_secret(),
        cursor=last if new.since is None else new.since,
        next_at=now,
        created_at=now,
    )
    await transaction.insert_rows(table_of(Webhook), [webhook.model_dump()])
    made = await get_webhook(transaction, user_id, None, webhook.id)
    return WebhookCreated(**_members(made), secret=webhook.secret)


async def update_webhook(
    transaction: Transaction, user_id: str, maker: UUID | None, webhook_id: UUID, changes: WebhookUpdate
) -> WebhookRead:
    """Change what was sent. What waits is sent at once, if the subscription is switched on again.

    Raises:
        WebhookNotFound: missing, or another user's.
    """
    sent = changes.model_dump()
    if not sent:
        return await get_webhook(transaction, user_id, maker, webhook_id)
    values: dict[str, Any] = {name: value for name, value in sent.items() if name != "cursor"}
    if "events" in values:
        values["events"] = _stored_events(values["events"])
    if sent.keys() - {"description"}:
        values |= _AFRESH | {"next_at": utc_now()}
    if "cursor" in sent:
        locked = await transaction.first(next_numbers(user_id, 0))
        values |= {"cursor": locked[0] if locked else 0, "gap": False}
    if values.get("active"):
        values["gap"] = False
    await _change(transaction, own(user_id, maker, webhook_id), values)
    return await get_webhook(transaction, user_id, maker, webhook_id)


async def rotate_secret(
    transaction: Transaction, user_id: str, maker: UUID | None, webhook_id: UUID, overlap: timedelta
) -> WebhookCreated:
    """Give a subscription a new secret. The old one signs too until the overlap has passed.

    Raises:
        WebhookNotFound: missing, or another user's.
    """
    secret = new_secret()
    old = {"old_secret": col(Webhook.secret), "old_secret_until": utc_now() + overlap}
    values = old if overlap else dict.fromkeys(old)
    await _change(transaction, own(user_id, maker, webhook_id), {**values, "secret": secret})
    shown = await get_webhook(transaction, user_id, maker, webhook_id)
    return WebhookCreated(**_members(shown), secret=secret)


async def redeliver_since(
    transaction: Transaction, user_id: str, maker: UUID | None, webhook_id: UUID, since: int
) -> int:
    """Set the cursor back, so that a version and all that follow are sent again. Returns the cursor.

    Raises:
        WebhookNotFound: missing, or another user's.
        Invalid, VersionGone: the version is one of the future, or the history does not go back so far.
    """
    await get_webhook(transaction, user_id, maker, webhook_id)
    locked = await transaction.first(next_numbers(user_id, 0))
    cursor = max(since - 1, 0)
    await _check_version(transaction, user_id, cursor, locked[0] if locked else 0)
    values = {"cursor": cursor, "next_at": utc_now(), "attempt": 0, "gap": False}
    await _change(transaction, own(user_id, maker, webhook_id), values)
    return cursor


async def delete_webhook(
    transaction: Transaction, user_id: str, maker: UUID | None, webhook_id: UUID
) -> None:
    """Delete a subscription and its log. Raises WebhookNotFound."""
    statement = delete(Webhook).where(own(user_id, maker, webhook_id)).returning(col(Webhook.id))
    if await transaction.first(statement) is None:
        raise WebhookNotFound


async def disable_all(transaction: Transaction) -> int:
    """Switch all subscriptions off in a copy of a database, and return how many were on.

    A copy would deliver to the receivers of the original.
    """
    off = {"active": False, "disabled_reason": "copied"}
    statement = update(Webhook).where(col(Webhook.active)).values(off).returning(col(Webhook.id))
    return len(await transaction.all(statement))


async def end_leases(transaction: Transaction) -> None:
    """Take all leases away: their holders are processes of another database."""
    await transaction.execute(
        update(Webhook).where(col(Webhook.leased_until).is_not(None)).values(leased_until=None)
    )


async def count_failing(transaction: ReadTransaction) -> tuple[int, int]:
    """How many subscriptions of all users fail, and how many of them were switched off for it."""
    off = func.count().filter(col(Webhook.disabled_reason).in_(("failing", "gone")))
    failing = col(Webhook.failing_since).is_not(None)
    counts: Any = select(func.count(), off).select_from(Webhook).where(failing)
    row: Any = await transaction.first(counts)
    return row[0], row[1]


async def _change(transaction: Transaction, which: ColumnElement[bool], values: Mapping[str, Any]) -> None:
    columns: dict[Any, Any] = {getattr(Webhook, name): value for name, value in values.items()}
    if values.keys() - {"description"}:
        columns |= _NO_LEASE
    statement = update(Webhook).where(which).values(columns).returning(col(Webhook.id))
    if await transaction.first(statement) is None:
        raise WebhookNotFound


async def _check_version(transaction: ReadTransaction, user_id: str, since: int, last: int) -> None:
    """Raises Invalid, VersionGone."""
    if since > last:
        detail = "must not be a version of the future"
        raise Invalid(Violation("body", "/since", "out_of_range", detail))
    row = await transaction.first(select(col(User.history_seq)).where(col(User.id) == user_id))
    if row is not None and since < row[0]:
        raise VersionGone


def _stored_events(events: list[str]) -> str:
    return " ".join(dict.fromkeys(events))


def _shown() -> Select[Any]:
    token = and_(col(ApiToken.user_id) == col(Webhook.user_id), col(ApiToken.id) == col(Webhook.token_id))
    return (
        select(*COLUMNS, col(ApiToken.name).label("token_name"))
        .select_from(Webhook)
        .outerjoin(ApiToken, token)
    )


def _read(row: Row[Any]) -> WebhookRead:
    return WebhookRead(
        id=row.id,
        url=row.url,
        events=row.events.split(),
        payload=row.payload,
        description=row.description,
        active=row.active,
        cursor=row.cursor,
        created_at=row.created_at,
        failing_since=row.failing_since,
        next_attempt_at=row.next_at if row.active and row.attempt else None,
        disabled_reason=row.disabled_reason,
        gap=row.gap,
        token=None if row.token_id is None else ActorToken(row.token_id, row.token_name or ""),
    )


def _members(webhook: WebhookRead) -> dict[str, Any]:
    return asdict(webhook) | {"token": webhook.token}
