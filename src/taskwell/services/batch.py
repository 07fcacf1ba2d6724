"""Several operations in one transaction: all happen or none does."""

from taskwell.core.database import Transaction
from taskwell.core.errors import PreconditionRequired, TaskwellError
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

_VERSION_REQUIRED = "This server changes a task only if the operation names its `version`."


async def run_batch(
    transaction: Transaction,
    user_id: str,
    operations: list[Operation],
    *,
    create_user: bool,
    require_versions: bool = False,
) -> BatchResults:
    """Run the operations in their order. Each takes its own number.

    Raises:
        PreconditionRequired: an operation on a task names no version, and versions are required.
        TaskwellError: what the first operation that failed raises, with its index.
    """
    results = []
    for index, operation in enumerate(operations):
        try:
            if require_versions and _guard(operation) is None and not isinstance(operation, CreateOperation):
                raise PreconditionRequired(_VERSION_REQUIRED)
            results.append(await _run(transaction, user_id, operation, create_user=create_user))
        except TaskwellError as error:
            error.index = index
            raise
    return BatchResults(results)


def _guard(operation: Operation) -> tasks.Guard | None:
    version = operation.model_dump().get("version")
    return None if version is None else frozenset({version})


async def _run(
    transaction: Transaction, user_id: str, operation: Operation, *, create_user: bool
) -> BatchResult:
    guard = _guard(operation)
    match operation:
        case CreateOperation():
            task_id = operation.model_dump().get("id")
            task = await tasks.create_task(
                transaction, user_id, operation.task, create_user=create_user, task_id=task_id
            )
            return BatchResult(201, task)
        case UpdateOperation():
            changed = await tasks.update_task(transaction, user_id, operation.id, operation.task, guard=guard)
        case DeleteOperation():
            changed = await tasks.delete_task(transaction, user_id, operation.id, guard=guard)
        case ToggleOperation():
            changed = await tasks.toggle_task(transaction, user_id, operation.id, operation.task, guard=guard)
        case RestoreOperation():
            changed = await tasks.restore_task(transaction, user_id, operation.id, guard=guard)
    return BatchResult(200, changed)
