"""Derives SQL and column values from the fields of a task.

A field is declared in `models.task` (its column), in `TaskCreate` and `TaskUpdate` (input) and in `TaskRead`
(output). This module derives the statements from these declarations when it is imported, so a new field needs
no statement of its own. A field of a new type needs a line in `_SQLITE_FORMS`, in `_POSTGRESQL_FORMS` and in
`POSTGRESQL_TYPES`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import MISSING
from sqlalchemy import Column, ColumnElement, Row, case, func, literal_column, not_, null
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.core.errors import Invalid, Violation
from taskwell.core.positions import key_of
from taskwell.models import Task
from taskwell.models.base import JsonText, table_of, value_type
from taskwell.schemas.task import TaskCreate, TaskDeleted, TaskRead, TaskUpdate
from taskwell.schemas.types import fold
from taskwell.schemas.values import DONE, label_key

_TABLE = table_of(Task)
# The texts with a case-folded key, by which tasks are sorted and searched.
_FOLDED = ("title", "description")
# A task with no other field is plain: the fast statements write it.
_PLAIN = frozenset({"title", "description", "completed"})
# The fields whose values depend on the stored task, on another task, or on a list.
_DEPENDENT = frozenset(
    {
        "list_id",
        "parent_id",
        "start",
        "due",
        "time_zone",
        "recurrence",
        "recurrence_mode",
        "recurrence_exclude",
        "labels_add",
        "labels_remove",
        "extra",
    }
)
_INSTANT = _TABLE.c.updated_at.type


# Values


def is_plain(task: TaskCreate | TaskUpdate) -> bool:
    """Whether a request has none of the fields that the fast statements leave null."""
    return task.model_fields_set <= _PLAIN


def depends(sent: Mapping[str, Any]) -> bool:
    """Whether the values of a change depend on the stored task, on another task, or on a list."""
    return not _DEPENDENT.isdisjoint(sent)


def new_values(
    user_id: str, task_id: UUID | None, new: TaskCreate, now: datetime, nth: int = 0
) -> dict[str, Any]:
    """The values of a new plain task for `NEW_COLUMNS`, in their order.

    The client sends the fields of `TaskCreate`, and may choose the id. The server sets the rest: the owner,
    the columns of `derived_values`, the place behind all others, and the two instants. `nth`: the index in a
    batch. The statement sets `version` to the user's next number; all other columns are null.
    """
    sent = {"title": new.title, "description": new.description, "completed": new.completed}
    return {
        "user_id": user_id,
        "id": task_id or uuid7(),
        **sent,
        **derived_values(sent, now),
        "position": key_of(now, nth),
        "created_at": now,
        "updated_at": now,
    }


def sent_values(task: TaskCreate | TaskUpdate) -> dict[str, Any]:
    """The fields that a request sent, by their names."""
    return {name: value for name in task.model_fields_set if (value := getattr(task, name)) is not MISSING}


def own_values(sent: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the fields that depend on nothing else. `derived_values` adds those that follow.

    Raises:
        Invalid: `status` contradicts `completed`.
    """
    values = {name: value for name, value in sent.items() if name not in _DEPENDENT}
    if "labels" in values:
        values |= label_values(values["labels"] or [])
    if "reminders" in values:
        values["reminders"] = values["reminders"] or []
    if contradict(values):
        raise contradiction()
    if "status" in values:
        values["completed"] = values["status"] in DONE
        values["status"] = None if values["status"] in _IMPLIED else values["status"]
    return values


def contradict(sent: Mapping[str, Any]) -> bool:
    """Whether the `status` of a request contradicts its `completed`."""
    return "status" in sent and sent.get("completed", sent["status"] in DONE) != (sent["status"] in DONE)


def contradiction() -> Invalid:
    return Invalid(Violation("body", "/status", "status_conflict", "contradicts completed"))


def without_unchanged_state(sent: Mapping[str, Any], completed: bool) -> dict[str, Any]:
    """Of two members that contradict each other, leave out the one that the client did not change.

    A client that knows only one of them sends the other back as it was. `completed`: of the stored task.
    """
    unchanged = "completed" if sent["completed"] == completed else "status"
    return {name: value for name, value in sent.items() if name != unchanged}


# The states that `completed` alone says.
_IMPLIED = frozenset({"open", "completed"})


def label_values(names: Sequence[str]) -> dict[str, Any]:
    return {"labels": list(names), "labels_key": [label_key(name) for name in names]}


# A task that no worker has taken.
NO_CLAIM: Mapping[str, Any] = {"claim": None, "claimed_until": None, "claim_by": None}


def toggled_values(now: ColumnElement[datetime]) -> dict[str, ColumnElement[Any]]:
    """SQL for the values of a task whose state is inverted, as `derived_values` has them."""
    return {
        "completed": not_(col(Task.completed)),
        "completed_at": case((col(Task.completed), null()), else_=now),
        "status": null(),
    }


def derived_values(
    values: Mapping[str, Any], now: datetime, stored: Row[Any] | None = None
) -> dict[str, Any]:
    """The columns that depend on those in `values`; other columns stay.

    `stored`: the task. If it has the same `completed`, its `completed_at` and `status` stay.
    """
    derived = {f"{name}_key": fold(values[name]) for name in _FOLDED if name in values}
    if "completed" not in values:
        return derived
    completed = values["completed"]
    same = stored if stored is not None and stored.completed == completed else None
    derived["completed_at"] = same.completed_at if same else now if completed else None
    if stored is not None and "status" not in values:
        derived["status"] = same.status if same else None
    return derived


def instant_of_write(dialect: str, now: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """SQL for `tasks.instant_after`."""
    return later_of(dialect, now, col(Task.updated_at))


def later_of(dialect: str, one: ColumnElement[datetime], other: Any) -> ColumnElement[datetime]:
    function = func.max if dialect == "sqlite" else func.greatest
    return function(one, other, type_=_INSTANT)


NEW_COLUMNS = tuple(new_values("", None, TaskCreate.model_construct(title=""), utc_now()))
# The types that the parameters of PostgreSQL statements are cast to.
POSTGRESQL_TYPES: Mapping[type, str] = {
    str: "text", UUID: "uuid", bool: "boolean", int: "bigint", datetime: "timestamptz",
}  # fmt: skip


# JSON


def toggled_changes_sql(dialect: str, table: str, now: str) -> str:
    """SQL for the changes of `toggled_values` in the history. `table`: with the old values."""
    reopened = ('{"completed":[true,false],"completed_at":[', ',null],"status":["', '","open"]}')
    completed = ('{"completed":[false,true],"completed_at":[null,', '],"status":["', '","completed"]}')
    instant = (_POSTGRESQL_FORMS if dialect == "postgresql" else _SQLITE_FORMS)[datetime]

    def text(parts: tuple[str, str, str], at: str, status: str) -> str:
        shown = _text(dialect, instant._replace(arguments=(instant.arguments[0].format(at),)))
        return (
            f"'{parts[0]}' || {shown} || '{parts[1]}' || coalesce({table}.status, '{status}') || '{parts[2]}'"
        )

    reopening = text(reopened, f"{table}.completed_at", "completed")
    return f"CASE WHEN {table}.completed THEN {reopening} ELSE {text(completed, now, 'open')} END"


def id_text_sql(dialect: str, table: str) -> str:
    """SQL for the id of a task in canonical form. SQLite stores it without hyphens."""
    if dialect == "postgresql":
        return f"CAST({table}.id AS text)"
    form = _SQLITE_FORMS[UUID]
    return _text(
        dialect,
        Form(form.format.strip('"'), tuple(argument.format(f"{table}.id") for argument in form.arguments)),
    )


# The beginning of every task's JSON, which its id follows.
BEGINNING = '{"id":"'
# The fields that a plain task has no value for, and the JSON of those that are not null then.
_RICH = frozenset(
    column.name
    for column in map(_TABLE.c.get, (field.name for field in fields(TaskRead)))
    if column is not None and column.nullable and column.name not in {*_PLAIN, "completed_at", "status"}
)
_RICH_NAMES = ", ".join(f"tasks.{column.name}" for column in _TABLE.c if column.name in _RICH)
# In RETURNING, SQLite 3.40 evaluates `IS NULL` on a wrong column.
_IS_PLAIN = {
    "sqlite": f"typeof(coalesce({_RICH_NAMES})) = 'null'",
    "postgresql": f"num_nonnulls({_RICH_NAMES}) = 0",
}
_EMPTY = {column.name: column.type.empty for column in _TABLE.c if isinstance(column.type, JsonText)}
_EMPTY["recurrence_mode"] = '"next"'
# Columns whose text needs no escaping: ids, keys, dates, and names of time zones.
_UNESCAPED = {"user_id", "position", "start", "due", "time_zone"}


class Form(NamedTuple):
    """A piece of JSON: a format of printf, and the SQL of its arguments, where `{0}` is the column.

    `null`: whether the arguments convert NULL too.
    """

    format: str
    arguments: tuple[str, ...]
    null: bool = False

    def of(self, column: Column[Any]) -> "Form":
        name = f"{column.table.name}.{column.name}"
        return self._replace(arguments=tuple(argument.format(name) for argument in self.arguments))


_UNESCAPED_TEXT = Form('"%s"', ("{0}",))
# SQLite stores an id without hyphens, and an instant without T and Z.
_SQLITE_FORMS: Mapping[type, Form] = {
    str: Form("%s", ("json_quote({0})",), null=True),
    UUID: Form(
        '"%.8s-%.4s-%.4s-%.4s-%s"',
        ("{0}", "substr({0}, 9)", "substr({0}, 13)", "substr({0}, 17)", "substr({0}, 21)"),
    ),
    bool: Form("%s", ("CASE WHEN {0} THEN 'true' ELSE 'false' END",)),
    int: Form("%d", ("{0}",)),
    datetime: Form('"%sZ"', ("replace({0}, ' ', 'T')",)),
}
_POSTGRESQL_FORMS: Mapping[type, Form] = {
    str: Form("%s", ("to_json({0})::text",)),
    UUID: Form('"%s"', ("{0}",)),
    bool: Form("%s", ("{0}::text",)),
    int: Form("%s", ("{0}::text",)),
    datetime: Form('"%s"', ("""to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",)),
}
_STATUS = Form(
    '"%s"', ("coalesce({0}, CASE WHEN tasks.completed THEN 'completed' ELSE 'open' END)",), null=True
)
_MODE = Form('"%s"', ("coalesce({0}, 'next')",), null=True)


def task_json_sql(dialect: str, *, deleted: bool = False) -> str:
    """SQL for the JSON of a row of `tasks`. `deleted`: with `deleted_at`.

    The bytes equal those of `schemas.task.task_to_json`. Converting rows to records and records to JSON would
    cost more than the rest of a read.
    """
    columns = [_TABLE.c[field.name] for field in fields(TaskDeleted if deleted else TaskRead)]
    full = _text(dialect, _object(_members(dialect, columns)))
    # A plain task has no value for the others: that part of its JSON is a constant, which costs nothing.
    plain = _text(dialect, _object([_plain_member(dialect, column) for column in columns]))
    return f"CASE WHEN {_IS_PLAIN[dialect]} THEN {plain} ELSE {full} END"


def json_column(dialect: str, *, deleted: bool = False) -> ColumnElement[str]:
    return literal_column(task_json_sql(dialect, deleted=deleted)).label("json")


def some_json_column(dialect: str, names: Collection[str], label: str = "json") -> ColumnElement[str]:
    """SQL for the JSON of some fields of a task, in the order of `names`."""
    return literal_column(json_sql(dialect, (_TABLE.c[name] for name in names))).label(label)


def json_sql(dialect: str, columns: Iterable[Column[Any]]) -> str:
    """SQL for a JSON object of columns of one table, in their order."""
    return _text(dialect, _object(_members(dialect, columns)))


def _members(dialect: str, columns: Iterable[Column[Any]]) -> list[Form]:
    return [_member(column.name, _form(dialect, column)) for column in columns]


def _member(name: str, form: Form) -> Form:
    return Form(f'"{name}":{form.format}', form.arguments)


def _object(members: Sequence[Form]) -> Form:
    joined = _joined(members)
    return Form(f"{{{joined.format}}}", joined.arguments)


def _joined(members: Sequence[Form]) -> Form:
    arguments = (argument for member in members for argument in member.arguments)
    return Form(",".join(member.format for member in members), tuple(arguments))


def _plain_member(dialect: str, column: Column[Any]) -> Form:
    if column.name in _RICH:
        return Form(f'"{column.name}":{_EMPTY.get(column.name, "null")}', ())
    return _member(column.name, _form(dialect, column))


def _form(dialect: str, column: Column[Any]) -> Form:
    """The form of a column's value, also of NULL."""
    form = _form_of_value(dialect, column).of(column)
    if form.null or not column.nullable:
        return form
    text = form.arguments[0] if form.format == "%s" else _text(dialect, form)
    name = f"{column.table.name}.{column.name}"
    if dialect == "postgresql":
        return Form("%s", (f"coalesce({text}, 'null')",))
    # In RETURNING, SQLite 3.40 evaluates `IS NULL` on a wrong column.
    return Form("%s", (f"CASE typeof({name}) WHEN 'null' THEN 'null' ELSE {text} END",))


def _form_of_value(dialect: str, column: Column[Any]) -> Form:
    if column.name == "status":
        return _STATUS
    if column.name == "recurrence_mode":
        return _MODE
    if isinstance(column.type, JsonText):
        empty = column.type.empty.replace("{", "{{").replace("}", "}}")
        return Form("%s", (f"coalesce({{0}}, '{empty}')",), null=True)
    if column.name in _UNESCAPED:
        return _UNESCAPED_TEXT
    forms = _POSTGRESQL_FORMS if dialect == "postgresql" else _SQLITE_FORMS
    return forms[value_type(column)]


def _text(dialect: str, form: Form) -> str:
    """SQL for the text of a form. `printf` is faster on SQLite than a chain of `||`."""
    if dialect == "sqlite":
        return f"printf('{form.format}', {', '.join(form.arguments)})"
    texts = form.format.split("%s")
    parts = [f"'{texts[0]}'"]
    for argument, text in zip(form.arguments, texts[1:], strict=True):
        parts += [argument, f"'{text}'"]
    return " || ".join(parts)
