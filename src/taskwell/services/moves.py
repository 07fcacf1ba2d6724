"""Moves a row to another place among its siblings, whose order is that of their keys, then of their ids.

A move writes one row. Only where two neighbours leave no room between them, or a key has grown long, all
siblings get new keys. Everything runs while the user's row is locked.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, literal, select, tuple_
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid, Violation
from taskwell.core.positions import first_key_of, is_position, key_between, key_of, spread
from taskwell.database.database import Transaction
from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.move import Move
from taskwell.schemas.task import TaskMove, TaskRead
from taskwell.services.placement import Place, moves, parts_of, place_of
from taskwell.services.task_rows import write_tasks
from taskwell.services.tasks import ExpectedVersions, instant_after, locked, write_task

LONGEST_KEY = 100  # characters; a longer one spreads the siblings
_PLACE = ("list_id", "parent_id")


class Siblings(NamedTuple):
    """Rows in one order: those of a table with `id` and `position` that meet the conditions.

    `named`: what a neighbour must be, for the client.
    """

    table: Table
    conditions: tuple[ColumnElement[bool], ...]
    named: str

    def select(self, *columns: ColumnElement[Any]) -> Select[Any]:
        return select(*columns).where(*self.conditions)


class Spot(NamedTuple):
    """A place in an order: directly after or before a row. None: after nothing is the top, before the end."""

    neighbour: UUID | None
    after: bool

    @property
    def name(self) -> str:
        return "after" if self.after else "before"


class Order(NamedTuple):
    """The key of the moved row. `others`: the siblings that get another key, if they are spread."""

    position: str
    others: list[tuple[UUID, str]]


async def move_task(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    move: TaskMove,
    *,
    expected: ExpectedVersions | None = None,
) -> TaskRead:
    """Move the task beside another, and into another list or below another task if the request names one.

    Tasks below it move along.

    Raises:
        Invalid: the neighbour is not a sibling, or the list or the parent is refused as in an update.
        TaskNotFound: missing, in the trash, or of another user.
        PreconditionFailed: the task has none of the expected versions.
    """
    stored = await locked(transaction, user_id, task_id, expected)
    sent = {name: getattr(move, name) for name in _PLACE if name in move.model_fields_set}
    parts = await parts_of(transaction, user_id, task_id) if moves(sent) else []
    before = Place(stored.list_id, stored.parent_id)
    place = await place_of(transaction, user_id, sent, before, task_id=task_id, parts=parts)
    named = "another one in the same list and below the same parent"
    siblings = Siblings(table_of(Task), _siblings(user_id, task_id, place), named)
    order = await order_at(transaction, siblings, spot_of(move))
    values = place._asdict() | {"position": order.position}
    row = await write_task(transaction, stored, values, instant_after(stored))
    if place.list_id != stored.list_id:
        along = [{"id": part.id, "list_id": place.list_id} for part in parts]
        await write_tasks(transaction, user_id, along)
    await write_tasks(transaction, user_id, [{"id": key, "position": new} for key, new in order.others])
    return TaskRead.of(row)


def spot_of(move: Move) -> Spot:
    after = "after" in move.model_fields_set
    neighbour = move.after if after else move.before
    return Spot(neighbour if isinstance(neighbour, UUID) else None, after)


def _siblings(user_id: str, task_id: UUID, place: Place) -> tuple[ColumnElement[bool], ...]:
    """The other tasks that are alive in the same list and below the same parent."""
    return (
        col(Task.user_id) == user_id,
        col(Task.list_id).is_(None) if place.list_id is None else col(Task.list_id) == place.list_id,
        col(Task.parent_id).is_(None) if place.parent_id is None else col(Task.parent_id) == place.parent_id,
        col(Task.deleted_at).is_(None),
        col(Task.id) != task_id,
    )


async def order_at(transaction: Transaction, siblings: Siblings, spot: Spot) -> Order:
    """The key at a spot among siblings, of which the moved row is none.

    Raises:
        Invalid: the neighbour is not one of them.
    """
    lower, upper = await _keys_around(transaction, siblings, spot)
    position = key_at(lower, upper)
    return Order(position, []) if position is not None else await _spread(transaction, siblings, spot)


async def _keys_around(
    transaction: Transaction, siblings: Siblings, spot: Spot
) -> tuple[str | None, str | None]:
    """The keys before and after a spot; None at the top and at the end."""
    columns = siblings.table.c
    order = tuple_(columns.position, columns.id)
    neighbour, further = None, siblings.select(columns.position)
    if spot.neighbour is not None:
        row = await transaction.first(further.where(columns.id == spot.neighbour))
        if row is None:
            raise _no_sibling(siblings, spot)
        neighbour = row.position
        place = tuple_(literal(neighbour, columns.position.type), literal(spot.neighbour, columns.id.type))
        further = further.where(order > place if spot.after else order < place)
    keys = (columns.position, columns.id) if spot.after else (columns.position.desc(), columns.id.desc())
    row = await transaction.first(further.order_by(*keys).limit(1))
    other = row.position if row else None
    return (neighbour, other) if spot.after else (other, neighbour)


def key_at(lower: str | None, upper: str | None) -> str | None:
    """A key between two. None: there is no room, or it would be long.

    At the ends it is made of the clock, so that it never grows.
    """
    if not all(is_position(key) for key in (lower, upper) if key is not None):
        return None
    now = utc_now()
    if upper is None and (lower is None or lower < key_of(now)):
        return key_of(now)
    if lower is None and upper is not None and first_key_of(now) < upper:
        return first_key_of(now)
    key = key_between(lower, upper)
    return key if key is not None and len(key) <= LONGEST_KEY else None


async def _spread(transaction: Transaction, siblings: Siblings, spot: Spot) -> Order:
    """New keys for all siblings, in their order, with one for the spot among them."""
    columns = siblings.table.c
    ordered = siblings.select(columns.id, columns.position).order_by(columns.position, columns.id)
    rows = await transaction.all(ordered)
    index = _index([row.id for row in rows], spot)
    keys = spread(None, None, len(rows) + 1)
    position = keys.pop(index)
    return Order(
        position, [(row.id, key) for row, key in zip(rows, keys, strict=True) if row.position != key]
    )


def _index(ids: Sequence[UUID], spot: Spot) -> int:
    if spot.neighbour is None:
        return 0 if spot.after else len(ids)
    return ids.index(spot.neighbour) + spot.after


def _no_sibling(siblings: Siblings, spot: Spot) -> Invalid:
    detail = f"must be {siblings.named}, not in the trash"
    return Invalid(Violation("body", f"/{spot.name}", "invalid_position", detail))
