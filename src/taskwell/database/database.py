"""The database: `Database.read` and `write` run service functions in transactions, alone or coalesced.

A service function gets a transaction and builds its statements; it never commits. `write` returns after the
commit, so no response is sent before its write is durable. A function may run twice (after a deadlock, or a
connection lost before COMMIT was sent), so it has no effect outside the database.

Each function declares how it is run: see `inline` and `coalescing.coalesced`.
"""

import asyncio
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection, Executable, Row, Table, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from taskwell.core.database_url import DatabaseUrl
from taskwell.core.errors import FileMoved, Held, TaskwellError, Unavailable
from taskwell.core.histogram import Histogram
from taskwell.core.principal import ALL_USERS, SERVER, Actor, Principal, current_actor, current_user
from taskwell.core.settings import Settings
from taskwell.database.coalescing import Coalescer, Coalescing, RunGroup, coalescing_of, never, settle
from taskwell.database.connection import AnyConnection, run_inline
from taskwell.database.faults import Fault, NotConnected, error_of, fault_of, reason_of
from taskwell.database.postgres import COMMAND_SECONDS, PostgresBackend
from taskwell.database.prepared import PreparedStatement, Rows
from taskwell.database.sqlite import SqliteBackend
from taskwell.database.sqlite_file import refuse_network_file_system
from taskwell.database.user_locks import KeyedLocks

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])
K = TypeVar("K", bound=Hashable)


# 0 in background work that makes no use of the database of its own.
_counts: ContextVar[int] = ContextVar("taskwell_counts_as_use", default=1)


def count_no_use() -> None:
    """Leave what the present task does with a database out of `Database.uses`."""
    _counts.set(0)


class HasUserId(Hashable, Protocol):
    """The key of a coalesced write."""

    @property
    def user_id(self) -> str: ...


W = TypeVar("W", bound=HasUserId)

logger = logging.getLogger("taskwell")

# Attempts per transaction, by fault. After READ_ONLY, a new connection may reach the new primary.
_ATTEMPTS = {Fault.CONFLICT: 4, Fault.LOST: 4, Fault.CONFUSED: 4, Fault.READ_ONLY: 2}
_UNREACHABLE_SECONDS = 1.0
_WARNING_SECONDS = 10.0
_MAX_INLINE_GROUP = 24  # calls per group of inline reads: a group blocks the event loop while it runs
_MAX_IN_FLIGHT = 1  # groups at a time: a second one would be small, and wait for rows that the first locks


def inline(function: F) -> F:
    """Declare that a function reads a few rows by their keys: SQLite is faster inline than in a thread."""
    function.inline = True  # type: ignore[attr-defined]
    return function


class ReadTransaction:
    """A transaction that only reads. `default_zone`: the time zone of users who have none."""

    def __init__(self, connection: AnyConnection, *, default_zone: str = "UTC") -> None:
        self._connection = connection
        self.default_zone = default_zone
        self.dialect = connection.dialect.name

    @property
    def writes_in_ctes(self) -> bool:
        """Whether a CTE can write, so that two writes take one round trip."""
        return self.dialect == "postgresql"

    async def all(self, statement: Executable) -> Sequence[Row[Any]]:
        return (await self._connection.execute(statement)).all()

    async def first(self, statement: Executable) -> Row[Any] | None:
        return (await self._connection.execute(statement)).first()

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        """Run synchronous work on the connection, such as an inspection of the schema."""
        return await self._connection.run_sync(work)

    async def fetch_prepared(self, statement: PreparedStatement, **values: object) -> Rows:
        """All rows of a prepared statement."""
        return await statement.run(self._connection, values)


class Transaction(ReadTransaction):
    """A transaction that reads and writes.

    `waits`: whether a statement waits for rows that another transaction has locked. If not, the outcome of a
    key with such a row is `Held`. `actor`: who writes. `looks`: the instants at which there will be something
    to do, if it is committed.
    """

    def __init__(
        self,
        connection: AnyConnection,
        *,
        waits: bool = True,
        actor: Actor = SERVER,
        default_zone: str = "UTC",
    ) -> None:
        super().__init__(connection, default_zone=default_zone)
        self.waits = waits
        self.actor = actor
        self.looks: list[datetime] = []

    def insert(self, table: type[SQLModel]) -> postgresql.Insert | sqlite.Insert:
        """An INSERT with ON CONFLICT, which both databases have and SQLAlchemy's own INSERT lacks."""
        return postgresql.insert(table) if self.writes_in_ctes else sqlite.insert(table)

    async def execute(self, statement: Executable) -> None:
        await self._connection.execute(statement)

    async def write_prepared(
        self, statement: PreparedStatement, rows: Iterable[Mapping[str, object]]
    ) -> None:
        """Run a prepared statement that returns nothing for the values of each, on SQLite."""
        statement.run_for_each(self._connection, rows)

    async def insert_rows(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        await self._connection.execute(insert(table), rows)


class Database:
    """The application's database. `ready`: the startup checks of its schema have succeeded.

    `coalesce` False: each call is a group of its own. `more_expected`: whether more calls will come in the
    next turn of the event loop.
    """

    def __init__(
        self, settings: Settings, *, coalesce: bool = True, more_expected: Callable[[], bool] = never
    ) -> None:
        self._url = settings.database
        self._default_zone = settings.time_zone
        self.backend = open_backend(settings, self._url, coalesce=coalesce)
        self._coalesce = coalesce
        self._more_expected = more_expected
        self._group_writes = asyncio.Lock()
        self.ready = False
        self.uses = 0  # attempts; housekeeping leaves an idle database asleep
        # Gets the earliest instant at which a write of this process has left something to do.
        self.look_at: Callable[[datetime], None] = _ignore
        self.user_locks = KeyedLocks()
        self.retries: Counter[str] = Counter()  # by fault
        self._coalescers: dict[Hashable, Coalescer[Any, Any]] = {}
        self._group_sizes: dict[str, Histogram] = {}  # by the label of their functions
        self._read_this_turn: dict[Hashable, Any] = {}  # outcomes, by function and key
        self._pending: set[asyncio.Future[Any]] = set()
        self._unreachable = False
        self._unreachable_until = 0.0
        self._quiet_until = 0.0
        self._damaged = False

    async def read(
        self,
        function: Callable[Concatenate[ReadTransaction, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a function that only reads, and awaits nothing but its statements.

        SQLite runs an `inline` function in the event loop, and any other in a thread.

        Raises:
            Unavailable: the database cannot be reached.
        """
        runs_inline = getattr(function, "inline", False)

        async def attempt() -> T:
            if not runs_inline:
                return await self.backend.read(
                    lambda connection: function(self._reading(connection), *args, **kwargs)
                )
            async with self.backend.reading() as connection:
                return await function(self._reading(connection), *args, **kwargs)

        return await self._shielded(self._retried(attempt))

    async def write(
        self,
        function: Callable[Concatenate[Transaction, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a function in one transaction and commit it. It awaits nothing but its statements.

        Raises:
            Unavailable: the database cannot be reached; nothing was changed.
            OutcomeUnknown: the connection was lost while COMMIT was on its way.
            StorageFull: the disk is full; nothing was changed.
        """
        actor = current_actor()  # SQLite writes in a thread, which has no context

        async def attempt() -> T:
            looks: list[datetime] = []

            def work(connection: AnyConnection) -> Awaitable[T]:
                transaction = Transaction(connection, actor=actor, default_zone=self._default_zone)
                transaction.looks = looks
                return function(transaction, *args, **kwargs)

            outcome = await self.backend.write(work)
            if looks:
                self.look_at(min(looks))
            return outcome

        return await self._shielded(self._retried(attempt, writes=True))

    def _reading(self, connection: AnyConnection) -> ReadTransaction:
        return ReadTransaction(connection, default_zone=self._default_zone)

    def serialized(self, user_id: str) -> AbstractAsyncContextManager[None]:
        """Hold the user's keyed lock, for a write that is not coalesced.

        On PostgreSQL the writes of one user wait for the lock of the user's row anyway; with the keyed lock
        they wait without a connection. SQLite has one writer and needs no lock.
        """
        return nullcontext() if self.backend.dialect == "sqlite" else self.user_locks.lock(user_id)

    def read_coalesced(
        self,
        function: Callable[[ReadTransaction, Sequence[K]], Awaitable[Sequence[T | TaskwellError]]],
        key: K,
    ) -> asyncio.Future[T]:
        """Read a key, in one group with the keys of concurrent calls.

        The function gets distinct keys and returns an outcome for each, in their order. An `inline` function
        uses prepared statements only; SQLite runs a single call of it before this method returns.
        """
        coalescing = coalescing_of(function)
        if coalescing.inline and (answer := self._read_inline(function, key)):
            return answer
        coalescer = self._coalescers.get(function)
        if coalescer is None:
            run_group = partial(self._read_group, function)
            coalescer = self._new_coalescer(function, coalescing, run_group, shared=True)
        return self._enqueue(coalescer, key)

    def _read_inline(
        self,
        function: Callable[[ReadTransaction, Sequence[K]], Awaitable[Sequence[T | TaskwellError]]],
        key: K,
    ) -> asyncio.Future[T] | None:
        """Read on SQLite without the coalescer, since there is no round trip to share.

        None: more calls are expected, which may have the same key; or the read failed, and the coalescer
        repeats it and handles the fault.
        """
        backend = self.backend
        if not isinstance(backend, SqliteBackend) or not self._coalesce or self._more_expected():
            return None
        try:
            self._check_available(writes=False)
            self.uses += 1
            outcome = self._read_once_per_turn(backend, function, key)
        except Exception:  # noqa: BLE001 (the coalescer repeats the read)
            return None
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        settle(answer, outcome)
        return answer

    def _read_once_per_turn(
        self,
        backend: SqliteBackend,
        function: Callable[[ReadTransaction, Sequence[K]], Awaitable[Sequence[T | TaskwellError]]],
        key: K,
    ) -> T | TaskwellError:
        """Read a key once per turn of the event loop, which may bring many requests for it.

        The loop runs its callbacks in order, so the outcomes are discarded before a later write is answered.
        """
        outcome: T | TaskwellError | None = self._read_this_turn.get((function, key))
        if outcome is None:
            with backend.inline_connection() as connection:
                (outcome,) = run_inline(function(ReadTransaction(connection), [key]))
            if not self._read_this_turn:
                asyncio.get_running_loop().call_soon(self._read_this_turn.clear)
            self._read_this_turn[function, key] = outcome
        return outcome

    def write_coalesced(
        self,
        function: Callable[[Transaction, Sequence[W]], Awaitable[Sequence[T | TaskwellError]]],
        key: W,
    ) -> asyncio.Future[T]:
        """Write a key, in one transaction with the keys of concurrent calls.

        On PostgreSQL one prepared statement has all writes, and is a transaction. The function returns an
        outcome for each key, in their order; an error is raised for its key alone, which has changed nothing.
        The call waits for a `serialized` write of its user before it joins a group.

        Raises: as `write`.
        """
        coalescer = self._coalescers.get(function)
        if coalescer is None:
            write = partial(self._write_group, function)
            coalescer = self._new_coalescer(function, coalescing_of(function), write, shared=False)
        if self.user_locks.is_locked(key.user_id):
            return self._spawn(self._enqueue_later(coalescer, key))
        return self._enqueue(coalescer, key, current_actor())

    async def _enqueue_later(self, coalescer: Coalescer[W, T], key: W) -> T:
        async with self.user_locks.lock(key.user_id):
            pass  # the serialized write has ended; calls of other users did not wait for it
        return await self._enqueue(coalescer, key, current_actor())

    def _new_coalescer(
        self, function: Hashable, coalescing: Coalescing, run_group: RunGroup[K, T], *, shared: bool
    ) -> Coalescer[K, T]:
        on_the_loop = coalescing.inline and self.backend.dialect == "sqlite"
        max_size = _MAX_INLINE_GROUP if on_the_loop else coalescing.max_size
        coalescer = Coalescer(
            run_group,
            self._spawn,
            max_size=max_size if self._coalesce else 1,
            shared=shared and self._coalesce,
            more_expected=self._more_expected,
        )
        coalescer.sizes = self._group_sizes.setdefault(coalescing.label, coalescer.sizes)
        self._coalescers[function] = coalescer
        return coalescer

    def _enqueue(self, coalescer: Coalescer[K, T], key: K, actor: Actor = SERVER) -> asyncio.Future[T]:
        """`actor`: of a write; reads are shared by all."""
        principal = Principal(current_user() if self.backend.isolates_users else ALL_USERS, actor)
        return coalescer.enqueue(principal, key, max_in_flight=self._max_in_flight(coalescer))

    def _max_in_flight(self, coalescer: Coalescer[Any, Any]) -> int:
        """Groups grow while the previous one runs; calls that cannot be grouped run concurrently."""
        grouped = coalescer.max_size > 1 and not self.backend.isolates_users
        return _MAX_IN_FLIGHT if grouped else self.backend.max_in_flight

    async def _read_group(
        self,
        function: Callable[[ReadTransaction, Sequence[K]], Awaitable[Sequence[T | TaskwellError]]],
        keys: Sequence[K],
    ) -> Sequence[T | TaskwellError]:
        if not coalescing_of(function).inline:
            return await self.read(function, keys)

        async def attempt() -> Sequence[T | TaskwellError]:
            async with self.backend.prepared_connection() as connection:
                return await function(ReadTransaction(connection), keys)

        return await self._retried(attempt)

    async def _write_group(
        self,
        function: Callable[[Transaction, Sequence[W]], Awaitable[Sequence[T | TaskwellError]]],
        keys: Sequence[W],
    ) -> Sequence[T | Exception | asyncio.Future[T]]:
        """Write a group. If it fails, write each key alone, so that one key does not fail the others."""
        try:
            async with self._exclusive():
                written = await self._write_prepared(function, keys)
            return self._retry_held(function, keys, written)
        except TaskwellError:
            raise
        except Exception:
            if len(keys) == 1:
                raise
        outcomes: list[T | Exception] = []
        for key in keys:
            try:
                outcomes += await self._write_prepared(function, [key])
            except Exception as error:  # noqa: BLE001 (each caller gets its own)
                outcomes.append(error)
        return self._retry_held(function, keys, outcomes)

    def _exclusive(self) -> AbstractAsyncContextManager[None]:
        """Exclude other groups under overload: the first would hold most users that the second needs.

        Otherwise groups are small, and waiting would cost one more round trip.
        """
        backend = self.backend
        lock_rows = backend.dialect == "postgresql" and not backend.isolates_users
        return self._group_writes if lock_rows and self._more_expected() else nullcontext()

    def _retry_held(
        self,
        function: Callable[[Transaction, Sequence[W]], Awaitable[Sequence[T | TaskwellError]]],
        keys: Sequence[W],
        outcomes: Sequence[T | Exception],
    ) -> Sequence[T | Exception | asyncio.Future[T]]:
        """Write the keys of locked rows again, outside the group, under the keyed lock of each user."""
        held: dict[str, list[W]] = {}
        for key, outcome in zip(keys, outcomes, strict=True):
            if isinstance(outcome, Held):
                held.setdefault(key.user_id, []).append(key)
        if not held:
            return outcomes
        later: dict[W, asyncio.Future[T]] = {}
        for user_id, own in held.items():
            written = self._spawn(self._write_serialized(function, user_id, own))
            later |= {key: self._spawn(_one_of(written, index)) for index, key in enumerate(own)}
        return [later.get(key, outcome) for key, outcome in zip(keys, outcomes, strict=True)]

    async def _write_serialized(
        self,
        function: Callable[[Transaction, Sequence[W]], Awaitable[Sequence[T | TaskwellError]]],
        user_id: str,
        keys: Sequence[W],
    ) -> Sequence[T | TaskwellError]:
        async with self.user_locks.lock(user_id):
            return await self._write_prepared(function, keys, waits=True)

    async def _write_prepared(
        self,
        function: Callable[[Transaction, Sequence[W]], Awaitable[Sequence[T | TaskwellError]]],
        keys: Sequence[W],
        *,
        waits: bool = False,
    ) -> Sequence[T | TaskwellError]:
        actor = current_actor()

        async def attempt() -> Sequence[T | TaskwellError]:
            return await self.backend.write_prepared(
                lambda connection: function(Transaction(connection, waits=waits, actor=actor), keys)
            )

        return await self._retried(attempt, writes=True)

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work to its end even if the caller is cancelled: an interrupted driver would keep its locks."""
        return await asyncio.shield(self._spawn(work))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._pending.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, since a cancelled caller does not

    async def _retried(self, attempt: Callable[[], Awaitable[T]], *, writes: bool = False) -> T:
        for attempts in itertools.count(1):
            self._check_available(writes=writes)
            self.uses += _counts.get()
            try:
                outcome = await attempt()
            except TaskwellError as error:
                self._note_refusal(error)
                raise
            except Exception as error:
                fault = fault_of(error)
                if fault is None:
                    raise
                self._note(fault, error)
                if attempts >= _ATTEMPTS.get(fault, 1):
                    self._warn_of_connections(fault, error)
                    raise error_of(fault) from error
                self.retries[fault.name.lower()] += 1
            else:
                if self._unreachable:
                    self._unreachable = False
                    logger.warning("%s is reachable again", self._url)
                return outcome
            await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311 (jitter, no secret)
        raise AssertionError  # the last attempt returns or raises

    def _note_refusal(self, error: TaskwellError) -> None:
        if isinstance(error, FileMoved):
            self._warn(error.detail)

    def _warn_of_connections(self, fault: Fault, error: Exception) -> None:
        """Log that no connection was available, or that each attempt lost its own."""
        if fault is Fault.LOST or isinstance(error, NotConnected):
            self._warn(reason_of(self._url, error))

    def _note(self, fault: Fault, error: Exception) -> None:
        match fault:
            case Fault.UNREACHABLE:
                self._warn(reason_of(self._url, error))
                self._unreachable = True
                self._unreachable_until = time.monotonic() + _UNREACHABLE_SECONDS
            case Fault.READ_ONLY:
                self._warn(reason_of(self._url, error))
                self.backend.give_up_sessions()
            case Fault.FULL:
                self._warn(reason_of(self._url, error))
            case Fault.CONFUSED:
                self.note_pooler(error)
            case Fault.BROKEN if not self._damaged:
                self._damaged = True
                logger.error(
                    "the database is damaged; the server refuses writes until it is restored", exc_info=error
                )
            case Fault.REFUSED:
                logger.error(
                    "row-level security refused a statement; if it was turned on while this server was "
                    "running, restart the server",
                    exc_info=error,
                )

    def note_pooler(self, error: Exception) -> None:
        """Stop preparing statements if the error is the work of a pooler."""
        if fault_of(error) is Fault.CONFUSED and isinstance(self.backend, PostgresBackend):
            self.backend.expect_pooler("the session changed between two statements")

    def _warn(self, reason: str | None) -> None:
        """Log why requests are refused, at most once per interval."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _WARNING_SECONDS
            logger.warning("requests are refused: %s", reason)

    def _check_available(self, *, writes: bool) -> None:
        """Refuse at once while the database is known to be unreachable, instead of waiting for a timeout.

        Raises:
            Unavailable: the database is being prepared, or was unreachable less than a second ago; or it is
                damaged and the work writes.
        """
        if not self.ready:
            preparing = "The database is being prepared; nothing was changed. Try again."
            raise Unavailable(preparing, reason="preparing")
        if time.monotonic() < self._unreachable_until:
            raise Unavailable()
        if writes and self._damaged:  # a write may increase the damage
            raise error_of(Fault.BROKEN)

    async def check(self) -> None:
        """Check that the database is usable: by a query if the last one failed, else by what is known.

        It queries an unreachable database once a second at most. It always queries SQLite, which has no
        server that a query would wake.

        Raises:
            Unavailable: the database is not usable.
        """
        self._check_available(writes=True)
        if self._unreachable or self.backend.dialect == "sqlite":
            await self.read(_nothing)

    @property
    def available(self) -> bool:
        """Whether the last use succeeded. Runs no query."""
        return self.ready and not (self._unreachable or self._damaged)

    def group_sizes(self) -> dict[str, Histogram]:
        """The sizes of the groups of coalesced calls, by the label of their function."""
        sizes = dict(self._group_sizes)
        if isinstance(self.backend, SqliteBackend):
            sizes["sqlite_writes"] = self.backend.writer.group_sizes
        return sizes

    async def close(self) -> None:
        """Wait for all pending work, and for the work that it starts; then close the connections."""
        while self._pending:
            await asyncio.wait(self._pending)
        await self.backend.close()


async def _one_of(written: Awaitable[Sequence[T | TaskwellError]], index: int) -> T:
    outcome = (await written)[index]
    if isinstance(outcome, TaskwellError):
        raise outcome
    return outcome


def _ignore(_instant: datetime) -> None:
    pass


@inline
async def _nothing(transaction: ReadTransaction) -> None:
    await transaction.first(select(1))


def open_backend(
    settings: Settings,
    url: DatabaseUrl,
    *,
    coalesce: bool = True,
    command_seconds: float | None = COMMAND_SECONDS,
) -> SqliteBackend | PostgresBackend:
    """Open the backend of the URL. `command_seconds`: the limit of a statement; None: no limit.

    Raises:
        BadDatabaseUrl: the file would lie on a network file system.
    """
    if not url.is_sqlite:
        return PostgresBackend(
            url,
            pool_size=settings.db_pool_size,
            max_overflow=settings.db_max_overflow,
            pool_timeout_seconds=settings.db_pool_timeout_seconds,
            command_seconds=command_seconds,
        )
    if not settings.allow_network_file_system:
        refuse_network_file_system(url.path)
    return SqliteBackend(url, coalesce=coalesce)
