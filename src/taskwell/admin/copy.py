"""Copying everything from one database to another of either kind, and comparing the two.

A table is read in the order of its key, so many rows at a time: memory stays flat whatever its size. What is
compared is what the models see, since the two kinds of database keep an instant or an id in their own ways.
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
from taskwell.models.housekeeping import STAYS

_AT_ONCE = 1_000
_MODULUS = 2**256

Connected = AsyncConnection | InlineConnection

_COPIED = [table for table in metadata.sorted_tables if STAYS not in table.info]
TABLES = tuple(table.name for table in _COPIED)


class Progress:
    """How far a copy is. Says nothing; a terminal's does."""

    def expect(self, rows: int) -> None:
        """So many rows are to be dealt with in all, each as often as it will be."""

    def advance(self, rows: int) -> None:
        """So many more have been."""


class CannotCopy(Exception):
    """An operator has to change something first. The message says what; it holds no secret."""


class Differs(Exception):
    """Two databases that should be equal are not. The message says in what."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table holds: how many rows, and a digest of them all, whatever their order."""

    rows: int
    digest: str


Summaries = Mapping[str, Summary]


class _Sum:
    """Digests of rows, added up: the order, which collations disagree on, makes no difference."""

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
    """One state of everything, whoever writes meanwhile.

    Raises:
        CannotCopy: there is no database, or one of a newer taskwell.
    """
    async with _entered(settings, lambda backend: backend.snapshot()) as connection:
        transaction = ReadTransaction(connection)
        schema = await transaction.look(migrate.state_of)
        if await transaction.look(migrate.revision_of) is None:
            raise CannotCopy(f"there is nothing of taskwell in {settings.migration_database}")
        if schema is migrate.Schema.AHEAD:
            raise _newer(settings)
        yield transaction


@asynccontextmanager
async def frozen(settings: Settings) -> AsyncGenerator[ReadTransaction]:
    """One state of everything, while nobody writes.

    Raises:
        InUse: a server is connected.
    """
    async with _entered(settings, lambda backend: backend.frozen(TABLES)) as connection:
        yield ReadTransaction(connection)


@asynccontextmanager
async def loading(settings: Settings) -> AsyncGenerator[Transaction]:
    """A transaction that may take its time; others read what was before, and are told to write later.

    The database is migrated first, and set up for row-level security as the settings say.

    Raises:
        CannotCopy: it is of a newer taskwell.
    """
    with _named(settings.migration_database):
        await startup.upgrade(settings)
    async with _entered(settings, lambda backend: backend.loading(TABLES)) as connection:
        transaction = Transaction(connection)
        if await transaction.look(migrate.state_of) is not migrate.Schema.CURRENT:
            raise _newer(settings)
        yield transaction


def _newer(settings: Settings) -> CannotCopy:
    return CannotCopy(f"{settings.migration_database} was migrated by a newer taskwell: use that one")


@asynccontextmanager
async def _entered(
    settings: Settings,
    enter: Callable[[SqliteBackend | PostgresBackend], AbstractAsyncContextManager[Connected]],
) -> AsyncGenerator[Connected]:
    url = settings.migration_database
    if url.is_sqlite and not absolute(url.path).exists():
        raise CannotCopy(f"there is no database {url.path}")
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
    """Have an error say which of two databases it is of."""
    try:
        yield
    except Exception as error:
        if (reason := reason_of(url, error)) is None:
            raise
        raise CannotCopy(reason) from error


async def tables_of(transaction: ReadTransaction) -> list[Table]:
    """The tables of a database as its revision has them, those that others refer to first."""
    return await transaction.look(_tables_of)


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
    """The models' type, which knows instants and ids; the database's for a column of another revision."""
    return table.c[column["name"]].type if column["name"] in table.c else column["type"]


async def count_rows(transaction: ReadTransaction) -> int:
    """How many rows there are, in all tables together."""
    total = 0
    for table in await tables_of(transaction):
        row = await transaction.first(select(func.count()).select_from(table))
        total += row[0] if row else 0
    return total


async def summarize(transaction: ReadTransaction, progress: Progress) -> Summaries:
    """What each table holds."""
    summaries = {}
    for table in await tables_of(transaction):
        found = _Sum()
        async for rows in _pages(transaction, table):
            found.add(rows)
            progress.advance(len(rows))
        summaries[table.name] = found.summary()
    return summaries


async def copy(source: ReadTransaction, target: Transaction, progress: Progress) -> Summaries:
    """Copy every row. Returns what each table of the source holds, for `compare`.

    Raises:
        Differs: the two do not have the same columns.
    """
    tables = await tables_of(source)
    _refuse_differences(_columns(tables), _columns(await tables_of(target)))
    read = {}
    for table in tables:
        found = _Sum()
        async for rows in _pages(source, table):
            await target.insert_rows(table, [row._asdict() for row in rows])
            found.add(rows)
            progress.advance(len(rows))
        read[table.name] = found.summary()
    return read


async def compare(expected: Summaries, transaction: ReadTransaction, progress: Progress) -> None:
    """Read everything back. Raises Differs."""
    _refuse_differences(expected, await summarize(transaction, progress))


def _refuse_differences(expected: Mapping[str, object], found: Mapping[str, object]) -> None:
    names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if names:
        raise Differs(f"the two differ in: {', '.join(names)}")


def _columns(tables: Sequence[Table]) -> Mapping[str, object]:
    return {table.name: set(table.c.keys()) for table in tables}


async def clear(target: Transaction) -> None:
    """Delete every row."""
    for table in reversed(await tables_of(target)):
        await target.execute(delete(table))


async def _pages(transaction: ReadTransaction, table: Table) -> AsyncGenerator[Sequence[Row[Any]]]:
    key = list(table.primary_key)
    statement = select(table).order_by(*key).limit(_AT_ONCE)
    rows = await transaction.all(statement)
    while rows:
        yield rows
        last = [getattr(rows[-1], column.name) for column in key]
        rows = await transaction.all(statement.where(tuple_(*key) > tuple_(*last)))
