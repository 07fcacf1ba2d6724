"""Rows by the hundred thousand: the database makes them itself."""

import asyncio
from contextlib import closing
from sqlite3 import connect
from typing import Any

import asyncpg
from sqlalchemy import ColumnElement, cast, literal, make_url

from harness.task_bodies import EXAMPLES
from taskwell.models import Task
from taskwell.models.base import table_of
from taskwell.schemas.task import TaskCreate
from taskwell.services.task_dates import NO_DATES, resolve
from taskwell.services.task_fields import own_values, sent_values

_SERIES = {
    "sqlite": """
        WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})
        SELECT n, '01900000000070008000' || printf('%012x', n) AS id,
               datetime(1767225600 + n / 3, 'unixepoch') || '.000000' AS at FROM series
        """,
    "postgresql": """
        SELECT n, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id,
               to_timestamp(1767225600 + n / 3) AS at FROM generate_series(1, {count}) AS n
        """,
}
_USER = "INSERT INTO users (id, created_at, last_seq) SELECT '{user}', max(at), {count} FROM ({series}) AS s"
# What a client writes: now and then a description and all other fields, and a third of the tasks is done.
_TASKS = """
    INSERT INTO tasks
        (user_id, id, title, title_key, description, description_key, completed, completed_at, status,
         position, created_at, updated_at, version{others})
    SELECT '{user}', id, 'Task number ' || n, 'task number ' || n,
           CASE WHEN n % 4 = 0 THEN 'What else there is to say about the task number ' || n END,
           CASE WHEN n % 4 = 0 THEN 'what else there is to say about the task number ' || n END,
           n % 3 = 0, CASE WHEN n % 3 = 0 THEN at END,
           CASE WHEN n % 12 = 0 THEN 'cancelled' WHEN n % 4 = 0 THEN 'in_progress' END,
           'i' || substr(CAST(1000000000 + n AS text), 2), at, at, n{examples}
    FROM ({series}) AS s
    """


def seed(url: str, tasks_of: dict[str, int]) -> None:
    """New users with so many tasks each. Three tasks at a time share their `created_at`."""
    backend = make_url(url).get_backend_name()
    examples = {name: example for name, example in _examples().items() if f" {name}," not in _TASKS}
    more = {
        "others": "".join(f", {name}" for name in examples),
        "examples": "".join(
            f", CASE WHEN n % 4 = 0 THEN {_as_sql(name, example, url)} END"
            for name, example in examples.items()
        ),
    }
    statements = [
        template.format(user=user, count=count, series=_SERIES[backend].format(count=count), **more)
        for user, count in tasks_of.items()
        for template in (_USER, _TASKS)
    ]
    if backend == "sqlite":
        _run_on_sqlite(url, statements)
    else:
        asyncio.run(_run_on_postgres(url, statements))


def seeded_id(n: int) -> str:
    """The id of a user's nth task, counted from the oldest, which is 1."""
    return f"01900000-0000-7000-8000-{n:012x}"


def _examples() -> dict[str, Any]:
    """The columns of a task with the example of every field."""
    sent = sent_values(TaskCreate.model_validate(EXAMPLES))
    return own_values(sent) | {"extra": sent["extra"]} | resolve(sent, NO_DATES, "UTC")._asdict()


def _as_sql(name: str, value: Any, url: str) -> str:
    kind = table_of(Task).c[name].type
    dialect = make_url(url).get_dialect()()
    example: ColumnElement[Any] = literal(value, kind)
    if dialect.name == "postgresql":  # where a text in a CASE is of type text
        example = cast(example, kind)
    return str(example.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _run_on_sqlite(url: str, statements: list[str]) -> None:
    with closing(connect(str(make_url(url).database))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def _run_on_postgres(url: str, statements: list[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=120)
        await connection.execute("VACUUM ANALYZE", timeout=120)
    finally:
        await connection.close()
