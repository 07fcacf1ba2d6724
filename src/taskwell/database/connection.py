"""The connections that run statements: SQLAlchemy's asynchronous one, or one of these."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Dialect, Executable
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util.concurrency import greenlet_spawn

T = TypeVar("T")


class InlineConnection:
    """A synchronous connection behind awaitable methods, which never suspend.

    A coroutine that awaits nothing else can run in any thread, a whole transaction at a time.
    """

    def __init__(self, connection: Connection) -> None:
        self.sync_connection = connection
        self.dialect = connection.dialect

    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        return self.sync_connection.execute(statement, values)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        return work(self.sync_connection)


@dataclass(slots=True)
class DriverConnection:
    """The pool's raw connection. SQLAlchemy's wrapper takes as long as a look-up."""

    dialect: Dialect
    pooled: PoolProxiedConnection

    async def execute(self, _statement: Executable, _values: Any = None) -> CursorResult[Any]:
        raise TypeError("a driver connection runs only prepared statements")

    async def run_sync(self, _work: object) -> Any:
        raise TypeError("a driver connection runs only prepared statements")

    async def invalidate(self, error: BaseException) -> None:
        await greenlet_spawn(self.pooled.invalidate, error)


AnyConnection = AsyncConnection | InlineConnection | DriverConnection


def driver_of(connection: AnyConnection) -> Any:
    if isinstance(connection, DriverConnection):
        return connection.pooled.driver_connection
    assert connection.sync_connection is not None
    return connection.sync_connection.connection.driver_connection


def run_inline(work: Awaitable[T]) -> T:
    """The result of work that never suspends, without an event loop."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("the work awaits something other than its statements")
