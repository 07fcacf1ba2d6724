"""The requests and responses of users."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import MISSING, ConfigDict, Field, TypeAdapter

from taskwell.schemas.base import Input, Instant
from taskwell.schemas.dates import TimeZoneName
from taskwell.schemas.types import Email, UserId


class UserCreate(Input):
    """A new user. Without an id the server generates one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "alice", "email": "alice@example.com"}]})

    id: UserId | None = None
    email: Email | None = None


class UserUpdate(Input):
    """A merge patch (RFC 7396): absent members stay unchanged, null clears."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"time_zone": "Europe/Berlin"}]})

    time_zone: Annotated[
        TimeZoneName | MISSING | None,
        Field(description="The zone that says what today is; null is the server's."),
    ] = MISSING


@dataclass(frozen=True, slots=True)
class UserRead:
    """A user."""

    id: Annotated[str, Field(examples=["alice"])]
    email: Annotated[str | None, Field(examples=["alice@example.com"])]
    time_zone: Annotated[
        str | None,
        Field(
            description="The zone that says what today is; null is the server's.", examples=["Europe/Berlin"]
        ),
    ]
    created_at: Annotated[
        Instant | None, Field(description="Null for a caller who has not written anything yet.")
    ]

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        return cls(*row)


_USER: TypeAdapter[UserRead] = TypeAdapter(UserRead)


def user_json(user: UserRead) -> bytes:
    return _USER.dump_json(user)
