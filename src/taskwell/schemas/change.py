"""The response of the changes feed."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from taskwell.schemas.base import INT64, Instant
from taskwell.schemas.task import TaskRead
from taskwell.schemas.types import EXAMPLE_ID


@dataclass(frozen=True, slots=True)
class TaskGone:
    """A task that was moved to the trash."""

    id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    deleted: Annotated[Literal[True], Field(examples=[True])]
    version: Annotated[int, Field(examples=[18], json_schema_extra=INT64)]
    deleted_at: Instant


Change = TaskRead | TaskGone


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in the order of their versions, each task in its latest state."""

    changes: list[Change]
    next: Annotated[str, Field(description="The `since` of the next request.", examples=["18-0"])]
    more: Annotated[bool, Field(description="Whether there are more changes now.", examples=[False])]


_CHANGES: TypeAdapter[Any] = TypeAdapter(ChangePage)
_CHANGE: TypeAdapter[Any] = TypeAdapter(Change)


def changes_json(changes: ChangePage) -> bytes:
    return _CHANGES.dump_json(changes)


def change_json(change: Change) -> bytes:
    return _CHANGE.dump_json(change)
