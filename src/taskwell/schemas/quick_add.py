"""Quick add: a line of words, and the task that it became."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictStr, TypeAdapter

from taskwell.core.quick_words import TEXT_MAX_LENGTH
from taskwell.schemas.base import Input
from taskwell.schemas.dates import TimeZoneName
from taskwell.schemas.recurrence import RecurrenceMode
from taskwell.schemas.task import TaskRead


class QuickText(Input):
    """A task in words."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Call mum tomorrow 18:00 #family @phone !1"}]}
    )

    text: Annotated[
        StrictStr,
        Field(
            json_schema_extra={"maxLength": TEXT_MAX_LENGTH},
            description="One line. What names a date, a time, a recurrence, a list, a label or a priority is "
            "taken out of it; the rest is the title.",
            examples=["Call mum tomorrow 18:00 #family @phone !1"],
        ),
    ]
    tz: Annotated[
        TimeZoneName | None,
        Field(description="The zone that `today` and times are of; else that of the query, or the user's."),
    ] = None


@dataclass(frozen=True, slots=True)
class Understood:
    """What the words said."""

    due: Annotated[str | None, Field(examples=["2026-11-21T18:00:00"])]
    recurrence: Annotated[str | None, Field(examples=["FREQ=WEEKLY;BYDAY=MO"])]
    recurrence_mode: Annotated[RecurrenceMode, Field(examples=["next"])]
    list: Annotated[str | None, Field(description="The name of the list.", examples=["family"])]
    labels: Annotated[Sequence[str], Field(examples=[["phone"]])]
    priority: Annotated[int | None, Field(examples=[1])]
    description: Annotated[str | None, Field(examples=["Ask about Sunday"])]
    rest: Annotated[str, Field(description="What is left for the title.", examples=["Call mum"])]
    unknown_lists: Annotated[
        Sequence[str],
        Field(description="Names after a `#` of which there is no list: they stay.", examples=[[]]),
    ]


@dataclass(frozen=True, slots=True)
class QuickAdded:
    task: TaskRead
    understood: Understood


_ADDED: TypeAdapter[Any] = TypeAdapter(QuickAdded)


def added_json(added: QuickAdded) -> bytes:
    return _ADDED.dump_json(added)
