"""Quick add: creates the task that a line of words describes. The words are `core.quick_words`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid, Violation
from taskwell.core.quick_words import QuickWords, parse
from taskwell.core.time_zones import local_time_of
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.schemas.quick_add import QuickAdded, Understood
from taskwell.schemas.task import TaskCreate
from taskwell.services.operations import Check, Operation
from taskwell.services.sequence import lock
from taskwell.services.task_dates import has_time
from taskwell.services.task_lists import get_lists
from taskwell.services.tasks import create_task
from taskwell.services.zones import ZoneOfRequest, zone_of_user

_DETAILS = {
    "nothing_left": "leaves nothing for a title: add what is to be done, or put it in quotes",
    "too_long": "must have at most 1,000 characters",
}


@dataclass(frozen=True, slots=True)
class QuickAdd(Operation[QuickAdded]):
    """`create_user`: whether the first task of a user creates the user."""

    user_id: str
    text: str
    zone: ZoneOfRequest
    create_user: bool
    check: Check | None = None

    async def run(self, transaction: Transaction) -> QuickAdded:
        """Create the task.

        Raises:
            Invalid: the words leave no title, or say what a task cannot have.
            UserNotFound: the owner does not exist, and `create_user` is false.
        """
        last = await lock(transaction, self.user_id, create_user=self.create_user)
        if self.check is not None:
            self.check(last)
        known = self.zone.asked or await zone_of_user(transaction, self.user_id)
        now = local_time_of(utc_now(), known or self.zone.default)
        lists = await _lists(transaction, self.user_id)
        words = _words(self.text, now, lists)
        new = _task(words, known, lists)
        task = await create_task(transaction, self.user_id, new, create_user=self.create_user, zone=self.zone)
        return QuickAdded(task, _understood(words))


async def _lists(transaction: ReadTransaction, user_id: str) -> dict[str, UUID]:
    """The lists that are not archived, by their names. Of two with one name, the first in their order."""
    _, lists = await get_lists(transaction, user_id)
    return {one.name: one.id for one in reversed(lists) if one.archived_at is None}


def _words(text: str, now: datetime, lists: dict[str, UUID]) -> QuickWords:
    words = parse(text, now, lists)
    if words.problem is not None:
        raise Invalid(Violation("body", "/text", words.problem, _DETAILS[words.problem]))
    return words


def _task(words: QuickWords, zone: str, lists: dict[str, UUID]) -> TaskCreate:
    """The new task. A time is of the zone, if there is one.

    Raises:
        Invalid: a part of the text is too long, or has characters that no task has.
    """
    values: dict[str, Any] = {"title": words.title}
    optional = {
        "description": words.description,
        "due": words.due,
        "time_zone": zone if has_time(words.due) else None,
        "recurrence": words.recurrence,
        "recurrence_mode": words.recurrence_mode if words.recurrence else None,
        "list_id": str(lists[words.list_name]) if words.list_name is not None else None,
        "labels": list(words.labels),
        "priority": words.priority,
    }
    try:
        return TaskCreate.model_validate(values | {name: value for name, value in optional.items() if value})
    except ValidationError as error:
        raise Invalid(*(_violation(one) for one in error.errors(include_url=False))) from None


def _violation(error: Any) -> Violation:
    return Violation("body", "/text", error["type"], f"has {_part_of(error['loc'])} that {error['msg']}")


def _part_of(place: Sequence[object]) -> str:
    """The words for a member of the task, or for one of its labels."""
    name = str(place[0]) if place else "text"
    if name == "labels":
        return "a label" if len(place) > 1 else "labels"
    return f"a {name.replace('_', ' ')}"


def _understood(words: QuickWords) -> Understood:
    return Understood(
        due=words.due,
        recurrence=words.recurrence,
        recurrence_mode=words.recurrence_mode,
        list=words.list_name,
        labels=words.labels,
        priority=words.priority,
        description=words.description,
        rest=words.title,
        unknown_lists=words.unknown_lists,
    )
