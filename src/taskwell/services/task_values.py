"""The columns of a task that depend on the stored task, on another task, on a list, or on the user's zone."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic_core import PydanticCustomError
from sqlalchemy import Row

from taskwell.core.errors import Invalid, Violation
from taskwell.database.database import Transaction
from taskwell.schemas.values import check_extra, check_label_count, distinct_labels, label_key, merged
from taskwell.services import recurring
from taskwell.services.completions import dates_of, recurrence_columns, recurrence_of
from taskwell.services.placement import Part, Place, place_of
from taskwell.services.recurring import NO_RECURRENCE, Recurrence
from taskwell.services.task_dates import NO_DATES, Dates, resolve
from taskwell.services.task_fields import depends, label_values, own_values
from taskwell.services.zones import ZoneOfRequest

T = TypeVar("T")

_OF_RECURRENCE = frozenset({"recurrence", "recurrence_mode", "recurrence_exclude", "start", "due"})


class TaskValues:
    """Computes columns of tasks of one user, in a transaction that has locked the user's row."""

    def __init__(self, transaction: Transaction, user_id: str, zone: ZoneOfRequest) -> None:
        self._transaction = transaction
        self._user_id = user_id
        self._zone = zone
        self._zone_name: str | None = None
        self._places: dict[Place, Place] = {}

    async def of_new(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a new task that its request sets. `services.task_fields.derived_values` adds others.

        Raises:
            Invalid: a value contradicts another, or names a list or a task that does not exist.
        """
        values = own_values(sent)
        if depends(sent):
            values |= _label_values(sent, [])
            values |= _extra_values(sent, {})
            dates = await self._dates(sent, NO_DATES)
            values |= dates._asdict() | _recurrence_values(sent, NO_RECURRENCE, dates)
            values |= (await self._new_place(sent))._asdict()
        return values

    async def of_change(
        self, sent: Mapping[str, Any], stored: Row[Any], parts: Sequence[Part]
    ) -> dict[str, Any]:
        """The columns of a stored task that a request sets. `parts`: all tasks below it, if it moves.

        Raises:
            Invalid: as `of_new`.
        """
        values = own_values(sent)
        values |= _label_values(sent, stored.labels)
        values |= _extra_values(sent, stored.extra)
        before = dates_of(stored._asdict())
        dates = await self._dates(sent, before)
        values |= {} if dates == before else dates._asdict()
        values |= _recurrence_values(sent, recurrence_of(stored._asdict()), dates)
        old = Place(stored.list_id, stored.parent_id)
        place = await place_of(self._transaction, self._user_id, sent, old, task_id=stored.id, parts=parts)
        return values if place == old else values | place._asdict()

    async def _new_place(self, sent: Mapping[str, Any]) -> Place:
        """Imports create many tasks in one place."""
        asked = Place(sent.get("list_id"), sent.get("parent_id"))
        if asked not in self._places:
            named = {name: value for name, value in asked._asdict().items() if value is not None}
            self._places[asked] = await place_of(self._transaction, self._user_id, named)
        return self._places[asked]

    async def _dates(self, sent: Mapping[str, Any], stored: Dates) -> Dates:
        zone = await self._name_of_zone() if _has_instant(sent) else ""
        return resolve(sent, stored, zone)

    async def _name_of_zone(self) -> str:
        if self._zone_name is None:
            self._zone_name = await self._zone.name(self._transaction, self._user_id)
        return self._zone_name


def _has_instant(sent: Mapping[str, Any]) -> bool:
    values = (sent.get("start"), sent.get("due"))
    return any(isinstance(value, datetime) and value.tzinfo is not None for value in values)


def labels_after(sent: Mapping[str, Any], stored: Sequence[str]) -> list[str]:
    """The labels of a task after a request that adds or removes some. Raises Invalid: there are too many."""
    removed = {label_key(name) for name in sent.get("labels_remove", [])}
    before = (sent["labels"] or []) if "labels" in sent else stored
    names = distinct_labels([*before, *sent.get("labels_add", [])])
    left = [name for name in names if label_key(name) not in removed]
    return _checked("labels_add", check_label_count, left)


def _label_values(sent: Mapping[str, Any], stored: Sequence[str]) -> dict[str, Any]:
    changes = sent.get("labels_add") or sent.get("labels_remove")
    return label_values(labels_after(sent, stored)) if changes else {}


def _recurrence_values(sent: Mapping[str, Any], stored: Recurrence, dates: Dates) -> dict[str, Any]:
    """`dates`: those after the request."""
    if sent.keys().isdisjoint(_OF_RECURRENCE):
        return {}
    recurrence = recurring.resolve(sent, stored, dates)
    return {} if recurrence == stored else recurrence_columns(recurrence)


def _extra_values(sent: Mapping[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    if "extra" not in sent:
        return {}
    extra = sent["extra"]
    return {"extra": {} if extra is None else _checked("extra", check_extra, merged(stored, extra))}


def _checked(name: str, check: Callable[[T], T], value: T) -> T:
    """The result of a check of the schemas. Raises Invalid."""
    try:
        return check(value)
    except PydanticCustomError as error:
        raise Invalid(Violation("body", f"/{name}", error.type, error.message())) from None
