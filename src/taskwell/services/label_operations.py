"""The operations on labels, as `services.operations` has those on tasks."""

from collections.abc import Sequence
from dataclasses import dataclass

from taskwell.database.database import ReadTransaction, Transaction
from taskwell.schemas.label import LabelCounted, LabelPut, LabelRead, LabelUpdate
from taskwell.services import labels
from taskwell.services.operations import Operation, ReadOperation


@dataclass(frozen=True, slots=True)
class GetLabels(ReadOperation[Sequence[LabelCounted]]):
    user_id: str

    async def run(self, transaction: ReadTransaction) -> Sequence[LabelCounted]:
        return await labels.list_labels(transaction, self.user_id)


@dataclass(frozen=True, slots=True)
class GetLabel(ReadOperation[LabelCounted]):
    user_id: str
    name: str

    async def run(self, transaction: ReadTransaction) -> LabelCounted:
        return await labels.get_label(transaction, self.user_id, self.name)


@dataclass(frozen=True, slots=True)
class PutLabel(Operation[LabelRead]):
    """`create_user`: whether the first write of a user creates the user."""

    user_id: str
    name: str
    changes: LabelPut
    create_user: bool

    async def run(self, transaction: Transaction) -> LabelRead:
        return await labels.put_label(
            transaction, self.user_id, self.name, self.changes, create_user=self.create_user
        )


@dataclass(frozen=True, slots=True)
class UpdateLabel(Operation[LabelRead]):
    user_id: str
    name: str
    changes: LabelUpdate

    async def run(self, transaction: Transaction) -> LabelRead:
        return await labels.update_label(transaction, self.user_id, self.name, self.changes)


@dataclass(frozen=True, slots=True)
class DeleteLabel(Operation[None]):
    user_id: str
    name: str

    async def run(self, transaction: Transaction) -> None:
        await labels.delete_label(transaction, self.user_id, self.name)
