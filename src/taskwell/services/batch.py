"""Several operations in one transaction: all happen or none does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import assert_never

from taskwell.core.errors import Invalid, PreconditionRequired, TaskwellError
from taskwell.database.database import Transaction
from taskwell.schemas import batch
from taskwell.schemas.batch import BatchListResult, BatchResult, BatchResults, CreateOperation
from taskwell.schemas.task import TaskAdvanced
from taskwell.services import tasks
from taskwell.services.list_operations import (
    ArchiveList,
    CreateList,
    DeleteList,
    MoveList,
    RestoreList,
    UpdateList,
)
from taskwell.services.operations import (
    Check,
    DeleteTask,
    MoveTask,
    Operation,
    RestoreTask,
    SkipTask,
    ToggleTask,
    UpdateTask,
    check_list,
)
from taskwell.services.zones import NO_ZONE, ZoneOfRequest

Result = BatchResult | BatchListResult

_VERSION_REQUIRED = "This server changes a task or list only if the operation names its `version`."


@dataclass(frozen=True, slots=True)
class RunBatch(Operation[BatchResults]):
    """Steps that run in their order; each takes its own number.

    `require_versions`: whether a step on a task or list must have the version that it expects.
    """

    user_id: str
    steps: Sequence[batch.Operation]
    create_user: bool
    require_versions: bool
    check: Check | None = None
    zone: ZoneOfRequest = NO_ZONE

    async def run(self, transaction: Transaction) -> BatchResults:
        """Run the steps.

        Raises:
            PreconditionRequired: a step has no version, and versions are required.
            TaskwellError: the error of the first step that failed, with its index.
        """
        await check_list(transaction, self.user_id, self.check, create_user=self.create_user)
        results: list[Result] = []
        for creates, group in groupby(self.steps, lambda step: isinstance(step, CreateOperation)):
            if creates:
                results += await self._create(transaction, list(group), len(results))
                continue
            for step in group:
                try:
                    results.append(await self._change(transaction, step))
                except TaskwellError as error:
                    _name_step(error, len(results), step)
                    raise
        return BatchResults(results)

    async def _create(
        self, transaction: Transaction, group: list[batch.Operation], before: int
    ) -> list[Result]:
        """Create the tasks of consecutive steps in two statements: an import has many."""
        inputs = [(one.task, one.model_dump().get("id")) for one in group if isinstance(one, CreateOperation)]
        try:
            created = await tasks.create_tasks(
                transaction, self.user_id, inputs, create_user=self.create_user, zone=self.zone
            )
        except TaskwellError as error:
            index = error.index or 0
            _name_step(error, before + index, group[index])
            raise
        return [BatchResult(201, task, None) for task in created]

    async def _change(self, transaction: Transaction, step: batch.Operation) -> Result:
        if isinstance(step, batch.OnList):
            return await self._change_list(transaction, step)
        operation = _operation_of(self.user_id, step, self.zone)
        self._require_version(operation.expected)
        task = await operation.run(transaction)
        return BatchResult(200, task, task.completion if isinstance(task, TaskAdvanced) else None)

    async def _change_list(self, transaction: Transaction, step: batch.ListOperation) -> Result:
        if isinstance(step, batch.CreateListOperation):
            list_id = step.model_dump().get("id")
            new = CreateList(self.user_id, step.list, create_user=self.create_user, list_id=list_id)
            return BatchListResult(201, await new.run(transaction))
        operation = _list_operation_of(self.user_id, step)
        self._require_version(operation.expected)
        return BatchListResult(200, await operation.run(transaction))

    def _require_version(self, expected: frozenset[int] | None) -> None:
        if self.require_versions and expected is None:
            raise PreconditionRequired(_VERSION_REQUIRED)


def _name_step(error: TaskwellError, index: int, step: batch.Operation) -> None:
    """Give the error of a step its index, and pointers that begin at the body of the batch."""
    error.index = index
    if isinstance(error, Invalid):
        body = next((f"/{name}" for name in ("task", "list") if name in type(step).model_fields), "")
        error.violations = tuple(
            replace(one, name=f"/operations/{index}{body}{one.name}") for one in error.violations
        )


def _operation_of(
    user_id: str, step: batch.TaskOperation, zone: ZoneOfRequest
) -> UpdateTask | DeleteTask | ToggleTask | SkipTask | RestoreTask | MoveTask:
    expected = _expected(step)
    match step:
        case batch.UpdateOperation():
            return UpdateTask(user_id, step.id, step.task, expected, zone)
        case batch.DeleteOperation():
            return DeleteTask(user_id, step.id, expected)
        case batch.ToggleOperation():
            return ToggleTask(user_id, step.id, step.task, expected, zone)
        case batch.SkipOperation():
            return SkipTask(user_id, step.id, step, expected, zone)
        case batch.RestoreOperation():
            return RestoreTask(user_id, step.id, expected)
        case batch.MoveOperation():
            return MoveTask(user_id, step.id, step, expected)
        case CreateOperation():
            raise AssertionError  # see _create
    assert_never(step)


def _list_operation_of(
    user_id: str, step: batch.ListOperation
) -> UpdateList | DeleteList | RestoreList | ArchiveList | MoveList:
    expected = _expected(step)
    match step:
        case batch.UpdateListOperation():
            return UpdateList(user_id, step.id, step.list, expected)
        case batch.DeleteListOperation():
            return DeleteList(user_id, step.id, step.model_dump().get("tasks", "delete"), expected)
        case batch.RestoreListOperation():
            return RestoreList(user_id, step.id, expected)
        case batch.ArchiveListOperation():
            return ArchiveList(user_id, step.id, archived=True, expected=expected)
        case batch.UnarchiveListOperation():
            return ArchiveList(user_id, step.id, archived=False, expected=expected)
        case batch.MoveListOperation():
            return MoveList(user_id, step.id, step, expected)
        case batch.CreateListOperation():
            raise AssertionError  # see _change_list
    assert_never(step)


def _expected(step: batch.Operation) -> frozenset[int] | None:
    version = step.model_dump().get("version")
    return None if version is None else frozenset({version})
