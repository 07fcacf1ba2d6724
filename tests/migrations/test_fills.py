"""What migrations compute for the rows of before, in stretches: an upgrade may end at any of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, text

from harness.databases import new_postgres_database
from taskwell.core.clock import utc_now
from taskwell.core.positions import is_position, key_of
from taskwell.core.settings import Settings
from taskwell.database import migrate
from taskwell.migrations import fills
from taskwell.migrations.fills import FILLS, POSITIONS
from tests.migrations.test_migrations import drift, insert_task, insert_user, sql, upgrade

_BEFORE = "0009"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _instants() -> list[datetime]:
    """About the carries of the digits, the beginning, and anywhere until 2398."""
    random = Random(11)
    microseconds = [0, 1, 61, 62, 3_843, 3_844, 62**5 - 1, 62**5, 10**15 + 999_999]
    microseconds += [random.randrange(62**9) for _ in range(40)]
    return [_EPOCH + timedelta(microseconds=count) for count in microseconds]


def _written(instant: datetime) -> str:
    return f"'{instant:%Y-%m-%d %H:%M:%S.%f}"


def insert_tasks(url: str, instants: list[datetime]) -> None:
    zone = "'" if url.startswith("sqlite") else "+00'"
    insert_user(url, "ada")
    for version, instant in enumerate(instants, 1):
        at = f"{_written(instant)}{zone}"
        insert_task(url, "ada", version=f"{version}", title=f"'{version}'", created_at=at, updated_at=at)


def positions(url: str) -> list[str]:
    """In the order of the insertions."""
    return [row[0] for row in sql(url, "SELECT position FROM tasks ORDER BY version")]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fills, "_ROWS", 7)


class Interrupted(Exception):
    pass


@pytest.fixture
def postgres_url() -> Iterator[str]:
    with new_postgres_database() as url:
        yield url


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The third stretch of a fill fails, after it has written."""
    stretches = 0
    whole = fills.Fill.stretch

    def stretch(fill: fills.Fill, connection: Connection, after: str) -> tuple[int, str]:
        nonlocal stretches
        stretches += 1
        count = whole(fill, connection, after)
        if stretches == 3:
            raise Interrupted
        return count

    with monkeypatch.context() as patch:
        patch.setattr(fills.Fill, "stretch", stretch)
        yield


@pytest.mark.usefixtures("small")
class TestPositions:
    def test_they_are_those_of_new_tasks_of_that_instant(self, database_url: str) -> None:
        instants = _instants()
        upgrade(database_url, _BEFORE)
        insert_tasks(database_url, instants)
        upgrade(database_url)
        found = positions(database_url)
        assert found == [key_of(instant) for instant in instants]
        assert all(map(is_position, found))
        assert drift(database_url) is None

    def test_they_sort_in_the_order_of_making(self, database_url: str) -> None:
        instants = _instants()
        upgrade(database_url, _BEFORE)
        insert_tasks(database_url, instants)
        upgrade(database_url)
        by_position = sql(database_url, "SELECT version FROM tasks ORDER BY position, version")
        by_instant = sql(database_url, "SELECT version FROM tasks ORDER BY created_at, version")
        assert by_position == by_instant

    def test_the_clock_of_a_task_may_have_been_wrong(self, database_url: str) -> None:
        upgrade(database_url, _BEFORE)
        insert_tasks(
            database_url, [datetime(1969, 12, 31, 23, 59, 59, 5, UTC), datetime(1901, 2, 3, tzinfo=UTC)]
        )
        upgrade(database_url)
        assert positions(database_url) == [key_of(_EPOCH)] * 2

    def test_a_second_upgrade_does_nothing(self, database_url: str) -> None:
        upgrade(database_url, _BEFORE)
        insert_tasks(database_url, _instants())
        upgrade(database_url)
        sql(database_url, "UPDATE tasks SET position = 'a0' WHERE version = 1")
        before = sql(database_url, "SELECT * FROM tasks ORDER BY version")
        upgrade(database_url)
        assert sql(database_url, "SELECT * FROM tasks ORDER BY version") == before

    def test_an_interrupted_copy_of_sqlites_table_leaves_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SQLite has no stretches: its table is made anew, in one transaction."""
        url, instants = f"sqlite:///{tmp_path}/tasks.db", _instants()
        upgrade(url, _BEFORE)
        insert_tasks(url, instants)

        def interrupt(_table: str) -> None:
            raise Interrupted

        with monkeypatch.context() as patch:
            patch.setattr("alembic.op.drop_table", interrupt)
            with pytest.raises(Interrupted):
                upgrade(url)
        assert sql(url, f"SELECT version_num FROM {migrate.VERSION_TABLE}") == [(_BEFORE,)]
        assert sql(url, "SELECT count(*) FROM tasks") == [(len(instants),)]
        upgrade(url)
        assert positions(url) == [key_of(instant) for instant in instants]

    def test_an_interrupted_one_continues(self, request: pytest.FixtureRequest) -> None:
        instants, database_url = _instants(), request.getfixturevalue("postgres_url")
        upgrade(database_url, _BEFORE)
        insert_tasks(database_url, instants)
        request.getfixturevalue("interrupted")
        with pytest.raises(Interrupted):
            upgrade(database_url)
        assert sql(database_url, f"SELECT version_num FROM {migrate.VERSION_TABLE}") == [("0010",)]
        filled = [position for position in positions(database_url) if position]
        assert len(filled) == 2 * 7
        sql(database_url, "UPDATE tasks SET position = 'a0' WHERE position <> ''")
        upgrade(database_url)
        found = positions(database_url)
        assert found.count("a0") == len(filled), "what was filled before is left as it is"
        assert all(map(is_position, found))
        assert drift(database_url) is None

    def test_a_user_without_tasks_needs_none(self, database_url: str) -> None:
        upgrade(database_url, _BEFORE)
        insert_user(database_url, "ada")
        upgrade(database_url)
        assert drift(database_url) is None

    def test_a_task_between_the_stretches_has_its_own(self, database_url: str) -> None:
        """A server of before, which knows no positions, writes one without; a newer one writes one with."""
        upgrade(database_url, "0010")
        insert_tasks(database_url, _instants()[:2])
        insert_task(database_url, "ada", version="9", position="'a0'")
        upgrade(database_url)
        assert positions(database_url)[-1] == "a0"
        assert "" not in positions(database_url)


class TestOlderServers:
    """On PostgreSQL they may run beside newer ones, and know no positions."""

    def test_a_task_of_theirs_is_placed_by_its_instant(self) -> None:
        with new_postgres_database() as url:
            upgrade(url)
            before = key_of(utc_now())
            insert_tasks(url, _instants()[:2])
            found = positions(url)
            assert all(map(is_position, found))
            assert all(before <= position <= key_of(utc_now()) for position in found)

    def test_one_without_a_position_is_filled(self, database_url: str) -> None:
        upgrade(database_url, "0018")
        insert_tasks(database_url, _instants()[:2])
        assert positions(database_url) == ["", ""]
        upgrade(database_url)
        assert positions(database_url) == [key_of(instant) for instant in _instants()[:2]]


@pytest.mark.usefixtures("small")
class TestOtherConnections:
    """On PostgreSQL a server goes on answering while the rows are filled."""

    def test_they_write_tasks_between_the_stretches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = fills.Fill.stretch
        written: list[int] = []

        def stretch(fill: fills.Fill, connection: Connection, after: str) -> tuple[int, str]:
            """Before each stretch, tasks can be written and added."""
            version = 1_000 + len(written)
            with ThreadPoolExecutor(1) as other:
                other.submit(sql, url, "UPDATE tasks SET title = 'Buy bread'").result(30)
                other.submit(insert_task, url, "ada", version=f"{version}", position="'a0'").result(30)
            written.append(version)
            return whole(fill, connection, after)

        with new_postgres_database() as url:
            upgrade(url, _BEFORE)
            insert_tasks(url, _instants())
            monkeypatch.setattr(fills.Fill, "stretch", stretch)
            upgrade(url)
            assert len(written) > len(_instants()) // 7
            found = {row[0] for row in sql(url, "SELECT version FROM tasks")}
            assert found >= set(written)
            assert sql(url, "SELECT title FROM tasks WHERE version = 1") == [("Buy bread",)]
            assert "" not in positions(url)

    def test_a_row_that_another_transaction_has_locked_is_filled_later(self) -> None:
        with new_postgres_database() as url:
            upgrade(url, _BEFORE)
            insert_tasks(url, _instants())
            asyncio.run(asyncio.wait_for(upgrade_beside_a_lock(url), 30))
            assert positions(url) == [key_of(instant) for instant in _instants()]
            assert sql(url, "SELECT title FROM tasks WHERE version = 3") == [("Buy bread",)]


async def upgrade_beside_a_lock(url: str) -> None:
    """The upgrade comes to where it waits for a row, which is then written."""
    upgrade_to = partial(migrate.upgrade, Settings(database_url=url))
    await upgrade_to("0010")
    async with connected(url) as other, connected(url) as watch:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("UPDATE tasks SET title = 'Buy bread' WHERE version = 3")
        upgrading = asyncio.create_task(upgrade_to())
        for _ in range(2_000):
            if await watch.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                break
            await asyncio.sleep(0.01)
        await transaction.commit()
        await upgrading


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


class TestTable:
    def test_every_fill_comes_after_a_revision_that_is_there(self, database_url: str) -> None:
        for revision in FILLS:
            upgrade(database_url, revision)

    def test_the_condition_is_that_of_a_row_of_before(self, database_url: str) -> None:
        upgrade(database_url, _BEFORE)
        insert_tasks(database_url, _instants()[:3])
        upgrade(database_url, "0010")
        expected = 0 if database_url.startswith("sqlite") else 3

        def left(connection: Connection) -> int:
            return POSITIONS.left(connection)

        assert asyncio.run(migrate.migrating(Settings(database_url=database_url), left)) == expected
        assert sql(database_url, f"SELECT count(*) FROM tasks WHERE {POSITIONS.missing}") == [(expected,)]
        assert text(POSITIONS.missing).text == "position = ''"
