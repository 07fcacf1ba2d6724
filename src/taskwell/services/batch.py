"""Several operations in one transaction: all happen or none does."""

from taskwell.core.database import Transaction
from taskwell.core.errors import TaskwellError
from taskwell.schemas.batch import (
    BatchResult,
    BatchResults,
    CreateOperation,
    DeleteOperation,
    Operation,
    RestoreOperation,
    ToggleOperation,
    UpdateOperation,
)
from taskwell.services import tasks


async def run_batch(
    transaction: Transaction, user_id: str, operations: list[Operation], *, create_user: bool
) -> BatchResults:
    """Run the operations in their order. Each takes its own number.

    Raises:
        TaskwellError: what the first operation that failed raises, with its index.
    """
    results = []
    for index, operation in enumerate(operations):
        try:
            results.append(await _run(transaction, user_id, operation, create_user=create_user))
        except TaskwellError as error:
            error.index = index
            raise
    return BatchResults(results)


async def _run(
    transaction: Transaction, user_id: str, operation: Operation, *, create_user: bool
) -> BatchResult:
    if isinstance(operation, CreateOperation):
        task_id = operation.model_dump().get("id")
        task = await tasks.create_task(
            transaction, user_id, operation.task, create_user=create_user, task_id=task_id
        )
        return BatchResult(201, task)
    version = operation.model_dump().get("version")
    guard = None if version is None else frozenset({version})
    match operation:
        case UpdateOperation():
            changed = await tasks.update_task(transaction, user_id, operation.id, operation.task, guard=guard)
        case DeleteOperation():
            changed = await tasks.delete_task(transaction, user_id, operation.id, guard=guard)
        case ToggleOperation():
            changed = await tasks.toggle_task(transaction, user_id, operation.id, operation.task, guard=guard)
        case RestoreOperation():
            changed = await tasks.restore_task(transaction, user_id, operation.id, guard=guard)
    return BatchResult(200, changed)
