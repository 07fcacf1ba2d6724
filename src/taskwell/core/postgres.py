"""PostgreSQL 15 or later, direct or through a pooler in transaction mode."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from taskwell.core.database_url import DatabaseUrl

T = TypeVar("T")

_SESSION = {
    "application_name": "taskwell",
    "statement_timeout": "10s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",  # every statement is short: compiling it costs more than running it
}
_CONNECT_SECONDS = 5
_COMMAND_SECONDS = 15  # longer than statement_timeout: the server gives up first, and says why
_MIGRATION_LOCK = 7_459_103_311  # any number: it only has to be taskwell's own in the database


class PostgresBackend:
    """A pool of connections."""

    dialect = "postgresql"

    def __init__(
        self,
        url: DatabaseUrl,
        *,
        pool_size: int = 10,
        max_overflow: int = 10,
        pool_timeout_seconds: float = 2.0,
    ) -> None:
        arguments: dict[str, Any] = {
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _COMMAND_SECONDS,
            **url.connect_args,
        }
        if not url.pooled:  # a pooler refuses start-up parameters it does not know
            arguments["server_settings"] = _SESSION | arguments.get("server_settings", {})
        self._engine = create_async_engine(
            url.url,
            connect_args=arguments,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=pool_timeout_seconds,
            pool_recycle=240,  # Neon suspends after 300 idle seconds, and its sessions end with it
            pool_use_lifo=True,
            # A write is joined with the one row of its number, which needs no condition.
            enable_from_linting=False,
        )
        # A read is one statement, so it needs no BEGIN and COMMIT around it: two round trips less.
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._waiting = 0
        self._timeouts = 0

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.reading() as connection:
            return await work(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        connection = await self._checked_out(self._reader.connect())
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        connection = await self._checked_out(self._engine.connect())
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def migrating(self, patience_seconds: float) -> AsyncGenerator[AsyncConnection]:
        """A transaction that no other migration shares. The lock ends with it, also behind a pooler."""
        async with self._engine.connect() as connection, connection.begin():
            await connection.execute(text(f"SET LOCAL lock_timeout = '{patience_seconds:.0f}s'"))
            await connection.execute(text(f"SET LOCAL statement_timeout = '{patience_seconds:.0f}s'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            yield connection

    async def _checked_out(self, connection: AsyncConnection) -> AsyncConnection:
        self._waiting += 1
        try:
            return await connection.start()
        except PoolTimeout:
            self._timeouts += 1
            raise
        finally:
            self._waiting -= 1

    def pool_numbers(self) -> dict[str, int]:
        pool: Any = self._engine.pool
        return {
            "size": pool.size(),
            "in_use": pool.checkedout(),
            "idle": pool.checkedin(),
            "waiting": self._waiting,
            "timeouts": self._timeouts,
        }

    async def close(self) -> None:
        await self._engine.dispose()
