"""Statements that cost hardly more than what the database does for them."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import ClauseElement, Dialect

from taskwell.database.connection import AnyConnection, driver_of

Rows = Sequence[Sequence[Any]]


class PreparedStatement:
    """Its SQL is made once, and runs on the driver's own connection, which keeps it prepared.

    What SQLAlchemy does for a statement costs several times what the database does for a row. Values go in by
    the names of the bound parameters; what comes out is as the driver gives it, so the columns are numbers
    and text.
    """

    def __init__(self, clause: ClauseElement) -> None:
        self.clause = clause
        self._sql = lru_cache(self._compiled)

    async def run(self, connection: AnyConnection, values: Mapping[str, object]) -> Rows:
        """All rows."""
        sql, arguments = self.compiled(connection.dialect, values)
        driver = driver_of(connection)
        if isinstance(driver, sqlite3.Connection):
            return driver.execute(sql, arguments).fetchall()
        return await _fetch(connection, driver, sql, arguments)

    def compiled(self, dialect: Dialect, values: Mapping[str, object]) -> tuple[str, list[object]]:
        """The text, and what stands in its places."""
        sql, places = self._sql(dialect)
        return sql, [
            values.get(name, own) if process is None else process(values[name])
            for name, process, own in places
        ]

    def _compiled(self, dialect: Dialect) -> tuple[str, tuple[tuple[str, Any, Any], ...]]:
        """The text; for each place in it, a value's name, what it goes through, and the clause's own."""
        compiled: Any = self.clause.compile(dialect=dialect)
        processors, own = compiled._bind_processors, compiled.params  # noqa: SLF001 (no other way)
        return str(compiled), tuple((name, processors.get(name), own[name]) for name in compiled.positiontup)


async def _fetch(connection: Any, driver: asyncpg.Connection, sql: str, arguments: list[object]) -> Rows:
    try:
        rows: Rows = await driver.fetch(sql, *arguments)
    except Exception as error:
        if not driver.is_closed():
            raise
        # The pool has not seen it, and would hand the connection out again.
        await connection.invalidate(error)
        raise asyncpg.ConnectionDoesNotExistError from error
    return rows
