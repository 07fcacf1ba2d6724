"""Moves of many users at once: each has an outcome of its own, as if they had come one by one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import text

from harness.databases import new_database
from taskwell.core.errors import NotCoalesced
from taskwell.database.database import Database, Transaction
from taskwell.schemas.task import TaskCreate
from taskwell.services import tasks
from taskwell.services.move_statements import MoveKey, move_tasks
from taskwell.services.sequence import last_number
from taskwell.services.task_statements import TaskJson
from taskwell.services.tasks import TaskNotFound
from tests.services.test_task_statements import opened, scans_while_young

_USERS = ("ada", "bob")


async def begin(database: Database, user: str, count: int = 5) -> list[UUID]:
    return [
        (await database.write(tasks.create_task, user, TaskCreate(title=f"{n}"), create_user=True)).id
        for n in range(count)
    ]


async def move(
    database: Database, user: str, task: UUID, other: UUID | None, *, after: bool = True
) -> TaskJson:
    key = MoveKey(user, str(task), None if other is None else str(other), after)
    return await database.write_coalesced(move_tasks, key)


async def positions(database: Database, user: str, made: Sequence[UUID]) -> list[str]:
    return [(await database.read(tasks.get_task, user, task)).position for task in made]


class TestOutcomes:
    def test_each_has_its_own(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            ada, bob = [await begin(database, user) for user in _USERS]
            wanted = [
                move(database, "ada", ada[0], ada[4]),
                move(database, "bob", bob[0], None, after=False),
                move(database, "ada", ada[1], bob[1]),  # no sibling
                move(database, "ada", bob[2], ada[2]),  # no task of theirs
                move(database, "ada", uuid4(), ada[2]),
                move(database, "nobody", ada[0], ada[2]),
                move(database, "bob", bob[3], bob[3]),
            ]
            got = await asyncio.gather(*wanted, return_exceptions=True)
            assert [type(outcome) for outcome in got] == [
                TaskJson, TaskJson, NotCoalesced, TaskNotFound, TaskNotFound, TaskNotFound, NotCoalesced,
            ]  # fmt: skip
            assert [outcome.version for outcome in got if isinstance(outcome, TaskJson)] == [6, 6]
            assert [await database.read(last_number, user) for user in _USERS] == [6, 6]
            order = await positions(database, "ada", [*ada[1:], ada[0]])
            assert order == sorted(order)

        opened(database_url, work)

    def test_no_room_is_left_to_a_transaction_of_its_own(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            made = await begin(database, "ada", 3)

            async def crowd(transaction: Transaction) -> None:
                await transaction.execute(text("UPDATE tasks SET position = 'a0' WHERE user_id = 'ada'"))

            await database.write(crowd)
            with pytest.raises(NotCoalesced):
                await move(database, "ada", made[2], made[0])
            assert await positions(database, "ada", made) == ["a0"] * 3
            assert await database.read(last_number, "ada") == 3

        opened(database_url, work)


class TestGuard:
    def test_a_write_in_between_sends_the_move_back(self, tmp_path: Path) -> None:
        """The places were read before it, so its number is not taken."""

        async def work(database: Database) -> None:
            made = await begin(database, "ada")
            before = await positions(database, "ada", made)
            other = await asyncpg.connect(url)
            try:
                held = other.transaction()
                await held.start()
                await other.execute("UPDATE users SET last_seq = last_seq + 1 WHERE id = 'ada'")
                moving = asyncio.ensure_future(move(database, "ada", made[0], made[3]))
                while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await held.commit()
                with pytest.raises(NotCoalesced):
                    await moving
            finally:
                await other.close()
            assert await positions(database, "ada", made) == before
            assert await database.read(last_number, "ada") == 6

        with new_database("postgresql", tmp_path) as url:
            opened(url, work)


class TestPlans:
    @pytest.mark.parametrize("place", ["inbox", "list", "parent"])
    def test_a_young_database_that_grows_finds_siblings_by_their_index(
        self, tmp_path: Path, place: str
    ) -> None:
        """The plans are made, and kept, when there are few tasks and no statistics."""

        async def work(database: Database) -> dict[str, int]:
            made = await begin(database, "ada", 6)
            await database.write(put, made)
            keys = [MoveKey("ada", str(made[n]), str(made[n + 3]), n != 1) for n in range(1, 3)]

            async def use(transaction: Transaction) -> None:
                assert all(isinstance(task, TaskJson) for task in await move_tasks(transaction, keys))
                assert isinstance((await move_tasks(transaction, keys[:1]))[0], TaskJson)

            return await database.write(scans_while_young, use)

        async def put(transaction: Transaction, made: Sequence[UUID]) -> None:
            values = {
                "inbox": "position = position",
                "list": f"list_id = '{uuid4()}'",
                "parent": f"parent_id = '{made[0]}'",
            }[place]
            await transaction.execute(text(f"UPDATE tasks SET {values} WHERE id <> '{made[0]}'"))

        with new_database("postgresql", tmp_path) as url:
            found = opened(url, work)
        index = {"inbox": "position", "list": "list_id", "parent": "parent_id"}[place]
        assert found.pop("pk_tasks") >= 60
        assert found.pop(f"ix_tasks_user_id_{index}") == 30
        assert set(found.values()) == {0}
