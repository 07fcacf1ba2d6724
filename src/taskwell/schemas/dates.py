"""Input types of dates. The form of the text is the type: a date, a local time, or an instant."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, PlainValidator, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from taskwell.core.time_zones import NAMES

YEARS = range(1900, 9999)

# Parts of the pattern, which is JSON Schema's as well as Python's.
_DAY = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
_SECOND = r":[0-5][0-9](\.0+)?"
_OFFSET = f"Z|[+-]{_MINUTE}"
PATTERN = f"^{_DAY}(T{_MINUTE}({_SECOND})?({_OFFSET})?)?$"
_WHEN = re.compile(f"{_DAY}(T{_MINUTE}({_SECOND})?({_OFFSET})?)?")
_FRACTION = re.compile(r"\.0+")
_NAME_PATTERN = "^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"

DATE_DETAIL = (
    "must be a date such as 2026-11-20, a local time such as 2026-11-20T09:00:00, or an instant such as "
    "2026-11-20T08:00:00Z, of a day that exists in the years 1900 to 9998, without fractions of a second"
)
TIME_ZONE_DETAIL = (
    "must be a name of the tz database such as Europe/Berlin: in JavaScript, "
    "Intl.DateTimeFormat().resolvedOptions().timeZone"
)


def parse_when(value: object) -> date | datetime:
    """Parse a date to a `date`, a local time to a naive `datetime`, and an instant to one in UTC."""
    if isinstance(value, str) and _WHEN.fullmatch(value):
        try:
            return _read(_FRACTION.sub("", value))
        except ValueError:
            pass
    raise PydanticCustomError("invalid_date", DATE_DETAIL)


def _read(text: str) -> date | datetime:
    """Raises ValueError: the month has no such day, or the year, as written, is out of range."""
    if int(text[:4]) not in YEARS:
        raise ValueError
    if len(text) == 10:
        return date.fromisoformat(text)
    when = datetime.fromisoformat(text)
    return when if when.tzinfo is None else when.astimezone(UTC)


def _time_zone(value: str) -> str:
    if value not in NAMES:
        raise PydanticCustomError("unknown_time_zone", TIME_ZONE_DETAIL)
    return value


def _schema(description: str, example: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": PATTERN,
            "description": f"{description}: a date, a local time, or an instant with `Z` or an offset, which "
            "becomes the local time of `time_zone`.",
            "examples": [example],
        }
    )


_When = Annotated[
    date | datetime,
    PlainValidator(parse_when),
    PlainSerializer(lambda when: when.isoformat(), when_used="json"),
]
Due = Annotated[_When, _schema("When it is due", "2026-11-20T09:00:00")]
Start = Annotated[_When, _schema("When it can begin", "2026-11-19")]
TimeZoneName = Annotated[
    StrictStr,
    AfterValidator(_time_zone),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": _NAME_PATTERN,
            "description": "The time zone of `start` and `due`, by its name in the tz database.",
            "examples": ["Europe/Berlin"],
        }
    ),
]
