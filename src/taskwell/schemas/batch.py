"""The request and response of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import MISSING, ConfigDict, Discriminator, Field, StrictInt, Tag, TypeAdapter

from taskwell.models.base import SEQUENCE_END
from taskwell.schemas.base import INT64, Input
from taskwell.schemas.task import (
    TaskCreate,
    TaskDeleted,
    TaskMove,
    TaskRead,
    TaskSkip,
    TaskToggle,
    TaskUpdate,
)
from taskwell.schemas.task_list import Fate, ListCreate, ListDeleted, ListId, ListMove, ListRead, ListUpdate
from taskwell.schemas.types import EXAMPLE_ID, TaskId

MAX_OPERATIONS = 1_000
EXAMPLE_OTHER_ID = "01a1fe04-9424-75e1-89a6-e90dc13ea380"
_MOVE: dict[str, Any] = {"op": "move", "id": EXAMPLE_ID, "after": EXAMPLE_OTHER_ID}
_MOVE_EXAMPLE = ConfigDict(json_schema_extra={"examples": [_MOVE]})
_MOVE_LIST_EXAMPLE = ConfigDict(json_schema_extra={"examples": [{"kind": "list", **_MOVE}]})

Version = Annotated[
    StrictInt,
    Field(
        ge=0,
        lt=SEQUENCE_END,
        description="The expected version of the task or list; if it differs, the batch fails.",
        examples=[17],
        json_schema_extra=INT64,
    ),
]


class OnTask(Input):
    """An operation on a task. Its `kind` can be left out."""

    kind: Annotated[Literal["task"] | MISSING, Field(examples=["task"])] = MISSING


class OnList(Input):
    kind: Annotated[Literal["list"], Field(examples=["list"])]


class CreateOperation(OnTask):
    """Creates a task, with an id chosen by the client or the server."""

    op: Annotated[Literal["create"], Field(examples=["create"])]
    id: TaskId | MISSING = MISSING
    task: TaskCreate


class UpdateOperation(OnTask):
    """Changes the given fields of a task."""

    op: Annotated[Literal["update"], Field(examples=["update"])]
    id: TaskId
    version: Version | MISSING = MISSING
    task: TaskUpdate


class DeleteOperation(OnTask):
    """Moves a task to the trash."""

    op: Annotated[Literal["delete"], Field(examples=["delete"])]
    id: TaskId
    version: Version | MISSING = MISSING


class ToggleOperation(OnTask):
    """Toggles a task, or sets its state."""

    op: Annotated[Literal["toggle"], Field(examples=["toggle"])]
    id: TaskId
    version: Version | MISSING = MISSING
    task: TaskToggle = TaskToggle()


class SkipOperation(OnTask, TaskSkip):
    """Moves a recurring task to its next occurrence without completing it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"op": "skip", "id": EXAMPLE_ID}]})

    op: Annotated[Literal["skip"], Field(examples=["skip"])]
    id: TaskId
    version: Version | MISSING = MISSING


class RestoreOperation(OnTask):
    """Restores a task from the trash."""

    op: Annotated[Literal["restore"], Field(examples=["restore"])]
    id: TaskId
    version: Version | MISSING = MISSING


class MoveOperation(OnTask, TaskMove):
    """Moves a task to another place in the order, and to another list or parent."""

    model_config = _MOVE_EXAMPLE

    op: Annotated[Literal["move"], Field(examples=["move"])]
    id: TaskId
    version: Version | MISSING = MISSING


class CreateListOperation(OnList):
    """Creates a list, with an id chosen by the client or the server."""

    op: Annotated[Literal["create"], Field(examples=["create"])]
    id: ListId | MISSING = MISSING
    list: ListCreate


class UpdateListOperation(OnList):
    """Changes the given fields of a list."""

    op: Annotated[Literal["update"], Field(examples=["update"])]
    id: ListId
    version: Version | MISSING = MISSING
    list: ListUpdate


class DeleteListOperation(OnList):
    """Moves a list and its tasks to the trash, or keeps the tasks in the inbox."""

    op: Annotated[Literal["delete"], Field(examples=["delete"])]
    id: ListId
    version: Version | MISSING = MISSING
    tasks: Annotated[Fate | MISSING, Field(examples=["keep"])] = MISSING


class RestoreListOperation(OnList):
    """Restores a list from the trash, with the tasks that were deleted with it."""

    op: Annotated[Literal["restore"], Field(examples=["restore"])]
    id: ListId
    version: Version | MISSING = MISSING


class ArchiveListOperation(OnList):
    """Archives a list."""

    op: Annotated[Literal["archive"], Field(examples=["archive"])]
    id: ListId
    version: Version | MISSING = MISSING


class UnarchiveListOperation(OnList):
    """Takes a list out of the archive."""

    op: Annotated[Literal["unarchive"], Field(examples=["unarchive"])]
    id: ListId
    version: Version | MISSING = MISSING


class MoveListOperation(OnList, ListMove):
    """Moves a list beside another one."""

    model_config = _MOVE_LIST_EXAMPLE

    op: Annotated[Literal["move"], Field(examples=["move"])]
    id: ListId
    version: Version | MISSING = MISSING


TaskOperation = Annotated[
    CreateOperation
    | UpdateOperation
    | DeleteOperation
    | ToggleOperation
    | SkipOperation
    | RestoreOperation
    | MoveOperation,
    Field(discriminator="op"),
]
ListOperation = Annotated[
    CreateListOperation
    | UpdateListOperation
    | DeleteListOperation
    | RestoreListOperation
    | ArchiveListOperation
    | UnarchiveListOperation
    | MoveListOperation,
    Field(discriminator="op"),
]


def _kind(value: Any) -> str | None:
    """The kind of an operation; None if it is unknown. What is no object is refused as a task's operation."""
    kind = value.get("kind", "task") if isinstance(value, Mapping) else "task"
    return kind if kind in ("task", "list") else None


Operation = Annotated[
    Annotated[TaskOperation, Tag("task")] | Annotated[ListOperation, Tag("list")],
    Discriminator(
        _kind,
        custom_error_type="invalid_kind",
        custom_error_message="must have a kind among task and list, or none",
    ),
]


class Batch(Input):
    """Operations that run in order, all or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "operations": [
                        {"op": "create", "task": {"title": "Buy milk"}},
                        {"op": "create", "task": {"title": "Buy bread", "completed": True}},
                        {"op": "create", "kind": "list", "list": {"name": "Home"}},
                    ]
                }
            ]
        }
    )

    operations: Annotated[list[Operation], Field(min_length=1, max_length=MAX_OPERATIONS)]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The response that the operation would have had by itself."""

    status: Annotated[int, Field(examples=[200])]
    task: TaskDeleted | TaskRead
    completion: Annotated[
        str | None,
        Field(
            description="Where an occurrence of a recurring task was completed: the version that undoes it, "
            "or the first and the last one, as `41-43`; else null.",
            examples=["41-43"],
        ),
    ]


@dataclass(frozen=True, slots=True)
class BatchListResult:
    """As `BatchResult`, of an operation on a list."""

    status: Annotated[int, Field(examples=[200])]
    list: ListDeleted | ListRead


@dataclass(frozen=True, slots=True)
class BatchResults:
    """One result for each operation, in order."""

    results: list[BatchResult | BatchListResult]


_RESULTS: TypeAdapter[Any] = TypeAdapter(BatchResults)


def results_json(results: BatchResults) -> bytes:
    return _RESULTS.dump_json(results)
