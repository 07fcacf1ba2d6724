"""The operations on webhooks, as `services.operations` has those on tasks. None is coalesced.

`maker`: the API token of the request, which sees what it made itself; None: all of the user's.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from taskwell.database.database import ReadTransaction, Transaction
from taskwell.schemas.webhook import DeliveryRead, WebhookCreate, WebhookCreated, WebhookRead, WebhookUpdate
from taskwell.services import deliveries, webhooks
from taskwell.services.deliveries import LogFilter
from taskwell.services.operations import Operation, ReadOperation


@dataclass(frozen=True, slots=True)
class ListWebhooks(ReadOperation[list[WebhookRead]]):
    user_id: str
    maker: UUID | None

    async def run(self, transaction: ReadTransaction) -> list[WebhookRead]:
        return await webhooks.list_webhooks(transaction, self.user_id, self.maker)


@dataclass(frozen=True, slots=True)
class GetWebhook(ReadOperation[WebhookRead]):
    user_id: str
    maker: UUID | None
    webhook_id: UUID

    async def run(self, transaction: ReadTransaction) -> WebhookRead:
        return await webhooks.get_webhook(transaction, self.user_id, self.maker, self.webhook_id)


@dataclass(frozen=True, slots=True)
class CreateWebhook(Operation[WebhookCreated]):
    user_id: str
    new: WebhookCreate
    create_user: bool

    async def run(self, transaction: Transaction) -> WebhookCreated:
        return await webhooks.create_webhook(
            transaction, self.user_id, self.new, create_user=self.create_user
        )


@dataclass(frozen=True, slots=True)
class UpdateWebhook(Operation[WebhookRead]):
    user_id: str
    maker: UUID | None
    webhook_id: UUID
    changes: WebhookUpdate

    async def run(self, transaction: Transaction) -> WebhookRead:
        return await webhooks.update_webhook(
            transaction, self.user_id, self.maker, self.webhook_id, self.changes
        )


@dataclass(frozen=True, slots=True)
class DeleteWebhook(Operation[None]):
    user_id: str
    maker: UUID | None
    webhook_id: UUID

    async def run(self, transaction: Transaction) -> None:
        await webhooks.delete_webhook(transaction, self.user_id, self.maker, self.webhook_id)


@dataclass(frozen=True, slots=True)
class RotateSecret(Operation[WebhookCreated]):
    user_id: str
    maker: UUID | None
    webhook_id: UUID
    overlap: timedelta

    async def run(self, transaction: Transaction) -> WebhookCreated:
        return await webhooks.rotate_secret(
            transaction, self.user_id, self.maker, self.webhook_id, self.overlap
        )


@dataclass(frozen=True, slots=True)
class RedeliverSince(Operation[int]):
    """The outcome is the new cursor."""

    user_id: str
    maker: UUID | None
    webhook_id: UUID
    since: int

    async def run(self, transaction: Transaction) -> int:
        return await webhooks.redeliver_since(
            transaction, self.user_id, self.maker, self.webhook_id, self.since
        )


@dataclass(frozen=True, slots=True)
class ListDeliveries(ReadOperation[list[DeliveryRead]]):
    """A page of the log, newest first: up to one more than `limit`, to detect a next page."""

    user_id: str
    maker: UUID | None
    webhook_id: UUID
    found: LogFilter
    limit: int

    async def run(self, transaction: ReadTransaction) -> list[DeliveryRead]:
        await webhooks.get_webhook(transaction, self.user_id, self.maker, self.webhook_id)
        return await deliveries.list_log(
            transaction, self.user_id, self.webhook_id, self.found, limit=self.limit + 1
        )
