"""The operations on tasks, users and tokens: each is a value that `Operations` executes.

A protocol builds an operation from a request and executes it. `run` is the operation's rule, in a given
transaction. `coalesced` returns a function with the same rule for the keys of many calls, which is faster
under load. Only `Operations` chooses between the two.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from taskwell.core.errors import NotCoalesced, TaskwellError
from taskwell.database.database import Database, ReadTransaction, Transaction
from taskwell.schemas.query import Keyset, TaskFilter, TaskQuery
from taskwell.schemas.task import (
    TaskCreate,
    TaskDeleted,
    TaskMove,
    TaskRead,
    TaskSkip,
    TaskToggle,
    TaskUpdate,
)
from taskwell.schemas.token import TokenCreate, TokenCreated
from taskwell.schemas.user import UserCreate, UserRead, UserUpdate
from taskwell.services import moves, tasks, tokens, trash, users
from taskwell.services.move_statements import MoveKey, move_tasks
from taskwell.services.sequence import last_number, last_numbers, lock
from taskwell.services.task_fields import is_plain
from taskwell.services.task_query import (
    Chunk,
    ChunkKey,
    count_tasks,
    has_index,
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
from taskwell.services.zones import NO_ZONE, ZoneOfRequest, zone_of_user, zones_of_users

T = TypeVar("T")

CHUNK_SIZE = 1_000  # tasks per statement of a whole list
_SHORT_CHUNK_SIZE = 101

# Checks the user's last sequence number while its row is locked; it raises to prevent the write.
Check = Callable[[int], None]
# Errors of coalesced operations. A transaction of their own may do better: create a missing user, for one.
UNDECIDED = (UserNotFound, NotCoalesced)
# The function that executes the operations of many calls, and the key of this one.
Coalesced = tuple[Callable[[Any, Sequence[Any]], Awaitable[Sequence[T | TaskwellError]]], Any]
# On the fast path text in canonical form: creating a UUID would take longer than everything else.
TaskId = UUID | str


class Operation(Generic[T]):
    """A write, or a `ReadOperation`. `user_id`: the owner of the data; writes of one owner are serialized."""

    __slots__ = ()
    user_id: str

    async def run(self, transaction: Transaction) -> T:
        """Apply the rule of the operation."""
        raise NotImplementedError

    def coalesced(self) -> Coalesced[T] | None:
        """The function and the key to coalesce it by. None: it needs a transaction of its own."""
        return None


class ReadOperation(Operation[T]):
    __slots__ = ()

    async def run(self, transaction: ReadTransaction) -> T:
        raise NotImplementedError


class _Undone(TaskwellError):
    """Undoes the transaction of a dry run, and carries its outcome.

    A TaskwellError, since the SQLite writer undoes no other error alone, without the writes beside it.
    """

    def __init__(self, outcome: Any) -> None:
        super().__init__()
        self.outcome = outcome


class Operations:
    """Executes operations."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def execute(self, operation: Operation[T]) -> T:
        """Execute an operation: coalesced if possible, else in a transaction of its own.

        Raises: what the operation's rule, `Database.read` or `Database.write` raises.
        """
        started = self.start(operation)
        if started is not None:
            with suppress(*UNDECIDED):
                return await started
        if isinstance(operation, ReadOperation):
            return await self.database.read(operation.run)
        async with self.database.serialized(operation.user_id):
            return await self.database.write(operation.run)

    async def dry_run(self, operation: Operation[T]) -> T:
        """Apply the rule of an operation and undo it. Returns what `execute` would, and raises the same."""

        async def run(transaction: Transaction) -> None:
            raise _Undone(await operation.run(transaction))

        try:
            async with self.database.serialized(operation.user_id):
                await self.database.write(run)
        except _Undone as undone:
            outcome: T = undone.outcome
            return outcome
        raise AssertionError  # `run` always raises

    def start(self, operation: Operation[T]) -> asyncio.Future[T] | None:
        """Start a coalesced operation without a task. None: it is not coalesced; use `execute`.

        If the future raises one of `UNDECIDED`, use `execute` too.
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
    """The tasks of a list that follow a keyset: up to one more than `limit`, to detect a next page.

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
        # A short page in the order of an index takes microseconds; any other list can take long.
        short = key.limit <= _SHORT_CHUNK_SIZE and has_index(self.query)
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
    """The sequence number of the user's latest write. Every change of a list changes it."""

    user_id: str

    async def run(self, transaction: ReadTransaction) -> int:
        return await last_number(transaction, self.user_id)

    def coalesced(self) -> Coalesced[int]:
        return last_numbers, self.user_id


@dataclass(frozen=True, slots=True)
class GetZone(ReadOperation[str]):
    """The user's own time zone; empty: there is none."""

    user_id: str

    async def run(self, transaction: ReadTransaction) -> str:
        return await zone_of_user(transaction, self.user_id)

    def coalesced(self) -> Coalesced[str]:
        return zones_of_users, self.user_id


async def zone_of(operations: Operations, user_id: str, zone: ZoneOfRequest) -> str:
    """The request's own zone, the user's, or the server's."""
    if zone.asked is not None:
        return zone.asked
    own = await operations.execute(GetZone(user_id))
    return own or zone.default


@dataclass(frozen=True, slots=True)
class CreateTask(Operation[TaskRead | TaskJson]):
    """`create_user`: whether the first task of a user creates the user."""

    user_id: str
    new: TaskCreate
    create_user: bool
    check: Check | None = None
    zone: ZoneOfRequest = NO_ZONE

    async def run(self, transaction: Transaction) -> TaskRead:
        await check_list(transaction, self.user_id, self.check, create_user=self.create_user)
        return await tasks.create_task(
            transaction, self.user_id, self.new, create_user=self.create_user, zone=self.zone
        )

    def coalesced(self) -> Coalesced[TaskRead | TaskJson] | None:
        if self.check is not None or not is_plain(self.new):
            return None
        return insert_tasks, new_task(self.user_id, self.new)


@dataclass(frozen=True, slots=True)
class PutTask(Operation[TaskRead]):
    """Create a task with an id that the client chose."""

    user_id: str
    task_id: UUID
    changes: TaskUpdate
    create_user: bool
    zone: ZoneOfRequest = NO_ZONE

    async def run(self, transaction: Transaction) -> TaskRead:
        return await tasks.put_task(
            transaction,
            self.user_id,
            self.task_id,
            self.changes,
            create_user=self.create_user,
            zone=self.zone,
        )


@dataclass(frozen=True, slots=True)
class UpdateTask(Operation[TaskRead]):
    user_id: str
    task_id: UUID
    changes: TaskUpdate
    expected: ExpectedVersions | None = None
    zone: ZoneOfRequest = NO_ZONE

    async def run(self, transaction: Transaction) -> TaskRead:
        return await tasks.update_task(
            transaction,
            self.user_id,
            self.task_id,
            self.changes,
            expected=self.expected,
            zone=self.zone,
        )


@dataclass(frozen=True, slots=True)
class ToggleTask(Operation[TaskRead | TaskJson]):
    user_id: str
    task_id: TaskId
    state: TaskToggle
    expected: ExpectedVersions | None = None
    zone: ZoneOfRequest = NO_ZONE

    async def run(self, transaction: Transaction) -> TaskRead:
        return await tasks.toggle_task(
            transaction,
            self.user_id,
            _uuid(self.task_id),
            self.state,
            expected=self.expected,
            zone=self.zone,
        )

    def coalesced(self) -> Coalesced[TaskRead | TaskJson] | None:
        if self.expected is not None or self.state.model_fields_set:
            return None
        return toggle_tasks, TaskKey(self.user_id, str(self.task_id))


@dataclass(frozen=True, slots=True)
class SkipTask(Operation[TaskRead]):
    """Move a recurring task to its next occurrence."""

    user_id: str
    task_id: UUID
    skip: TaskSkip
    expected: ExpectedVersions | None = None
    zone: ZoneOfRequest = NO_ZONE

    async def run(self, transaction: Transaction) -> TaskRead:
        return await tasks.skip_task(
            transaction,
            self.user_id,
            self.task_id,
            self.skip,
            expected=self.expected,
            zone=self.zone,
        )


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
class MoveTask(Operation[TaskRead | TaskJson]):
    user_id: str
    task_id: UUID
    move: TaskMove
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> TaskRead:
        return await moves.move_task(
            transaction, self.user_id, self.task_id, self.move, expected=self.expected
        )

    def coalesced(self) -> Coalesced[TaskRead | TaskJson] | None:
        if self.expected is not None or not self.move.model_fields_set <= {"after", "before"}:
            return None
        spot = moves.spot_of(self.move)
        other = None if spot.neighbour is None else str(spot.neighbour)
        return move_tasks, MoveKey(self.user_id, str(self.task_id), other, spot.after)


@dataclass(frozen=True, slots=True)
class DeleteTasks(Operation[int]):
    """Move the tasks of a filter to the trash. The outcome is their count."""

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
class UpdateUser(Operation[UserRead]):
    """`create_user`: whether the first change of a user creates the user."""

    user_id: str
    changes: UserUpdate
    create_user: bool

    async def run(self, transaction: Transaction) -> UserRead:
        return await users.update_user(transaction, self.user_id, self.changes, create_user=self.create_user)


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
    """Check the user's last sequence number, and lock it until the end of the transaction."""
    if check is not None:
        check(await lock(transaction, user_id, create_user=create_user))


def _uuid(task_id: TaskId) -> UUID:
    return UUID(task_id) if isinstance(task_id, str) else task_id
