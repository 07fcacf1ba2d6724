"""The pool of connections, where more are wanted than are kept."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text

from harness.databases import execute, new_postgres_database
from harness.servers import wait_for
from taskwell.core.database_url import parse_database_url
from taskwell.core.settings import Settings
from taskwell.database import postgres
from taskwell.database.database import Database
from taskwell.database.postgres import PostgresBackend
from taskwell.database.prepared import PreparedStatement

SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'taskwell'
    """


PID = text("SELECT pg_backend_pid()")


async def session_of(backend: PostgresBackend) -> int:
    """Whose process it is that answers a look-up."""
    async with backend.prepared_connection() as connection:
        rows = await PreparedStatement(PID).run(connection, {})
    pid: int = rows[0][0]
    return pid


@pytest.fixture
def postgres_url() -> Iterator[str]:
    with new_postgres_database() as url:
        yield url


def test_one_beyond_those_that_are_kept_is_closed_in_good_order(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> int:
        backend = PostgresBackend(parse_database_url(postgres_url), pool_size=1, max_overflow=3)
        try:
            for _ in range(3):
                async with AsyncExitStack() as stack:
                    for _ in range(4):
                        await stack.enter_async_context(backend.prepared_connection())
            await asyncio.to_thread(wait_for, lambda: execute(postgres_url, SESSIONS)[0][0] == 1)
            return backend.pool_numbers()["in_use"]
        finally:
            await backend.close()

    assert asyncio.run(work()) == 0
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_one_has_left_for_the_next_is_everybodys(postgres_url: str) -> None:
    async def work() -> None:
        backend = PostgresBackend(
            parse_database_url(postgres_url), pool_size=1, max_overflow=0, pool_timeout_seconds=0.5
        )
        try:
            session = await session_of(backend)
            assert await session_of(backend) == session
            assert backend.pool_numbers() == {
                "size": 1, "in_use": 0, "idle": 1, "waiting": 0, "timeouts": 0
            }  # fmt: skip
            async with backend.reading() as connection:
                assert (await connection.execute(PID)).scalar_one() == session
            assert await session_of(backend) == session
            async with backend.snapshot() as connection:
                assert (await connection.execute(PID)).scalar_one() == session
            assert await session_of(backend) == session
            backend.give_up_sessions()
            assert await session_of(backend) != session
        finally:
            await backend.close()

    asyncio.run(work())


def test_what_was_left_long_ago_is_looked_at_by_the_pool(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        backend = PostgresBackend(parse_database_url(postgres_url))
        backend._engine.sync_engine.pool._recycle = 0  # every session is too old for it
        try:
            session = await session_of(backend)
            assert await session_of(backend) == session
            monkeypatch.setattr(postgres, "_SPARE_SECONDS", 0)
            assert await session_of(backend) == session
            assert await session_of(backend) != session
        finally:
            await backend.close()

    asyncio.run(work())


def test_what_cannot_be_grouped_leaves_connections_to_the_others(postgres_url: str) -> None:
    database = Database(Settings(database_url=postgres_url, db_pool_size=10, db_max_overflow=10))
    assert database.backend.max_in_flight == 5
    assert database.backend.max_connections == 20
    asyncio.run(database.close())
