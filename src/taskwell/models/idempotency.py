"""Idempotency keys, with the responses to their requests."""

from datetime import datetime

from sqlalchemy import Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from taskwell.core.clock import utc_now


class IdempotencyKey(SQLModel, table=True):
    __tablename__ = "idempotency_keys"
    # For purging expired keys.
    __table_args__ = (Index("ix_idempotency_keys_created_at_user_id", "created_at", "user_id"),)

    user_id: str = Field(primary_key=True, sa_type=Text)
    key: str = Field(primary_key=True, sa_type=Text)
    # A digest of the request, to detect a key that is reused for another one.
    fingerprint: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = Field(default_factory=utc_now)
    # The response, once there is one: status, headers and body, packed.
    answer: bytes | None = Field(default=None, sa_type=LargeBinary)
