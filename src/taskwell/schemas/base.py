"""What all schemas share."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
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


# RFC 3339, 5.6. A space may stand for the T; and for the + of an offset, which a query that is not encoded
# turns into one.
_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<minute>([01]\d|2[0-3]):[0-5]\d):(?P<second>[0-5]\d|60)"
    r"(?P<fraction>\.\d+)?(?P<zone>[Zz]|[+ -]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_YEARS = range(1900, 2200)


def _moment(value: object) -> datetime:
    found = _MOMENT.fullmatch(str(value))
    try:
        moment = _read(**found.groupdict("")) if found else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.year not in _YEARS:
        detail = "must be an instant such as 2026-11-21T10:00:00Z or 2026-11-21T11:00:00.5+01:00"
        raise PydanticCustomError("invalid_instant", detail)
    return moment


def _read(date: str, minute: str, second: str, fraction: str, zone: str) -> datetime:
    """In UTC, cut to microseconds; a leap second is the one that follows it, as on every computer's clock.

    Raises:
        ValueError: there is no such day, or a leap second that does not end a day.
        OverflowError: it is beyond the years that a computer counts.
    """
    leap = second == "60"
    text = f"{date}T{minute}:{'59' if leap else second}{fraction[:7]}{zone.upper().replace(' ', '+')}"
    moment = datetime.fromisoformat(text).astimezone(UTC)
    if not leap:
        return moment
    moment += timedelta(seconds=1)
    if moment.hour or moment.minute:
        raise ValueError
    return moment


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
