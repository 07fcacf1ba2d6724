"""Several operations in one transaction: all happen or none does."""

from itertools import groupby

from taskwell.core.errors import PreconditionRequired, TaskwellError
from taskwell.database.database import Transaction
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
    results: list[BatchResult] = []
    for creates, group in groupby(operations, lambda operation: isinstance(operation, CreateOperation)):
        if creates:
            results += await _create(transaction, user_id, list(group), len(results), create_user=create_user)
            continue
        for operation in group:
            try:
                if require_versions and _expected(operation) is None:
                    raise PreconditionRequired(_VERSION_REQUIRED)
                results.append(await _run(transaction, user_id, operation))
            except TaskwellError as error:
                error.index = len(results)
                raise
    return BatchResults(results)


async def _create(
    transaction: Transaction, user_id: str, group: list[Operation], before: int, *, create_user: bool
) -> list[BatchResult]:
    """Creates that follow each other, all at once: whoever moves in brings many."""
    wanted = [(one.task, one.model_dump().get("id")) for one in group if isinstance(one, CreateOperation)]
    try:
        created = await tasks.create_tasks(transaction, user_id, wanted, create_user=create_user)
    except TaskwellError as error:
        error.index = before + (error.index or 0)
        raise
    return [BatchResult(201, task) for task in created]


def _expected(operation: Operation) -> tasks.ExpectedVersions | None:
    version = operation.model_dump().get("version")
    return None if version is None else frozenset({version})


async def _run(transaction: Transaction, user_id: str, operation: Operation) -> BatchResult:
    expected = _expected(operation)
    match operation:
        case UpdateOperation():
            changed = await tasks.update_task(
                transaction, user_id, operation.id, operation.task, expected=expected
            )
        case DeleteOperation():
            changed = await tasks.delete_task(transaction, user_id, operation.id, expected=expected)
        case ToggleOperation():
            changed = await tasks.toggle_task(
                transaction, user_id, operation.id, operation.task, expected=expected
            )
        case RestoreOperation():
            changed = await tasks.restore_task(transaction, user_id, operation.id, expected=expected)
        case CreateOperation():
            raise AssertionError  # made with those beside it
    return BatchResult(200, changed)
