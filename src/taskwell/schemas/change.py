"""The response of the changes feed."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import Field, TypeAdapter

from taskwell.models import Label
from taskwell.models.base import table_of
from taskwell.schemas.base import INT64, Instant
from taskwell.schemas.task import TaskRead
from taskwell.schemas.task_list import EXAMPLE_LIST_ID, ListRead
from taskwell.schemas.types import EXAMPLE_ID

Deleted = Annotated[Literal[True], Field(examples=[True])]
Version = Annotated[int, Field(examples=[18], json_schema_extra=INT64)]


@dataclass(frozen=True, slots=True)
class TaskGone:
    """A task that was moved to the trash."""

    id: Annotated[UUID, Field(examples=[EXAMPLE_ID])]
    deleted: Deleted
    version: Version
    deleted_at: Instant


# The records of a request with `types` begin with their type.


@dataclass(frozen=True)
class _OfTask:
    type: Annotated[Literal["task"], Field(examples=["task"])]


@dataclass(frozen=True)
class _OfList:
    type: Annotated[Literal["list"], Field(examples=["list"])]


@dataclass(frozen=True)
class _OfLabel:
    type: Annotated[Literal["label"], Field(examples=["label"])]


@dataclass(frozen=True)
class TypedTask(TaskRead, _OfTask):
    """A task."""


@dataclass(frozen=True)
class TypedTaskGone(TaskGone, _OfTask):
    """A task that was moved to the trash."""


@dataclass(frozen=True)
class TypedList(ListRead, _OfList):
    """A list."""


@dataclass(frozen=True)
class TypedListGone(_OfList):
    """A list that was moved to the trash."""

    id: Annotated[UUID, Field(examples=[EXAMPLE_LIST_ID])]
    deleted: Deleted
    version: Version
    deleted_at: Instant


@dataclass(frozen=True, slots=True)
class Reminded:
    """A reminder that was sent. `version`: its number, which the task does not bear."""

    version: int
    task_id: UUID
    kind: str
    at: Instant


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What is stored of a label with a color or a place of its own."""

    name: Annotated[str, Field(examples=["home"])]
    color: Annotated[str | None, Field(description="`#rrggbb`.", examples=["#2e7d32"])]
    position: Annotated[str | None, Field(examples=["i8DhyrHb7o"])]
    version: Version


@dataclass(frozen=True, slots=True)
class LabelRowDeleted(LabelRow):
    deleted_at: Instant


@dataclass(frozen=True)
class TypedLabel(LabelRow, _OfLabel):
    """The color and the place of a label."""


@dataclass(frozen=True)
class TypedLabelGone(_OfLabel):
    """A label whose color and place were removed. Tasks may still have it."""

    name: Annotated[str, Field(examples=["home"])]
    deleted: Deleted
    version: Version
    deleted_at: Instant


Kind = Literal["task", "list", "label"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TypedChange = TypedTask | TypedTaskGone | TypedList | TypedListGone | TypedLabel | TypedLabelGone
Change = TypedChange | TaskRead | TaskGone


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in the order of their versions, each task, list and label in its latest state."""

    changes: list[Change]
    next: Annotated[str, Field(description="The `since` of the next request.", examples=["18-0"])]
    more: Annotated[bool, Field(description="Whether there are more changes now.", examples=[False])]


_LABEL = table_of(Label).c
# In the order of the fields, with `deleted_at`.
LABEL_DELETED_COLUMNS = tuple(_LABEL[field.name] for field in fields(LabelRowDeleted))

_CHANGES: TypeAdapter[Any] = TypeAdapter(ChangePage)
_CHANGE: TypeAdapter[Any] = TypeAdapter(Change)
_REMINDED: TypeAdapter[Any] = TypeAdapter(Reminded)
_LABEL_ROW: TypeAdapter[Any] = TypeAdapter(LabelRowDeleted | LabelRow)


def changes_json(changes: ChangePage) -> bytes:
    return _CHANGES.dump_json(changes)


def change_json(change: Change) -> bytes:
    return _CHANGE.dump_json(change)


def reminded_json(reminded: Reminded) -> bytes:
    return _REMINDED.dump_json(reminded, exclude={"version"})


def label_row_json(label: LabelRow) -> bytes:
    return _LABEL_ROW.dump_json(label)
