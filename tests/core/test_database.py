"""`Database.run` brings a function to one commit, whatever becomes of its caller and its connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
from sqlalchemy import make_url, text

from taskwell.core.config import Settings
from taskwell.core.database import Database, ReadTransaction, Transaction
from taskwell.core.errors import OutcomeUnknown, Unavailable
from taskwell.core.preparation import start
from taskwell.schemas.query import TaskQuery
from taskwell.schemas.task import TaskCreate, TaskRead
from taskwell.services import tasks
from tests.databases import execute, new_postgres_database
from tests.lists import list_tasks

T = TypeVar("T")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    with new_postgres_database() as url:
        yield url


@pytest.mark.plan("A2", "R3")
class TestRun:
    def test_a_failure_undoes_all_that_the_function_did(self, database_url: str) -> None:
        async def fail_in_the_end(transaction: Transaction) -> None:
            await create(transaction)
            raise LookupError

        async def work(database: Database) -> list[TaskRead]:
            with pytest.raises(LookupError):
                await database.run(fail_in_the_end)
            return await listed(database)

        assert opened(database_url, work) == []

    def test_is_committed_when_it_returns(self, database_url: str) -> None:
        async def work(database: Database) -> TaskRead:
            return await database.run(create)

        assert opened(database_url, listed) == []
        created = opened(database_url, work)
        assert opened(database_url, listed) == [created]


class TestCancelledCaller:
    def test_the_write_is_carried_to_its_end_and_leaves_no_lock(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            for moment in range(1, 41):
                caller = asyncio.create_task(database.run(create))
                for _ in range(moment):
                    await asyncio.sleep(0)
                caller.cancel()
                await asyncio.wait([caller])
            async with asyncio.timeout(5):
                await database.run(create)

        opened(database_url, work)
        assert len(opened(database_url, listed)) == 41

    def test_close_waits_for_what_is_under_way(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            caller = asyncio.create_task(database.run(create_slowly))
            await asyncio.sleep(0.1)
            caller.cancel()
            await asyncio.wait([caller])
            closing = asyncio.create_task(database.close())
            await asyncio.sleep(0)
            assert not closing.done()
            await closing

        opened(database_url, work)
        assert len(opened(database_url, listed)) == 1


class TestConflict:
    """PostgreSQL's alone: SQLite lets one writer in at a time."""

    def test_a_serialization_failure_has_the_whole_function_run_again(self, postgres_url: str) -> None:
        runs: list[Transaction] = []

        async def take_number(transaction: Transaction) -> int:
            runs.append(transaction)
            await transaction.first(text("SELECT last_seq FROM users"))
            if len(runs) == 1:
                await beside(postgres_url, "UPDATE users SET last_seq = last_seq + 1")
            row = await transaction.first(text("UPDATE users SET last_seq = last_seq + 1 RETURNING last_seq"))
            assert row is not None
            number: int = row.last_seq
            return number

        async def work(database: Database) -> int:
            await database.run(create)
            await beside(postgres_url, ISOLATED.format(database=make_url(postgres_url).database))
            await database.backend.close()
            return await database.run(take_number)

        assert opened(postgres_url, work) == 3
        assert len(runs) == 2

    def test_a_deadlock_is_resolved_unseen(self, postgres_url: str) -> None:
        runs: list[Transaction] = []
        both_have_one = asyncio.Barrier(2)

        async def lock(transaction: Transaction, one: str, other: str) -> None:
            runs.append(transaction)
            locked = text("SELECT id FROM users WHERE id = :id FOR UPDATE")
            await transaction.first(locked.bindparams(id=one))
            if len(runs) <= 2:
                await both_have_one.wait()
            await transaction.first(locked.bindparams(id=other))

        async def work(database: Database) -> None:
            await database.run(create, "ada")
            await database.run(create, "bob")
            await asyncio.gather(database.run(lock, "ada", "bob"), database.run(lock, "bob", "ada"))

        opened(postgres_url, work)
        assert len(runs) == 3

    def test_one_that_does_not_end_is_told(self, postgres_url: str) -> None:
        runs: list[Transaction] = []

        async def conflict(transaction: Transaction) -> None:
            runs.append(transaction)
            await create(transaction)
            await transaction.first(text("SELECT fail()"))

        async def work(database: Database) -> list[TaskRead]:
            await beside(postgres_url, ALWAYS_CONFLICT)
            with pytest.raises(Unavailable, match="busy; nothing was changed"):
                await database.run(conflict)
            return await listed(database)

        assert opened(postgres_url, work) == []
        assert len(runs) == 4


class TestLostConnection:
    def test_before_commit_the_function_is_run_again(self, postgres_url: str) -> None:
        runs: list[Transaction] = []

        async def create_and_lose(transaction: Transaction) -> TaskRead:
            runs.append(transaction)
            task = await create(transaction)
            if len(runs) == 1:
                await end_session(postgres_url, transaction)
            await transaction.first(text("SELECT 1"))
            return task

        async def work(database: Database) -> None:
            created = await database.run(create_and_lose)
            assert await listed(database) == [created]

        opened(postgres_url, work)
        assert len(runs) == 2

    def test_a_read_is_run_again(self, postgres_url: str) -> None:
        runs: list[ReadTransaction] = []

        async def read_and_lose(transaction: ReadTransaction) -> list[TaskRead]:
            runs.append(transaction)
            if len(runs) == 1:
                await end_session(postgres_url, transaction)
            return await list_tasks(transaction, "ada", TaskQuery(), limit=10)

        async def work(database: Database) -> None:
            assert await database.read(read_and_lose) == []

        opened(postgres_url, work)
        assert len(runs) == 2

    def test_at_commit_the_outcome_is_unknown_and_nothing_is_repeated(self, postgres_url: str) -> None:
        runs: list[Transaction] = []

        async def counted_create(transaction: Transaction) -> TaskRead:
            runs.append(transaction)
            return await create(transaction)

        async def work(database: Database) -> None:
            for statement in END_SESSION_AT_COMMIT:
                await beside(postgres_url, statement)
            with pytest.raises(OutcomeUnknown):
                await database.run(counted_create)

        opened(postgres_url, work)
        assert len(runs) == 1


# The isolation of sessions that begin from now on.
ISOLATED = """ALTER DATABASE "{database}" SET default_transaction_isolation = 'repeatable read'"""
ALWAYS_CONFLICT = """
    CREATE FUNCTION fail() RETURNS int LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'not now' USING ERRCODE = 'serialization_failure'; END $$
    """
END_SESSION_AT_COMMIT = (
    """
    CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER end_session AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION end_session()
    """,
)


def opened(url: str, work: Callable[[Database], Awaitable[T]]) -> T:
    """Work with a database as a server does: prepared before, closed after."""

    async def main() -> T:
        settings = Settings(database_url=url)
        database = Database(settings)
        (await start(settings, database)).cancel()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(main())


async def create(transaction: Transaction, owner: str = "ada") -> TaskRead:
    return await tasks.create_task(transaction, owner, TaskCreate(title="Buy milk"), create_user=True)


async def create_slowly(transaction: Transaction) -> None:
    await create(transaction)
    if transaction.dialect == "sqlite":  # all of it is in a thread
        time.sleep(0.5)  # noqa: ASYNC251
    else:
        await transaction.all(text("SELECT pg_sleep(0.5)"))


async def listed(database: Database) -> list[TaskRead]:
    return await database.read(list_tasks, "ada", TaskQuery(), limit=100)


async def beside(url: str, statement: str) -> None:
    """From another session, which commits at once."""
    await asyncio.to_thread(execute, url, statement)


async def end_session(url: str, transaction: ReadTransaction) -> None:
    row = await transaction.first(text("SELECT pg_backend_pid() AS pid"))
    assert row is not None
    await beside(url, f"SELECT pg_terminate_backend({row.pid}, 5000)")
