"""The operations on the history: each is a value that `Operations` executes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from taskwell.database.database import ReadTransaction, Transaction
from taskwell.schemas.history import CompletionRead, UndoRequest, UndoResult
from taskwell.services import history_query, undo
from taskwell.services.history_query import HistoryFilter, HistoryPage
from taskwell.services.operations import Operation, ReadOperation


@dataclass(frozen=True, slots=True)
class ListHistory(ReadOperation[HistoryPage]):
    """A page of the history. `position`: the version of the last record of the page before."""

    user_id: str
    filter: HistoryFilter
    limit: int
    position: int | None = None

    async def run(self, transaction: ReadTransaction) -> HistoryPage:
        return await history_query.list_history(
            transaction, self.user_id, self.filter, limit=self.limit, position=self.position
        )


@dataclass(frozen=True, slots=True)
class GetObjectHistory(ReadOperation[HistoryPage]):
    """A page of the history of one task or list, which the filter has the kind of."""

    user_id: str
    object_id: UUID
    filter: HistoryFilter
    limit: int
    position: int | None = None

    async def run(self, transaction: ReadTransaction) -> HistoryPage:
        return await history_query.object_history(
            transaction,
            self.user_id,
            self.object_id,
            self.filter,
            limit=self.limit,
            position=self.position,
        )


@dataclass(frozen=True, slots=True)
class ListCompletions(ReadOperation[tuple[Sequence[CompletionRead], bool]]):
    """A page of the completed and skipped occurrences of a task, and whether there are more."""

    user_id: str
    task_id: UUID
    limit: int
    position: int | None = None

    async def run(self, transaction: ReadTransaction) -> tuple[Sequence[CompletionRead], bool]:
        return await history_query.list_completions(
            transaction, self.user_id, self.task_id, limit=self.limit, position=self.position
        )


@dataclass(frozen=True, slots=True)
class Undo(Operation[UndoResult]):
    user_id: str
    request: UndoRequest
    own_only: bool = False

    async def run(self, transaction: Transaction) -> UndoResult:
        return await undo.undo(transaction, self.user_id, self.request, own_only=self.own_only)
