"""API tokens, which users give to programs instead of a password."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, LargeBinary, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from taskwell.core.clock import utc_now

TOKEN_NAME_MAX_LENGTH = 100


class ApiToken(SQLModel, table=True):
    __tablename__ = "api_tokens"
    __table_args__ = (
        CheckConstraint(f"length(name) BETWEEN 1 AND {TOKEN_NAME_MAX_LENGTH}", name="name_length"),
        # The digest alone is unique too, but a table partitioned by user needs the user in every constraint.
        UniqueConstraint("digest", "user_id"),
    )

    user_id: str = Field(primary_key=True, sa_type=Text, foreign_key="users.id", ondelete="CASCADE")
    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    # The token itself is not stored. It has 256 random bits, so a plain digest cannot be reversed.
    digest: bytes = Field(sa_type=LargeBinary)
    scopes: str = Field(sa_type=Text)  # separated by spaces, as in RFC 6749, 3.3
    created_at: datetime = Field(default_factory=utc_now)
    rate: str | None = Field(default=None, sa_type=Text)  # as `core.rates` reads it
    expires_at: datetime | None = None
    last_used_at: datetime | None = None  # up to a minute late
