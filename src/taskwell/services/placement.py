"""Where a task is: its list, and the task that it is a part of.

A part is in the list of its parent, so a tree of tasks moves as one. All functions run while the user's row
is locked, in a statement after the one that locked it: of two moves that together would make a ring, the
second waits for the first and sees it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, exists, func, literal, not_, select
from sqlalchemy.orm import aliased
from sqlmodel import col

from taskwell.core.errors import Invalid, Violation
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import Task, TaskList

MAX_LEVELS = 8  # of a tree


class Place(NamedTuple):
    """`list_id` None: the inbox. `parent_id` None: a part of no other task."""

    list_id: UUID | None = None
    parent_id: UUID | None = None


NOWHERE = Place()


class Part(NamedTuple):
    """A task below another. `level`: 1 for its children."""

    id: UUID
    level: int
    parent_id: UUID


def moves(sent: Mapping[str, Any]) -> bool:
    return "list_id" in sent or "parent_id" in sent


async def place_of(
    transaction: Transaction,
    user_id: str,
    sent: Mapping[str, Any],
    stored: Place = NOWHERE,
    *,
    task_id: UUID | None = None,
    parts: Sequence[Part] = (),
) -> Place:
    """The place after a request. `task_id`, `parts`: of a stored task, and all tasks below it.

    A new parent's list counts; another list alone takes the task out of its parent.

    Raises:
        Invalid: the list or the parent does not exist, the parent is below the task or too deep, or the list
            is not the parent's.
    """
    if not moves(sent):
        return stored
    leaves = "parent_id" not in sent and sent["list_id"] != stored.list_id
    parent_id = None if leaves else sent.get("parent_id", stored.parent_id)
    if parent_id is None:
        list_id = sent.get("list_id", stored.list_id)
        if list_id is not None and list_id != stored.list_id:
            await _require_list(transaction, user_id, list_id)
        return Place(list_id)
    if parent_id == task_id or any(part.id == parent_id for part in parts):
        raise _refused("parent_id", "cycle", "must not be the task itself or a part of it")
    list_id = await _list_below(transaction, user_id, parent_id, parts)
    if sent.get("list_id", list_id) != list_id:
        raise _refused("list_id", "no_such_list", "must be the list of the parent; leave out one of the two")
    return Place(list_id, parent_id)


async def _list_below(
    transaction: Transaction, user_id: str, parent_id: UUID, parts: Sequence[Part]
) -> UUID | None:
    """The list of a task that is to have another one below it, with its parts. Raises Invalid."""
    above = await _ancestors(transaction, user_id, parent_id)
    if not above:
        raise _refused("parent_id", "no_such_parent", "must be the id of one of your tasks, not in the trash")
    levels = len(above) + 1 + max((part.level for part in parts), default=0)
    if levels > MAX_LEVELS:
        raise _refused("parent_id", "too_deep", f"must leave at most {MAX_LEVELS} levels")
    return above[0]


async def parts_of(
    transaction: Transaction, user_id: str, task_id: UUID, *, deleted_at: Any = None
) -> list[Part]:
    """The tasks below a task, parents first: those alive, or those in the trash since one instant.

    Of one level, those that changed earlier come first: both databases number them alike.
    """
    there = col(Task.deleted_at).is_(None) if deleted_at is None else col(Task.deleted_at) == deleted_at
    columns = (col(Task.parent_id), col(Task.version))
    top = select(col(Task.id), literal(1).label("level"), *columns).where(
        col(Task.user_id) == user_id, col(Task.parent_id) == task_id, there
    )
    tree = top.cte("tree", recursive=True)
    below = (
        select(col(Task.id), tree.c.level + 1, *columns)
        .join(tree, col(Task.parent_id) == tree.c.id)
        .where(col(Task.user_id) == user_id, there, tree.c.level < MAX_LEVELS)
    )
    tree = tree.union(below)
    rows = await transaction.all(select(tree).order_by(tree.c.level, tree.c.version))
    return [Part(row.id, row.level, row.parent_id) for row in rows]


async def place_left(transaction: Transaction, user_id: str, place: Place, parts: Sequence[Part]) -> Place:
    """What is left of the place of a deleted task, whose parent or list may be gone or different now.

    A parent that is in another list by now is none any more.
    """
    if place.parent_id is not None:
        try:
            if await _list_below(transaction, user_id, place.parent_id, parts) == place.list_id:
                return place
        except Invalid:
            pass
    if place.list_id is None or await is_list(transaction, user_id, place.list_id):
        return Place(place.list_id)
    return NOWHERE


async def _ancestors(transaction: Transaction, user_id: str, task_id: UUID) -> list[UUID | None]:
    """The lists of a task and of those above it, from the task upwards; empty if it is not alive."""
    up = _alive(user_id).where(col(Task.id) == task_id).cte("up", recursive=True)
    above = _alive(user_id, up.c.level + 1).join(up, col(Task.id) == up.c.parent_id)
    up = up.union_all(above.where(up.c.level <= MAX_LEVELS))
    return [row[0] for row in await transaction.all(select(up.c.list_id).order_by(up.c.level))]


def _alive(user_id: str, level: Any = 1) -> Select[Any]:
    level = literal(level) if isinstance(level, int) else level
    columns = (col(Task.list_id), col(Task.parent_id), level.label("level"))
    return select(*columns).where(col(Task.user_id) == user_id, col(Task.deleted_at).is_(None))


async def _require_list(transaction: Transaction, user_id: str, list_id: UUID) -> None:
    if not await is_list(transaction, user_id, list_id):
        raise _refused("list_id", "no_such_list", "must be the id of one of your lists, not in the trash")


async def is_list(transaction: Transaction, user_id: str, list_id: UUID) -> bool:
    found = select(col(TaskList.id)).where(
        col(TaskList.user_id) == user_id, col(TaskList.id) == list_id, col(TaskList.deleted_at).is_(None)
    )
    return await transaction.first(found) is not None


def _refused(name: str, code: str, detail: str) -> Invalid:
    return Invalid(Violation("body", f"/{name}", code, detail))


async def count_strays(transaction: ReadTransaction) -> int:
    """Count all users' tasks that are alive in a list or below a task that is not: there should be none."""
    parent = aliased(Task)
    there = exists().where(
        col(TaskList.user_id) == col(Task.user_id),
        col(TaskList.id) == col(Task.list_id),
        col(TaskList.deleted_at).is_(None),
    )
    below = exists().where(
        col(parent.user_id) == col(Task.user_id),
        col(parent.id) == col(Task.parent_id),
        col(parent.deleted_at).is_(None),
    )
    count = 0
    for named, found in ((col(Task.list_id), there), (col(Task.parent_id), below)):
        statement = select(func.count()).select_from(Task)
        row = await transaction.first(
            statement.where(named.is_not(None), col(Task.deleted_at).is_(None), not_(found))
        )
        count += row[0] if row else 0
    return count
