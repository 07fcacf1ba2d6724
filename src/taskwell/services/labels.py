"""Labels: names that tasks hold. A row exists only for a color or a place.

A change of a name changes every task that has it, also those in the trash, each under its own number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row, Text, literal, select, text, type_coerce, update
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.errors import NotFound
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import Label, Task
from taskwell.models.base import table_of
from taskwell.schemas.history import Op
from taskwell.schemas.label import LabelCounted, LabelPut, LabelRead, LabelUpdate
from taskwell.schemas.values import distinct_labels, label_key
from taskwell.services.history import change_record, new_record, write_records
from taskwell.services.search import contains_text
from taskwell.services.sequence import lock, take_number
from taskwell.services.task_fields import label_values
from taskwell.services.task_rows import write_tasks
from taskwell.services.users import UserNotFound

_NAMES = {
    "sqlite": "json_each(tasks.labels)",
    "postgresql": "jsonb_array_elements_text(CAST(tasks.labels AS jsonb))",
}
# The names in use, with the numbers of tasks that are not in an archived list.
_USED = """
    SELECT label.value AS name, count(*) FILTER (WHERE NOT archived AND NOT completed) AS open,
        count(*) FILTER (WHERE NOT archived) AS total
    FROM (
        SELECT labels, completed, coalesce(list_id IN (
            SELECT id FROM lists WHERE lists.user_id = :user_id AND archived_at IS NOT NULL
        ), false) AS archived
        FROM tasks WHERE tasks.user_id = :user_id AND deleted_at IS NULL AND labels IS NOT NULL
    ) AS tasks, {names} AS label{columns}
    GROUP BY label.value
    """

_ALIVE = col(Label.deleted_at).is_(None)
_COLUMNS = (col(Label.name), col(Label.color), col(Label.position), col(Label.version))


class LabelNotFound(NotFound):
    detail = "There is no such label."


async def list_labels(transaction: ReadTransaction, user_id: str) -> list[LabelCounted]:
    """All labels, those with a place first, then by name."""
    rows = await transaction.all(select(*_COLUMNS).where(col(Label.user_id) == user_id, _ALIVE))
    stored = {label_key(row.name): row for row in rows}
    found: dict[str, list[Any]] = {}
    for used in await transaction.all(_used(transaction.dialect, user_id)):
        found.setdefault(label_key(used.name), []).append(used)
    labels = [_counted(stored.get(key), found.get(key, ())) for key in stored.keys() | found.keys()]
    return sorted(labels, key=lambda label: (label.position is None, label.position, label_key(label.name)))


def _used(dialect: str, user_id: str) -> Any:
    columns = "" if dialect == "sqlite" else " (value)"
    return text(_USED.format(names=_NAMES[dialect], columns=columns)).bindparams(user_id=user_id)


def _counted(row: Row[Any] | None, used: Sequence[Row[Any]]) -> LabelCounted:
    """A label of its row, and of the spellings that tasks have: of several the most frequent counts."""
    numbers = sum(one.open for one in used), sum(one.total for one in used)
    if row is not None:
        return LabelCounted(row.name, row.color, row.position, row.version, *numbers)
    return LabelCounted(max(used, key=lambda one: (one.total, one.name)).name, None, None, None, *numbers)


async def get_label(transaction: ReadTransaction, user_id: str, name: str) -> LabelCounted:
    """Raises LabelNotFound: it has no row, and no task has it."""
    key = label_key(name)
    for label in await list_labels(transaction, user_id):
        if label_key(label.name) == key:
            return label
    raise LabelNotFound


async def put_label(
    transaction: Transaction, user_id: str, name: str, changes: LabelPut, *, create_user: bool
) -> LabelRead:
    """Set the color or the place of a label, whether a task has it or not.

    Raises:
        UserNotFound: the owner does not exist, and `create_user` is false.
    """
    await lock(transaction, user_id, create_user=create_user)
    return await _write_row(transaction, user_id, name, changes.model_dump(exclude={"name"}))


async def update_label(transaction: Transaction, user_id: str, name: str, changes: LabelUpdate) -> LabelRead:
    """Change a label. Another name replaces this one in every task; two labels can become one that way.

    Without any member, it stays and takes no number.

    Raises:
        LabelNotFound: it has no row, and no task has it.
    """
    row, tasks = await _locked(transaction, user_id, name)
    if row is not None and not changes.model_fields_set:
        return LabelRead(row.name, row.color, row.position, row.version)
    values = changes.model_dump()
    new_name: str = values.pop("name", row.name if row else name)
    if "name" in changes.model_fields_set:
        await _replace(transaction, user_id, tasks, label_key(name), new_name)
    if row is not None and label_key(new_name) != label_key(name):
        await _delete_row(transaction, user_id, name)
        if await _find_row(transaction, user_id, new_name) is None:
            values = {"color": row.color, "position": row.position} | values
    if row is None and not values:
        return LabelRead(new_name, None, None, None)
    return await _write_row(transaction, user_id, new_name, values)


async def delete_label(transaction: Transaction, user_id: str, name: str) -> None:
    """Remove a label from every task.

    Raises:
        LabelNotFound: it has no row, and no task has it.
    """
    row, tasks = await _locked(transaction, user_id, name)
    await _replace(transaction, user_id, tasks, label_key(name), None)
    if row is not None:
        await _delete_row(transaction, user_id, name)


async def _locked(
    transaction: Transaction, user_id: str, name: str
) -> tuple[Row[Any] | None, Sequence[Row[Any]]]:
    """The label's row, and the tasks that have it. Other transactions cannot change them meanwhile."""
    try:
        await lock(transaction, user_id, create_user=False)
    except UserNotFound:
        raise LabelNotFound from None
    row, key = await _find_row(transaction, user_id, name), label_key(name)
    # Also finds `x"key`, whose JSON has the key behind an escaped quote.
    quoted = literal(to_json(key).decode(), Text)
    having = contains_text(transaction.dialect, type_coerce(col(Task.labels_key), Text), quoted)
    statement = select(col(Task.id), col(Task.labels)).where(col(Task.user_id) == user_id, having)
    found = await transaction.all(statement.order_by(col(Task.version)))
    tasks = [task for task in found if key in map(label_key, task.labels)]
    if row is None and not tasks:
        raise LabelNotFound
    return row, tasks


async def _find_row(transaction: ReadTransaction, user_id: str, name: str) -> Row[Any] | None:
    there = (col(Label.user_id) == user_id, col(Label.key) == label_key(name), _ALIVE)
    return await transaction.first(select(*_COLUMNS).where(*there))


async def _replace(
    transaction: Transaction, user_id: str, tasks: Sequence[Row[Any]], key: str, name: str | None
) -> None:
    """Put another name in the place of a label, or none."""

    def changed(names: Sequence[str]) -> Mapping[str, Any]:
        others = [name if label_key(one) == key else one for one in names]
        return label_values(distinct_labels(one for one in others if one is not None))

    await write_tasks(transaction, user_id, [{"id": task.id, **changed(task.labels)} for task in tasks])


async def _write_row(
    transaction: Transaction, user_id: str, name: str, values: Mapping[str, Any]
) -> LabelRead:
    """Insert or change a label's row."""
    version = await take_number(transaction, user_id)
    await _record(transaction, user_id, name, {"name": name, "deleted_at": None, **values}, version)
    new = {"name": name, "version": version, "deleted_at": None, **values}
    statement = (
        transaction.insert(Label)
        .values(user_id=user_id, key=label_key(name), **new)
        .on_conflict_do_update(index_elements=["user_id", "key"], set_=new)
        .returning(*_COLUMNS)
    )
    written = await transaction.first(statement)
    assert written is not None
    return LabelRead(written.name, written.color, written.position, written.version)


async def _delete_row(transaction: Transaction, user_id: str, name: str) -> None:
    """Leave a tombstone, for the changes feed."""
    version = await take_number(transaction, user_id)
    gone = {"deleted_at": utc_now(), "color": None, "position": None}
    await _record(transaction, user_id, name, gone, version)
    await transaction.all(
        update(Label)
        .where(col(Label.user_id) == user_id, col(Label.key) == label_key(name))
        .values(version=version, **gone)
        .returning(col(Label.key))
    )


async def _record(
    transaction: Transaction, user_id: str, name: str, values: Mapping[str, Any], version: int
) -> None:
    """Record a change of a label's row. One that has a color or a place again is a new one."""
    key, now = label_key(name), utc_now()
    stored = await transaction.first(
        select(*table_of(Label).c).where(col(Label.user_id) == user_id, col(Label.key) == key)
    )
    if stored is None or (stored.deleted_at is not None and values["deleted_at"] is None):
        record = new_record(user_id, "label", key, now, values)
    else:
        op: Op = "deleted" if values["deleted_at"] is not None else "updated"
        record = change_record("label", key, op, now, stored._asdict(), values)
    await write_records(transaction, [record], version)
