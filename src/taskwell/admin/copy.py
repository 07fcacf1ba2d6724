"""Copies all data from one database to another of either kind, and compares the two.

A table is read in chunks by its key, so memory stays constant. Values are compared as the models read them,
since SQLite and PostgreSQL store instants and ids differently.
"""

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, delete, func, inspect, select, tuple_
from sqlalchemy import MetaData as Schema
from sqlalchemy.ext.asyncio import AsyncConnection

from taskwell.core.database_url import DatabaseUrl
from taskwell.core.settings import Settings
from taskwell.database import migrate, startup
from taskwell.database.connection import InlineConnection
from taskwell.database.database import ReadTransaction, Transaction, open_backend
from taskwell.database.faults import reason_of
from taskwell.database.postgres import PostgresBackend
from taskwell.database.sqlite import SqliteBackend
from taskwell.database.sqlite_file import absolute
from taskwell.models import metadata
from taskwell.models.housekeeping import STAYS, Housekeeping
from taskwell.services import webhooks

_CHUNK_ROWS = 1_000
_MODULUS = 2**256

Connected = AsyncConnection | InlineConnection

_COPIED = [table for table in metadata.sorted_tables if STAYS not in table.info]
TABLES = tuple(table.name for table in _COPIED)


class Progress:
    """The progress of a copy. This class shows nothing; a subclass for terminals does."""

    def expect(self, rows: int) -> None:
        """Set the total of rows to process, counting each as often as it is processed."""

    def advance(self, rows: int) -> None:
        """Add processed rows."""


class CannotCopy(Exception):
    """An operator must fix something first. The message says what; it holds no secret."""


class Differs(Exception):
    """Two databases that should be equal are not. The message names the difference."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The count of a table's rows, and a digest of all of them in any order."""

    rows: int
    digest: str


Summaries = Mapping[str, Summary]


class _Sum:
    """Sums the digests of rows, so that their order, on which collations disagree, does not matter."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, rows: Sequence[Row[Any]]) -> None:
        self.rows += len(rows)
        for row in rows:
            digest = hashlib.sha256(repr(tuple(row)).encode()).digest()
            self._sum = (self._sum + int.from_bytes(digest)) % _MODULUS

    def summary(self) -> Summary:
        return Summary(self.rows, f"{self._sum:064x}")


@asynccontextmanager
async def reading(settings: Settings) -> AsyncGenerator[ReadTransaction]:
    """Read from one snapshot, whatever is written meanwhile.

    Raises:
        CannotCopy: there is no database, or it is of a newer taskwell.
    """
    async with _entered(settings, lambda backend: backend.snapshot()) as connection:
        transaction = ReadTransaction(connection)
        schema = await transaction.run_sync(migrate.state_of)
        if await transaction.run_sync(migrate.revision_of) is None:
            raise CannotCopy(f"{settings.migration_database} is not a database of taskwell: check the URL")
        if schema is migrate.Schema.AHEAD:
            raise _newer(settings)
        yield transaction


@asynccontextmanager
async def frozen(settings: Settings) -> AsyncGenerator[ReadTransaction]:
    """Read from one snapshot, with writes locked out.

    Raises:
        InUse: a server is connected.
    """
    async with _entered(settings, lambda backend: backend.frozen(TABLES)) as connection:
        yield ReadTransaction(connection)


@asynccontextmanager
async def loading(settings: Settings) -> AsyncGenerator[Transaction]:
    """A long write transaction; other connections read the previous state, and their writes fail.

    The database is first migrated, and set up for row-level security as the settings say.

    Raises:
        CannotCopy: it is of a newer taskwell.
    """
    with _named(settings.migration_database):
        await startup.upgrade(settings)
    async with _entered(settings, lambda backend: backend.loading(TABLES)) as connection:
        transaction = Transaction(connection)
        if await transaction.run_sync(migrate.state_of) is not migrate.Schema.CURRENT:
            raise _newer(settings)
        yield transaction


def _newer(settings: Settings) -> CannotCopy:
    return CannotCopy(f"{settings.migration_database} was migrated by a newer taskwell: use that version")


@asynccontextmanager
async def _entered(
    settings: Settings,
    enter: Callable[[SqliteBackend | PostgresBackend], AbstractAsyncContextManager[Connected]],
) -> AsyncGenerator[Connected]:
    url = settings.migration_database
    if url.is_sqlite and not absolute(url.path).exists():
        raise CannotCopy(f"there is no database {url.path}: check the URL")
    backend = open_backend(settings, url, command_seconds=None)
    try:
        async with AsyncExitStack() as stack:
            with _named(url):
                connection = await stack.enter_async_context(enter(backend))
            yield connection
    finally:
        await backend.close()


@contextmanager
def _named(url: DatabaseUrl) -> Iterator[None]:
    """Name the database in its errors, since a command may use two."""
    try:
        yield
    except Exception as error:
        if (reason := reason_of(url, error)) is None:
            raise
        raise CannotCopy(reason) from error


async def tables_of(transaction: ReadTransaction) -> list[Table]:
    """The tables of a database in its own revision, referenced tables first."""
    return await transaction.run_sync(_tables_of)


def _tables_of(connection: Connection) -> list[Table]:
    found = inspect(connection)
    names = set(found.get_table_names())
    return [
        Table(
            table.name,
            Schema(),
            *(
                Column(each["name"], _type_of(table, each), primary_key=each["name"] in table.primary_key)
                for each in sorted(found.get_columns(table.name), key=lambda each: str(each["name"]))
            ),
        )
        for table in _COPIED
        if table.name in names
    ]


def _type_of(table: Table, column: Any) -> Any:
    """The models' type, which converts instants and ids; the database's for a column of another revision."""
    return table.c[column["name"]].type if column["name"] in table.c else column["type"]


async def count_rows(transaction: ReadTransaction) -> int:
    """Count the rows of all tables."""
    total = 0
    for table in await tables_of(transaction):
        row = await transaction.first(select(func.count()).select_from(table))
        total += row[0] if row else 0
    return total


async def summarize(transaction: ReadTransaction, progress: Progress) -> Summaries:
    """Summarize each table."""
    summaries = {}
    for table in await tables_of(transaction):
        found = _Sum()
        async for rows in _chunks(transaction, table):
            found.add(rows)
            progress.advance(len(rows))
        summaries[table.name] = found.summary()
    return summaries


async def copy(source: ReadTransaction, target: Transaction, progress: Progress) -> Summaries:
    """Copy every row. Returns a summary of each source table, for `compare`.

    Raises:
        Differs: the two databases have different columns.
    """
    tables = await tables_of(source)
    _refuse_differences(_columns(tables), _columns(await tables_of(target)))
    if await target.run_sync(
        lambda connection: inspect(connection).has_table(str(Housekeeping.__tablename__))
    ):
        await target.execute(delete(Housekeeping))  # it was done for the rows before, not for these
    read = {}
    for table in tables:
        found = _Sum()
        async for rows in _chunks(source, table):
            await target.insert_rows(table, [row._asdict() for row in rows])
            found.add(rows)
            progress.advance(len(rows))
        read[table.name] = found.summary()
    return read


async def compare(
    expected: Summaries, transaction: ReadTransaction, progress: Progress, *, but: object = None
) -> None:
    """Read all data back and compare it. `but`: the name of a table that may differ. Raises Differs."""
    found = await summarize(transaction, progress)
    _refuse_differences(*({name: one[name] for name in one if name != but} for one in (expected, found)))


async def settle_webhooks(target: Transaction, *, with_webhooks: bool) -> int:
    """Switch the webhooks of a copy off, unless it goes on for the original. Returns how many were on."""
    await webhooks.end_leases(target)
    return 0 if with_webhooks else await webhooks.disable_all(target)


def _refuse_differences(expected: Mapping[str, object], found: Mapping[str, object]) -> None:
    names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if names:
        raise Differs(f"these tables differ: {', '.join(names)}")


def _columns(tables: Sequence[Table]) -> Mapping[str, object]:
    return {table.name: set(table.c.keys()) for table in tables}


async def clear(target: Transaction) -> None:
    """Delete every row."""
    for table in reversed(await tables_of(target)):
        await target.execute(delete(table))


async def _chunks(transaction: ReadTransaction, table: Table) -> AsyncGenerator[Sequence[Row[Any]]]:
    key = list(table.primary_key)
    statement = select(table).order_by(*key).limit(_CHUNK_ROWS)
    rows = await transaction.all(statement)
    while rows:
        yield rows
        last = [getattr(rows[-1], column.name) for column in key]
        rows = await transaction.all(statement.where(tuple_(*key) > tuple_(*last)))
