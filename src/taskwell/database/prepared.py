"""Prepared statements run directly on the driver, without SQLAlchemy's overhead per call."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import ClauseElement, Dialect

from taskwell.database.connection import AnyConnection, driver_of

Rows = Sequence[Sequence[Any]]


class PreparedStatement:
    """A statement compiled once per dialect, which the driver's connection keeps prepared.

    SQLAlchemy's work per statement costs several times the database's work per row. Values are passed by the
    names of the bound parameters; rows are returned as the driver gives them, so the columns must be numbers
    and text.
    """

    def __init__(self, clause: ClauseElement) -> None:
        self.clause = clause
        self._sql = lru_cache(self._compiled)

    async def run(self, connection: AnyConnection, values: Mapping[str, object]) -> Rows:
        """Run the statement. Returns all rows."""
        sql, arguments = self.compiled(connection.dialect, values)
        driver = driver_of(connection)
        if isinstance(driver, sqlite3.Connection):
            return driver.execute(sql, arguments).fetchall()
        return await _fetch(connection, driver, sql, arguments)

    def run_for_each(self, connection: AnyConnection, rows: Iterable[Mapping[str, object]]) -> None:
        """Run a statement without rows of its own for the values of each, on SQLite.

        One call for all of them takes half the time of a call for each.
        """
        compiled = [self.compiled(connection.dialect, values) for values in rows]
        if compiled:
            driver_of(connection).executemany(compiled[0][0], [arguments for _, arguments in compiled])

    def compiled(self, dialect: Dialect, values: Mapping[str, object]) -> tuple[str, list[object]]:
        """The SQL, and its positional arguments."""
        sql, parameters = self._sql(dialect)
        return sql, [
            values.get(name, default) if process is None else process(values[name])
            for name, process, default in parameters
        ]

    def _compiled(self, dialect: Dialect) -> tuple[str, tuple[tuple[str, Any, Any], ...]]:
        """The SQL; and for each parameter its name, its bind processor, and the clause's own value."""
        compiled: Any = self.clause.compile(dialect=dialect)
        processors, own = compiled._bind_processors, compiled.params  # noqa: SLF001 (no other way)
        return str(compiled), tuple((name, processors.get(name), own[name]) for name in compiled.positiontup)


async def _fetch(connection: Any, driver: asyncpg.Connection, sql: str, arguments: list[object]) -> Rows:
    try:
        rows: Rows = await driver.fetch(sql, *arguments)
    except Exception as error:
        if not driver.is_closed():
            raise
        # The pool has not noticed, and would hand the connection out again.
        await connection.invalidate(error)
        raise asyncpg.ConnectionDoesNotExistError from error
    return rows
