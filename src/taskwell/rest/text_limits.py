"""Limits of texts in changes: what repeats the stored text is never refused, however long that is.

Imports and other protocols may store longer texts than REST accepts, and clients send whole tasks back.
"""

from collections.abc import Set

from pydantic import MISSING

from taskwell.core.errors import Invalid, Violation
from taskwell.schemas.task import TaskUpdate
from taskwell.schemas.types import TextLimits, text_limits
from taskwell.services.operations import GetTask, Operations, TaskId


async def within_limits(
    operations: Operations, owner: str, task_id: TaskId | None, changes: TaskUpdate, pointer: str = ""
) -> TaskUpdate:
    """The changes without long texts that the stored task has already. `task_id` None: of a new task.

    Raises:
        Invalid: a new text is too long.
        TaskNotFound: a text is too long, and there is no such task.
    """
    sent = changes.model_dump(include={*TextLimits._fields})
    limits = text_limits.get()._asdict()
    long = {name for name, text in sent.items() if text is not None and len(text) > limits[name]}
    if not long:
        return changes
    if task_id is not None:
        stored = await operations.database.read(GetTask(owner, task_id).run)
        long -= (repeated := {name for name in long if getattr(stored, name) == sent[name]})
        changes = _without(changes, repeated)
    if long:
        raise Invalid(*(_too_long(name, limits[name], pointer) for name in sorted(long)))
    return changes


def _without(changes: TaskUpdate, names: Set[str]) -> TaskUpdate:
    kept = changes.model_copy(update=dict.fromkeys(names, MISSING))
    kept.__pydantic_fields_set__ -= names
    return kept


def _too_long(name: str, most: int, pointer: str) -> Violation:
    least = 1 if name == "title" else 0
    return Violation("body", f"{pointer}/{name}", "too_long", f"must have {least} to {most:,} characters")
