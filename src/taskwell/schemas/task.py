"""The input and output types of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    MISSING,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    StrictBool,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from sqlalchemy import ColumnElement, case, func

from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.base import INT64, Input, Instant, Moment
from taskwell.schemas.dates import Due, Start, TimeZoneName
from taskwell.schemas.move import Move
from taskwell.schemas.recurrence import Mode, Occurrence, RecurrenceExclude, RecurrenceMode, RecurrenceRule
from taskwell.schemas.reminder import ReminderRead, Reminders
from taskwell.schemas.types import (
    EXAMPLE_ID,
    ChangedDescription,
    ChangedTitle,
    Description,
    TaskId,
    Title,
)
from taskwell.schemas.values import Extra, Labels, Link, Position, Priority, Status, StatusName, Subtasks

Completed = Annotated[StrictBool, Field(description="Whether the task is done.", examples=[True])]


ListRef = Annotated[TaskId, Field(description="The list that it is in; null is the inbox.")]
ParentRef = Annotated[
    TaskId, Field(description="The task that it is a part of, at most eight levels deep. It has its list.")
]
CompletedAt = Annotated[
    Moment,
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "description": "When the task was completed, from 1970 to the present; the present if left out. "
            "It has an effect only where the request completes the task.",
            "examples": ["2026-11-21T10:00:00Z"],
        }
    ),
]


def _without_default(schema: dict[str, Any]) -> None:
    """Remove the default: some client generators treat a field with a default as required."""
    del schema["default"]


class TaskCreate(Input):
    """A new task."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Buy milk", "description": "Two bottles"}]}
    )

    title: Title
    description: Description | None = None
    completed: Annotated[
        Completed,
        Field(description="Whether the task is done; false if left out.", json_schema_extra=_without_default),
    ] = False
    completed_at: CompletedAt | None = None
    status: Status | MISSING = MISSING
    list_id: ListRef | None = None
    parent_id: ParentRef | None = None
    position: Position | MISSING = MISSING
    start: Start | None = None
    due: Due | None = None
    time_zone: TimeZoneName | None = None
    recurrence: RecurrenceRule | None = None
    recurrence_mode: Mode | MISSING = MISSING
    recurrence_exclude: RecurrenceExclude | None = None
    priority: Priority | None = None
    labels: Labels | None = None
    reminders: Reminders | None = None
    link: Link | None = None
    extra: Extra | None = None


class TaskUpdate(Input):
    """A merge patch (RFC 7396): absent members stay unchanged, null clears a nullable one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Buy bread"}]})

    title: ChangedTitle | MISSING = MISSING
    description: ChangedDescription | MISSING | None = MISSING
    completed: Completed | MISSING = MISSING
    completed_at: CompletedAt | MISSING | None = MISSING
    occurrence: Occurrence | MISSING = MISSING
    status: Status | MISSING = MISSING
    subtasks: Subtasks | MISSING = MISSING
    list_id: ListRef | MISSING | None = MISSING
    parent_id: ParentRef | MISSING | None = MISSING
    position: Position | MISSING = MISSING
    start: Start | MISSING | None = MISSING
    due: Due | MISSING | None = MISSING
    time_zone: TimeZoneName | MISSING | None = MISSING
    recurrence: RecurrenceRule | MISSING | None = MISSING
    recurrence_mode: Mode | MISSING = MISSING
    recurrence_exclude: RecurrenceExclude | MISSING | None = MISSING
    priority: Priority | MISSING | None = MISSING
    labels: Labels | MISSING | None = MISSING
    labels_add: Annotated[Labels | MISSING, Field(description="Labels to add.")] = MISSING
    labels_remove: Annotated[Labels | MISSING, Field(description="Labels to remove.")] = MISSING
    reminders: Reminders | MISSING | None = MISSING
    link: Link | MISSING | None = MISSING
    extra: Extra | MISSING | None = MISSING

    # Whether a whole task is sent back, changed: it has members that no client sets.
    _is_sent_back: bool = PrivateAttr(default=False)

    @model_validator(mode="wrap")
    @classmethod
    def note_whether_it_is_sent_back(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        changes = handler(value)
        changes._is_sent_back = isinstance(value, Mapping) and "version" in value  # noqa: SLF001 (its own)
        return changes

    @property
    def is_sent_back(self) -> bool:
        return self._is_sent_back


class TaskToggle(Input):
    """The state to set. Without it the task's state is inverted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"completed": True}]})

    completed: Completed | MISSING = MISSING
    completed_at: CompletedAt | MISSING | None = MISSING
    occurrence: Occurrence | MISSING = MISSING
    subtasks: Subtasks | MISSING = MISSING


class TaskSkip(Input):
    """The occurrence to skip. Without it, the present one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"occurrence": "2026-11-20T09:00:00"}]})

    occurrence: Occurrence | MISSING = MISSING


class TaskMove(Move):
    """A place in the order: beside one of the tasks in the same list and below the same parent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"after": None}]})

    list_id: ListRef | MISSING | None = MISSING
    parent_id: ParentRef | MISSING | None = MISSING


@dataclass(frozen=True, slots=True)
class TaskRead:
    """A task. Every field is always present."""

    id: Annotated[
        UUID, Field(description="A UUID; version 7 if the server generated it.", examples=[EXAMPLE_ID])
    ]
    user_id: Annotated[str, Field(description="The owner of the task.", examples=["alice"])]
    title: Annotated[str, Field(examples=["Buy milk"])]
    description: Annotated[str | None, Field(examples=["Two bottles"])]
    completed: Annotated[bool, Field(examples=[True])]
    completed_at: Annotated[
        Instant | None, Field(description="When the task was last completed; null while it is not.")
    ]
    status: Annotated[
        StatusName, Field(description="`completed` is true for the last two of them.", examples=["open"])
    ]
    list_id: Annotated[UUID | None, Field(description="The list that it is in; null is the inbox.")]
    parent_id: Annotated[UUID | None, Field(description="The task that it is a part of.")]
    position: Annotated[
        str, Field(description="Its place in the order, compared by bytes.", examples=["i8DhyrHb7o"])
    ]
    start: Annotated[str | None, Field(description="When it begins, as `due`.", examples=["2026-11-19"])]
    due: Annotated[
        str | None,
        Field(
            description="When it is due: a date, or a local time in `time_zone`.",
            examples=["2026-11-20T09:00:00"],
        ),
    ]
    time_zone: Annotated[
        str | None,
        Field(
            description="The zone of the times of `due` and `start`; null if they have none, and for times "
            "that are the same everywhere.",
            examples=["Europe/Berlin"],
        ),
    ]
    due_at: Annotated[Instant | None, Field(description="The instant of a `due` with time and zone.")]
    recurrence: Annotated[
        str | None,
        Field(
            description="How it recurs, an RRULE of RFC 5545: when it is completed, its dates move to the "
            "next occurrence. A COUNT is counted down.",
            examples=["FREQ=WEEKLY;BYDAY=MO"],
        ),
    ]
    recurrence_mode: Annotated[
        RecurrenceMode, Field(description="Which occurrence is the next.", examples=["next"])
    ]
    recurrence_exclude: Annotated[
        list[str],
        Field(description="Dates and local times that are passed over.", examples=[["2026-12-25"]]),
    ]
    priority: Annotated[int | None, Field(description="1 is the most urgent, 9 the least.", examples=[1])]
    labels: Annotated[list[str], Field(examples=[["home", "Büro"]])]
    reminders: Annotated[
        list[ReminderRead],
        Field(description="When the server sends a `reminder` event.", examples=[[{"trigger": "-PT15M"}]]),
    ]
    link: Annotated[str | None, Field(examples=["https://example.com/recipes/7"])]
    extra: Annotated[
        dict[str, Any], Field(description="An object for apps.", examples=[{"example.com/estimate": 30}])
    ]
    created_at: Instant
    updated_at: Instant
    version: Annotated[
        int,
        Field(
            description="The sequence number of the latest change, also the ETag. It only grows.",
            examples=[17],
            json_schema_extra=INT64,
        ),
    ]

    @classmethod
    def of(cls, row: Sequence[Any]) -> Self:
        return cls(*row)


@dataclass(frozen=True, slots=True)
class TaskDeleted(TaskRead):
    """A task in the trash."""

    deleted_at: Instant


@dataclass(frozen=True, slots=True)
class TaskAdvanced(TaskRead):
    """A recurring task, one occurrence of which was just completed.

    `completion`: the version of the completion; with reopened subtasks, and the last one of theirs. It is
    what undoes it, and no field of the task.
    """

    completion: str


@dataclass(frozen=True, slots=True)
class TasksDeleted:
    """The number of tasks that were moved to the trash."""

    deleted: Annotated[int, Field(examples=[3])]


_TABLE = table_of(Task).c
_COMPLETED_OR_OPEN = case((_TABLE.completed, "completed"), else_="open")
# The fields that are not as their column is.
_SHOWN: dict[str, ColumnElement[Any]] = {
    "status": func.coalesce(_TABLE.status, _COMPLETED_OR_OPEN).label("status"),
    "recurrence_mode": func.coalesce(_TABLE.recurrence_mode, "next").label("recurrence_mode"),
}


def _column_of(name: str) -> ColumnElement[Any]:
    return _SHOWN.get(name, _TABLE[name])


FIELD_NAMES = tuple(field.name for field in fields(TaskRead))
# In the order of the fields: `of` creates a record of a row by position.
TASK_COLUMNS = tuple(_column_of(field.name) for field in fields(TaskRead))
TASK_DELETED_COLUMNS = tuple(_column_of(field.name) for field in fields(TaskDeleted))

_TASK: TypeAdapter[Any] = TypeAdapter(TaskRead)
_TASK_DELETED: TypeAdapter[Any] = TypeAdapter(TaskDeleted)


def task_to_json(task: TaskRead) -> bytes:
    adapter = _TASK_DELETED if isinstance(task, TaskDeleted) else _TASK
    return adapter.dump_json(task)
