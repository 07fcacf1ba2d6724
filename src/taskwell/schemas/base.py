"""Definitions that all schemas share."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

# The format of sequence numbers, for generated clients.
INT64 = {"format": "int64"}

# Set for requests with `Prefer: handling=strict` (RFC 7240).
strict_handling: ContextVar[bool] = ContextVar("strict_handling", default=False)


class Input(BaseModel):
    """A request body. Unknown members, as in a response sent back, are ignored; refused if strict."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def refuse_the_unknown(cls, value: Any) -> Any:
        if strict_handling.get() and isinstance(value, Mapping) and value.keys() - cls.model_fields:
            known = ", ".join(cls.model_fields)
            raise PydanticCustomError("unknown_member", f"has a member other than {known}")
        return value


# RFC 3339, 5.6. A space may replace the T; and the + of an offset, which an unencoded query turns into one.
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
    """Convert to UTC, truncated to microseconds; a leap second becomes the next second, as in POSIX time.

    Raises:
        ValueError: the day does not exist, or the leap second does not end a day.
        OverflowError: the year is out of datetime's range.
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


# An instant in a request: RFC 3339 with an offset, in years that every client can show.
Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]


def instant_text(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


# An instant in a response: RFC 3339 in UTC with six digits, so that instants sort as text.
Instant = Annotated[
    datetime,
    PlainSerializer(instant_text, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-21T10:00:00.123456Z"]}),
]
