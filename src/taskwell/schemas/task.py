"""The input and output types of tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import MISSING, ConfigDict, Field, StrictBool, TypeAdapter

from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.base import INT64, Input, Instant
from taskwell.schemas.types import EXAMPLE_ID, Description, Title

Completed = Annotated[StrictBool, Field(description="Whether the task is done.", examples=[True])]


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


class TaskUpdate(Input):
    """A merge patch (RFC 7396): absent members stay unchanged, null clears a nullable one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Buy bread"}]})

    title: Title | MISSING = MISSING
    description: Description | MISSING | None = MISSING
    completed: Completed | MISSING = MISSING


class TaskToggle(Input):
    """The state to set. Without it the task's state is inverted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"completed": True}]})

    completed: Completed | MISSING = MISSING


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
class TasksDeleted:
    """The number of tasks that were moved to the trash."""

    deleted: Annotated[int, Field(examples=[3])]


# In the order of the fields: `of` creates a record of a row by position.
TASK_COLUMNS = tuple(table_of(Task).c[field.name] for field in fields(TaskRead))
TASK_DELETED_COLUMNS = tuple(table_of(Task).c[field.name] for field in fields(TaskDeleted))

_TASK: TypeAdapter[Any] = TypeAdapter(TaskRead)
_TASK_DELETED: TypeAdapter[Any] = TypeAdapter(TaskDeleted)


def task_to_json(task: TaskRead) -> bytes:
    adapter = _TASK_DELETED if isinstance(task, TaskDeleted) else _TASK
    return adapter.dump_json(task)
