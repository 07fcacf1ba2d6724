"""Derives SQL and column values from the fields of a task.

A field is declared in `models.task` (its column), in `TaskCreate` and `TaskUpdate` (input) and in `TaskRead`
(output). This module derives the statements from these declarations when it is imported, so a new field needs
no statement of its own. A field of a new type needs a line in `_SQLITE_FORMS`, in `_POSTGRESQL_FORMS` and in
`POSTGRESQL_TYPES`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, ColumnElement, case, func, literal, literal_column, not_, null
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.models import Task
from taskwell.models.base import table_of, value_type
from taskwell.schemas.task import TASK_COLUMNS, TASK_DELETED_COLUMNS, TaskCreate
from taskwell.schemas.types import fold

_TABLE = table_of(Task)
# The texts with a case-folded key, by which tasks are sorted and searched.
_FOLDED = ("title", "description")
_INSTANT = _TABLE.c.updated_at.type


# Values


def new_values(user_id: str, task_id: UUID | None, new: TaskCreate, now: datetime) -> dict[str, Any]:
    """The values of a new task for `NEW_COLUMNS`, in their order.

    The client sends the fields of `TaskCreate`, and may choose the id. The server sets the rest: the owner,
    the columns of `derived_values`, and the two instants. Two columns are missing: the statement sets
    `version` to the user's next number, and `deleted_at` is null until the task moves to the trash.
    """
    sent = vars(new)  # the fields, in the order of their declaration
    return {
        "user_id": user_id,
        "id": task_id or uuid7(),
        **sent,
        **derived_values(sent, now),
        "created_at": now,
        "updated_at": now,
    }


def toggled_values(now: ColumnElement[datetime]) -> dict[str, Any]:
    """The values of a task whose state is inverted."""
    values = {"completed": not_(col(Task.completed))}
    return values | derived_values(values, now)


def derived_values(values: Mapping[str, Any], now: datetime | ColumnElement[datetime]) -> dict[str, Any]:
    """The columns that depend on those in `values`; other columns stay.

    `now`: an instant for a new task; `instant_of_write` for a stored task, whose columns the result may use.
    """
    derived = {f"{name}_key": fold(values[name]) for name in _FOLDED if name in values}
    if "completed" in values:
        derived["completed_at"] = _completed_at(values["completed"], now)
    return derived


def _completed_at(completed: Any, now: datetime | ColumnElement[datetime]) -> Any:
    """A task that is completed already keeps its `completed_at`."""
    if isinstance(now, datetime):
        return now if completed else None
    instant = case((col(Task.completed), col(Task.completed_at)), else_=now)
    if isinstance(completed, ColumnElement):
        return case((completed, instant), else_=null())
    return instant if completed else None


def instant_of_write(dialect: str, now: ColumnElement[datetime] | None = None) -> ColumnElement[datetime]:
    """The instant of a change of a task, never before its previous change.

    If the clock is set back, clients that sort or poll by `updated_at` would miss the change.
    """
    later_of = func.max if dialect == "sqlite" else func.greatest
    present = literal(utc_now(), _INSTANT) if now is None else now
    return later_of(present, col(Task.updated_at), type_=_INSTANT)


NEW_COLUMNS = tuple(new_values("", None, TaskCreate.model_construct(title=""), utc_now()))
# The types that the parameters of PostgreSQL statements are cast to.
POSTGRESQL_TYPES: Mapping[type, str] = {
    str: "text", UUID: "uuid", bool: "boolean", int: "bigint", datetime: "timestamptz",
}  # fmt: skip


# JSON


# The beginning of every task's JSON. It appears nowhere else in it: a text has \" instead of a quote.
BEGINNING = '{"id":"'
# Columns whose text needs no escaping: see `schemas.types.USER_ID_PATTERN`.
_UNESCAPED = {"user_id"}


class Form(NamedTuple):
    """The JSON of a value: a format of printf, and the SQL of its arguments, where `{0}` is the column.

    `null`: whether the arguments convert NULL too.
    """

    format: str
    arguments: str
    null: bool = False


_UNESCAPED_TEXT = Form('"%s"', "{0}")
# SQLite stores an id without hyphens, and an instant without T and Z.
_SQLITE_FORMS: Mapping[type, Form] = {
    str: Form("%s", "json_quote({0})", null=True),
    UUID: Form(
        '"%.8s-%.4s-%.4s-%.4s-%s"', "{0}, substr({0}, 9), substr({0}, 13), substr({0}, 17), substr({0}, 21)"
    ),
    bool: Form("%s", "CASE WHEN {0} THEN 'true' ELSE 'false' END"),
    int: Form("%d", "{0}"),
    datetime: Form('"%sZ"', "replace({0}, ' ', 'T')"),
}
_POSTGRESQL_FORMS: Mapping[type, Form] = {
    str: Form("%s", "to_json({0})::text"),
    UUID: Form('"%s"', "{0}"),
    bool: Form("%s", "{0}::text"),
    int: Form("%s", "{0}::text"),
    datetime: Form('"%s"', """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""),
}


def task_json_sql(dialect: str, *, deleted: bool = False) -> str:
    """SQL for the JSON of a row of `tasks`. `deleted`: with `deleted_at`.

    The bytes equal those of `schemas.task.task_to_json`. Converting rows to records and records to JSON would
    cost more than the rest of a read.
    """
    return json_sql(dialect, TASK_DELETED_COLUMNS if deleted else TASK_COLUMNS)


def json_column(dialect: str, *, deleted: bool = False) -> ColumnElement[str]:
    return literal_column(task_json_sql(dialect, deleted=deleted)).label("json")


def json_sql(dialect: str, columns: Iterable[Column[Any]]) -> str:
    """SQL for a JSON object of columns of one table, in their order."""
    if dialect == "postgresql":
        return _concatenated([(column.name, _postgresql_form(column)) for column in columns])
    return _printed([(column.name, _sqlite_form(column)) for column in columns])


# No colon stands before a letter, since SQLAlchemy would read that as a parameter.


def _postgresql_form(column: Column[Any]) -> Form:
    form = _form(column, _POSTGRESQL_FORMS)
    if form.null or not column.nullable:
        return form
    text = form.arguments if form.format == "%s" else _concatenated_form(form)
    return Form("%s", f"coalesce({text}, 'null')")


def _concatenated_form(form: Form) -> str:
    before, after = form.format.split("%s")
    return f"'{before}' || {form.arguments} || '{after}'"


def _concatenated(members: Sequence[tuple[str, Form]]) -> str:
    template = ",".join(f'"{name}":{form.format}' for name, form in members)
    texts = iter(f"{{{template}}}".split("%s"))
    parts = [f"'{next(texts)}'"]
    for (_, form), text in zip(members, texts, strict=True):
        parts += [form.arguments, f"'{text}'"]
    return " || ".join(parts)


def _sqlite_form(column: Column[Any]) -> Form:
    form = _form(column, _SQLITE_FORMS)
    if form.null or not column.nullable:
        return form
    # In RETURNING, SQLite 3.40 evaluates `IS NULL` on a wrong column.
    name = f"{column.table.name}.{column.name}"
    return Form("%s", f"CASE typeof({name}) WHEN 'null' THEN 'null' ELSE {_printf(form)} END")


def _printed(members: Sequence[tuple[str, Form]]) -> str:
    """`printf` is faster on SQLite than a chain of `||`."""
    template = ",".join(f'"{name}":{form.format}' for name, form in members)
    return _printf(Form(f"{{{template}}}", ", ".join(form.arguments for _, form in members)))


def _printf(form: Form) -> str:
    return f"printf('{form.format}', {form.arguments})"


def _form(column: Column[Any], forms: Mapping[type, Form]) -> Form:
    """The form of a column's type, with the column as its argument."""
    form = _UNESCAPED_TEXT if column.name in _UNESCAPED else forms[value_type(column)]
    return form._replace(arguments=form.arguments.format(f"{column.table.name}.{column.name}"))
