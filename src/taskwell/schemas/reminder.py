"""Input and output types of reminders: when the server reminds of a task."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from taskwell.schemas.dates import YEARS, parse_when

MAX_REMINDERS = 10
MAX_DISTANCE = timedelta(days=366)

# RFC 5545, 3.3.6: whole weeks, or days and times.
_N = "[0-9]{1,8}"
_TIME = f"T({_N}H({_N}M)?({_N}S)?|{_N}M({_N}S)?|{_N}S)"
_DURATION_PATTERN = f"[+-]?P({_N}W|{_N}D({_TIME})?|{_TIME})"
_DURATION = re.compile(_DURATION_PATTERN)
_PART = re.compile(f"({_N})([WDHMS])")
_INSTANT_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})?"
_TRIGGER_DETAIL = (
    "must be a duration such as -PT15M or -P1DT2H, an instant such as 2026-11-20T07:45:00Z, or a local time "
    "such as 2026-11-20T08:45:00"
)


class Distance(NamedTuple):
    """How far a reminder is from its date. `days` keep the time of day, `time` is elapsed time."""

    days: int
    time: timedelta


def distance_of(trigger: str) -> Distance | None:
    """The distance that a trigger names; None: it is an instant or a local time."""
    if not _DURATION.fullmatch(trigger):
        return None
    parts = {unit: int(number) for number, unit in _PART.findall(trigger)}
    days = 7 * parts.get("W", 0) + parts.get("D", 0)
    time = timedelta(hours=parts.get("H", 0), minutes=parts.get("M", 0), seconds=parts.get("S", 0))
    return Distance(-days, -time) if trigger[0] == "-" else Distance(days, time)


def _trigger(value: object) -> str:
    text = value if isinstance(value, str) else ""
    distance = distance_of(text)
    if distance is not None:
        _check_bounds(distance)
        return text
    try:
        when = parse_when(text)
    except PydanticCustomError:
        when = None
    # What is shown, in UTC, has to be what a client may send back.
    if not isinstance(when, datetime) or when.year not in YEARS:
        raise PydanticCustomError("invalid_trigger", _TRIGGER_DETAIL)
    return when.isoformat().replace("+00:00", "Z")


def _check_bounds(distance: Distance) -> None:
    most = MAX_DISTANCE.days
    if abs(distance.days) > most or abs(timedelta(distance.days) + distance.time) > MAX_DISTANCE:
        raise PydanticCustomError("out_of_range", f"must be from -P{most}D to P{most}D")


def _without_default(schema: dict[str, Any]) -> None:
    """Remove the default, null, which the member does not take."""
    del schema["default"]


def _from(value: object) -> object:
    if value != "start":
        raise PydanticCustomError("invalid", "must be start; leave it out for the due date")
    return value


class Reminder(BaseModel):
    """When to remind of a task: so long before or after its date, or at an instant."""

    trigger: Annotated[
        str,
        PlainValidator(_trigger),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": f"^({_DURATION_PATTERN}|{_INSTANT_PATTERN})$",
                "description": "A duration of ISO 8601, before or after the `due`, or else the `start`: "
                "weeks, or days, hours, minutes and seconds, up to 366 days. Or an instant, or a local time "
                "in the task's zone.",
                "examples": ["-PT15M"],
            }
        ),
    ]
    start: Annotated[
        Literal["start"] | None,
        BeforeValidator(_from),
        Field(
            alias="from",
            examples=["start"],
            description="Counts a duration from the `start`, also if the task has a `due`.",
            json_schema_extra=_without_default,
        ),
        WithJsonSchema({"type": "string", "enum": ["start"]}),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def refuse_the_unknown(cls, value: Any) -> Any:
        """In every request: a member that was ignored would remind at another time."""
        if isinstance(value, Mapping) and value.keys() - {"trigger", "from"}:
            raise PydanticCustomError("unknown_member", "has a member other than trigger and from")
        return value

    @model_validator(mode="after")
    def check_from(self) -> Self:
        if self.start and distance_of(self.trigger) is None:
            raise PydanticCustomError("invalid", "must have a duration as trigger, if it has from")
        return self


# As it is stored and shown.
ReminderRead = Annotated[
    dict[str, str],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "trigger": {"type": "string", "examples": ["-PT15M"]},
                "from": {"type": "string", "enum": ["start"], "examples": ["start"]},
            },
            "required": ["trigger"],
        }
    ),
]


def _stored(reminders: list[Reminder]) -> list[dict[str, str]]:
    if len(reminders) > MAX_REMINDERS:
        raise PydanticCustomError("too_many", f"must be at most {MAX_REMINDERS} reminders")
    return [
        {"trigger": one.trigger, "from": one.start} if one.start else {"trigger": one.trigger}
        for one in reminders
    ]


Reminders = Annotated[
    list[Reminder],
    AfterValidator(_stored),
    PlainSerializer(lambda stored: stored),
    Field(
        description=f"At most {MAX_REMINDERS} reminders, replaced as a whole.",
        examples=[[{"trigger": "-PT15M"}]],
    ),
]
