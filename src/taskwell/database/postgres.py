"""PostgreSQL 15 or later, direct or through a pooler in transaction mode.

Where row-level security is active, every read and write runs in a transaction that first sets the principal,
in the same round trip as BEGIN, on the driver's own connection. SQLAlchemy sees autocommit and no
transaction; the pool rolls back what is left open when the connection is returned.
"""

import asyncio
import logging
import re
import select
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection, Dialect, event, text
from sqlalchemy.exc import EmulatedDBAPIException
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection, PoolResetState
from sqlalchemy.util.concurrency import greenlet_spawn

from taskwell.core.database_url import DatabaseUrl
from taskwell.core.errors import InUse, OutcomeUnknown
from taskwell.core.principal import ALL_USERS, current_user
from taskwell.database.connection import DriverConnection, driver_of
from taskwell.database.faults import Fault, NotConnected, fault_of, never_sent

T = TypeVar("T")

logger = logging.getLogger("taskwell")

_SESSION = {
    "application_name": "taskwell",
    "statement_timeout": "10s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",  # every statement is short: compiling it costs more than running it
    # Every look-up has an index. A plan stays prepared while its table grows, and on a nearly empty table the
    # planner would choose a sequential scan.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
# The driver's own 'utf-8' is spelled unlike the server's, so a pooler would set it for each statement.
_POOLED_SESSION = {"client_encoding": "UTF8"}
_REFUSED_PARAMETER = "unsupported startup parameter"
_CONNECT_SECONDS = 5
COMMAND_SECONDS = 15  # longer than statement_timeout: the server times out first, with a reason
# A user's id, `ALL_USERS` or "": no quotation mark, since it is put into SQL.
_PRINCIPAL = re.compile(r"[A-Za-z0-9._~@:|+=*-]*", re.ASCII)
_OTHER_SESSIONS = text(
    """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'taskwell' AND pid <> pg_backend_pid()
    """
)
_CLOSING_SECONDS = 2.0
_SPARE_SECONDS = 1.0
_MIGRATION_LOCK = 7_459_103_311  # arbitrary, but unique to taskwell in the database


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
        command_seconds: float | None = COMMAND_SECONDS,
    ) -> None:
        self._url = url
        self._command_seconds = command_seconds
        self._engine = create_async_engine(
            url.url,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=pool_timeout_seconds,
            pool_recycle=240,  # Neon suspends after 300 idle seconds, and its sessions end with it
            pool_use_lifo=True,
            # A write is joined with the single row of its sequence number, which needs no condition.
            enable_from_linting=False,
        )
        # A read is one statement and needs no BEGIN and COMMIT: two round trips fewer.
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self.max_connections = pool_size + max_overflow
        # Concurrent queries that cannot be coalesced. Other work needs connections too, and those beyond the
        # pool's size are opened and closed each time.
        self.max_in_flight = max(1, pool_size // 2)
        self.row_security = False  # whether it is known to be active for this role
        event.listen(self._engine.sync_engine, "do_connect", self._connect)
        event.listen(self._engine.sync_engine, "reset", _roll_back)
        self._ending: set[asyncio.Task[None]] = set()
        self._spare: PoolProxiedConnection | None = None
        self._spare_until = 0.0
        self.waiting = 0  # for a connection
        self._timeouts = 0

    @property
    def isolates_users(self) -> bool:
        """Whether the database isolates users, each transaction having one principal."""
        return self.row_security

    async def obey_row_security(self) -> None:
        """Set the principal in every transaction from now on, in new sessions that have none."""
        self.row_security = True
        self._give_up_spare()
        await self._engine.dispose()

    @property
    def pooled(self) -> bool:
        """Whether connections are known to go through a pooler in transaction mode."""
        return self._url.pooled

    def expect_pooler(self, reason: str) -> None:
        """Stop preparing statements: a pooler gives each transaction another session."""
        if not self.pooled:
            logger.info("%s is behind a pooler (%s): statements are not kept prepared", self._url, reason)
            self._url = self._url.through_pooler()
            self.give_up_sessions()

    def _connect(self, dialect: Dialect, _record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        """Open a connection, and detect a pooler.

        A pooler refuses unknown start-up parameters, or reports its own process id instead of the server's,
        by which a client would cancel a statement.
        """

        def connect() -> Any:
            with _refusals_named():
                return dialect.connect(*arguments, **parameters, **self._arguments())

        if self._url.pooler != "auto":
            return connect()
        try:
            connection = connect()
        except NotConnected as error:
            if _REFUSED_PARAMETER not in error.words:
                raise
            self.expect_pooler(error.words)
            return connect()
        if _has_own_process(connection):
            return connection
        connection.terminate()
        self.expect_pooler("the process id differs from the one that was announced")
        return connect()

    def _arguments(self) -> dict[str, Any]:
        """The driver's connection arguments."""
        arguments = {
            "timeout": _CONNECT_SECONDS,
            "command_timeout": self._command_seconds,
            **self._url.connect_args,
        }
        if self.pooled:
            # A named statement would remain in a session that other clients get next.
            arguments["prepared_statement_name_func"] = _nameless
        # A pooler refuses unknown start-up parameters.
        session = _POOLED_SESSION if self.pooled else _SESSION
        if not self.row_security and not self.pooled:
            # Another server may turn row-level security on; this one then still sees all rows.
            session = session | {"taskwell.user_id": ALL_USERS}
        arguments["server_settings"] = session | arguments.get("server_settings", {})
        return arguments

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.reading() as connection:
            return await work(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        connection = await self._checked_out(self._autocommit.connect().start())
        try:
            if self.row_security:
                await _begin(connection)
            yield connection
        finally:
            if self.row_security:
                self._end_later(connection)
            else:
                await connection.close()

    @asynccontextmanager
    async def prepared_connection(self) -> AsyncGenerator[AsyncConnection | DriverConnection]:
        """A connection for prepared statements, each its own transaction."""
        if self.row_security:
            async with self.reading() as connection:
                yield connection
            return
        pooled = self._take_spare()
        if pooled is None:
            pooled = await self._checked_out(self._alive())
        try:
            yield DriverConnection(self._engine.dialect, pooled)
        finally:
            await self._leave(pooled)

    def _take_spare(self) -> PoolProxiedConnection | None:
        """The connection that was used last, if usable: a checkout takes as long as a read by key."""
        spare = self._spare
        if spare is None:
            return None
        driver: Any = spare.driver_connection
        too_old = self._spare_until < time.monotonic()
        if too_old or driver is None or driver.is_closed() or _has_unread(driver):
            self._give_up_spare()
            return None
        self._spare = None
        return spare

    async def _leave(self, pooled: PoolProxiedConnection) -> None:
        """Keep the connection for the next statement, or return it to the pool if a call waits for one."""
        pool: Any = self._engine.pool
        if pool.overflow() > 0:  # it may exceed the pool's size and be closed
            await greenlet_spawn(pooled.close)
        elif self.waiting:
            pooled.close()
        else:
            self._give_up_spare()
            self._spare, self._spare_until = pooled, time.monotonic() + _SPARE_SECONDS

    def _give_up_spare(self) -> None:
        """Return the spare connection, so that the pool has every unused one."""
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    async def _alive(self) -> PoolProxiedConnection:
        """A connection that the server has not closed while it was idle, as Neon does.

        Whether a statement ran is unknown if the connection breaks under it, so none is sent on a connection
        that is known to be closed.
        """
        for _ in range(self.max_connections + 1):  # every pooled one may be closed, but not a new one
            pooled = await greenlet_spawn(self._engine.sync_engine.pool.connect)
            driver: Any = pooled.driver_connection
            if not driver.is_closed() and _has_unread(driver):
                await asyncio.sleep(0.001)  # for the driver to read it
            if not driver.is_closed():
                return pooled
            await greenlet_spawn(pooled.invalidate)
        raise asyncpg.ConnectionDoesNotExistError

    def _end_later(self, connection: AsyncConnection) -> None:
        """End the transaction in a task: the result need not wait for that round trip."""
        task = asyncio.ensure_future(connection.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        engine = self._autocommit if self.row_security else self._engine
        connection = await self._checked_out(engine.connect().start())
        try:
            if self.row_security:
                await _begin(connection)
            yield connection
        finally:
            await connection.close()

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run work in a transaction.

        Raises:
            OutcomeUnknown: the connection was lost after COMMIT was sent.
        """
        async with self.writing() as connection:
            await connection.begin()
            result = await work(connection)
            try:
                await self.commit(connection)
            except Exception as error:
                if _may_have_run(error):
                    raise OutcomeUnknown from error
                raise
            return result

    async def write_prepared(self, work: Callable[[AsyncConnection | DriverConnection], Awaitable[T]]) -> T:
        """Run prepared statements, of which the last one writes, without a transaction where possible.

        Raises:
            OutcomeUnknown: the connection was lost after the statement, or its COMMIT, was sent.
        """
        if self.row_security:
            return await self.write(work)
        async with self.prepared_connection() as connection:
            try:
                return await work(connection)
            except Exception as error:
                if _may_have_run(error):
                    raise OutcomeUnknown from error
                raise

    def give_up_sessions(self) -> None:
        """Replace every present connection, each at its next checkout."""
        self._give_up_spare()
        pool: Any = self._engine.pool
        pool._invalidate(None)  # noqa: SLF001 (the public method would close connections in use)

    async def commit(self, connection: AsyncConnection) -> None:
        await connection.commit()
        if driver_of(connection).is_in_transaction():
            await _execute(connection, "COMMIT")

    async def migrate(self, work: Callable[[Connection], T], patience_seconds: float) -> T:
        """Run work in a transaction under the migration lock, which ends with it, also behind a pooler."""
        self._give_up_spare()
        async with self._engine.connect() as connection, connection.begin():
            await connection.execute(text(f"SET LOCAL lock_timeout = '{patience_seconds:.0f}s'"))
            await connection.execute(text(f"SET LOCAL statement_timeout = '{patience_seconds:.0f}s'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text(f"SET LOCAL taskwell.user_id = '{ALL_USERS}'"))
            return await connection.run_sync(work)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[AsyncConnection]:
        """A read transaction on one snapshot, however long it takes and whatever is written meanwhile."""
        async with self._long("ISOLATION LEVEL REPEATABLE READ, READ ONLY") as connection:
            yield connection

    @asynccontextmanager
    async def frozen(self, tables: Sequence[str]) -> AsyncGenerator[AsyncConnection]:
        """A snapshot that locks the tables against writes, while no server is connected.

        Raises:
            InUse: a server is connected.
        """
        async with self._long("ISOLATION LEVEL REPEATABLE READ, READ WRITE") as connection:
            await connection.execute(text(f"LOCK TABLE {', '.join(tables)} IN SHARE MODE"))
            await _refuse_other_sessions(connection)
            yield connection

    @asynccontextmanager
    async def loading(self, tables: Sequence[str]) -> AsyncGenerator[AsyncConnection]:
        """A long write transaction. Other writes fail meanwhile, and can be retried."""
        async with self._long("ISOLATION LEVEL READ COMMITTED") as connection:
            await connection.execute(text(f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE"))
            yield connection
            # The planner has no statistics of so many new rows until autovacuum runs.
            await connection.execute(text(f"ANALYZE {', '.join(tables)}"))

    @asynccontextmanager
    async def _long(self, mode: str) -> AsyncGenerator[AsyncConnection]:
        """A transaction for all users, without time limits on statements."""
        self._give_up_spare()
        async with self._engine.connect() as connection, connection.begin():
            await connection.execute(text(f"SET TRANSACTION {mode}"))
            await connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            await connection.execute(text("SET LOCAL tcp_keepalives_idle = 60"))  # a client may vanish
            await connection.execute(text(f"SET LOCAL taskwell.user_id = '{ALL_USERS}'"))
            yield connection

    async def _checked_out(self, connection: Awaitable[T]) -> T:
        self._give_up_spare()
        self.waiting += 1
        try:
            return await connection
        except PoolTimeout:
            self._timeouts += 1
            raise
        finally:
            self.waiting -= 1

    def pool_numbers(self) -> dict[str, int]:
        pool: Any = self._engine.pool
        spare = int(self._spare is not None)
        return {
            "size": pool.size(),
            "in_use": pool.checkedout() - spare,
            "idle": pool.checkedin() + spare,
            "waiting": self.waiting,
            "timeouts": self._timeouts,
        }

    async def close(self) -> None:
        if self._ending:
            await asyncio.wait(self._ending)
        self._give_up_spare()
        await self._engine.dispose()


@contextmanager
def _refusals_named() -> Iterator[None]:
    """Raise `NotConnected` if the server refuses a connection, but not if the connection breaks."""
    try:
        yield
    except (EmulatedDBAPIException, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        cause = error.driver_exception if isinstance(error, EmulatedDBAPIException) else error
        if isinstance(cause, asyncpg.PostgresError) and cause.severity is None:
            raise  # the driver's own: the connection was lost
        raise NotConnected(cause) from error


def _has_own_process(connection: Any) -> bool:
    """Whether the process that answers has the id that was announced at the start of the connection."""

    async def has_own(driver: asyncpg.Connection) -> bool:
        statement = await driver.prepare("SELECT pg_backend_pid()", name="")  # a name would stay prepared
        return bool(await statement.fetchval() == driver.get_server_pid())

    try:
        with _refusals_named():
            return bool(connection.run_async(has_own))
    except BaseException:
        connection.terminate()
        raise


def _has_unread(driver: Any) -> bool:
    """Whether the server has sent an unsolicited message: most likely that it ends the session."""
    socket = driver._transport.get_extra_info("socket")  # noqa: SLF001 (there is no other way)
    if socket is None or not hasattr(select, "poll"):
        return True  # the connection is closing; or on Windows, only the event loop can know
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def _refuse_other_sessions(connection: AsyncConnection) -> None:
    """Raises InUse. A session that has just ended is still listed for a moment."""
    deadline = time.monotonic() + _CLOSING_SECONDS
    while (await connection.execute(_OTHER_SESSIONS)).scalar_one():
        if time.monotonic() > deadline:
            raise InUse("a server is connected to the database: stop it first")
        await asyncio.sleep(0.1)


def _may_have_run(error: Exception) -> bool:
    """Whether the last statement may have reached the server before the connection broke."""
    return fault_of(error) in {Fault.LOST, Fault.UNREACHABLE} and not never_sent(error)


def _nameless() -> str:
    return ""


async def _begin(connection: AsyncConnection) -> None:
    principal = current_user()
    if not _PRINCIPAL.fullmatch(principal):
        raise ValueError("the principal is not a user's id")
    await _execute(connection, f"BEGIN; SET LOCAL taskwell.user_id = '{principal}'")


async def _execute(connection: AsyncConnection, statement: str) -> None:
    driver = driver_of(connection)
    try:
        await driver.execute(statement)
    except asyncpg.PostgresError:
        raise  # the server has answered, so the driver knows the transaction's state
    except BaseException as error:
        lost = driver.is_closed() and isinstance(error, Exception)
        await connection.invalidate(error)
        if lost:
            raise asyncpg.ConnectionDoesNotExistError from error
        raise


def _roll_back(connection: Any, _record: Any, state: PoolResetState) -> None:
    """Roll back a transaction that was started on the driver's own connection."""
    driver = connection.driver_connection
    if state.asyncio_safe and not driver.is_closed() and driver.is_in_transaction():
        connection.run_async(lambda driver: driver.execute("ROLLBACK"))
