"""The place that something is moved to."""

from typing import Annotated, Self

from pydantic import MISSING, Field, model_validator
from pydantic_core import PydanticCustomError

from taskwell.schemas.base import Input
from taskwell.schemas.types import TaskId


class Move(Input):
    """A place in the order: beside another one."""

    after: Annotated[
        TaskId | MISSING | None, Field(description="The one to follow; null is the top. Or send `before`.")
    ] = MISSING
    before: Annotated[
        TaskId | MISSING | None, Field(description="The one to precede; null is the end. Or send `after`.")
    ] = MISSING

    @model_validator(mode="after")
    def has_one_neighbour(self) -> Self:
        if len(self.model_fields_set & {"after", "before"}) != 1:
            raise PydanticCustomError("invalid_position", "must have either after or before")
        return self
