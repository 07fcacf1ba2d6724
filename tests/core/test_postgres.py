"""The pool of connections, where more are wanted than are kept."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from taskwell.core.config import Settings
from taskwell.core.database import Database
from taskwell.core.database_url import parse_database_url
from taskwell.core.postgres import PostgresBackend
from tests.databases import execute, new_postgres_database
from tests.servers import wait_for

SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'taskwell'
    """


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
                        await stack.enter_async_context(backend.asking())
            await asyncio.to_thread(wait_for, lambda: execute(postgres_url, SESSIONS)[0][0] == 1)
            return backend.pool_numbers()["in_use"]
        finally:
            await backend.close()

    assert asyncio.run(work()) == 0
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_cannot_be_grouped_leaves_connections_to_the_others(postgres_url: str) -> None:
    database = Database(Settings(database_url=postgres_url, db_pool_size=10, db_max_overflow=10))
    assert database.backend.most_at_once == 5
    assert database.backend.most_connections == 20
    asyncio.run(database.close())
