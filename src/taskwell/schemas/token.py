"""The requests and responses of API tokens."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.core.rates import PATTERN, Rate
from taskwell.schemas.base import Input, Instant, Moment
from taskwell.schemas.types import EXAMPLE_ID, Name

_SCOPES = ("tasks:read", "tasks:edit", "tasks:write", "webhooks", "admin")


def _scope(value: object) -> str:
    if value not in _SCOPES:
        raise PydanticCustomError("invalid_scope", "must be one of " + ", ".join(_SCOPES))
    return str(value)


def _rate(value: object) -> str:
    try:
        if isinstance(value, str):
            Rate.parse(value)
            return value
    except ValueError:
        pass
    raise PydanticCustomError(
        "invalid_rate", "must be a number per second, minute, hour or day, such as 60/minute"
    )


Scope = Annotated[str, BeforeValidator(_scope), WithJsonSchema({"type": "string", "enum": list(_SCOPES)})]

TokenRate = Annotated[
    str,
    BeforeValidator(_rate),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{PATTERN}$",
            "description": "The number of requests that the token may send, which also count as its user's; "
            "null: as many as its user.",
            "examples": ["60/minute"],
        }
    ),
]


class TokenCreate(Input):
    """A new token. Without `expires_at` it lasts until it is revoked."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "backup", "scopes": ["tasks:read"]}]})

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(_SCOPES))]
    rate: TokenRate | None = None
    expires_at: Moment | None = None


@dataclass(frozen=True, slots=True)
class TokenRead:
    """A token, without its secret."""

    id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    name: Annotated[str, Field(examples=["backup"])]
    scopes: Annotated[list[str], Field(examples=[["tasks:read"]])]
    rate: Annotated[str | None, Field(examples=["60/minute"])]
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Annotated[Instant | None, Field(description="Up to a minute late.")]


@dataclass(frozen=True, slots=True)
class TokenCreated(TokenRead):
    """A new token with its secret, which is not shown again."""

    token: Annotated[str, Field(examples=["tw_…"])]


_TOKEN: TypeAdapter[Any] = TypeAdapter(TokenRead)
_TOKEN_CREATED: TypeAdapter[Any] = TypeAdapter(TokenCreated)
_TOKENS: TypeAdapter[Any] = TypeAdapter(list[TokenRead])


def token_json(token: TokenRead) -> bytes:
    adapter = _TOKEN_CREATED if isinstance(token, TokenCreated) else _TOKEN
    return adapter.dump_json(token)


def tokens_json(tokens: list[TokenRead]) -> bytes:
    return _TOKENS.dump_json(tokens)
