"""The conditions of filters in SQL.

A filter's value is first resolved to what SQL compares: words of the calendar become ranges in the caller's
zone. The SQL depends on the shape of the resolved values alone, so that lists which differ only in values
share a statement.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    BindParameter,
    Column,
    ColumnElement,
    Text,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    type_coerce,
)
from sqlmodel import col

from taskwell.models import Task, TaskList
from taskwell.models.base import table_of
from taskwell.schemas.query import CONDITIONS, TaskFilter
from taskwell.schemas.types import searched
from taskwell.services import date_ranges
from taskwell.services.date_ranges import ANY, Range, after, before, days, named, until
from taskwell.services.search import contains_text

_COLUMNS = table_of(Task).c
# These forms can use an index that has the column.
IS_OPEN, _IS_COMPLETED = _COLUMNS.completed == false(), _COLUMNS.completed == true()
# As the index of claims has it: SQLite compares the text.
_AS_INDEXED: ColumnElement[bool] = literal_column("NOT tasks.completed")
_IS_EITHER = _COLUMNS.completed.in_([false(), true()])

Values = Mapping[str, Any]


class Choice(NamedTuple):
    """Some of the tasks that a filter of dates finds. `within` None: those without a date."""

    within: Range | None
    is_open: bool = False


class Held(NamedTuple):
    """The tasks that are claimed at an instant, or all others."""

    is_held: bool
    at: datetime


def resolve(task_filter: TaskFilter) -> Values:
    """The values of the filters that are set, as their conditions compare them, by name."""
    values = task_filter.conditions()
    for name, value in values.items():
        if name in _CHOICES:
            values[name] = _CHOICES[name](value, task_filter.tz or "UTC", task_filter.now)
        elif name == "q":
            values[name] = searched(value)
        elif name == "claimed":
            assert task_filter.now is not None
            values[name] = Held(value, task_filter.now)
    if not (task_filter.deleted or "archived" in values or "list" in values):
        values["archived"] = False
    return values


def _due(asked: Sequence[Any], zone: str, now: datetime) -> tuple[Choice, ...]:
    return tuple(_due_choice(word, zone, now) for word in asked)


def _due_choice(asked: Any, zone: str, now: datetime) -> Choice:
    if not isinstance(asked, str):
        return Choice(days(asked, 1, zone))
    if asked in {"none", "any"}:
        return Choice(ANY if asked == "any" else None)
    return Choice(named(asked, zone, now), is_open=asked == "overdue")


def _started(asked: bool, zone: str, now: datetime) -> tuple[Choice, ...]:
    return (Choice(None), Choice(until(now, zone))) if asked else (Choice(after(now, zone)),)


def _before(when: Any, zone: str, _now: datetime) -> tuple[Choice, ...]:
    return (Choice(before(when, zone)),)


def _after(when: Any, zone: str, _now: datetime) -> tuple[Choice, ...]:
    return (Choice(after(when, zone)),)


_CHOICES: Mapping[str, Callable[..., tuple[Choice, ...]]] = {
    "due": _due, "due_before": _before, "due_after": _after,
    "started": _started, "start_before": _before, "start_after": _after,
}  # fmt: skip


def shape_of(value: Any) -> Hashable:
    """What the SQL depends on: a bool or null itself, of several values the shape of each, of others none."""
    if isinstance(value, tuple):
        return tuple(map(shape_of, value))
    return value if value is None or isinstance(value, bool) else "value"


def never_null(values: Values) -> frozenset[str]:
    """The columns that have a value in every task of the filters."""
    filters = (name for name, value in values.items() if _needs_value(name, value))
    return frozenset(CONDITIONS[name].columns[0] for name in filters)


def _needs_value(name: str, value: Any) -> bool:
    match CONDITIONS[name].operator:
        case "dates":
            return all(choice.within is not None for choice in value)
        case "among":
            return None not in value
        case "<" | ">":
            return True
    return False


def parameters(values: Values) -> dict[str, object]:
    """The values of the parameters of `conditions`."""
    return {key: part for name, value in values.items() for key, part in _parameters(name, value).items()}


def _parameters(name: str, value: Any) -> Mapping[str, object]:
    match CONDITIONS[name].operator:
        case "is" | "has" | "archived":
            return {}
        case "among" | "all of" | "any of" | "none of":
            return {f"{name}_{place}": part for place, part in enumerate(value) if part is not None}
        case "dates":
            return _parameters_of_dates(name, value)
        case "held":
            return {name: value.at}
    return {name: value}


def _parameters_of_dates(name: str, choices: Sequence[Choice]) -> dict[str, object]:
    ranges = [choice.within for choice in choices if choice.within is not None]
    values: dict[str, object] = {}
    if len(ranges) == len(choices):
        values = date_ranges.rough_parameters(ranges, name)
        values |= date_ranges.rough_parameters(_of_completed(choices), f"{name}_completed")
    for place, choice in enumerate(choices):
        if choice.within is not None:
            values |= date_ranges.exact_parameters(choice.within, f"{name}_{place}")
    return values


def conditions(dialect: str, user_id: str, task_filter: TaskFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter, the owner's first."""
    deleted_at, values = col(Task.deleted_at), resolve(task_filter)
    by_due = "due" in never_null(values) and "completed" not in values
    return [
        col(Task.user_id) == bindparam("owner", user_id),
        deleted_at.is_not(None) if task_filter.deleted else deleted_at.is_(None),
        *([_IS_EITHER] if by_due else []),  # with it the index of dues finds both
        *(_condition(dialect, user_id, name, value) for name, value in values.items()),
    ]


def are_few(values: Values) -> bool:
    """Whether the filter of dues names days, so that the index of dues finds few tasks."""
    choices = values.get("due", ())
    return bool(choices) and all(
        choice.within is not None and choice.within.before and (choice.is_open or choice.within.since)
        for choice in choices
    )


class Filter(NamedTuple):
    """A filter that is set: its columns, and its resolved value."""

    dialect: str
    user_id: str
    name: str
    columns: Sequence[Column[Any]]
    value: Any

    def parameters(self, type_: Any) -> list[BindParameter[Any]]:
        return [bindparam(key, part, type_) for key, part in _parameters(self.name, self.value).items()]


def _condition(dialect: str, user_id: str, name: str, value: Any) -> ColumnElement[bool]:
    operator, names = CONDITIONS[name]
    columns = [_COLUMNS[column] for column in names]
    return _CONDITIONS[operator](Filter(dialect, user_id, name, columns, value))


def _is(asked: Filter) -> ColumnElement[bool]:
    return asked.columns[0] == (true() if asked.value else false())


def _has(asked: Filter) -> ColumnElement[bool]:
    (column,) = asked.columns
    return column.is_not(None) if asked.value else column.is_(None)


def _less(asked: Filter) -> ColumnElement[bool]:
    (column,) = asked.columns
    return column < bindparam(asked.name, asked.value)


def _greater(asked: Filter) -> ColumnElement[bool]:
    (column,) = asked.columns
    return column > bindparam(asked.name, asked.value)


def _contains(asked: Filter) -> ColumnElement[bool]:
    text = bindparam(asked.name, asked.value, Text)
    return or_(*(contains_text(asked.dialect, column, text) for column in asked.columns))


def _among(asked: Filter) -> ColumnElement[bool]:
    (column,) = asked.columns
    parts: list[ColumnElement[bool]] = [column == value for value in asked.parameters(column.type)]
    return or_(*parts, *([column.is_(None)] if None in asked.value else []))


def _state(asked: Filter) -> ColumnElement[bool]:
    status, completed = asked.columns
    shown = func.coalesce(status, case((completed, "completed"), else_="open"))
    return shown == bindparam(asked.name, asked.value, Text)


def _of_archived(asked: Filter) -> ColumnElement[bool]:
    (list_id,) = asked.columns
    lists = select(col(TaskList.id)).where(
        col(TaskList.user_id) == bindparam("owner", asked.user_id), col(TaskList.archived_at).is_not(None)
    )
    return list_id.in_(lists) if asked.value else or_(list_id.is_(None), list_id.not_in(lists))


def held_at(instant: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """The tasks that a claim holds. Of a task that is done it is void."""
    return and_(_COLUMNS.deleted_at.is_(None), _AS_INDEXED, _COLUMNS.claimed_until > instant)


def free_at(instant: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """All other tasks."""
    until = _COLUMNS.claimed_until
    return or_(until.is_(None), until <= instant, _COLUMNS.completed, _COLUMNS.deleted_at.is_not(None))


def _held(asked: Filter) -> ColumnElement[bool]:
    instant = bindparam(asked.name, asked.value.at, asked.columns[0].type)
    return held_at(instant) if asked.value.is_held else free_at(instant)


def _dated(asked: Filter) -> ColumnElement[bool]:
    ranges = [choice.within for choice in asked.value if choice.within is not None]
    chosen = or_(*(_chosen(asked, place, choice) for place, choice in enumerate(asked.value)))
    if len(ranges) < len(asked.value):
        return chosen
    return and_(_near(asked, ranges), chosen)


def _near(asked: Filter, ranges: Sequence[Range]) -> ColumnElement[bool]:
    """The condition that an index of dates can use. Only open tasks are found by all ranges."""
    text = asked.columns[0]
    near, of_completed = date_ranges.rough(text, ranges, asked.name), _of_completed(asked.value)
    if len(of_completed) == len(ranges):
        return near
    if not of_completed:
        return and_(near, IS_OPEN)
    completed = and_(_IS_COMPLETED, date_ranges.rough(text, of_completed, f"{asked.name}_completed"))
    return and_(near, or_(and_(IS_OPEN, near), completed))


def _of_completed(choices: Sequence[Choice]) -> list[Range]:
    """The ranges in which completed tasks are found."""
    return [choice.within for choice in choices if choice.within is not None and not choice.is_open]


def _chosen(asked: Filter, place: int, choice: Choice) -> ColumnElement[bool]:
    text, at = asked.columns
    if choice.within is None:
        return text.is_(None)
    within = date_ranges.exact(text, at, choice.within, f"{asked.name}_{place}")
    return and_(within, IS_OPEN) if choice.is_open else within


def _with_every_label(asked: Filter) -> ColumnElement[bool]:
    return and_(*(_with_label(asked, [key]) for key in asked.parameters(Text)))


def _with_any_label(asked: Filter) -> ColumnElement[bool]:
    return _with_label(asked, asked.parameters(Text))


def _without_labels(asked: Filter) -> ColumnElement[bool]:
    return not_(_with_any_label(asked))


def _with_label(asked: Filter, keys: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    """Whether a task has one of the labels. No text search: a label may contain any delimiter."""
    stored = type_coerce(asked.columns[0], Text)
    each = (
        func.json_each(stored)
        if asked.dialect == "sqlite"
        else func.json_array_elements_text(cast(stored, JSON))
    ).table_valued("value")
    one_of = or_(*(each.c.value == key for key in keys))
    return select(literal_column("1")).select_from(each).where(one_of).exists()


# By the operator.
_CONDITIONS: Mapping[str, Callable[[Filter], ColumnElement[bool]]] = {
    "is": _is, "has": _has, "<": _less, ">": _greater, "contains": _contains, "among": _among,
    "state": _state, "archived": _of_archived, "held": _held, "dates": _dated, "all of": _with_every_label,
    "any of": _with_any_label, "none of": _without_labels,
}  # fmt: skip
