"""Who has done something."""

from dataclasses import dataclass
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from taskwell.core.principal import Actor
from taskwell.schemas.types import EXAMPLE_ID


@dataclass(frozen=True, slots=True)
class ActorToken:
    """An API token, which may be revoked since."""

    id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    name: Annotated[str, Field(examples=["claude-laptop"])]


@dataclass(frozen=True, slots=True)
class ActorRead:
    """Who has done something. Only the token is proved; the client names itself."""

    user: Annotated[str, Field(description="The owner of the tasks.", examples=["alice"])]
    token: Annotated[ActorToken | None, Field(description="Null for a user who has signed in.")]
    client: Annotated[str | None, Field(description="The name of the program.", examples=["claude-code"])]
    via: Annotated[str, Field(description="The protocol.", examples=["api"])]

    @classmethod
    def of(cls, user_id: str, actor: Actor) -> Self:
        token = None if actor.token_id is None else ActorToken(actor.token_id, actor.token_name or "")
        return cls(user_id, token, actor.client, actor.via)
