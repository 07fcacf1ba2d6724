"""The input and output types of lists."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import MISSING, AfterValidator, ConfigDict, Field, StrictStr, TypeAdapter, WithJsonSchema

from taskwell.models import TaskList
from taskwell.models.base import table_of
from taskwell.models.task_list import LIST_NAME_MAX_LENGTH
from taskwell.schemas.base import INT64, Input, Instant
from taskwell.schemas.move import Move
from taskwell.schemas.types import TaskId, check_line
from taskwell.schemas.values import Color, Position

EXAMPLE_LIST_ID = "019aa5c1-7d20-7c3e-9b51-2f8f6a4d1e90"


def _name(value: str) -> str:
    return check_line(value, LIST_NAME_MAX_LENGTH)


ListId = Annotated[TaskId, Field(examples=[EXAMPLE_LIST_ID])]
ListName = Annotated[
    StrictStr,
    AfterValidator(_name),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": LIST_NAME_MAX_LENGTH,
            "description": f"1 to {LIST_NAME_MAX_LENGTH} characters on one line, after surrounding white "
            "space is removed. Two lists can have the same name.",
            "examples": ["Home"],
        }
    ),
]
# What becomes of the tasks of a deleted list.
Fate = Literal["delete", "keep"]


class ListCreate(Input):
    """A new list."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Home", "color": "#2e7d32"}]})

    name: ListName
    color: Color | None = None
    position: Position | MISSING = MISSING


class ListUpdate(Input):
    """A merge patch (RFC 7396): absent members stay unchanged, null clears the color."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "House"}]})

    name: ListName | MISSING = MISSING
    color: Color | MISSING | None = MISSING
    position: Position | MISSING = MISSING


class ListMove(Move):
    """A place among the lists: beside another one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"after": None}]})


@dataclass(frozen=True, slots=True)
class ListRead:
    """A list. Every field is always present."""

    id: Annotated[
        UUID, Field(description="A UUID; version 7 if the server generated it.", examples=[EXAMPLE_LIST_ID])
    ]
    user_id: Annotated[str, Field(description="The owner of the list.", examples=["alice"])]
    name: Annotated[str, Field(examples=["Home"])]
    color: Annotated[str | None, Field(description="`#rrggbb`.", examples=["#2e7d32"])]
    position: Annotated[
        str, Field(description="Its place among the lists, compared by bytes.", examples=["i8DhyrHb7o"])
    ]
    archived_at: Annotated[Instant | None, Field(description="Null while it is not archived.")]
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
class ListDeleted(ListRead):
    """A list in the trash."""

    deleted_at: Instant


@dataclass(frozen=True, slots=True)
class ListCounted(ListRead):
    """A list with the numbers of its open tasks, and of those that are overdue."""

    open: int
    overdue: int


_TABLE = table_of(TaskList).c
# In the order of the fields: `of` creates a record of a row by position.
LIST_COLUMNS = tuple(_TABLE[field.name] for field in fields(ListRead))
LIST_DELETED_COLUMNS = tuple(_TABLE[field.name] for field in fields(ListDeleted))

_LIST: TypeAdapter[Any] = TypeAdapter(ListRead)
_LIST_DELETED: TypeAdapter[Any] = TypeAdapter(ListDeleted)
_LISTS: TypeAdapter[Any] = TypeAdapter(list[ListDeleted | ListCounted | ListRead])


def list_json(one: ListRead) -> bytes:
    adapter = _LIST_DELETED if isinstance(one, ListDeleted) else _LIST
    return adapter.dump_json(one)


def lists_json(lists: Sequence[ListRead]) -> bytes:
    return _LISTS.dump_json(lists)
