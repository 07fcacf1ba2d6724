"""Look-ups that cost hardly more than the query itself."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import Dialect, Select
from sqlalchemy.ext.asyncio import AsyncConnection

from taskwell.core.sqlite import OnTheSpot


class Lookup:
    """A SELECT of one row by its keys, whose SQL is made once and runs on the driver's own connection.

    What SQLAlchemy does for a statement costs several times what the database does for a row. The columns
    must be of types that the drivers give as they are: numbers and text.
    """

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement
        self._sql = lru_cache(self._compiled)

    async def run(
        self, connection: AsyncConnection | OnTheSpot, values: Mapping[str, object]
    ) -> Sequence[Any] | None:
        sql, names = self._sql(connection.dialect)
        arguments = [values[name] for name in names]
        driver = driver_of(connection)
        if isinstance(driver, sqlite3.Connection):
            row: Sequence[Any] | None = driver.execute(sql, arguments).fetchone()
            return row
        return await _fetch(connection, driver, sql, arguments)

    def _compiled(self, dialect: Dialect) -> tuple[str, tuple[str, ...]]:
        """The text, and the names of its values in the order in which it wants them."""
        compiled: Any = self.statement.compile(dialect=dialect)
        return str(compiled), tuple(compiled.positiontup)


def driver_of(connection: AsyncConnection | OnTheSpot) -> Any:
    assert connection.sync_connection is not None
    return connection.sync_connection.connection.driver_connection


async def _fetch(
    connection: Any, driver: asyncpg.Connection, sql: str, arguments: list[object]
) -> Sequence[Any] | None:
    try:
        row: Sequence[Any] | None = await driver.fetchrow(sql, *arguments)
    except Exception as error:
        if not driver.is_closed():
            raise
        # The pool has not seen it, and would hand the connection out again.
        await connection.invalidate(error)
        raise asyncpg.ConnectionDoesNotExistError from error
    return row
