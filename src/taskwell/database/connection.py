"""What statements run on: SQLAlchemy's asynchronous connection, or one of these."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Dialect, Executable
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util.concurrency import greenlet_spawn

T = TypeVar("T")


class InlineConnection:
    """A connection that is used where it stands: its methods are awaited like others, and never wait.

    So what awaits nothing but them can run in any thread, a whole transaction at a time.
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
    """A connection as the pool has it. What SQLAlchemy puts around it takes as long as a look-up."""

    dialect: Dialect
    pooled: PoolProxiedConnection

    async def execute(self, _statement: Executable, _values: Any = None) -> CursorResult[Any]:
        raise TypeError("only statements that are kept prepared run on the driver")

    async def run_sync(self, _work: object) -> Any:
        raise TypeError("only statements that are kept prepared run on the driver")

    async def invalidate(self, error: BaseException) -> None:
        await greenlet_spawn(self.pooled.invalidate, error)


AnyConnection = AsyncConnection | InlineConnection | DriverConnection


def driver_of(connection: AnyConnection) -> Any:
    if isinstance(connection, DriverConnection):
        return connection.pooled.driver_connection
    assert connection.sync_connection is not None
    return connection.sync_connection.connection.driver_connection


def run_inline(work: Awaitable[T]) -> T:
    """What comes of work that awaits nothing that waits."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("it awaits something else than its statements")
