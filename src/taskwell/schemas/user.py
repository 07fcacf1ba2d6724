"""The requests and responses of users."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter

from taskwell.schemas.base import Input, Instant
from taskwell.schemas.types import Email, UserId


class UserCreate(Input):
    """A new user. Without an id the server generates one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "alice", "email": "alice@example.com"}]})

    id: UserId | None = None
    email: Email | None = None


@dataclass(frozen=True, slots=True)
class UserRead:
    """A user."""

    id: Annotated[str, Field(examples=["alice"])]
    email: Annotated[str | None, Field(examples=["alice@example.com"])]
    created_at: Annotated[
        Instant | None, Field(description="Null for a caller who has not written anything yet.")
    ]


_USER: TypeAdapter[UserRead] = TypeAdapter(UserRead)


def user_json(user: UserRead) -> bytes:
    return _USER.dump_json(user)
