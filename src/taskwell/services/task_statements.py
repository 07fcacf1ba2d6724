"""The most frequent operations on a task, as prepared statements for many tasks and many users at once.

Each function takes the inputs of several coalesced requests and returns an outcome for each, in their order.
The rules are those of `services.tasks`; the results are JSON that the database writes.

On PostgreSQL a group is one statement. It skips the rows of users that another transaction has locked, so
that one blocked user does not block the group, and numbers the writes of each user in the order of the group.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, literal_column, text
from sqlalchemy.dialects import postgresql, sqlite

from taskwell.core.clock import utc_now
from taskwell.core.errors import Held, NotCoalesced
from taskwell.core.principal import Actor
from taskwell.database.coalescing import coalesced
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.database.prepared import PreparedStatement, Rows
from taskwell.models import HistoryRecord, Task
from taskwell.models.base import table_of, value_type
from taskwell.schemas.task import TaskCreate
from taskwell.services.history import changes_json, new_record
from taskwell.services.task_fields import (
    BEGINNING,
    NEW_COLUMNS,
    POSTGRESQL_TYPES,
    id_text_sql,
    instant_of_write,
    new_values,
    task_json_sql,
    toggled_changes_sql,
    toggled_values,
)
from taskwell.services.tasks import TaskNotFound
from taskwell.services.users import UserNotFound


class TaskKey(NamedTuple):
    """The key of a task. `id`: in canonical form."""

    user_id: str
    id: str


class TaskJson(NamedTuple):
    """A stored task, as the JSON that the database wrote."""

    version: int
    json: str

    @property
    def id(self) -> str:
        return self.json[len(BEGINNING) : len(BEGINNING) + 36]


class NewTask(NamedTuple):
    """A task without a number. `values`: of `NEW_COLUMNS`, and the changes that its record has."""

    user_id: str
    id: UUID
    values: tuple[Any, ...]


def new_task(user_id: str, new: TaskCreate) -> NewTask:
    values = new_values(user_id, None, new, utc_now())
    record = new_record(user_id, "task", values["id"], values["created_at"], values)
    return NewTask(user_id, values["id"], (*values.values(), changes_json(record.changes)))


@coalesced("get_tasks", inline=True)
async def get_tasks(
    transaction: ReadTransaction, keys: Sequence[TaskKey]
) -> Sequence[TaskJson | TaskNotFound]:
    if not transaction.writes_in_ctes:
        return [await _get_task(transaction, key) for key in keys]
    statement = _GET_TASK if len(keys) == 1 else _GET_TASKS
    return _in_order(keys, await transaction.fetch_prepared(statement, **_values(TaskKey._fields, keys)))


@coalesced("toggle_tasks")
async def toggle_tasks(
    transaction: Transaction, keys: Sequence[TaskKey]
) -> Sequence[TaskJson | TaskNotFound | Held | NotCoalesced]:
    """Invert the state of each task. The keys are distinct. Those that recur are `NotCoalesced`."""
    now = utc_now()
    if not transaction.writes_in_ctes:
        return await _toggle_one_by_one(transaction, keys, now)
    statement = _toggle_statement(several=len(keys) > 1, waits=transaction.waits)
    values = _values(TaskKey._fields, keys) | transaction.actor._asdict()
    toggled = _in_order(keys, await transaction.fetch_prepared(statement, **values, now=now))
    missing = [key for key, outcome in zip(keys, toggled, strict=True) if isinstance(outcome, TaskNotFound)]
    if not missing:
        return toggled
    there = dict(zip(missing, await get_tasks(transaction, missing), strict=True))
    reason = NotCoalesced if transaction.waits else Held
    return [
        reason() if isinstance(there.get(key), TaskJson) else outcome
        for key, outcome in zip(keys, toggled, strict=True)
    ]


@coalesced("create_tasks")
async def insert_tasks(
    transaction: Transaction, inputs: Sequence[NewTask]
) -> Sequence[TaskJson | UserNotFound | Held]:
    """Insert tasks with new ids for existing users."""
    if not transaction.writes_in_ctes:
        return await _create_one_by_one(transaction, inputs)
    statement = _create_statement(several=len(inputs) > 1, waits=transaction.waits)
    values = _values(_INPUTS, [new.values for new in inputs]) | transaction.actor._asdict()
    rows = await transaction.fetch_prepared(statement, **values)
    created = {row[0]: TaskJson(*row[1:]) for row in rows}
    missing = {new.user_id for new in inputs if new.id not in created}
    if transaction.waits or not missing:
        return [created.get(new.id) or UserNotFound() for new in inputs]
    there = {row[0] for row in await transaction.fetch_prepared(_FIND_USERS, ids=list(missing))}
    return [created.get(new.id) or (Held() if new.user_id in there else UserNotFound()) for new in inputs]


def _values(names: Sequence[str], inputs: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The parameters of a statement: a value by each name; for several inputs, a list by its plural."""
    if len(inputs) == 1:
        return dict(zip(names, inputs[0], strict=True))
    columns = zip(*inputs, strict=True)
    return {f"{name}s": list(column) for name, column in zip(names, columns, strict=True)}


def _in_order(keys: Sequence[TaskKey], rows: Rows) -> list[TaskJson | TaskNotFound]:
    """The outcome of each key. `rows`: the key's ordinal, counted from 1, then version and JSON."""
    found = {row[0]: TaskJson(row[1], row[2]) for row in rows}
    return [found.get(ordinal) or TaskNotFound() for ordinal in range(1, len(keys) + 1)]


async def _get_task(transaction: ReadTransaction, key: TaskKey) -> TaskJson | TaskNotFound:
    rows = await transaction.fetch_prepared(_GET_SQLITE_TASK, **sqlite_values(key))
    return TaskJson(*rows[0]) if rows else TaskNotFound()


async def _toggle_one_by_one(
    transaction: Transaction, keys: Sequence[TaskKey], now: datetime
) -> list[TaskJson | TaskNotFound | NotCoalesced]:
    numbers = await _numbers_to_toggle(transaction, keys)
    tasks = {key: sqlite_values(key) | {"now": now, "version": number} for key, number in numbers.items()}
    who = transaction.actor._asdict()
    await transaction.write_prepared(_RECORD_TOGGLE, [task | who for task in tasks.values()])
    outcomes: list[TaskJson | TaskNotFound | NotCoalesced] = []
    for key in keys:
        if key in tasks:
            (row,) = await transaction.fetch_prepared(_TOGGLE_TASK, **tasks[key])
            outcomes.append(TaskJson(*row))
        else:
            there = await _get_task(transaction, key)
            outcomes.append(NotCoalesced() if isinstance(there, TaskJson) else there)
    return outcomes


async def _numbers_to_toggle(transaction: Transaction, keys: Sequence[TaskKey]) -> dict[TaskKey, int]:
    """The next number for each task that is there and does not recur, in the order of the keys."""
    if len(keys) == 1:
        rows = await transaction.fetch_prepared(_TAKE_NUMBER_TO_TOGGLE, **sqlite_values(keys[0]))
        return {key: number for key, (number,) in zip(keys, rows, strict=False)}
    wanted = {tuple(sqlite_values(key).values()): key for key in keys}
    found = set(await transaction.fetch_prepared(_FIND_TO_TOGGLE, keys=json.dumps(list(wanted))))
    there = [key for values, key in wanted.items() if values in found]
    numbers = await numbers_by_user(transaction, [key.user_id for key in there])
    return {key: next(numbers[key.user_id]) for key in there}


async def _create_one_by_one(
    transaction: Transaction, inputs: Sequence[NewTask]
) -> list[TaskJson | UserNotFound]:
    numbers = await numbers_by_user(transaction, [new.user_id for new in inputs])
    who = transaction.actor._asdict()
    outcomes: list[TaskJson | UserNotFound] = []
    records = []
    for new in inputs:
        if new.user_id not in numbers:
            outcomes.append(UserNotFound())
            continue
        values = _values(_INPUTS, [new.values]) | {"version": next(numbers[new.user_id])}
        (row,) = await transaction.fetch_prepared(_CREATE_TASK, **values)
        created = TaskJson(*row)
        outcomes.append(created)
        records.append(values | {"object_id": created.id} | who)
    await transaction.write_prepared(_RECORD_CREATION, records)
    return outcomes


async def numbers_by_user(transaction: Transaction, user_ids: Iterable[str]) -> dict[str, Iterator[int]]:
    """Take the next numbers of each user who exists: one for each time that the user is named."""
    taken = {}
    for user_id, count in Counter(user_ids).items():
        rows = await transaction.fetch_prepared(_TAKE_NUMBERS, user_id=user_id, count=count)
        for (last,) in rows:
            taken[user_id] = iter(range(last - count + 1, last + 1))
    return taken


def sqlite_values(key: TaskKey) -> dict[str, str]:
    """The parameters for a key. SQLite stores an id without hyphens."""
    return {"user_id": key.user_id, "id": key.id.replace("-", "")}


# The parameters of a new task: its columns, and the changes that its record has.
_INPUTS = (*NEW_COLUMNS, "changes")
_TABLE = table_of(Task).c
_HISTORY = table_of(HistoryRecord).c
_TYPES: dict[str, Any] = {
    **{name: _HISTORY[name].type for name in ("changes", *Actor._fields)},
    **{name: _TABLE[name].type for name in NEW_COLUMNS},
    "now": _TABLE.updated_at.type,
    "version": _TABLE.version.type,
}


def _json(dialect: str) -> str:
    """The JSON of a task in a `text`."""
    return _escaped(task_json_sql(dialect))


def _escaped(sql: str) -> str:
    """SQL in a `text`, where a colon before a letter is a parameter; `:now` is the only one."""
    return sql.replace(":", r"\:").replace(r"\:now", ":now")


def prepared(sql: str, *typed: str) -> PreparedStatement:
    """`typed`: the parameters whose values SQLAlchemy has to convert for the driver."""
    return PreparedStatement(text(sql).bindparams(*(bindparam(name, type_=_TYPES[name]) for name in typed)))


_DIALECTS: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}


def _toggled(name: str) -> str:
    """The assignments of `toggled_values` at the parameter `now`, in a dialect's SQL."""
    dialect, now = _DIALECTS[name].dialect(), instant_of_write(name, literal_column(":now"))
    values = {**toggled_values(now), "updated_at": now}
    return ", ".join(f"{column} = {value.compile(dialect=dialect)}" for column, value in values.items())


RECORD = f"""
    INSERT INTO task_history (user_id, version, kind, object_id, op, at, changes, {", ".join(Actor._fields)})
    """


def _record_toggled(name: str, table: str, version: str, who: str) -> str:
    """The statement that records that the tasks of a table or CTE are toggled."""
    latest = "max" if name == "sqlite" else "greatest"
    now = f"{latest}(:now, {table}.updated_at)"
    op = f"CASE WHEN {table}.completed THEN 'reopened' ELSE 'completed' END"
    changes = _escaped(toggled_changes_sql(name, table, now))
    key = f"{table}.user_id, {version}, 'task', {id_text_sql(name, table)}"
    return f"{RECORD} SELECT {key}, {op}, {now}, {changes}, {who} FROM {table}"


# SQLite: a statement per task and one for the records of a group, since none can write to two tables.

SQLITE_JSON = _json("sqlite")
_SQLITE_TOGGLED = _toggled("sqlite")
ONE_TASK = "user_id = :user_id AND id = :id AND deleted_at IS NULL"
_GET_SQLITE_TASK = prepared(f"SELECT version, {SQLITE_JSON} FROM tasks WHERE {ONE_TASK}")
_TAKE_NUMBERS = prepared(
    "UPDATE users SET last_seq = last_seq + :count WHERE id = :user_id RETURNING last_seq"
)
_FIND_TO_TOGGLE = prepared(
    """
    SELECT tasks.user_id, tasks.id FROM json_each(:keys) AS keys
    CROSS JOIN tasks ON tasks.user_id = json_extract(keys.value, '$[0]')
        AND tasks.id = json_extract(keys.value, '$[1]')
    WHERE deleted_at IS NULL AND recurrence IS NULL
    """
)
_TAKE_NUMBER_TO_TOGGLE = prepared(
    f"""
    UPDATE users SET last_seq = last_seq + 1
    WHERE id = :user_id AND EXISTS (SELECT 1 FROM tasks WHERE {ONE_TASK} AND recurrence IS NULL)
    RETURNING last_seq
    """
)
SQLITE_WHO = ", ".join(f":{name}" for name in Actor._fields)
_RECORD_TOGGLE = prepared(
    f"{_record_toggled('sqlite', 'tasks', ':version', SQLITE_WHO)} WHERE {ONE_TASK}",
    "now",
    "version",
    "token_id",
)
_RECORD_CREATION = prepared(
    f"""
    {RECORD}
    VALUES (:user_id, :version, 'task', :object_id, 'created', :created_at, :changes, {SQLITE_WHO})
    """,
    "version", "created_at", "token_id",
)  # fmt: skip
_TOGGLE_TASK = prepared(
    f"""
    UPDATE tasks SET {_SQLITE_TOGGLED}, version = :version WHERE {ONE_TASK}
    RETURNING version, {SQLITE_JSON}
    """,
    "now", "version",
)  # fmt: skip
_CREATE_TASK = prepared(
    f"""
    INSERT INTO tasks ({", ".join(NEW_COLUMNS)}, version)
    VALUES ({", ".join(f":{name}" for name in NEW_COLUMNS)}, :version)
    RETURNING version, {SQLITE_JSON}
    """,
    *NEW_COLUMNS, "version",
)  # fmt: skip

# PostgreSQL: one statement per group. Counting, grouping and ordering takes a third of the time of a single
# write, so a group of one has a statement of its own. `(SELECT ...)` hides the length of an array from the
# planner, which would otherwise make a new plan for each length.

POSTGRES_JSON = _json("postgresql")
_POSTGRES_TOGGLED = _toggled("postgresql")
# Until the first ANALYZE the planner estimates that `deleted_at IS NULL` holds for one task in two hundred,
# and a prepared statement keeps its plan while the table grows: it would scan the whole partial index of the
# lists instead of looking up the key. In this form the condition does not match that index.
ALIVE = "num_nulls(tasks.deleted_at) = 1"
_LONE = f"tasks.user_id = :user_id AND tasks.id = CAST(CAST(:id AS text) AS uuid) AND {ALIVE}"
_GET_TASK = prepared(f"SELECT 1 AS ordinal, version, {POSTGRES_JSON} FROM tasks WHERE {_LONE}")

FOUND = f"tasks.user_id = inputs.user_id AND tasks.id = inputs.id AND {ALIVE}"
_INPUTS_OF_KEYS = """
    unnest((SELECT CAST(:user_ids AS text[])), (SELECT CAST(CAST(:ids AS text[]) AS uuid[]))) WITH ORDINALITY
    AS inputs (user_id, id, ordinal)
    """
_GET_TASKS = prepared(
    f"SELECT ordinal, version, {POSTGRES_JSON} FROM {_INPUTS_OF_KEYS} JOIN tasks ON {FOUND}"
)
_FIND_USERS = prepared("SELECT id FROM users WHERE id = ANY(CAST(:ids AS text[]))")


def locked_sql(waits: bool, where: str) -> str:
    """`locked`: some users, whose rows are locked in one order.

    Without `waits` those that another transaction has locked are left out.
    """
    lock = "FOR UPDATE" if waits else "FOR UPDATE SKIP LOCKED"
    return f"locked AS (SELECT id AS user_id FROM users WHERE {where} ORDER BY id {lock})"


def _numbered_one(row: str) -> str:
    """`numbered`: the next number of the one user of a CTE as the version; none if that has no row."""
    return f"""
        numbered AS (
            UPDATE users SET last_seq = last_seq + 1 FROM {row} WHERE users.id = {row}.user_id
            RETURNING last_seq AS version, {row}.*
        )
        """


def numbered_sql(rows: str) -> str:
    """`numbered`: rows of `locked` users, each with the next number of its user as its version.

    `rows`: a CTE with the user and the ordinal of each.
    """
    return f"""
        needed AS (SELECT user_id, count(*) AS numbers FROM {rows} GROUP BY user_id),
        taken AS (
            UPDATE users SET last_seq = last_seq + numbers FROM needed JOIN locked USING (user_id)
            WHERE users.id = needed.user_id RETURNING users.id AS user_id, last_seq - numbers AS before
        ),
        numbered AS (
            SELECT {rows}.*, before + row_number() OVER (PARTITION BY user_id ORDER BY ordinal) AS version
            FROM {rows} JOIN taken USING (user_id)
        )
        """


@cache
def _toggle_statement(*, several: bool, waits: bool) -> PreparedStatement:
    if several:
        inputs = f"WITH inputs AS (SELECT * FROM {_INPUTS_OF_KEYS}),"
        locked = locked_sql(waits, "id IN (SELECT user_id FROM inputs)")
        found, ordinal = f"inputs JOIN locked USING (user_id) JOIN tasks ON {FOUND}", "inputs.ordinal"
        numbered = numbered_sql("old")
    else:
        inputs, locked = "WITH", locked_sql(waits, "id = :user_id")
        found, ordinal = f"locked JOIN tasks ON tasks.user_id = locked.user_id AND {_LONE}", "1 AS ordinal"
        numbered = _numbered_one("old")
    # The statement's snapshot can be older than the lock of the user's row that it waited for. FOR UPDATE
    # reads the task as it is now; only one that is still there takes a number. A task that recurs moves on
    # instead: see `services.completions`.
    return prepared(
        f"""
        {inputs} {locked},
        old AS (
            SELECT {_OLD}, {ordinal} FROM {found} WHERE tasks.recurrence IS NULL FOR UPDATE OF tasks
        ),
        {numbered},
        recorded AS ({_record_toggled("postgresql", "numbered", "numbered.version", POSTGRES_WHO)})
        UPDATE tasks SET {_POSTGRES_TOGGLED}, version = numbered.version FROM numbered
        WHERE tasks.user_id = numbered.user_id AND tasks.id = numbered.id
        RETURNING numbered.ordinal, tasks.version, {POSTGRES_JSON}
        """,
        "now",
    )


@cache
def _create_statement(*, several: bool, waits: bool) -> PreparedStatement:
    if several:
        locked = locked_sql(waits, "id IN (SELECT user_id FROM inputs)")
        new = f"WITH {_SEVERAL_NEW}, {locked}, {numbered_sql('inputs')}, new AS (SELECT * FROM numbered)"
    else:
        new = f"""
            WITH {locked_sql(waits, "id = :user_id")}, {_numbered_one("locked")},
            new AS (SELECT inputs.*, version FROM {_ONE_NEW}, numbered)
            """
    columns = ", ".join((*NEW_COLUMNS, "version"))
    record = f"user_id, version, 'task', CAST(id AS text), 'created', created_at, changes, {POSTGRES_WHO}"
    return prepared(
        f"""
        {new},
        recorded AS ({RECORD} SELECT {record} FROM new)
        INSERT INTO tasks ({columns}) SELECT {columns} FROM new
        RETURNING tasks.id, tasks.version, {POSTGRES_JSON}
        """
    )


def _cast(name: str) -> str:
    return f"CAST(:{name} AS {_postgres_type(name)})"


def _cast_several(name: str) -> str:
    return f"CAST(:{name}s AS {_postgres_type(name)}[])"


def _postgres_type(name: str) -> str:
    column = _TABLE[name] if name in _TABLE else _HISTORY[name]
    return POSTGRESQL_TYPES[value_type(column)]


POSTGRES_WHO = ", ".join(map(_cast, Actor._fields))
_OLD = ", ".join(
    f"tasks.{name}" for name in ("user_id", "id", "completed", "completed_at", "status", "updated_at")
)
_NEW = f"inputs ({', '.join(_INPUTS)}"
_ONE_NEW = f"(VALUES ({', '.join(map(_cast, _INPUTS))})) AS {_NEW})"
_SEVERAL_NEW = f"""
    inputs AS (
        SELECT * FROM unnest({", ".join(map(_cast_several, _INPUTS))})
        WITH ORDINALITY AS {_NEW}, ordinal)
    )
    """
