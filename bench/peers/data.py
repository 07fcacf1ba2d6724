"""The same tasks for every server: the database makes them itself, in the form that each schema has."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from sqlite3 import connect
from typing import Any

import asyncpg
from sqlalchemy import make_url

LISTER, WRITER, CHECKER, PLANNER = "lister", "writer", "checker", "planner"
OWN, OTHERS, EACH = 10_000, 100, 1_000
# Of the planner, who has as many tasks as the lister: those in a list, those that are open and have a date,
# and those that are overdue or due on the day of the seeding.
LISTED, OPEN_WITH_DATE, DUE_NOW = 1_000, 2_060, 70
LIST_ID = "01900000-0000-7000-8000-ffffffffffff"
# What all servers of the comparison have, and all that is compared. A task of taskwell's may have more.
FIELDS = (
    "id", "user_id", "title", "description", "completed", "completed_at", "created_at", "updated_at",
    "version",
)  # fmt: skip

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_MICROSECONDS = 123_456  # so that no server leaves them out
_INSTANT = timedelta(microseconds=_MICROSECONDS)


@dataclass(frozen=True, slots=True)
class Schema:
    """How a table of tasks spells what the databases leave open. On PostgreSQL all spell alike."""

    dashes: bool = True  # in the text of an id
    iso: bool = False  # instants as RFC 3339 has them
    taskwell: bool = False  # it has users, and keys to sort and search by
    planned: bool = False  # it has dates, a list and an order, and the planner who uses them
    more_users: int = 0  # beside those whom all have, each with a hundred tasks


def first_number(other: int) -> int:
    """One less than the number in the id of such a user's first task. No two users share one."""
    return (other + 1) * 1_000_000


PLANNERS_FIRST = first_number(OTHERS)


def task_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


def seeded_task(n: int) -> dict[str, Any]:
    """The lister's nth task, counted from the oldest, which is 1."""
    at = _BEGIN + timedelta(seconds=n // 3) + _INSTANT
    return {
        "id": task_id(n),
        "user_id": LISTER,
        "title": f"Task number {n}",
        "description": f"What else there is to say about the task number {n}" if n % 4 == 0 else None,
        "completed": n % 3 == 0,
        "completed_at": at if n % 3 == 0 else None,
        "created_at": at,
        "updated_at": at,
        "version": n,
    }


def seed(url: str, schema: Schema) -> None:
    backend = make_url(url).get_backend_name()
    more = _MORE[backend].format(
        users=schema.more_users, prefix=task_id(0)[:-12], begin=int(_BEGIN.timestamp())
    )
    users = [(LISTER, OWN, 0), *((f"other-{other}", EACH, first_number(other)) for other in range(OTHERS))]
    if schema.planned:
        users.append((PLANNER, OWN, PLANNERS_FIRST))
    statements = [
        template.format(user=user, count=count, series=_series(backend, schema, count, first))
        for user, count, first in users
        for template in _templates(schema)
    ]
    if schema.planned:
        statements += _plans(backend, schema)
    if schema.more_users:
        statements += [statement for statement in more.split(";") if statement.strip()]
    if backend == "sqlite":
        _run_on_sqlite(url, [*statements, "COMMIT", "PRAGMA wal_checkpoint(TRUNCATE)"])
    else:
        run_on_postgres(url, [*statements, "VACUUM ANALYZE"])


_USERS = "INSERT INTO users (id, created_at, last_seq) SELECT '{user}', max(at), {count} FROM ({series}) AS s"
_VALUES = """
    id, '{user}', 'Task number ' || n,
    CASE WHEN n % 4 = 0 THEN 'What else there is to say about the task number ' || n END,
    n % 3 = 0, CASE WHEN n % 3 = 0 THEN at END, at, at, n
    """
_KEYS = """
    'task number ' || n,
    CASE WHEN n % 4 = 0 THEN 'what else there is to say about the task number ' || n END
    """
_INSERT = f"INSERT INTO tasks ({', '.join(FIELDS)}) SELECT {_VALUES} FROM ({{series}}) AS s"
_INSERT_WITH_KEYS = f"""
    INSERT INTO tasks ({", ".join(FIELDS)}, title_key, description_key)
    SELECT {_VALUES}, {_KEYS} FROM ({{series}}) AS s
    """

# Days from the seeding on. Of those in the past one in fifty is open, and all others are completed.
_DAYS = """
    CASE WHEN version % 5 = 0 THEN -1 - version / 5 % 365 WHEN version % 5 = 1 THEN 1 + version / 5 % 200
         WHEN version % 500 = 2 OR version % 1000 = 3 THEN 0 END
    """
_DONE = """
    CASE WHEN version % 5 = 0 THEN version % 250 <> 0 WHEN version % 5 = 1 OR version % 500 = 2 THEN false
         WHEN version % 1000 = 3 THEN true ELSE completed END
    """
_DUE = {
    "postgresql": f"to_char(now() AT TIME ZONE 'UTC' + ({_DAYS}) * interval '1 day', 'YYYY-MM-DD')",
    "sqlite": f"date('now', ({_DAYS}) || ' days')",
}
_ID = {"postgresql": "'{}'::uuid", "sqlite": "'{}'"}
_POSITION = {"postgresql": "'i' || lpad(version::text, 9, '0')", "sqlite": "printf('i%09d', version)"}


def _plans(backend: str, schema: Schema) -> list[str]:
    """The planner's dates, list and order."""
    list_id = LIST_ID if backend == "postgresql" or schema.dashes else LIST_ID.replace("-", "")
    statements = [
        f"""
        UPDATE tasks SET due = {_DUE[backend]}, completed = {_DONE},
            completed_at = CASE WHEN {_DONE} THEN created_at END, position = {_POSITION[backend]},
            list_id = CASE WHEN version <= {LISTED} THEN {_ID[backend].format(list_id)} END
        WHERE user_id = '{PLANNER}'
        """
    ]
    if schema.taskwell:
        statements += [
            f"""
            INSERT INTO lists (user_id, id, name, position, created_at, updated_at, version)
            SELECT id, {_ID[backend].format(list_id)}, 'Errands', 'a0', created_at, created_at, last_seq + 1
            FROM users WHERE id = '{PLANNER}'
            """,
            f"UPDATE users SET last_seq = last_seq + 1 WHERE id = '{PLANNER}'",
        ]
    return statements


# Many users with a hundred tasks each. Their ids begin where those of the others end.
_MORE = {
    "postgresql": """
        INSERT INTO users (id, created_at, last_seq)
        SELECT 'more-' || u, to_timestamp({begin}), 100 FROM generate_series(1, {users}) AS u;
        INSERT INTO tasks (id, user_id, title, completed, created_at, updated_at, version, title_key)
        SELECT ('{prefix}' || lpad(to_hex(1000000000 + u * 100 + n), 12, '0'))::uuid, 'more-' || u,
               'Task number ' || n, false, to_timestamp({begin} + n), to_timestamp({begin} + n), n,
               'task number ' || n
        FROM generate_series(1, {users}) AS u, generate_series(1, 100) AS n
        """,
    "sqlite": """
        INSERT INTO users (id, created_at, last_seq)
        WITH RECURSIVE users (u) AS (SELECT 1 UNION ALL SELECT u + 1 FROM users WHERE u < {users})
        SELECT 'more-' || u, '2026-01-01 00:00:00.000000', 100 FROM users;
        INSERT INTO tasks (id, user_id, title, completed, created_at, updated_at, version, title_key)
        WITH RECURSIVE users (u) AS (SELECT 1 UNION ALL SELECT u + 1 FROM users WHERE u < {users}),
             numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)
        SELECT replace('{prefix}', '-', '') || printf('%012x', 1000000000 + u * 100 + n), 'more-' || u,
               'Task number ' || n, false, strftime('%Y-%m-%d %H:%M:%S.000000', {begin} + n, 'unixepoch'),
               strftime('%Y-%m-%d %H:%M:%S.000000', {begin} + n, 'unixepoch'), n, 'task number ' || n
        FROM users, numbers
        """,
}


def _templates(schema: Schema) -> Sequence[str]:
    return (_USERS, _INSERT_WITH_KEYS) if schema.taskwell else (_INSERT,)


def _series(backend: str, schema: Schema, count: int, first: int) -> str:
    """Numbers from 1 with an id and an instant; three at a time share theirs."""
    begin = int(_BEGIN.timestamp())
    prefix = task_id(0)[:-12]
    if backend == "postgresql":
        return f"""
            SELECT n, ('{prefix}' || lpad(to_hex({first} + n), 12, '0'))::uuid AS id,
                   to_timestamp({begin} + n / 3) + interval '{_MICROSECONDS} microseconds' AS at
            FROM generate_series(1, {count}) AS n
            """
    if not schema.dashes:
        prefix = prefix.replace("-", "")
    pattern = f"%Y-%m-%dT%H:%M:%S.{_MICROSECONDS}Z" if schema.iso else f"%Y-%m-%d %H:%M:%S.{_MICROSECONDS}"
    return f"""
        WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})
        SELECT n, '{prefix}' || printf('%012x', {first} + n) AS id,
               strftime('{pattern}', {begin} + n / 3, 'unixepoch') AS at FROM series
        """


def count_of(url: str, user: str) -> int:
    """How many tasks of a user are in the database."""
    statement = f"SELECT count(*) FROM tasks WHERE user_id = '{user}'"
    if make_url(url).get_backend_name() == "sqlite":
        return int(_run_on_sqlite(url, [statement]))
    return int(run_on_postgres(url, [statement]))


def _run_on_sqlite(url: str, statements: Sequence[str]) -> Any:
    """The first value of the last one."""
    with closing(connect(str(make_url(url).database), timeout=60)) as connection:
        for statement in statements:
            row = connection.execute(statement).fetchone()
    return row and row[0]


def run_on_postgres(url: str, statements: Sequence[str]) -> Any:
    """The first value of the last one."""

    async def work() -> Any:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement, timeout=1_800)
            return await connection.fetchval(statements[-1], timeout=1_800)
        finally:
            await connection.close()

    return asyncio.run(work())
