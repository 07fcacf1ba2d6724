"""`python -m bench.plans`: how both databases run every statement among a million tasks.

The statements are those that the services send: each operation runs in a transaction that is recorded and
rolled back. A PostgreSQL session settles on a plan for a statement after some executions by whoever comes,
so the user with the fewest tasks runs it first, and what is measured and shown is what all get then.
"""

import argparse
import asyncio
import json
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from os import cpu_count
from pathlib import Path
from platform import python_version
from random import Random
from sqlite3 import connect, sqlite_version
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlmodel import SQLModel, col

from harness.lists import list_tasks
from harness.postgres import postgres_server
from taskwell.core.positions import key_of
from taskwell.core.principal import Actor
from taskwell.core.settings import Settings
from taskwell.database import migrate
from taskwell.database.database import Transaction, open_backend
from taskwell.database.faults import Fault, fault_of
from taskwell.database.postgres import PostgresBackend
from taskwell.database.prepared import PreparedStatement, Rows
from taskwell.database.sqlite import SqliteBackend
from taskwell.models import ApiToken, ErasedUser, HistoryRecord, IdempotencyKey, Task, TaskList, User
from taskwell.models.base import table_of
from taskwell.models.user import EPOCH
from taskwell.schemas.actor import ActorRead
from taskwell.schemas.change import KINDS
from taskwell.schemas.claim import Claimant, claimant_to_json
from taskwell.schemas.label import LabelUpdate
from taskwell.schemas.query import TaskFilter, TaskQuery, parse_sort
from taskwell.schemas.task import TaskCreate, TaskMove, TaskRead, TaskToggle, TaskUpdate, task_to_json
from taskwell.schemas.task_list import ListCreate
from taskwell.schemas.token import TokenCreate
from taskwell.schemas.types import fold
from taskwell.schemas.user import UserCreate
from taskwell.services import (
    changes,
    claims,
    idempotency,
    labels,
    moves,
    sequence,
    task_lists,
    task_query,
    tasks,
    tokens,
    trash,
    users,
)
from taskwell.services.history_query import HistoryFilter, list_completions, list_history, object_history
from taskwell.services.task_query import ChunkKey, list_chunk
from taskwell.services.task_statements import TaskKey, get_tasks, toggle_tasks
from taskwell.services.zones import NO_ZONE, zone_of_user

PAGE = Path(__file__).parents[1] / "docs" / "plans.md"

Run = Callable[[Transaction], Awaitable[object]]
Backend = SqliteBackend | PostgresBackend
Row = tuple[Any, ...]


# What is seeded: a year of tasks, in the order in which they were made.

_END = datetime(2026, 11, 1, tzinfo=UTC)
_DAY = 86_400_000_000  # microseconds
_YEAR = 365 * _DAY
_BEGIN = _END - timedelta(days=365)
_TRASH_DAYS = 30
_CHUNK = 10_000
_LEAST = 10_000

# The first of each are the most frequent.
_VERBS, _THINGS, _NAMES, _LINKS, _OTHERS = (
    line.split()
    for line in """
        buy call write send fix review book pay read clean plan order return ask update check print
        milk bread invoice report flight dentist tickets passport garden kitchen slides réunion Straße keys
        Anna Ben Clara David Emma Felix Grace Hugo Ida Jonas Klara Leo Mia Noah Olga Paul Rosa Tom
        for with from about before after without near
        the and to of it is then again later please
    """.strip().splitlines()
)
_WORDS = [*_THINGS, *_NAMES, *_LINKS, *_VERBS, *_OTHERS]

_RARE = "zeppelin"  # in one title of ten thousand
_OF_OTHERS = "telephone"  # in every tenth title, but for the two users with the most tasks
_SCATTERED = "milk bread milk bread"  # every three characters of it are frequent, the whole is not


_LISTS = 10  # of each user, the first with the most tasks
_LABELS = ("home", "work", "errand", "phone", "someday", "büro")
_RARE_LABEL = "zeppelin"

_FREQUENT_TOKEN, _RARE_TOKEN = UUID(int=1), UUID(int=2)  # of every third record, and of one of ten thousand
_CLAIMED_UNTIL = datetime(2100, 1, 1, tzinfo=UTC)
_CLAIM_BY = claimant_to_json(Claimant(ActorRead.of("agent", Actor("rest")), _END, None))


class Birth(NamedTuple):
    """A task before it has words. The instants are microseconds of the year."""

    created: int
    user: int
    touched: int
    version: int
    state: str


class World:
    """Who has how many tasks: one user a hundredth, one a fifth, and all others the rest by chance."""

    def __init__(self, count: int) -> None:
        others = max(2, count // 500)
        chance = Random(1)
        self.sizes = [count // 100, count // 5, *[0] * others]
        for user in chance.choices(range(2, 2 + others), k=count - sum(self.sizes)):
            self.sizes[user] += 1
        # As a sign-in service would name them.
        self.ids = [str(_uuid4(chance)) for _ in self.sizes]
        self.list_ids = [[_uuid4(chance) for _ in range(_LISTS)] for _ in self.sizes]

    def owners(self) -> list[tuple[str, int]]:
        """An ordinary user, the one with a hundredth and the one with a fifth of all tasks."""
        return [(self.ids[user], self.sizes[user]) for user in (2, 0, 1)]

    def users(self) -> list[dict[str, Any]]:
        return [
            {"id": user_id, "created_at": _BEGIN, "last_seq": size + _LISTS, "purged_seq": 0}
            for user_id, size in zip(self.ids, self.sizes, strict=True)
        ]

    def keys(self) -> list[dict[str, Any]]:
        """Of the last day, for every hundredth task one."""
        chance = Random(2)
        return [
            {
                "user_id": self.ids[n % len(self.ids)],
                "key": str(_uuid4(chance)),
                "fingerprint": chance.randbytes(32),
                "created_at": _END - timedelta(seconds=chance.randrange(86_400)),
                "answer": chance.randbytes(400),
            }
            for n in range(sum(self.sizes) // 100)
        ]

    def lists(self) -> list[dict[str, Any]]:
        """Of each user; the last one is archived."""
        return [
            {
                "user_id": user_id,
                "id": list_id,
                "name": f"List {n}",
                "position": key_of(_BEGIN, n),
                "archived_at": _END if n == _LISTS - 1 else None,
                "created_at": _BEGIN,
                "updated_at": _BEGIN,
                "version": size + 1 + n,
            }
            for user_id, size, lists in zip(self.ids, self.sizes, self.list_ids, strict=True)
            for n, list_id in enumerate(lists)
        ]

    def tokens(self) -> list[dict[str, Any]]:
        chance = Random(5)
        more = {"name": "a script", "scopes": "tasks:read", "created_at": _BEGIN}
        return [
            {"user_id": user_id, "id": _uuid4(chance), "digest": chance.randbytes(32), **more}
            for user_id in self.ids
        ]

    def erased(self) -> list[dict[str, Any]]:
        """As many as there are users."""
        chance = Random(6)
        return [{"digest": chance.randbytes(32), "next_seq": EPOCH} for _ in self.ids]

    def rows(self) -> Iterator[Row]:
        """The tasks, as they were made one after the other by all users at once."""
        chance, more = Random(3), Random(7)
        latest: dict[int, Rich] = {}
        for birth in _births(self.sizes):
            row = _row(chance, self.ids[birth.user], birth)
            rich = _rich(more, self.list_ids[birth.user], birth, latest.get(birth.user))
            if birth.state != "deleted" and rich.parent_id is None:
                latest[birth.user] = rich._replace(parent_id=row[1])
            yield (*row, *rich)


def _births(sizes: Sequence[int]) -> list[Birth]:
    chance = Random(4)
    found = []
    for user, size in enumerate(sizes):
        lives = sorted(_life(chance) for _ in range(size))
        found += [Birth(life[1], user, life[0], n, life[2]) for n, life in enumerate(lives, 1)]
    return sorted(found)


def _life(chance: Random) -> tuple[int, int, str]:
    """When it was touched last, when it was made, and what became of it."""
    created = chance.randrange(_YEAR)
    (state,) = chance.choices(("completed", "deleted", "changed", "new"), (35, 6, 14, 45))
    if state == "new":
        return created, created, state
    if state == "deleted":
        touched = _YEAR - 1 - chance.randrange(_TRASH_DAYS * _DAY)
        return touched, min(created, touched), state
    later = created + int(chance.expovariate(1 / (9 * _DAY)))
    return (created, created, "new") if later >= _YEAR else (later, created, state)


class Rich(NamedTuple):
    """What a task may have. Of the latest task that can be a parent, `parent_id` is its own id."""

    list_id: UUID | None
    parent_id: UUID | None
    position: str
    due: str | None
    priority: int | None
    labels: list[str] | None
    labels_key: list[str] | None
    claim: int | None
    claimed_until: datetime | None
    claim_by: str | None


def _rich(chance: Random, lists: Sequence[UUID], birth: Birth, before: Rich | None) -> Rich:
    """Of a hundred tasks forty are in a list, forty have a due date, thirty labels, and ten are subtasks.

    Of a thousand open ones one is claimed.
    """
    list_id = lists[int(_LISTS * chance.random() ** 2)] if chance.random() < 0.4 else None
    parent_id = None
    if before is not None and chance.random() < 0.1:
        list_id, parent_id = before.list_id, before.parent_id
    labels = chance.sample(_LABELS, chance.randrange(1, 4)) if chance.random() < 0.3 else None
    if chance.random() < 0.0001:
        labels = [_RARE_LABEL]
    is_claimed = birth.version % 1_000 == 1 and birth.state in {"new", "changed"}
    return Rich(
        list_id,
        parent_id,
        key_of(_BEGIN + timedelta(microseconds=birth.created)),
        _due(chance, birth) if chance.random() < 0.4 else None,
        chance.randrange(1, 10) if chance.random() < 0.1 else None,
        labels,
        labels,
        birth.version if is_claimed else None,
        _CLAIMED_UNTIL if is_claimed else None,
        _CLAIM_BY if is_claimed else None,
    )


def _due(chance: Random, birth: Birth) -> str:
    """Open tasks are due within half a year, but for a few; others were due when they were made."""
    is_open = birth.state in {"new", "changed"}
    day = _END + timedelta(days=chance.randrange(-3, 180))
    if not is_open:
        day = _BEGIN + timedelta(microseconds=birth.created, days=chance.randrange(20))
    return day.date().isoformat() + ("T09:00:00" if chance.random() < 0.2 else "")


def _row(chance: Random, user_id: str, birth: Birth) -> Row:
    """In the order of `_COLUMNS`."""
    created, touched = (_BEGIN + timedelta(microseconds=at) for at in (birth.created, birth.touched))
    title = _title(chance, birth.user)
    description = _words(chance, chance.randrange(3, 30)) if chance.random() < 0.25 else None
    completed = birth.state == "completed"
    return (
        user_id,
        _uuid7(chance, created),
        title,
        fold(title),
        description,
        fold(description),
        completed,
        touched if completed else None,
        created,
        touched,
        birth.version,
        touched if birth.state == "deleted" else None,
    )


_COLUMNS = (
    "user_id", "id", "title", "title_key", "description", "description_key", "completed", "completed_at",
    "created_at", "updated_at", "version", "deleted_at",
    *Rich._fields,
)  # fmt: skip


def _records(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """The history: of each task the write that gave it its version."""
    for row in rows:
        task = dict(zip(_COLUMNS, row, strict=True))
        version = task["version"]
        token = _RARE_TOKEN if version % 10_000 == 17 else _FREQUENT_TOKEN if version % 3 == 0 else None
        yield {
            "user_id": task["user_id"],
            "version": version,
            "kind": "task",
            "object_id": str(task["id"]),
            "op": "deleted" if task["deleted_at"] else "completed" if task["completed"] else "updated",
            "at": task["updated_at"],
            "via": "rest",
            "token_id": token,
            "changes": json.dumps({"title": [None, task["title"]]}),
        }


def _uuid4(chance: Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)


def _uuid7(chance: Random, created: datetime) -> UUID:
    milliseconds = int(created.timestamp() * 1_000)
    return UUID(
        int=milliseconds << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | chance.getrandbits(62)
    )


def _title(chance: Random, user: int) -> str:
    title = f"{_one(chance, _VERBS).capitalize()} {_one(chance, _THINGS)}"
    match chance.randrange(20):
        case 0 | 1 | 2 | 3 | 4 | 5:
            title += f" {chance.choice(_LINKS)} {_one(chance, _NAMES)}"
        case 6 | 7 | 8:
            title += f" #{chance.randrange(10_000)}"
        case 9:
            title += f" ({_words(chance, 3)})"
    if chance.random() < 0.0001:
        title += f" {_RARE}"
    return f"{title}, {_OF_OTHERS}" if user >= 2 and chance.random() < 0.1 else title


def _words(chance: Random, count: int) -> str:
    return " ".join(_one(chance, _WORDS) for _ in range(count))


def _one(chance: Random, words: Sequence[str]) -> str:
    """By Zipf's law, near enough: half of the draws are among the first sixth of the words."""
    return words[int(len(words) * chance.random() ** 2.6)]


@asynccontextmanager
async def writing(backend: Backend) -> AsyncGenerator[AsyncConnection]:
    """A connection that is used step by step; the server's own to SQLite is in a thread."""
    if isinstance(backend, PostgresBackend):
        async with backend.writing() as connection:
            yield connection
        return
    engine = create_async_engine(f"sqlite+aiosqlite:///{backend.path}")

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("foreign_keys = ON", "journal_mode = WAL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def fill(backend: Backend, world: World) -> None:
    """An empty database, as it is after its migrations. The triggers and all indexes stay where they are."""
    total = sum(world.sizes)
    rows = world.rows()
    async with writing(backend) as connection:
        driver = await _driver(connection)
        if isinstance(backend, SqliteBackend):
            for pragma in ("synchronous = OFF", "cache_size = -1000000"):
                await driver.execute(f"PRAGMA {pragma}")
        await _insert(connection, User, world.users())
        await _insert(connection, IdempotencyKey, world.keys())
        await _insert(connection, ApiToken, world.tokens())
        await _insert(connection, ErasedUser, world.erased())
        await _insert(connection, TaskList, world.lists())
        done = 0
        while chunk := list(islice(rows, _CHUNK)):
            if isinstance(backend, SqliteBackend):
                await _insert(connection, Task, [dict(zip(_COLUMNS, row, strict=True)) for row in chunk])
            else:
                records = [tuple(map(_copied, row)) for row in chunk]
                await driver.copy_records_to_table("tasks", records=records, columns=_COLUMNS, timeout=600)
            await _insert(connection, HistoryRecord, list(_records(chunk)))
            done += len(chunk)
            _progress(f"{backend.dialect}: {done:,} of {total:,} tasks", done / total)


def _copied(value: Any) -> Any:
    """Labels as the column has them."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) if isinstance(value, list) else value


async def _insert(connection: AsyncConnection, model: type[SQLModel], rows: list[dict[str, Any]]) -> None:
    async with connection.begin():
        await connection.execute(insert(table_of(model)), rows)


async def _driver(connection: AsyncConnection) -> Any:
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    return driver


# The operations.


@dataclass(frozen=True, slots=True)
class Subject:
    """A user, one of their tasks from the middle of the list, and one from the trash.

    `listed`, `inbox`, `dated`: three tasks in the middle of the longest list, of the inbox, and of open tasks
    by due date. `parent`: a task with subtasks.
    """

    user_id: str
    count: int
    task: TaskRead
    deleted: TaskRead
    others: Sequence[str]
    listed: Sequence[TaskRead]
    inbox: Sequence[TaskRead]
    dated: Sequence[TaskRead]
    parent: UUID

    @property
    def list_id(self) -> UUID:
        found = self.listed[0].list_id
        assert found is not None
        return found


async def subject_of(transaction: Transaction, world: World, user_id: str, count: int) -> Subject:
    middle = (_BEGIN + timedelta(days=182), UUID(int=0))
    task, *_ = await list_tasks(transaction, user_id, TaskQuery(), limit=1, after=middle)
    of_trash = TaskQuery(TaskFilter(deleted=True))
    deleted, *_ = await list_tasks(transaction, user_id, of_trash, limit=1)
    longest = str(world.list_ids[world.ids.index(user_id)][0])
    half = (key_of(_BEGIN + timedelta(days=182)), UUID(int=0))
    in_order = [TaskQuery(filter_of(list=name), parse_sort("position")) for name in (longest, "inbox")]
    listed, inbox = [await list_tasks(transaction, user_id, one, limit=3, after=half) for one in in_order]
    soon = ("2026-12-20", _BEGIN, UUID(int=0))
    dated = await list_tasks(transaction, user_id, _BY_DUE, limit=1, after=soon)
    has_parts = select(col(Task.parent_id)).where(
        col(Task.user_id) == user_id, col(Task.parent_id).is_not(None), col(Task.deleted_at).is_(None)
    )
    row = await transaction.first(has_parts.limit(1))
    assert row is not None
    return Subject(user_id, count, task, deleted, world.ids[2:102], listed, inbox, dated, row[0])


@dataclass(frozen=True, slots=True)
class Operation:
    """What it is called, and what it does for a user. A heavy one writes very many rows."""

    name: str
    of: Callable[[Subject], Run]
    heavy: bool = False


_FILTERS = {
    "completed=true": TaskFilter(completed=True),
    "completed=false": TaskFilter(completed=False),
    "created_after, of the last hours": TaskFilter(created_after=_END - timedelta(hours=2)),
    "created_before, of the first day": TaskFilter(created_before=_BEGIN + timedelta(days=1)),
    "updated_after, of the last hours": TaskFilter(updated_after=_END - timedelta(hours=2)),
    "updated_before, of the first day": TaskFilter(updated_before=_BEGIN + timedelta(days=1)),
    "deleted=true": TaskFilter(deleted=True),
}
_TEXTS = {
    "q=mi, frequent": "mi",
    "q=ze, rare": "ze",
    "q=buy, frequent": "buy",
    f"q={_RARE}, rare": _RARE,
    f"q={_OF_OTHERS}, frequent with others": _OF_OTHERS,
    f"q={_SCATTERED}, frequent pieces": _SCATTERED,
}
_SORTS = (
    "created_at", "updated_at", "-updated_at", "title", "-title", "completed", "-completed",
    "completed,title", "completed,-updated_at",
)  # fmt: skip


def filter_of(**values: Any) -> TaskFilter:
    return TaskFilter.model_validate({"tz": "Europe/Berlin", "now": _END, **values})


_BY_DUE = TaskQuery(filter_of(completed=False, due="any"), parse_sort("due"))
_RICH_FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "due=overdue,today": ({"due": "overdue,today"}, "-created_at"),
    "due=overdue,today, open": ({"due": "overdue,today", "completed": False}, "-created_at"),
    "due=week": ({"due": "week"}, "-created_at"),
    "due=none": ({"due": "none"}, "-created_at"),
    "due_before, of the first month": ({"due_before": "2025-12-01"}, "-created_at"),
    "due_after, in half a year": ({"due_after": "2027-04-25"}, "-created_at"),
    "due=any, sort=due": ({"due": "any"}, "due"),
    "due=any, open, sort=due": ({"due": "any", "completed": False}, "due"),
    "due=any, open, sort=-due": ({"due": "any", "completed": False}, "-due"),
    "sort=due": ({}, "due"),
    "started=true": ({"started": True}, "-created_at"),
    "list=inbox": ({"list": "inbox"}, "-created_at"),
    "list=inbox, sort=position": ({"list": "inbox"}, "position"),
    "priority=1": ({"priority": "1"}, "-created_at"),
    "sort=priority": ({}, "priority"),
    "sort=position": ({}, "position"),
    "label=home, frequent": ({"label": ["home"]}, "-created_at"),
    f"label={_RARE_LABEL}, rare": ({"label": [_RARE_LABEL]}, "-created_at"),
    "label_not=home": ({"label_not": ["home"]}, "-created_at"),
    "labelled=false": ({"labelled": False}, "-created_at"),
    "parent=none": ({"parent": "none"}, "-created_at"),
    "archived=true": ({"archived": True}, "-created_at"),
}


def _rich_lists() -> Iterator[Operation]:
    for name, (values, sort) in _RICH_FILTERS.items():
        yield _list(name, TaskQuery(filter_of(**values), parse_sort(sort)))

    def page(query: TaskQuery, subject: Subject, last: TaskRead) -> Run:
        after = query.keyset_of(json.loads(task_to_json(last)))
        return lambda t: list_chunk(t, ChunkKey(subject.user_id, query, 51, after))

    def in_list(subject: Subject, sort: str) -> TaskQuery:
        return TaskQuery(filter_of(list=str(subject.list_id)), parse_sort(sort))

    def of_list(sort: str) -> Callable[[Subject], Run]:
        return lambda s: lambda t: list_chunk(t, ChunkKey(s.user_id, in_list(s, sort), 51))

    def children(subject: Subject) -> Run:
        query = TaskQuery(filter_of(parent=str(subject.parent)), parse_sort("position"))
        return lambda t: list_chunk(t, ChunkKey(subject.user_id, query, 51))

    yield Operation("due=any, open, sort=due, from the middle", lambda s: page(_BY_DUE, s, s.dated[0]))
    yield Operation("list=…, newest first", of_list("-created_at"))
    yield Operation("list=…, sort=position", of_list("position"))
    yield Operation(
        "list=…, sort=position, from the middle", lambda s: page(in_list(s, "position"), s, s.listed[0])
    )
    yield Operation("parent=…, sort=position", children)


def operations() -> list[Operation]:
    return [
        *_lists(), *_rich_lists(), *_counts(), *_reads(), *_history(), *_claims(), *_writes(),
        *_rich_writes(), *_mass_writes(),
    ]  # fmt: skip


def _lists() -> Iterator[Operation]:
    yield _list("first page", TaskQuery())
    yield _list("page from the middle", TaskQuery(), later=True)
    yield _list("a thousand from the middle", TaskQuery(), later=True, limit=1_000)
    for name, task_filter in _FILTERS.items():
        yield _list(name, TaskQuery(task_filter))
    for name, text in _TEXTS.items():
        yield _list(name, TaskQuery(TaskFilter(q=text)))
    for sort in _SORTS:
        yield _list(f"sort={sort}", TaskQuery(sort=parse_sort(sort)))
    for sort in ("created_at", "title", "-updated_at", "completed,-updated_at"):
        yield _list(f"sort={sort}, from the middle", TaskQuery(sort=parse_sort(sort)), later=True)


def _list(name: str, query: TaskQuery, *, later: bool = False, limit: int = 51) -> Operation:
    """As the API asks for it: a page of 50 with one more, to know whether there is another."""

    def of(subject: Subject) -> Run:
        if later:
            after = query.keyset_of(json.loads(task_to_json(subject.task)))
            return lambda t: list_chunk(t, ChunkKey(subject.user_id, query, limit, after))
        return lambda t: list_chunk(t, ChunkKey(subject.user_id, query, limit))

    return Operation(name, of)


def _key(subject: Subject) -> TaskKey:
    return TaskKey(subject.user_id, str(subject.task.id))


def _counts() -> Iterator[Operation]:
    yield _count("all", TaskFilter())
    for name in ("completed=true", "deleted=true"):
        yield _count(name, _FILTERS[name])
    for name, text in _TEXTS.items():
        yield _count(name, TaskFilter(q=text))


def _count(name: str, meant: TaskFilter) -> Operation:
    return Operation(f"count, {name}", lambda s: lambda t: task_query.count_tasks(t, s.user_id, meant))


def _reads() -> Iterator[Operation]:
    def since(numbers: int) -> Callable[[Subject], Run]:
        def of(subject: Subject) -> Run:
            cursor = changes.Cursor.at(max(subject.count - numbers, 0))
            return lambda t: changes.list_changes(t, subject.user_id, cursor, limit=1_000)

        return of

    def lists(subject: Subject) -> Run:
        async def run(transaction: Transaction) -> object:
            _, found = await task_lists.get_lists(transaction, subject.user_id)
            return await task_lists.count_open(transaction, subject.user_id, found, NO_ZONE)

        return run

    yield Operation("read a task", lambda s: lambda t: tasks.get_task(t, s.user_id, s.task.id))
    yield Operation("read a task with others", lambda s: lambda t: get_tasks(t, [_key(s)]))
    yield Operation("toggle a task with others", lambda s: lambda t: toggle_tasks(t, [_key(s)]))
    yield Operation("last number", lambda s: lambda t: sequence.last_number(t, s.user_id))
    yield Operation("last numbers of 100 users", lambda s: lambda t: sequence.last_numbers(t, s.others))
    yield Operation("start of a stream of events", lambda s: lambda t: changes.start_of(t, s.user_id, None))
    yield Operation("changes, the last 100", since(100))
    yield Operation(
        "changes, from the beginning",
        lambda s: lambda t: changes.list_changes(t, s.user_id, None, limit=1_000),
    )
    yield Operation(
        "changes of every kind, from the beginning",
        lambda s: lambda t: changes.list_changes(t, s.user_id, None, limit=1_000, kinds=KINDS),
    )
    yield Operation("lists with counts", lists)
    yield Operation("labels with counts", lambda s: lambda t: labels.list_labels(t, s.user_id))
    yield Operation("zone of a user", lambda s: lambda t: zone_of_user(t, s.user_id))
    yield Operation("read a user", lambda s: lambda t: users.get_user(t, s.user_id))
    yield Operation("whose a token is", lambda _: lambda t: tokens.find_owner(t, tokens.new_secret()))
    yield Operation("list tokens", lambda s: lambda t: tokens.list_tokens(t, s.user_id))


def _history() -> Iterator[Operation]:
    def page(found: HistoryFilter, *, later: bool = False) -> Callable[[Subject], Run]:
        def of(subject: Subject) -> Run:
            position = subject.count // 2 if later else None
            return lambda t: list_history(t, subject.user_id, found, limit=100, position=position)

        return of

    def since(subject: Subject) -> Run:
        found = HistoryFilter(since=subject.count // 2)
        return lambda t: list_history(t, subject.user_id, found, limit=100)

    def of_task(subject: Subject) -> Run:
        found = HistoryFilter(kind="task", object_id=str(subject.task.id))
        return lambda t: object_history(t, subject.user_id, subject.task.id, found, limit=100)

    def completions(subject: Subject) -> Run:
        return lambda t: list_completions(t, subject.user_id, subject.task.id, limit=100, position=None)

    yield Operation("history, newest first", page(HistoryFilter()))
    yield Operation("history, from the middle", page(HistoryFilter(), later=True))
    yield Operation("history since a number", since)
    yield Operation("history by token, frequent", page(HistoryFilter(token_id=_FREQUENT_TOKEN)))
    yield Operation("history by token, rare", page(HistoryFilter(token_id=_RARE_TOKEN)))
    yield Operation("history by client, unknown", page(HistoryFilter(client="nobody")))
    yield Operation("history by field, unchanged", page(HistoryFilter(field="labels")))
    yield Operation("history of a task", of_task)
    yield Operation("completions of a task", completions)


def _claims() -> Iterator[Operation]:
    new = claims.NewClaim(seconds=60)

    def following(count: int, query: TaskQuery) -> Callable[[Subject], Run]:
        return lambda s: lambda t: claims.claim_next(t, s.user_id, count, new, query)

    yield Operation("claims", lambda s: lambda t: claims.list_claims(t, s.user_id))
    yield Operation("claim the next", following(1, TaskQuery()))
    yield Operation("claim the next ten", following(10, TaskQuery()))
    yield Operation("claim the next by due date", following(1, _BY_DUE))


def _writes() -> Iterator[Operation]:
    def guard(subject: Subject) -> tasks.ExpectedVersions:
        return frozenset({subject.task.version})

    def create(subject: Subject, task_id: UUID | None = None) -> Run:
        new = TaskCreate(title="Buy milk")
        return lambda t: tasks.create_task(t, subject.user_id, new, create_user=True, task_id=task_id)

    def create_many(subject: Subject) -> Run:
        wanted = [(TaskCreate(title="Buy milk"), None)] * 100
        return lambda t: tasks.create_tasks(t, subject.user_id, wanted, create_user=True)

    def update(subject: Subject) -> Run:
        new = TaskUpdate(title="Buy bread")
        return lambda t: tasks.update_task(t, subject.user_id, subject.task.id, new, expected=guard(subject))

    def toggle(subject: Subject) -> Run:
        turn = TaskToggle()
        return lambda t: tasks.toggle_task(t, subject.user_id, subject.task.id, turn, expected=guard(subject))

    def reserve(subject: Subject) -> Run:
        return lambda t: idempotency.reserve(t, subject.user_id, "new", b"")

    def token(subject: Subject) -> Run:
        new = TokenCreate(name="new", scopes=["tasks:read"])
        return lambda t: tokens.create_token(t, subject.user_id, new, create_user=True)

    yield Operation("create", create)
    yield Operation("create under one's own id", lambda s: create(s, UUID(int=1)))
    yield Operation("create 100 at once", create_many)
    yield Operation("change, guarded", update)
    yield Operation("toggle, guarded", toggle)
    yield Operation("delete", lambda s: lambda t: tasks.delete_task(t, s.user_id, s.task.id))
    yield Operation("restore", lambda s: lambda t: tasks.restore_task(t, s.user_id, s.deleted.id))
    yield Operation("reserve a key", reserve)
    yield Operation("create a token", token)
    yield Operation("create a user", lambda _: lambda t: users.create_user(t, UserCreate(id="new")))
    yield Operation(
        "set an e-mail address", lambda s: lambda t: users.set_email(t, s.user_id, "new@example.com")
    )


def _rich_writes() -> Iterator[Operation]:
    def create_rich(subject: Subject) -> Run:
        sent = {"title": "Buy milk", "due": "2026-11-02", "list_id": str(subject.list_id), "labels": ["home"]}
        new = TaskCreate.model_validate(sent)
        return lambda t: tasks.create_task(t, subject.user_id, new, create_user=True)

    def move(subject: Subject, task: TaskRead, **place: Any) -> Run:
        return lambda t: moves.move_task(t, subject.user_id, task.id, TaskMove(**place))

    def into_list(subject: Subject) -> Run:
        return move(subject, subject.inbox[0], after=subject.listed[0].id, list_id=subject.list_id)

    def change_list(subject: Subject) -> Run:
        new = TaskUpdate(list_id=subject.list_id)
        return lambda t: tasks.update_task(t, subject.user_id, subject.inbox[0].id, new)

    def complete_tree(subject: Subject) -> Run:
        state = TaskToggle(completed=True, subtasks="complete")
        return lambda t: tasks.toggle_task(t, subject.user_id, subject.parent, state)

    def new_list(subject: Subject) -> Run:
        new = ListCreate(name="Errands")
        return lambda t: task_lists.create_list(t, subject.user_id, new, create_user=True)

    yield Operation("create, with a list, a date and a label", create_rich)
    yield Operation("move within a list", lambda s: move(s, s.listed[0], after=s.listed[2].id))
    yield Operation("move to the end of a list", lambda s: move(s, s.listed[0], before=None))
    yield Operation("move within the inbox", lambda s: move(s, s.inbox[0], after=s.inbox[2].id))
    yield Operation("move to the end of the inbox", lambda s: move(s, s.inbox[0], before=None))
    yield Operation(
        "move into a list", lambda s: move(s, s.inbox[0], after=s.listed[0].id, list_id=s.list_id)
    )
    yield Operation("change the list", change_list)
    yield Operation("complete with subtasks", complete_tree)
    yield Operation("delete with subtasks", lambda s: lambda t: tasks.delete_task(t, s.user_id, s.parent))
    yield Operation("create a list", new_list)


def _mass_writes() -> Iterator[Operation]:
    for text in (_RARE, "mi"):
        yield _delete_many(f"q={text}", TaskFilter(q=text))
    yield _delete_many("completed=true", _FILTERS["completed=true"])
    yield _delete_many("all", TaskFilter())
    yield Operation(
        "delete a list with its tasks",
        lambda s: lambda t: task_lists.delete_list(t, s.user_id, s.list_id),
        heavy=True,
    )
    yield Operation(
        "give a label another name",
        lambda s: lambda t: labels.update_label(t, s.user_id, "home", LabelUpdate(name="house")),
        heavy=True,
    )
    yield _purge("none is due", days=31)
    yield _purge("a hundredth is due", days=29.7)
    yield _purge("all is due", days=0)
    old = _END - timedelta(days=2)
    yield Operation("forget keys, none is due", lambda _: lambda t: idempotency.purge_expired(t, old))
    yield Operation("delete a user", lambda s: lambda t: users.delete_user(t, s.user_id), heavy=True)


def _delete_many(name: str, meant: TaskFilter) -> Operation:
    def of(subject: Subject) -> Run:
        return lambda t: trash.delete_tasks(t, subject.user_id, meant)

    return Operation(f"delete many, {name}", of, heavy=True)


def _purge(name: str, *, days: float) -> Operation:
    before = _END - timedelta(days=days)
    return Operation(f"purge, {name}", lambda _: lambda t: trash.purge(t, before))


# What an operation sends, and how long that takes.

_SETTLING = 6  # PostgreSQL decides at the sixth execution whether it goes on planning
_REPEATS = 5
_BUDGET_SECONDS = 3.0


@dataclass(slots=True)
class Sent:
    """A statement as the driver got it."""

    sql: str
    values: Sequence[Any]
    seconds: float = 0.0


@dataclass(slots=True)
class Recorder:
    """What runs on one connection: through SQLAlchemy, or on asyncpg past it."""

    sent: list[Sent] = field(default_factory=list)

    def attach(self, connection: AsyncConnection, driver: Any) -> None:
        assert connection.sync_connection is not None
        event.listen(connection.sync_connection, "before_cursor_execute", self._before)
        event.listen(connection.sync_connection, "after_cursor_execute", self._after)
        if connection.dialect.name == "postgresql":
            driver.add_query_logger(self._logged)

    def _before(
        self, _connection: Any, _cursor: Any, sql: str, values: Any, _context: Any, many: bool
    ) -> None:
        if not sql.startswith("BEGIN"):
            self.sent.append(Sent(sql, tuple(values[0] if many else values), -time.perf_counter()))

    def _after(self, _connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if not sql.startswith("BEGIN"):
            self.sent[-1].seconds += time.perf_counter()

    def _logged(self, record: Any) -> None:
        if record.query.lstrip().startswith(("SELECT", "WITH")):
            self.sent.append(Sent(record.query, tuple(record.args), record.elapsed))


class TooSlow(Exception):
    """The session's limit for a statement was reached."""


class StepByStep(Transaction):
    """What SQLite keeps prepared goes the way of other statements: its own is not this driver's."""

    async def fetch_prepared(self, statement: PreparedStatement, **values: object) -> Rows:
        if self.dialect == "postgresql":
            return await super().fetch_prepared(statement, **values)
        connection: Any = self._connection
        sql, arguments = statement.compiled(connection.dialect, values)
        rows: Rows = (await connection.exec_driver_sql(sql, tuple(arguments))).all()
        return rows

    async def write_prepared(
        self, statement: PreparedStatement, rows: Iterable[Mapping[str, object]]
    ) -> None:
        connection: Any = self._connection
        for values in rows:
            sql, arguments = statement.compiled(connection.dialect, values)
            await connection.exec_driver_sql(sql, tuple(arguments))


@dataclass(slots=True)
class Session:
    """One connection of the service, for one operation."""

    connection: AsyncConnection
    driver: Any
    recorder: Recorder

    async def run(self, operation: Run) -> list[Sent]:
        """Run it and undo it."""
        await self.connection.begin()
        # SQLAlchemy begins by its first statement, and what is kept prepared goes past it.
        await self.connection.exec_driver_sql("SELECT 1")
        self.recorder.sent = []
        try:
            await operation(StepByStep(self.connection))
        except DBAPIError as error:
            if fault_of(error) is Fault.BUSY:
                raise TooSlow from error
            raise
        finally:
            await self.connection.rollback()
        return self.recorder.sent

    async def milliseconds(self, operation: Run) -> float:
        """The median of several runs; infinite where a run is cut off."""
        times: list[float] = []
        try:
            while len(times) < _REPEATS and (not times or sum(times) < _BUDGET_SECONDS):
                times.append(sum(sent.seconds for sent in await self.run(operation)))
        except TooSlow:
            return float("inf")
        return statistics.median(times) * 1_000

    async def steps(self, operation: Run) -> int:
        """Of the machine that runs SQLite's statements, to the nearest hundred."""
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            ticks += 1

        await self.driver.set_progress_handler(tick, 100)
        await self.run(operation)
        await self.driver.set_progress_handler(None, 0)
        return ticks * 100

    async def settled(self) -> set[str]:
        """The statements for which this session of PostgreSQL has settled on one plan for all values."""
        rows = await self.driver.fetch("SELECT statement FROM pg_prepared_statements WHERE generic_plans > 0")
        return {row["statement"] for row in rows}


@asynccontextmanager
async def session(url: str) -> AsyncGenerator[Session]:
    settings = Settings(database_url=url)
    backend = open_backend(settings, settings.database)
    try:
        async with writing(backend) as connection:
            driver = await _driver(connection)
            recorder = Recorder()
            recorder.attach(connection, driver)
            yield Session(connection, driver, recorder)
    finally:
        await backend.close()


# The plans.


@dataclass(frozen=True, slots=True)
class Plan:
    """Its lines, shortened, and how much it goes through: rows on PostgreSQL, steps on SQLite."""

    lines: tuple[str, ...]
    touched: int

    @property
    def indexes(self) -> str:
        """The indexes of the tasks, else those of another table. A list looks for archived lists besides."""
        found = list(dict.fromkeys(name for line in self.lines for name in _indexes_of(line)))
        of_tasks = [name for name in found if not name.startswith(_BESIDES)]
        return ", ".join(of_tasks or found) or "none"

    @property
    def shape(self) -> tuple[str, ...]:
        """What plans of one kind share: their steps, without numbers, conditions and the row of the user."""
        return tuple(
            _DETAIL.sub("", line) for line in self.lines if "pk_users" not in line and not _MINOR.match(line)
        )


_BESIDES = ("pk_users", "uq_users", "ix_lists_user_id_version")
_DETAIL = re.compile(r" \((actual|never).*|: .*")
_MINOR = re.compile(r"\s*(Rows Removed|Sort Method|Index Cond|$)")
_INDEX = re.compile(
    r"(?:Scan using|Scan Backward using|Index Scan on|Arbiter Indexes:|USING (?:COVERING )?INDEX) (\w+)"
)
_OF_NUMBER = "SEARCH users USING INDEX sqlite_autoindex_users_1 (id=?)"
_NAME = re.compile(r"sqlite_autoindex_\w+")
_IMPLIED = {  # the names that SQLite gives
    "sqlite_autoindex_tasks_1": "pk_tasks",
    "sqlite_autoindex_users_1": "pk_users",
    "sqlite_autoindex_users_2": "uq_users_email",
    "sqlite_autoindex_idempotency_keys_1": "pk_idempotency_keys",
    "sqlite_autoindex_api_tokens_1": "pk_api_tokens",
    "sqlite_autoindex_api_tokens_2": "uq_api_tokens_digest",
    "sqlite_autoindex_erased_users_1": "pk_erased_users",
    "sqlite_autoindex_lists_1": "pk_lists",
    "sqlite_autoindex_labels_1": "pk_labels",
    "sqlite_autoindex_task_history_1": "pk_task_history",
}


def _indexes_of(line: str) -> list[str]:
    if "Seq Scan on" in line:
        return ["the whole table"] if "on tasks" in line else []
    return [name.removeprefix("ix_tasks_") for name in _INDEX.findall(line)]


async def postgres_plan(driver: Any, sent: Iterable[Sent], settled: set[str]) -> Plan:
    """Each statement run once more, planned for its values or, where that has settled, for any."""
    found: list[str] = []
    transaction = driver.transaction()
    await transaction.start()
    try:
        for n, one in enumerate(sent):
            mode = "force_generic_plan" if one.sql in settled else "force_custom_plan"
            await driver.execute(f"SET LOCAL plan_cache_mode = {mode}")
            await driver.execute(f"PREPARE plan_{n} AS {one.sql}")
            values = ", ".join(_literal(value) for value in one.values)
            options = "ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF, SUMMARY OFF"
            rows = await driver.fetch(
                f"EXPLAIN ({options}) EXECUTE plan_{n}{f'({values})' if values else ''}", timeout=600
            )
            found += [*([""] if found else []), *(row[0] for row in rows)]
            await driver.execute(f"DEALLOCATE plan_{n}")
    finally:
        await transaction.rollback()
    return Plan(tuple(_shortened(found)), _rows_touched(found))


def _literal(value: Any) -> str:
    if value is None or isinstance(value, bool | int):
        return "NULL" if value is None else str(value)
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    text = f"{{{','.join(map(_element, value))}}}" if isinstance(value, list | tuple) else _text(value)
    return "'" + text.replace("'", "''") + "'"


def _element(value: Any) -> str:
    """Of an array's literal (PostgreSQL's manual, 8.15.6)."""
    if value is None:
        return "NULL"
    return '"' + _text(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_ROWS = re.compile(r"\(actual rows=([\d.]+) loops=(\d+)\)")
_REMOVED = re.compile(r"Rows Removed by (?:Filter|Index Recheck): (\d+)")
_READS = re.compile(r"Seq Scan|Index Scan|Index Only Scan")


def _rows_touched(lines: Iterable[str]) -> int:
    """Those that the scans of tables and indexes gave, and those that they read in vain."""
    touched = 0.0
    loops, counted = 1, False
    for line in lines:
        if found := _ROWS.search(line):
            loops, counted = int(found[2]), _READS.search(line) is not None
            touched += float(found[1]) * loops * counted
        elif counted and (removed := _REMOVED.search(line)):
            touched += int(removed[1]) * loops
    return round(touched)


_NOISE = re.compile(
    r"^\s*(Index Searches|Buckets|Storage|Worker |Workers|Heap Blocks|Heap Fetches|Window|Recheck Cond|"
    r"Conflict|Tuples|Full-sort|Presorted|Batches|One-Time)"
)
_CASTS = re.compile(
    r"::(text|character varying|bigint|uuid|timestamp with time zone|bytea)(\[\])?| COLLATE \"C\""
)
_WIDTH = 150


def _shortened(lines: Sequence[str]) -> Iterator[str]:
    """Without what says nothing about the way to the rows; the look at the user's number is left out too."""
    skipped = 0
    kept = [line for line in lines if not _NOISE.match(line)]
    for n, line in enumerate(kept):
        if "InitPlan" in line and any("pk_users on users" in under for under in kept[n + 1 : n + 2]):
            skipped = 3
        if skipped:
            skipped -= 1
            continue
        text = re.sub(r"\((\$\d+)\)", r"\1", _CASTS.sub("", line))
        text = re.sub(r"'([^']*)'", lambda found: f"'{found[1]}'" if len(found[1]) <= 24 else "'…'", text)
        text = re.sub(r"\.00\b| loops=1\b", "", text)
        yield text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def sqlite_plan(url: str, sent: Iterable[Sent], steps: int) -> Plan:
    found: list[str] = []
    with closing(connect(url.removeprefix("sqlite:///"))) as connection:
        for one in sent:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {one.sql}", one.values).fetchall()
            tree = list(_tree(rows))
            found += [*([""] if found and tree else []), *tree]
    return Plan(tuple(found), steps)


def _tree(rows: Sequence[tuple[int, int, int, str]]) -> Iterator[str]:
    """The lines of a plan, each behind the one it belongs to and further in; not the look at the number."""
    depths, left_out = {0: 0}, set()
    for line, parent, _, text in rows:
        depths[line] = depths[parent] + 1
        if parent in left_out or _is_number(rows, line, text):
            left_out.add(line)
        else:
            yield "  " * (depths[line] - 1) + _NAME.sub(lambda found: _IMPLIED.get(found[0], found[0]), text)


def _is_number(rows: Sequence[tuple[int, int, int, str]], line: int, text: str) -> bool:
    inside = [row[3] for row in rows if row[1] == line]
    return text.startswith("SCALAR SUBQUERY") and inside == [_OF_NUMBER]


# Both databases, one operation after the other.


@dataclass(slots=True)
class Finding:
    """What one database does for an operation: for each of the users, in their order."""

    milliseconds: list[float] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)


Findings = dict[str, Finding]


async def examine(url: str, world: World) -> Findings:
    found = {}
    async with session(url) as first:
        await first.connection.begin()
        transaction = StepByStep(first.connection)
        subjects = [await subject_of(transaction, world, *owner) for owner in world.owners()]
        await first.connection.rollback()
    wanted = operations()
    for n, operation in enumerate(wanted):
        _progress(f"{_name(url)}: {operation.name}", n / len(wanted))
        runs = [operation.of(subject) for subject in subjects]
        async with session(url) as current:
            vacuumed = operation.heavy and not url.startswith("sqlite")
            found[operation.name] = await _examine(url, current, runs, vacuumed=vacuumed)
    return found


async def _examine(url: str, current: Session, runs: Sequence[Run], *, vacuumed: bool) -> Finding:
    finding = Finding()
    for _ in range(_SETTLING):
        await current.run(runs[0])
    for run in runs:
        if vacuumed:
            await vacuum(url)
        finding.milliseconds.append(await current.milliseconds(run))
    for run in (runs[0], runs[-1]):
        if vacuumed:
            await vacuum(url)
        finding.plans.append(await _plan(url, current, run))
    return finding


async def _plan(url: str, current: Session, run: Run) -> Plan:
    if url.startswith("sqlite"):
        steps = await current.steps(run)
        return sqlite_plan(url, current.recorder.sent, steps)
    settled = await current.settled()
    # Without the service's limits, so that what it would cut off can be shown too.
    connection = await asyncpg.connect(url, server_settings={"jit": "off"})
    try:
        return await postgres_plan(connection, await _sent(current, run), settled)
    finally:
        await connection.close()


async def _sent(current: Session, run: Run) -> list[Sent]:
    try:
        return await current.run(run)
    except TooSlow:
        return current.recorder.sent


async def vacuum(url: str) -> None:
    """The statistics that PostgreSQL collects by itself before long, and away with what was undone."""
    driver = await asyncpg.connect(url)
    try:
        await driver.execute("VACUUM ANALYZE", timeout=600)
    finally:
        await driver.close()


def _name(url: str) -> str:
    return "SQLite" if url.startswith("sqlite") else "PostgreSQL"


# The page.


def page(world: World, found: Mapping[str, Findings], versions: str) -> str:
    return (
        "\n".join([_introduction(world, versions), "", *_table(found), _NOTES, "", *_plans(world, found)])
        + "\n"
    )


_UNIT = {"SQLite": "steps", "PostgreSQL": "rows"}

_INTRODUCTION = """
# Query plans

```
python -m bench.plans --tasks {tasks}
```

makes {tasks:,} tasks of {users:,} users in a fresh SQLite file and a fresh PostgreSQL, runs every operation
of the services, and writes this page. An ordinary user has {ordinary:,} tasks, one has {large:,}, and one
{huge:,}. All were made in turn over a year, so the tasks of one user lie scattered over the whole table.

- *ms* are the milliseconds of the statements and their rows, without the API, for these three users: the
  median of several runs, each rolled back. On PostgreSQL the session has run the statement some times
  before, for the ordinary user, and may have settled on one plan for all values. PostgreSQL cuts a
  statement off after 10 s.
- *index*, *steps* and *rows* are those of the user with {huge:,} tasks. Indexes are without their
  `ix_tasks_`. Steps are those of SQLite's virtual machine. Rows are
  the entries of indexes and the rows of tables that PostgreSQL went through.
- Of a hundred tasks forty are in one of ten lists, forty have a due date, thirty have labels and ten are
  subtasks. Today is the day after the last of the year. The history has one record of each task.
- A page is 50 tasks. Both databases have the statistics of `ANALYZE`.

{versions}, on {cores} cores that were busy with other work as well.
""".strip()

# What the figures have decided.
_NOTES = """
## Indexes

*Open and completed tasks by due date* (`user_id, completed, due`): with the open tasks alone in the index,
`due=overdue,today`, which asks for completed tasks of today as well, walked all 10,000 tasks of a user: 4.0
ms on SQLite and 1.7 on PostgreSQL, and 0.6 and 0.4 now. SQLite has no statistics before an `ANALYZE` and
would walk the list in its order; the `+` before `created_at` keeps it from that.

*The inbox by position* (`user_id, position` where there is no list): a move among 10,000 tasks of the inbox
looked at all of them, for 4.8 to 9.0 ms on SQLite and 3.1 to 4.1 on PostgreSQL, and a page of the inbox in
its order took 12 and 1.9. With the index each takes less than 0.1 ms. It costs a create 0.6 µs of the
processor on SQLite, a tenth of the INSERT and less than a hundredth of the request; on PostgreSQL the
difference is below the noise. An index with `list_id` for lists and inbox together does not do: PostgreSQL
sorts below `list_id IS NULL`.

*Pages behind a date*: the condition of a cursor begins `due >= $1 AND (due <> $1 OR …)`. With `due > $1`
PostgreSQL combined a look-up in the index for each alternative and sorted all 1,800 tasks behind the
cursor: 1.0 ms instead of 0.3.

*The history by token* (`user_id, token_id, version` where there is a token): a page of a token that wrote
three of a user's 90,000 records read all of them, for 40 to 390 ms on SQLite and 28 to 280 on PostgreSQL, by
how busy the machine was. With the index it takes 0.2 and 0.4. A record with a token costs 1 µs of the
processor more on SQLite, on PostgreSQL 2 to 3, and 50 bytes; one without costs nothing. Other rare values
(`client`, `op`, `field`) still read all records of the user.
""".strip()

_BEFORE_PLANS = """
## Plans

Of the user with {huge:,} tasks; that of the ordinary user stands before it where it is another one.
Operations whose plans are of one kind stand together: the first of them is shown. A plan with `$1` is one for
all values. The look at the user's own number, which comes with the first page of a list, is left out.
""".strip()


def _introduction(world: World, versions: str) -> str:
    ordinary, large, huge = (size for _, size in world.owners())
    return _INTRODUCTION.format(
        tasks=sum(world.sizes),
        users=len(world.sizes),
        ordinary=ordinary,
        large=large,
        huge=huge,
        versions=versions,
        cores=cpu_count(),
    )


def _table(found: Mapping[str, Findings]) -> Iterator[str]:
    columns = [f"{name}: index | ms | {_UNIT[name]}" for name in found]
    yield f"| operation | {' | '.join(columns)} |"
    yield "|---" + "|---|--:|--:" * len(found) + "|"
    for operation in operations():
        cells = [_cells(findings[operation.name]) for findings in found.values()]
        yield f"| {operation.name} | {' | '.join(cells)} |"
    yield ""


def _cells(finding: Finding) -> str:
    times = " · ".join(_rounded(value) for value in finding.milliseconds)
    return f"{finding.plans[-1].indexes} | {times} | {finding.plans[-1].touched:,}"


def _rounded(milliseconds: float) -> str:
    if milliseconds == float("inf"):
        return "cut off"
    return f"{milliseconds:,.0f}" if milliseconds >= 10 else f"{milliseconds:.1f}"


def _plans(world: World, found: Mapping[str, Findings]) -> Iterator[str]:
    ordinary, _, huge = (size for _, size in world.owners())
    yield _BEFORE_PLANS.format(ordinary=ordinary, huge=huge)
    for names in _alike(found):
        yield f"\n### {'; '.join(names)}"
        for database, findings in found.items():
            first, last = findings[names[0]].plans
            if first.shape != last.shape:
                yield from _block(f"{database}, {ordinary:,} tasks", first)
                yield from _block(f"{database}, {huge:,} tasks", last)
            else:
                yield from _block(database, last)


def _alike(found: Mapping[str, Findings]) -> Iterable[list[str]]:
    """The operations, together where their plans are of one kind on both databases."""
    groups: dict[object, list[str]] = {}
    for operation in operations():
        plans = [plan for findings in found.values() for plan in findings[operation.name].plans]
        groups.setdefault(tuple(plan.shape for plan in plans), []).append(operation.name)
    return groups.values()


def _block(title: str, plan: Plan) -> Iterator[str]:
    yield f"\n{title}:\n\n```"
    yield from plan.lines or ("(no look at any table)",)
    yield "```"


# The program.


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whoever ends this ends the server too
    world = World(options.tasks)
    found: dict[str, Findings] = {}
    versions = [f"Python {python_version()}", f"SQLite {sqlite_version}"]
    for name, database in {"SQLite": _sqlite, "PostgreSQL": _postgres}.items():
        with database() as url:
            start = time.monotonic()
            version = asyncio.run(_filled(url, world))
            filled = time.monotonic()
            found[name] = asyncio.run(examine(url, world))
            _say(f"{name}: filled in {filled - start:.0f} s, examined in {time.monotonic() - filled:.0f} s")
            versions += [version] if version else []
    options.output.write_text(page(world, found, ", ".join(versions)))
    _say(f"written: {options.output}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.plans", description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="how many tasks there are (1000000)")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page to write (docs/plans.md)")
    given = parser.parse_args()
    if given.tasks < _LEAST:
        parser.error(f"--tasks must be {_LEAST} or more, so that every user has some in the trash")
    return given


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="taskwell-plans-") as folder:
        yield f"sqlite:///{folder}/plans.db"


@contextmanager
def _postgres() -> Iterator[str]:
    with postgres_server() as server:
        yield server.url


async def _filled(url: str, world: World) -> str:
    """Make the tables and fill them. Returns the version of a PostgreSQL."""
    settings = Settings(database_url=url)
    await migrate.upgrade(settings)
    backend = open_backend(settings, settings.database)
    try:
        await fill(backend, world)
    finally:
        await backend.close()
    if url.startswith("sqlite"):
        with closing(connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute("ANALYZE")
        return ""
    await vacuum(url)
    driver = await asyncpg.connect(url)
    try:
        return f"PostgreSQL {(await driver.fetchval('SHOW server_version')).split()[0]}"
    finally:
        await driver.close()


def _progress(text: str, share: float) -> None:
    """A bar, written over."""
    bar = "#" * round(30 * share)
    print(f"\r[{bar:<30}] {text[:70]:<70}", end="", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(f"\r{text:<105}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
