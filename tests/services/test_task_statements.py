"""What many want at once: each gets their own outcome, numbers and all, as if they had come one by one."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from harness.databases import new_database
from taskwell.core.errors import Held, NotCoalesced, NotFound
from taskwell.core.principal import ALL_USERS, as_user
from taskwell.core.settings import Settings
from taskwell.database import coalescing
from taskwell.database.coalescing import never
from taskwell.database.database import Database, Transaction
from taskwell.database.prepared import PreparedStatement
from taskwell.database.startup import start
from taskwell.schemas.task import TaskCreate, task_to_json
from taskwell.services import tasks
from taskwell.services.sequence import last_number
from taskwell.services.task_statements import (
    NewTask,
    TaskJson,
    TaskKey,
    get_tasks,
    insert_tasks,
    new_task,
    toggle_tasks,
)
from taskwell.services.tasks import TaskNotFound
from taskwell.services.users import UserNotFound

T = TypeVar("T")

_USERS = ("ada", "bob", "eve")
_TEXTS = ('"', "\\", "/", "\b\f\n\r\t", "\x1f", "\x7f", "ß😀\u2028", "</script>", '{"id":"', "'", "%", ":x")


def opened(
    database_url: str,
    work: Callable[[Database], Awaitable[T]],
    *,
    more_expected: Callable[[], bool] = never,
) -> T:
    settings = Settings(database_url=database_url)

    async def open_and_work() -> T:
        database = Database(settings, more_expected=more_expected)
        try:
            (await start(settings, database)).cancel()
            return await work(database)
        finally:
            await database.close()

    with as_user(ALL_USERS):
        return asyncio.run(open_and_work())


async def begin(database: Database) -> dict[str, UUID]:
    """A task of each user, under number 1."""
    made = {}
    for user in _USERS:
        task = await database.write(tasks.create_task, user, TaskCreate(title="Buy milk"), create_user=True)
        made[user] = task.id
    return made


async def create(database: Database, user: str, title: str = "Buy milk") -> TaskJson:
    new = new_task(user, TaskCreate.model_construct(title=title, description=title, completed=False))
    return await database.write_coalesced(insert_tasks, new)


async def toggle(database: Database, user: str, task: UUID) -> TaskJson:
    return await database.write_coalesced(toggle_tasks, TaskKey(user, str(task)))


async def get(database: Database, user: str, task: UUID) -> TaskJson:
    return await database.read_coalesced(get_tasks, TaskKey(user, str(task)))


async def in_turn(database: Database, user: str, function: Callable[[Transaction], Awaitable[None]]) -> None:
    async with database.serialized(user):
        await database.write(function)


async def numbers(database: Database) -> list[int]:
    return [await database.read(last_number, user) for user in _USERS]


class TestCreate:
    def test_each_user_has_numbers_without_gaps_in_the_order_of_their_coming(self, database_url: str) -> None:
        """Also from one group to the next: one is under way at a time."""

        async def work(database: Database) -> None:
            await begin(database)
            wanted = [user for _ in range(120) for user in _USERS]
            made = await asyncio.gather(*(create(database, user) for user in wanted))
            for user in _USERS:
                own = [task.version for task, owner in zip(made, wanted, strict=True) if owner == user]
                assert own == list(range(2, 122))
            assert await numbers(database) == [121, 121, 121]

        opened(database_url, work)

    def test_a_user_who_does_not_exist_is_nobody_elses_trouble(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            await begin(database)
            wanted = ("ada", "nobody", "bob", "nobody", "ada")
            made = await asyncio.gather(*(create(database, user) for user in wanted), return_exceptions=True)
            assert [type(one) for one in made] == [
                TaskJson, UserNotFound, TaskJson, UserNotFound, TaskJson,
            ]  # fmt: skip
            assert await numbers(database) == [3, 2, 1]

        opened(database_url, work)

    def test_one_that_the_database_refuses_is_nobody_elses_trouble(self, database_url: str) -> None:
        """No rule of ours lets such a title through; the table's own check does not either."""

        async def work(database: Database) -> None:
            await begin(database)
            wanted = ("good", " ", "good too")
            made = await asyncio.gather(
                *(create(database, "ada", title) for title in wanted), return_exceptions=True
            )
            assert [isinstance(one, TaskJson) for one in made] == [True, False, True]
            assert await numbers(database) == [3, 1, 1]

        opened(database_url, work)


class TestToggle:
    def test_each_is_turned_over_once_for_each_who_asked(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            made = await begin(database)
            wanted = [(user, task) for _ in range(7) for user, task in made.items()]
            turned = await asyncio.gather(*(toggle(database, user, task) for user, task in wanted))
            for user in _USERS:
                own = [one for one, (owner, _) in zip(turned, wanted, strict=True) if owner == user]
                assert [one.version for one in own] == list(range(2, 9))
                states = [json.loads(one.json) for one in own]
                assert [state["completed"] for state in states] == [True, False] * 3 + [True]
                assert all((state["completed_at"] is not None) == state["completed"] for state in states)
            assert await numbers(database) == [8, 8, 8]

        opened(database_url, work)

    def test_what_is_missing_or_anothers_takes_no_number(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            made = await begin(database)
            wanted = [("ada", made["ada"]), ("ada", made["bob"]), ("bob", uuid4()), ("eve", made["eve"])]
            turned = await asyncio.gather(
                *(toggle(database, user, task) for user, task in wanted), return_exceptions=True
            )
            assert [isinstance(one, NotFound) for one in turned] == [False, True, True, False]
            assert await numbers(database) == [2, 1, 2]

        opened(database_url, work)

    def test_it_waits_for_a_longer_write_of_its_user_alone(self, database_url: str) -> None:
        """On PostgreSQL: SQLite has one writer for all."""

        async def work(database: Database) -> None:
            made = await begin(database)
            begun, ended = asyncio.Event(), asyncio.Event()

            async def long_write(transaction: Transaction) -> None:
                await transaction.first(text("UPDATE users SET last_seq = 7 WHERE id = 'ada' RETURNING id"))
                begun.set()
                await ended.wait()

            if database.backend.dialect == "sqlite":
                return
            long = asyncio.create_task(in_turn(database, "ada", long_write))
            await begun.wait()
            hers = asyncio.create_task(toggle(database, "ada", made["ada"]))
            async with asyncio.timeout(5):
                assert (await toggle(database, "bob", made["bob"])).version == 2
            assert not hers.done()
            ended.set()
            await long
            assert (await hers).version == 8

        opened(database_url, work)

    def test_those_that_waited_for_a_longer_write_are_together_again(self, database_url: str) -> None:
        groups: list[int] = []

        async def counted(
            transaction: Transaction, keys: Sequence[TaskKey]
        ) -> Sequence[TaskJson | TaskNotFound | Held | NotCoalesced]:
            groups.append(len(keys))
            return await toggle_tasks(transaction, keys)

        async def work(database: Database) -> None:
            await begin(database)
            made = [json.loads((await create(database, "ada")).json)["id"] for _ in range(20)]
            async with database.user_locks.lock("ada"):
                waiting = [database.write_coalesced(counted, TaskKey("ada", task)) for task in made]
                await asyncio.sleep(0.05)
                assert groups == []
            await asyncio.gather(*waiting)
            assert len(groups) <= len(made) / 2

        opened(database_url, work)


class TestOverload:
    @pytest.mark.parametrize("overloaded", [False, True])
    def test_no_group_finds_users_held_by_another(
        self, database_url: str, overloaded: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever is held has a connection of their own, and these would be opened by the dozen."""
        monkeypatch.setattr(coalescing, "_GOOD_SIZE", 1)
        held: list[bool] = []

        async def hold_all(transaction: Transaction, keys: Sequence[TaskKey]) -> Sequence[TaskKey]:
            await transaction.fetch_prepared(_HOLD_ALL)
            return keys

        async def counted(transaction: Transaction, wanted: Sequence[NewTask]) -> Sequence[Any]:
            outcomes = await insert_tasks(transaction, wanted)
            held.extend(isinstance(outcome, Held) for outcome in outcomes)
            return outcomes

        async def work(database: Database) -> None:
            made = await begin(database)
            if database.backend.dialect == "sqlite":  # nobody holds a row there
                return
            new = new_task("ada", TaskCreate(title="Buy milk"))
            first = database.write_coalesced(hold_all, TaskKey("ada", str(made["ada"])))
            await asyncio.sleep(0.1)
            await asyncio.gather(first, database.write_coalesced(counted, new))
            assert any(held) is not overloaded

        opened(database_url, work, more_expected=lambda: overloaded)


_HOLD_ALL = PreparedStatement(text("UPDATE users SET last_seq = last_seq RETURNING pg_sleep(0.1)"))


class TestGet:
    def test_each_gets_what_they_asked_for(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            made = await begin(database)
            wanted = [("ada", made["ada"]), ("bob", made["ada"]), ("eve", made["eve"]), ("ada", made["ada"])]
            found = await asyncio.gather(
                *(get(database, user, task) for user, task in wanted), return_exceptions=True
            )
            assert isinstance(found.pop(1), NotFound)
            tasks_found = [json.loads(one.json) for one in found if isinstance(one, TaskJson)]
            assert [task["user_id"] for task in tasks_found] == ["ada", "eve", "ada"]

        opened(database_url, work)

    def test_the_databases_json_is_that_of_the_records(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            await begin(database)
            for title in _TEXTS:
                for completed in (False, True):
                    made = await create(database, "ada", f"x{title}")
                    task = UUID(json.loads(made.json)["id"])
                    if completed:
                        made = await toggle(database, "ada", task)
                    record = await database.read(tasks.get_task, "ada", task)
                    assert made.json.encode() == task_to_json(record)
                    assert (await get(database, "ada", task)).json == made.json

        opened(database_url, work)

    def test_instants_have_six_digits_always(self, database_url: str) -> None:
        async def work(database: Database) -> None:
            task = (await begin(database))["ada"]
            zero = "'2026-01-02 03:04:05.000000" + ("+00'" if database.backend.dialect != "sqlite" else "'")
            statement = f"UPDATE tasks SET created_at = {zero}, updated_at = {zero} RETURNING id"
            await database.write(lambda transaction: transaction.all(text(statement)))
            shown: dict[str, Any] = json.loads((await get(database, "ada", task)).json)
            assert shown["created_at"] == shown["updated_at"] == "2026-01-02T03:04:05.000000Z"

        opened(database_url, work)


_SCANS = text(
    """
    SELECT indexrelname AS place, pg_stat_get_xact_numscans(indexrelid) AS scans
    FROM pg_stat_user_indexes WHERE relname = 'tasks'
    UNION ALL SELECT 'none', pg_stat_get_xact_numscans('tasks'::regclass)
    """
)
_MANY_TASKS = text(
    """
    INSERT INTO tasks (user_id, id, title, completed, created_at, updated_at, version)
    SELECT 'ada', gen_random_uuid(), 'Buy milk', false, now(), now(), 1000 + n
    FROM generate_series(1, 20000) n
    RETURNING version
    """
)


async def scans_while_young(
    transaction: Transaction, use: Callable[[Transaction], Awaitable[None]]
) -> dict[str, int]:
    """The scans of each index by ten uses after the table has grown; the plans are of before."""

    async def scans() -> dict[str, int]:
        return {row.place: row.scans for row in await transaction.all(_SCANS)}

    for _ in range(10):
        await use(transaction)
    await transaction.all(_MANY_TASKS)
    before = await scans()
    for _ in range(10):
        await use(transaction)
    return {name: count - before[name] for name, count in (await scans()).items()}


class TestPlans:
    @pytest.mark.parametrize("users", [("ada",), _USERS], ids=["one", "several"])
    def test_a_young_database_that_grows_finds_tasks_by_their_key(
        self, tmp_path: Path, users: Sequence[str]
    ) -> None:
        """The plan is made, and kept, when there are three tasks and no statistics."""

        async def work(database: Database) -> dict[str, int]:
            made = await begin(database)
            keys = [TaskKey(user, str(made[user])) for user in users]

            async def use(transaction: Transaction) -> None:
                assert all(isinstance(task, TaskJson) for task in await get_tasks(transaction, keys))
                assert all(isinstance(task, TaskJson) for task in await toggle_tasks(transaction, keys))

            return await database.write(scans_while_young, use)

        with new_database("postgresql", tmp_path) as url:
            found = opened(url, work)
        assert found.pop("pk_tasks") >= 20
        assert set(found.values()) == {0}
