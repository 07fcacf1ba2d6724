"""The request and response of a batch."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import MISSING, ConfigDict, Field, StrictInt, TypeAdapter

from taskwell.models.base import SEQUENCE_END
from taskwell.schemas.base import INT64, Input
from taskwell.schemas.task import TaskCreate, TaskDeleted, TaskMove, TaskRead, TaskToggle, TaskUpdate
from taskwell.schemas.types import TaskId

MAX_OPERATIONS = 1_000

Version = Annotated[
    StrictInt,
    Field(
        ge=0,
        lt=SEQUENCE_END,
        description="The expected version of the task; if it differs, the batch fails.",
        examples=[17],
        json_schema_extra=INT64,
    ),
]


class CreateOperation(Input):
    """Creates a task, with an id chosen by the client or the server."""

    op: Annotated[Literal["create"], Field(examples=["create"])]
    id: TaskId | MISSING = MISSING
    task: TaskCreate


class UpdateOperation(Input):
    """Changes the given fields of a task."""

    op: Annotated[Literal["update"], Field(examples=["update"])]
    id: TaskId
    version: Version | MISSING = MISSING
    task: TaskUpdate


class DeleteOperation(Input):
    """Moves a task to the trash."""

    op: Annotated[Literal["delete"], Field(examples=["delete"])]
    id: TaskId
    version: Version | MISSING = MISSING


class ToggleOperation(Input):
    """Toggles a task, or sets its state."""

    op: Annotated[Literal["toggle"], Field(examples=["toggle"])]
    id: TaskId
    version: Version | MISSING = MISSING
    task: TaskToggle = TaskToggle()


class RestoreOperation(Input):
    """Restores a task from the trash."""

    op: Annotated[Literal["restore"], Field(examples=["restore"])]
    id: TaskId
    version: Version | MISSING = MISSING


class MoveOperation(TaskMove):
    """Moves a task to another place in the order, and to another list or parent."""

    op: Annotated[Literal["move"], Field(examples=["move"])]
    id: TaskId
    version: Version | MISSING = MISSING


Operation = Annotated[
    CreateOperation | UpdateOperation | DeleteOperation | ToggleOperation | RestoreOperation | MoveOperation,
    Field(discriminator="op"),
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


@dataclass(frozen=True, slots=True)
class BatchResults:
    """One result for each operation, in order."""

    results: list[BatchResult]


_RESULTS: TypeAdapter[Any] = TypeAdapter(BatchResults)


def results_json(results: BatchResults) -> bytes:
    return _RESULTS.dump_json(results)
