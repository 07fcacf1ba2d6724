"""Completes the tasks below a task together with it, where a request asks for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from taskwell.core.errors import Invalid, Violation
from taskwell.database.database import Transaction
from taskwell.models import Task
from taskwell.schemas.values import DONE
from taskwell.services.task_rows import stretches, write_tasks


def take_subtasks(sent: dict[str, Any]) -> bool:
    """Take the member `subtasks` out of a request, and return whether it is there.

    Raises:
        Invalid: the request does not complete the task.
    """
    if sent.pop("subtasks", None) is None:
        return False
    if sent.get("completed") is not True and sent.get("status") not in DONE:
        detail = "must come together with completed: true"
        raise Invalid(Violation("body", "/subtasks", "invalid_subtasks", detail))
    return True


async def complete_all(transaction: Transaction, user_id: str, ids: Sequence[UUID], now: datetime) -> None:
    """Complete those tasks that are open, at one instant. A recurring one stays: it would only move on."""
    is_open: set[UUID] = set()
    for some in stretches(ids):
        statement = select(col(Task.id)).where(
            col(Task.user_id) == user_id,
            col(Task.id).in_(some),
            col(Task.completed).is_(False),
            col(Task.recurrence).is_(None),
        )
        is_open |= {row.id for row in await transaction.all(statement)}
    done = {"completed": True, "completed_at": now, "status": None}
    rows = [{"id": task_id, **done} for task_id in ids if task_id in is_open]
    await write_tasks(transaction, user_id, rows, updated_at=now)
