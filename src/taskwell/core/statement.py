"""Statements that cost hardly more than what the database does for them."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import ClauseElement, CursorResult, Dialect, Executable
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util.concurrency import greenlet_spawn

from taskwell.core.sqlite import OnTheSpot

Rows = Sequence[Sequence[Any]]


@dataclass(slots=True)
class OnTheDriver:
    """A connection as the pool has it. What SQLAlchemy puts around it takes as long as a look-up."""

    dialect: Dialect
    pooled: PoolProxiedConnection

    async def execute(self, _statement: Executable, _values: Any = None) -> CursorResult[Any]:
        raise TypeError("only statements that are kept prepared run on the driver")

    async def run_sync(self, _work: object) -> Any:
        raise TypeError("only statements that are kept prepared run on the driver")

    async def invalidate(self, error: BaseException) -> None:
        await greenlet_spawn(self.pooled.invalidate, error)


AnyConnection = AsyncConnection | OnTheSpot | OnTheDriver


class Statement:
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


def driver_of(connection: AnyConnection) -> Any:
    if isinstance(connection, OnTheDriver):
        return connection.pooled.driver_connection
    assert connection.sync_connection is not None
    return connection.sync_connection.connection.driver_connection


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
