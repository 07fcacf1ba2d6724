"""`Database.run` brings a function to one commit, whatever becomes of its caller and its connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

import pytest
from sqlalchemy import make_url, text

from harness.databases import execute, new_postgres_database
from harness.lists import list_tasks
from harness.postgres import postgres_server
from taskwell.core.errors import OutcomeUnknown, Unavailable
from taskwell.core.settings import Settings
from taskwell.database import postgres
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.database.startup import start
from taskwell.schemas.query import TaskQuery
from taskwell.schemas.task import TaskCreate, TaskRead
from taskwell.services import tasks
from taskwell.services.task_statements import insert_tasks, new_task

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
                await database.write(fail_in_the_end)
            return await listed(database)

        assert opened(database_url, work) == []

    def test_is_committed_when_it_returns(self, database_url: str) -> None:
        async def work(database: Database) -> TaskRead:
            return await database.write(create)

        assert opened(database_url, listed) == []
        created = opened(database_url, work)
        assert opened(database_url, listed) == [created]


class TestCancelledCaller:
    def test_the_write_is_carried_to_its_end_and_leaves_no_lock(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            for moment in range(1, 41):
                caller = asyncio.create_task(database.write(create))
                for _ in range(moment):
                    await asyncio.sleep(0)
                caller.cancel()
                await asyncio.wait([caller])
            async with asyncio.timeout(5):
                await database.write(create)

        opened(database_url, work)
        assert len(opened(database_url, listed)) == 41

    def test_close_waits_for_those_who_wait_for_others(self, database_url: str) -> None:
        """What is asked for together is begun when those before have been answered."""

        async def work(database: Database) -> None:
            await database.write(create)
            new = [new_task("ada", TaskCreate(title=f"{n}")) for n in range(350)]
            asked = [asyncio.ensure_future(database.write_coalesced(insert_tasks, one)) for one in new]
            for _ in range(3):
                await asyncio.sleep(0)
            for one in asked:
                one.cancel()
            await database.close()
            assert not database._pending

        opened(database_url, work)
        assert len(opened(database_url, lambda database: listed(database, limit=1_000))) == 351

    def test_close_waits_for_what_is_under_way(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            caller = asyncio.create_task(database.write(create_slowly))
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
            await database.write(create)
            await beside(postgres_url, ISOLATED.format(database=make_url(postgres_url).database))
            await database.backend.close()
            return await database.write(take_number)

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
            await database.write(create, "ada")
            await database.write(create, "bob")
            await asyncio.gather(database.write(lock, "ada", "bob"), database.write(lock, "bob", "ada"))

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
                await database.write(conflict)
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
            created = await database.write(create_and_lose)
            assert await listed(database) == [created]

        opened(postgres_url, work)
        assert len(runs) == 2

    def test_before_commit_was_sent_it_is_run_again_too(self, postgres_url: str) -> None:
        runs: list[Transaction] = []

        async def create_and_lose(transaction: Transaction) -> TaskRead:
            runs.append(transaction)
            task = await create(transaction)
            if len(runs) == 1:
                await end_session(postgres_url, transaction)
            return task

        async def work(database: Database) -> None:
            created = await database.write(create_and_lose)
            assert await listed(database) == [created]

        opened(postgres_url, work)
        assert len(runs) == 2

    def test_one_that_was_idle_for_too_long_in_its_transaction(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(postgres._SESSION, "idle_in_transaction_session_timeout", "300ms")
        runs: list[Transaction] = []

        async def create_and_dawdle(transaction: Transaction) -> TaskRead:
            runs.append(transaction)
            task = await create(transaction)
            if len(runs) == 1:
                await asyncio.sleep(1.0)
            return task

        async def work(database: Database) -> None:
            created = await database.write(create_and_dawdle)
            assert await listed(database) == [created]

        opened(postgres_url, work)
        assert len(runs) == 2

    @pytest.mark.parametrize("how", ["write", "write_coalesced"])
    def test_a_farewell_that_was_heard_is_no_doubt(self, how: str) -> None:
        """Its server has said that it ends the session, and has not yet hung up."""

        async def work() -> None:
            with postgres_server() as server:
                async with Farewells(server.port) as proxy:
                    url = f"{server.url.replace(str(server.port), str(proxy.port))}?sslmode=disable"
                    database = Database(Settings(database_url=url, db_pool_size=1, db_max_overflow=0))
                    try:
                        (await start(Settings(database_url=url), database)).cancel()
                        await database.write(create)
                        await write_somehow(database, how)
                        proxy.say_farewell()
                        await asyncio.sleep(0.05)
                        await write_somehow(database, how)
                        assert len(await listed(database)) == 3
                    finally:
                        await database.close()

        asyncio.run(work())

    def test_sessions_that_end_as_soon_as_they_begin_are_not_tried_for_ever(self) -> None:
        async def work() -> None:
            with postgres_server() as server:
                async with Farewells(server.port) as proxy:
                    url = f"{server.url.replace(str(server.port), str(proxy.port))}?sslmode=disable"
                    database = Database(Settings(database_url=url, db_pool_size=2, db_max_overflow=0))
                    try:
                        (await start(Settings(database_url=url), database)).cancel()
                        await database.write(create)
                        proxy.hangs_up = True
                        proxy.say_farewell()
                        with pytest.raises(Unavailable, match="nothing was changed"):
                            async with asyncio.timeout(20):
                                await write_somehow(database, "write_coalesced")
                        proxy.hangs_up = False
                        await asyncio.sleep(1.1)
                        await write_somehow(database, "write_coalesced")
                    finally:
                        await database.close()

        asyncio.run(work())

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
                await database.write(counted_create)

        opened(postgres_url, work)
        assert len(runs) == 1


class Farewells:
    """A way to a server on which sessions can be told, as by the server itself, that they end now."""

    FAREWELL = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.hangs_up = False  # as soon as a session is ready
        self._clients: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Farewells":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for client in self._clients:
            client.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def say_farewell(self) -> None:
        for client in self._clients:
            client.write(b"E" + (len(self.FAREWELL) + 4).to_bytes(4) + self.FAREWELL)
            if self.hangs_up:
                client.close()
        self._clients.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server = await asyncio.open_connection("127.0.0.1", self._to)
        self._clients.append(writer)
        ways = ((self._pass(reader, server), server), (self._pass(server_reader, writer, back=True), writer))
        for work, end in ways:
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(partial(_close, end))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                if back and self.hangs_up and data.endswith(b"Z\0\0\0\x05I"):
                    break


def _close(writer: asyncio.StreamWriter, _: asyncio.Task[None]) -> None:
    writer.close()


async def write_somehow(database: Database, how: str) -> None:
    if how == "write":
        await database.write(create)
    else:
        await database.write_coalesced(insert_tasks, new_task("ada", TaskCreate(title="Buy milk")))


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


async def listed(database: Database, limit: int = 100) -> list[TaskRead]:
    return await database.read(list_tasks, "ada", TaskQuery(), limit=limit)


async def beside(url: str, statement: str) -> None:
    """From another session, which commits at once."""
    await asyncio.to_thread(execute, url, statement)


async def end_session(url: str, transaction: ReadTransaction) -> None:
    row = await transaction.first(text("SELECT pg_backend_pid() AS pid"))
    assert row is not None
    await beside(url, f"SELECT pg_terminate_backend({row.pid}, 5000)")
