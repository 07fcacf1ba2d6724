"""What all schemas share."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

# What a generated client needs to be told of a number of the sequence.
INT64 = {"format": "int64"}

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


_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_YEARS = range(1900, 2200)


def _moment(value: object) -> datetime:
    text = str(value)
    try:
        moment = datetime.fromisoformat(text.upper()) if _MOMENT.fullmatch(text) else None
        if moment is not None and moment.astimezone(UTC).year in _YEARS:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    detail = "must be an instant such as 2026-11-21T10:00:00Z (in a query, + is written %2B)"
    raise PydanticCustomError("invalid_instant", detail)


# What clients send: RFC 3339, with an offset, in years that every client can show.
Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]


def _instant(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


# RFC 3339, always with six digits and in UTC, so that they sort as text.
Instant = Annotated[
    datetime,
    PlainSerializer(_instant, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-21T10:00:00.123456Z"]}),
]
