"""The operations on lists, as `services.operations` has those on tasks. None is coalesced: lists are few."""

from dataclasses import dataclass
from uuid import UUID

from taskwell.database.database import ReadTransaction, Transaction
from taskwell.schemas.task_list import Fate, ListCreate, ListDeleted, ListMove, ListRead, ListUpdate
from taskwell.services import task_lists
from taskwell.services.operations import Check, Operation, ReadOperation
from taskwell.services.task_lists import ExpectedVersions
from taskwell.services.zones import NO_ZONE, ZoneOfRequest


@dataclass(frozen=True, slots=True)
class GetLists(ReadOperation[tuple[int, list[ListRead]]]):
    """All lists in their order, and the user's latest number. `counted`: with the numbers of open tasks."""

    user_id: str
    deleted: bool = False
    counted: bool = False
    zone: ZoneOfRequest = NO_ZONE

    async def run(self, transaction: ReadTransaction) -> tuple[int, list[ListRead]]:
        number, lists = await task_lists.get_lists(transaction, self.user_id, deleted=self.deleted)
        if self.counted:
            lists = [*await task_lists.count_open(transaction, self.user_id, lists, self.zone)]
        return number, lists


@dataclass(frozen=True, slots=True)
class GetList(ReadOperation[ListRead]):
    user_id: str
    list_id: UUID

    async def run(self, transaction: ReadTransaction) -> ListRead:
        return await task_lists.get_list(transaction, self.user_id, self.list_id)


@dataclass(frozen=True, slots=True)
class CreateList(Operation[ListRead]):
    """`create_user`: whether the first list of a user creates the user. `list_id`: if the client chose it."""

    user_id: str
    new: ListCreate
    create_user: bool
    list_id: UUID | None = None
    check: Check | None = None

    async def run(self, transaction: Transaction) -> ListRead:
        return await task_lists.create_list(
            transaction,
            self.user_id,
            self.new,
            create_user=self.create_user,
            list_id=self.list_id,
            check=self.check,
        )


@dataclass(frozen=True, slots=True)
class PutList(Operation[ListRead]):
    """Create a list with an id that the client chose."""

    user_id: str
    list_id: UUID
    changes: ListUpdate
    create_user: bool

    async def run(self, transaction: Transaction) -> ListRead:
        return await task_lists.put_list(
            transaction, self.user_id, self.list_id, self.changes, create_user=self.create_user
        )


@dataclass(frozen=True, slots=True)
class UpdateList(Operation[ListRead]):
    user_id: str
    list_id: UUID
    changes: ListUpdate
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> ListRead:
        return await task_lists.update_list(
            transaction, self.user_id, self.list_id, self.changes, expected=self.expected
        )


@dataclass(frozen=True, slots=True)
class ArchiveList(Operation[ListRead]):
    """Archive a list, or take it out of the archive."""

    user_id: str
    list_id: UUID
    archived: bool
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> ListRead:
        return await task_lists.archive_list(
            transaction, self.user_id, self.list_id, archived=self.archived, expected=self.expected
        )


@dataclass(frozen=True, slots=True)
class MoveList(Operation[ListRead]):
    user_id: str
    list_id: UUID
    target: ListMove
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> ListRead:
        return await task_lists.move_list(
            transaction, self.user_id, self.list_id, self.target, expected=self.expected
        )


@dataclass(frozen=True, slots=True)
class DeleteList(Operation[ListDeleted]):
    """`tasks`: whether they are deleted too, or kept in the inbox."""

    user_id: str
    list_id: UUID
    tasks: Fate = "delete"
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> ListDeleted:
        return await task_lists.delete_list(
            transaction, self.user_id, self.list_id, tasks=self.tasks, expected=self.expected
        )


@dataclass(frozen=True, slots=True)
class RestoreList(Operation[ListRead]):
    user_id: str
    list_id: UUID
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> ListRead:
        return await task_lists.restore_list(transaction, self.user_id, self.list_id, expected=self.expected)
