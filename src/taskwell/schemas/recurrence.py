"""Input types of recurrence: a rule, the mode, and the excluded occurrences."""

import re
from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from taskwell.core.recurrence.rule import MAX_LENGTH, RuleError, parse_rule
from taskwell.schemas.dates import PATTERN, parse_when

MAX_EXCLUDED = 100

RecurrenceMode = Literal["next", "each", "completion"]

_INSTANT = re.compile(r"T.*(Z|[+-][0-9:]+)")


def _rule(text: str) -> str:
    try:
        parse_rule(text)
    except RuleError as error:
        raise PydanticCustomError(error.code, error.detail) from None
    return text


def _mode(value: object) -> object:
    if value not in get_args(RecurrenceMode):
        raise PydanticCustomError("invalid", "must be next, each or completion")
    return value


def _excluded(value: object) -> str:
    if isinstance(value, str) and _INSTANT.search(value):
        detail = "must be a date such as 2026-12-25, or a local time such as 2026-12-25T09:00:00"
        raise PydanticCustomError("invalid_date", detail)
    return parse_when(value).isoformat()


def _check_number(values: list[str]) -> list[str]:
    if len(values) > MAX_EXCLUDED:
        raise PydanticCustomError("too_many", f"must be at most {MAX_EXCLUDED} dates or local times")
    return values


RecurrenceRule = Annotated[
    StrictStr,
    AfterValidator(_rule),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_LENGTH,
            "description": "How it recurs: an RRULE of RFC 5545, without the name. It needs a date.",
            "examples": ["FREQ=WEEKLY;BYDAY=MO"],
        }
    ),
]
Mode = Annotated[
    RecurrenceMode,
    BeforeValidator(_mode),
    Field(
        description="Which occurrence follows: `next` is the first that is not past, `each` the first one, "
        "and `completion` counts from the day of completion.",
        examples=["next"],
    ),
]
_Excluded = Annotated[
    str,
    PlainValidator(_excluded),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["2026-12-25"]}),
]
RecurrenceExclude = Annotated[
    list[_Excluded],
    AfterValidator(_check_number),
    Field(
        description=f"At most {MAX_EXCLUDED} dates and local times that are passed over.",
        examples=[["2026-12-25"]],
    ),
]
# The date that the client has before it.
Occurrence = Annotated[
    date,
    PlainValidator(parse_when),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": PATTERN,
            "description": "The occurrence that is meant, as the client knows it: the `due` of the task, "
            "else its `start`. One before the task's was done before, and stays so; a later one is refused.",
            "examples": ["2026-11-20T09:00:00"],
        }
    ),
    PlainSerializer(lambda when: when.isoformat(), when_used="json"),
]
