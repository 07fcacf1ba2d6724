"""What can be done with tasks, users and tokens: each operation is a value that `Operations` executes.

A route, or whatever else speaks to clients, builds an operation and executes it. `run` is the operation's
rule, in a given transaction. `coalesced` names a function that follows the same rule for many calls at once,
which is faster under load. `Operations` alone chooses between the two.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from taskwell.core.errors import TaskwellError
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.schemas.query import Keyset, TaskFilter, TaskQuery
from taskwell.schemas.task import TaskCreate, TaskDeleted, TaskRead, TaskToggle, TaskUpdate
from taskwell.schemas.token import TokenCreate, TokenCreated
from taskwell.schemas.user import UserCreate, UserRead
from taskwell.services import tasks, tokens, trash, users
from taskwell.services.sequence import last_number, last_numbers, lock
from taskwell.services.task_query import (
    Chunk,
    ChunkKey,
    count_tasks,
    list_chunk,
    list_chunks,
    list_short_chunks,
)
from taskwell.services.task_statements import (
    TaskJson,
    TaskKey,
    get_tasks,
    insert_tasks,
    new_task,
    toggle_tasks,
)
from taskwell.services.tasks import ExpectedVersions
from taskwell.services.users import UserNotFound

T = TypeVar("T")

CHUNK_SIZE = 1_000  # tasks of a list that are read at once
_SHORT_CHUNK_SIZE = 101
_NEWEST = TaskQuery()

# Of the user's last number, while no other write can take the next; it raises if the write is not to happen.
Check = Callable[[int], None]
# A function that does what an operation does, for the keys of many at once; and the operation's key.
Coalesced = tuple[Callable[[Any, Sequence[Any]], Awaitable[Sequence[T | TaskwellError]]], Any]
# Text, in its canonical form, where to make a UUID of it would take longer than the rest.
TaskId = UUID | str


class Operation(Generic[T]):
    """A write, or a `ReadOperation`. `user_id`: whose data it is about; a user's writes take turns."""

    __slots__ = ()
    user_id: str

    async def run(self, transaction: Transaction) -> T:
        """The rule."""
        raise NotImplementedError

    def coalesced(self) -> Coalesced[T] | None:
        """None: the operation needs a transaction of its own."""
        return None


class ReadOperation(Operation[T]):
    __slots__ = ()

    async def run(self, transaction: ReadTransaction) -> T:
        raise NotImplementedError


class Operations:
    """Executes operations."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def execute(self, operation: Operation[T]) -> T:
        """Coalesced if it can be, else in a transaction of its own.

        Raises: what the operation's rule raises; and as `Database.read` and `Database.write`.
        """
        started = self.start(operation)
        if started is not None:
            with suppress(UserNotFound):  # a transaction of its own creates the user, or refuses
                return await started
        if isinstance(operation, ReadOperation):
            return await self.database.read(operation.run)
        async with self.database.serialized(operation.user_id):
            return await self.database.write(operation.run)

    def start(self, operation: Operation[T]) -> asyncio.Future[T] | None:
        """Start an operation that is coalesced, without a task of its own. None: it has to be executed.

        So has one whose future raises UserNotFound: `execute` creates the user, or refuses to.
        """
        coalesced = operation.coalesced()
        if coalesced is None:
            return None
        if isinstance(operation, ReadOperation):
            return self.database.read_coalesced(*coalesced)
        return self.database.write_coalesced(*coalesced)


@dataclass(frozen=True, slots=True)
class GetTask(ReadOperation[TaskRead | TaskJson]):
    user_id: str
    task_id: TaskId

    async def run(self, transaction: ReadTransaction) -> TaskRead:
        return await tasks.get_task(transaction, self.user_id, _uuid(self.task_id))

    def coalesced(self) -> Coalesced[TaskRead | TaskJson]:
        return get_tasks, TaskKey(self.user_id, str(self.task_id))


@dataclass(frozen=True, slots=True)
class ListTasks(ReadOperation[Chunk]):
    """Tasks of a list, those that follow a keyset. Of a page one more than `limit`, if there is one.

    `limit` None: the next chunk of the whole list.
    """

    user_id: str
    query: TaskQuery
    limit: int | None = None
    after: Keyset | None = None

    async def run(self, transaction: ReadTransaction) -> Chunk:
        return await list_chunk(transaction, self._key())

    def coalesced(self) -> Coalesced[Chunk]:
        key = self._key()
        # A short page in the index's own order is a matter of microseconds; anything else may take its time.
        short = key.limit <= _SHORT_CHUNK_SIZE and self.query == _NEWEST
        return list_short_chunks if short else list_chunks, key

    def _key(self) -> ChunkKey:
        size = CHUNK_SIZE if self.limit is None else self.limit + 1
        return ChunkKey(self.user_id, self.query, size, self.after)


@dataclass(frozen=True, slots=True)
class CountTasks(ReadOperation[int]):
    user_id: str
    filter: TaskFilter

    async def run(self, transaction: ReadTransaction) -> int:
        return await count_tasks(transaction, self.user_id, self.filter)


@dataclass(frozen=True, slots=True)
class GetLastNumber(ReadOperation[int]):
    """The number of the user's latest write: it changes with every change of a list."""

    user_id: str

    async def run(self, transaction: ReadTransaction) -> int:
        return await last_number(transaction, self.user_id)

    def coalesced(self) -> Coalesced[int]:
        return last_numbers, self.user_id


@dataclass(frozen=True, slots=True)
class CreateTask(Operation[TaskRead | TaskJson]):
    """`create_user`: at the user's first task."""

    user_id: str
    new: TaskCreate
    create_user: bool
    check: Check | None = None

    async def run(self, transaction: Transaction) -> TaskRead:
        await check_list(transaction, self.user_id, self.check, create_user=self.create_user)
        return await tasks.create_task(transaction, self.user_id, self.new, create_user=self.create_user)

    def coalesced(self) -> Coalesced[TaskRead | TaskJson] | None:
        return (insert_tasks, new_task(self.user_id, self.new)) if self.check is None else None


@dataclass(frozen=True, slots=True)
class PutTask(Operation[TaskRead]):
    """Create a task under an id of the client's choice."""

    user_id: str
    task_id: UUID
    changes: TaskUpdate
    create_user: bool

    async def run(self, transaction: Transaction) -> TaskRead:
        return await tasks.put_task(
            transaction, self.user_id, self.task_id, self.changes, create_user=self.create_user
        )


@dataclass(frozen=True, slots=True)
class UpdateTask(Operation[TaskRead]):
    user_id: str
    task_id: UUID
    changes: TaskUpdate
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> TaskRead:
        return await tasks.update_task(
            transaction, self.user_id, self.task_id, self.changes, expected=self.expected
        )


@dataclass(frozen=True, slots=True)
class ToggleTask(Operation[TaskRead | TaskJson]):
    user_id: str
    task_id: TaskId
    state: TaskToggle
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> TaskRead:
        return await tasks.toggle_task(
            transaction, self.user_id, _uuid(self.task_id), self.state, expected=self.expected
        )

    def coalesced(self) -> Coalesced[TaskRead | TaskJson] | None:
        if self.expected is not None or self.state.model_fields_set:
            return None
        return toggle_tasks, TaskKey(self.user_id, str(self.task_id))


@dataclass(frozen=True, slots=True)
class DeleteTask(Operation[TaskDeleted]):
    user_id: str
    task_id: UUID
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> TaskDeleted:
        return await tasks.delete_task(transaction, self.user_id, self.task_id, expected=self.expected)


@dataclass(frozen=True, slots=True)
class RestoreTask(Operation[TaskRead]):
    user_id: str
    task_id: UUID
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> TaskRead:
        return await tasks.restore_task(transaction, self.user_id, self.task_id, expected=self.expected)


@dataclass(frozen=True, slots=True)
class DeleteTasks(Operation[int]):
    """How many tasks of the filter went to the trash."""

    user_id: str
    filter: TaskFilter
    check: Check | None = None

    async def run(self, transaction: Transaction) -> int:
        return await trash.delete_tasks(transaction, self.user_id, self.filter, self.check)


@dataclass(frozen=True, slots=True)
class CreateUser(Operation[UserRead]):
    """`user_id`: of the administrator who creates the user."""

    user_id: str
    new: UserCreate

    async def run(self, transaction: Transaction) -> UserRead:
        return await users.create_user(transaction, self.new)


@dataclass(frozen=True, slots=True)
class DeleteUser(Operation[None]):
    """`user_id`: of the caller, who may be an administrator. `deleted_id`: of the user who is deleted."""

    user_id: str
    deleted_id: str

    async def run(self, transaction: Transaction) -> None:
        await users.delete_user(transaction, self.deleted_id)


@dataclass(frozen=True, slots=True)
class CreateToken(Operation[TokenCreated]):
    user_id: str
    new: TokenCreate
    create_user: bool

    async def run(self, transaction: Transaction) -> TokenCreated:
        return await tokens.create_token(transaction, self.user_id, self.new, create_user=self.create_user)


@dataclass(frozen=True, slots=True)
class RevokeToken(Operation[None]):
    user_id: str
    token_id: UUID

    async def run(self, transaction: Transaction) -> None:
        await tokens.revoke_token(transaction, self.user_id, self.token_id)


async def check_list(
    transaction: Transaction, user_id: str, check: Check | None, *, create_user: bool
) -> None:
    """Check the user's last number, and let no other write take the next until the end."""
    if check is not None:
        check(await lock(transaction, user_id, create_user=create_user))


def _uuid(task_id: TaskId) -> UUID:
    return UUID(task_id) if isinstance(task_id, str) else task_id
