"""The operations on claims, as `services.operations` has those on tasks. None is coalesced."""

from dataclasses import dataclass
from uuid import UUID

from taskwell.database.database import ReadTransaction, Transaction
from taskwell.schemas.claim import ClaimRead, ClaimRenewed, ClaimsTaken, ClaimTaken
from taskwell.schemas.query import TaskQuery
from taskwell.services import claims
from taskwell.services.claims import NewClaim
from taskwell.services.operations import Check, Operation, ReadOperation
from taskwell.services.tasks import ExpectedVersions
from taskwell.services.zones import NO_ZONE, ZoneOfRequest


@dataclass(frozen=True, slots=True)
class ListClaims(ReadOperation[list[ClaimRead]]):
    user_id: str

    async def run(self, transaction: ReadTransaction) -> list[ClaimRead]:
        return await claims.list_claims(transaction, self.user_id)


@dataclass(frozen=True, slots=True)
class ClaimTask(Operation[ClaimTaken]):
    user_id: str
    task_id: UUID
    new: NewClaim
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> ClaimTaken:
        return await claims.claim_task(
            transaction, self.user_id, self.task_id, self.new, expected=self.expected
        )


@dataclass(frozen=True, slots=True)
class ClaimNext(Operation[ClaimsTaken]):
    """Claim the first tasks of a list that are not claimed."""

    user_id: str
    count: int
    new: NewClaim
    query: TaskQuery
    check: Check | None = None
    zone: ZoneOfRequest = NO_ZONE

    async def run(self, transaction: Transaction) -> ClaimsTaken:
        claimed = await claims.claim_next(
            transaction, self.user_id, self.count, self.new, self.query, check=self.check, zone=self.zone
        )
        return ClaimsTaken(claimed)


@dataclass(frozen=True, slots=True)
class RenewClaim(Operation[ClaimRenewed]):
    user_id: str
    task_id: UUID
    claim: int
    seconds: int
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> ClaimRenewed:
        return await claims.renew_claim(
            transaction, self.user_id, self.task_id, self.claim, self.seconds, expected=self.expected
        )


@dataclass(frozen=True, slots=True)
class ReleaseClaim(Operation[None]):
    """`claim` None: of any holder."""

    user_id: str
    task_id: UUID
    claim: int | None = None
    expected: ExpectedVersions | None = None

    async def run(self, transaction: Transaction) -> None:
        await claims.release_claim(
            transaction, self.user_id, self.task_id, self.claim, expected=self.expected
        )
