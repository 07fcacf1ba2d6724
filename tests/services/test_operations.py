"""The operations: the same by the rule and coalesced, and executed the one way or the other."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from taskwell.core.errors import TaskwellError
from taskwell.core.principal import ALL_USERS, as_user
from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.database.startup import start
from taskwell.schemas.query import OrderTerm, TaskFilter, TaskQuery
from taskwell.schemas.task import TaskCreate, TaskRead, TaskToggle, TaskUpdate, task_to_json
from taskwell.services.operations import (
    CountTasks,
    CreateTask,
    DeleteTask,
    DeleteTasks,
    GetLastNumber,
    GetTask,
    ListTasks,
    Operation,
    Operations,
    PutTask,
    ReadOperation,
    RestoreTask,
    ToggleTask,
    UpdateTask,
)
from taskwell.services.tasks import TaskNotFound
from taskwell.services.users import UserNotFound

TASK = UUID("0199a1e4-7c2b-7d3e-8f4a-5b6c7d8e9f01")
OTHER = UUID("0199a1e4-7c2b-7d3e-8f4a-5b6c7d8e9f02")
MILK = TaskCreate(title="Buy milk")
CHANGE = TaskUpdate(title="Buy bread")


def opened(database_url: str, work: Callable[[Operations], Awaitable[None]]) -> None:
    settings = Settings(database_url=database_url)

    async def open_and_work() -> None:
        database = Database(settings)
        try:
            (await start(settings, database)).cancel()
            await work(Operations(database))
        finally:
            await database.close()

    with as_user(ALL_USERS):
        asyncio.run(open_and_work())


async def by_rule(operations: Operations, operation: Operation[Any]) -> Any:
    if isinstance(operation, ReadOperation):
        return await operations.database.read(operation.run)
    return await operations.database.write(operation.run)


def shown(outcome: Any) -> Any:
    """Without what differs from one write to the next."""
    if not hasattr(outcome, "version"):
        return outcome
    text = task_to_json(outcome) if isinstance(outcome, TaskRead) else outcome.json
    task = json.loads(text)
    assert str(outcome.id) == task["id"]
    assert outcome.version == task["version"]
    changing = ("id", "position", "version", "created_at", "updated_at", "completed_at")
    return {**{name: task[name] for name in task if name not in changing}, "names": list(task)}


COALESCED: list[Operation[Any]] = [
    GetTask("ada", TASK),
    GetTask("ada", str(TASK)),
    GetTask("ada", OTHER),
    GetTask("bob", TASK),
    ListTasks("ada", TaskQuery()),
    ListTasks("ada", TaskQuery(), limit=2),
    ListTasks("ada", TaskQuery(TaskFilter(completed=True), (OrderTerm("title", False),)), limit=200),
    GetLastNumber("ada"),
    GetLastNumber("nobody"),
    CreateTask("ada", MILK, create_user=False),
    CreateTask("nobody", MILK, create_user=False),
    ToggleTask("ada", OTHER, TaskToggle()),
    ToggleTask("bob", TASK, TaskToggle()),
]
UNCOALESCED: list[Operation[Any]] = [
    CountTasks("ada", TaskFilter()),
    CreateTask("ada", MILK, create_user=True, check=lambda _: None),
    PutTask("ada", OTHER, CHANGE, create_user=True),
    UpdateTask("ada", TASK, CHANGE),
    ToggleTask("ada", TASK, TaskToggle(completed=True)),
    ToggleTask("ada", TASK, TaskToggle(), frozenset({1})),
    DeleteTask("ada", TASK),
    RestoreTask("ada", TASK),
    DeleteTasks("ada", TaskFilter()),
]


async def outcome_of(work: Awaitable[Any]) -> Any:
    try:
        return shown(await work)
    except TaskwellError as error:
        return type(error)


def test_what_is_coalesced_has_the_outcome_of_its_rule(database_url: str) -> None:
    async def work(operations: Operations) -> None:
        await operations.execute(PutTask("ada", TASK, CHANGE, create_user=True))
        for operation in COALESCED:
            by_its_rule = await outcome_of(by_rule(operations, operation))
            started = operations.start(operation)
            assert started is not None
            assert await outcome_of(started) == by_its_rule, operation

    opened(database_url, work)


def test_a_toggle_by_its_rule_and_one_that_is_coalesced_undo_each_other(database_url: str) -> None:
    async def work(operations: Operations) -> None:
        await operations.execute(PutTask("ada", TASK, CHANGE, create_user=True))
        toggle = ToggleTask("ada", TASK, TaskToggle())
        assert shown(await by_rule(operations, toggle))["completed"]
        assert not shown(await operations.execute(toggle))["completed"]

    opened(database_url, work)


def test_what_is_not_coalesced_is_not_started(database_url: str) -> None:
    async def work(operations: Operations) -> None:
        assert [one for one in UNCOALESCED if operations.start(one) is not None] == []

    opened(database_url, work)


def test_only_execute_creates_the_user(database_url: str) -> None:
    async def work(operations: Operations) -> None:
        create = CreateTask("ada", MILK, create_user=True)
        started = operations.start(create)
        assert started is not None
        with pytest.raises(UserNotFound):
            await started
        assert (await operations.execute(create)).version == 1
        assert (await operations.execute(create)).version == 2

    opened(database_url, work)


def test_no_user_is_created_who_is_not_to_be(database_url: str) -> None:
    async def work(operations: Operations) -> None:
        with pytest.raises(UserNotFound):
            await operations.execute(CreateTask("ada", MILK, create_user=False))
        with pytest.raises(TaskNotFound):
            await operations.execute(GetTask("ada", TASK))

    opened(database_url, work)


def test_a_write_waits_for_its_users_turn(database_url: str) -> None:
    """On PostgreSQL: SQLite has one writer for all."""

    async def work(operations: Operations) -> None:
        database = operations.database
        if database.backend.dialect == "sqlite":
            return
        async with database.serialized("ada"):
            hers = asyncio.create_task(operations.execute(PutTask("ada", TASK, CHANGE, create_user=True)))
            await operations.execute(PutTask("bob", TASK, CHANGE, create_user=True))
            assert not hers.done()
        assert (await hers).version == 1

    opened(database_url, work)
