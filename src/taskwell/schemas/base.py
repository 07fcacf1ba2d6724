"""What all schemas share."""

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

# Set for a request that asks for `Prefer: handling=strict` (RFC 7240).
strict_handling: ContextVar[bool] = ContextVar("strict_handling", default=False)


class Input(BaseModel):
    """What is not named here is ignored, so that a client may send back what it got; refused when strict."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def refuse_the_unknown(cls, value: Any) -> Any:
        if strict_handling.get() and isinstance(value, Mapping) and value.keys() - cls.model_fields:
            known = ", ".join(cls.model_fields)
            raise PydanticCustomError("unknown_member", f"has a member other than {known}")
        return value


def _instant(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


# RFC 3339, always with six digits and in UTC, so that they sort as text.
Instant = Annotated[
    datetime,
    PlainSerializer(_instant, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-21T10:00:00.123456Z"]}),
]
