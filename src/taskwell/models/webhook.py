"""Webhooks: subscriptions to a user's history, and the log of what was sent to them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, Text, desc, text
from sqlmodel import Field, SQLModel

from taskwell.core.clock import utc_now


class Webhook(SQLModel, table=True):
    __tablename__ = "webhooks"
    __table_args__ = (
        # What an API token subscribed to ends with the token.
        ForeignKeyConstraint(
            ["user_id", "token_id"],
            ["api_tokens.user_id", "api_tokens.id"],
            name="fk_webhooks_user_id_token_id",
            ondelete="CASCADE",
        ),
    )

    user_id: str = Field(primary_key=True, sa_type=Text, foreign_key="users.id", ondelete="CASCADE")
    id: UUID = Field(primary_key=True)
    token_id: UUID | None = None
    url: str = Field(sa_type=Text)
    events: str = Field(sa_type=Text)  # types and patterns, separated by spaces
    payload: str = Field(sa_type=Text)  # `full` or `thin`
    description: str | None = Field(default=None, sa_type=Text)
    # Both are stored as they are, since a signature needs them. The old one signs too, for some time.
    secret: str = Field(sa_type=Text)
    old_secret: str | None = Field(default=None, sa_type=Text)
    old_secret_until: datetime | None = None
    active: bool = Field(default=True)
    # The version of the last event that is done with. What follows in the history is to be sent.
    cursor: int = Field(sa_type=BigInteger)
    # How often the next event has failed; and since when nothing was delivered.
    attempt: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    failing_since: datetime | None = None
    next_at: datetime = Field(default_factory=utc_now)
    disabled_reason: str | None = Field(default=None, sa_type=Text)
    gap: bool = Field(default=False)
    # Who holds the lease delivers. Every write of the holder names its number, which no later holder has.
    leased_until: datetime | None = None
    lease: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = Field(default_factory=utc_now)


class WebhookDelivery(SQLModel, table=True):
    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "webhook_id"],
            ["webhooks.user_id", "webhooks.id"],
            name="fk_webhook_deliveries_user_id_webhook_id",
            ondelete="CASCADE",
        ),
        # The log of one subscription, newest first; and what is too old, of all.
        Index("ix_webhook_deliveries_user_id_webhook_id_id", "user_id", "webhook_id", desc("id")),
        Index("ix_webhook_deliveries_at_user_id", "at", "user_id"),
    )

    user_id: str = Field(primary_key=True, sa_type=Text)
    id: UUID = Field(primary_key=True)  # in the order of time
    webhook_id: UUID
    version: int | None = Field(default=None, sa_type=BigInteger)  # of a ping null
    type: str = Field(sa_type=Text)
    attempt: int
    at: datetime
    ms: int
    status: int | None = None
    error: str | None = Field(default=None, sa_type=Text)
    answer: str | None = Field(default=None, sa_type=Text)
    outcome: str = Field(sa_type=Text)
    next_attempt_at: datetime | None = None
