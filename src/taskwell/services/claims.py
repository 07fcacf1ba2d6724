"""Claims: for some time a task is in the hands of one worker. A claim is three columns of its task.

Claiming takes a number of the user's sequence. It becomes the task's version, so that a guarded write of an
earlier holder fails, and it names the claim. A claim ends by itself: whether it holds is a comparison with
the clock. Every write locks the user's row first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, update
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.errors import Claimed, ClaimLost, Conflict
from taskwell.core.principal import Actor
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import Task
from taskwell.schemas.actor import ActorRead
from taskwell.schemas.claim import (
    Claimant,
    ClaimHeld,
    ClaimRead,
    ClaimRenewed,
    ClaimTaken,
    claimant_of,
    claimant_to_json,
    held_members,
)
from taskwell.schemas.query import TaskQuery
from taskwell.schemas.task import TASK_COLUMNS, TaskRead
from taskwell.services.sequence import next_numbers
from taskwell.services.task_fields import NO_CLAIM
from taskwell.services.task_filters import IS_OPEN, conditions, free_at, held_at
from taskwell.services.task_query import order_of
from taskwell.services.task_rows import write_tasks
from taskwell.services.tasks import ExpectedVersions, locked
from taskwell.services.zones import NO_ZONE, ZoneOfRequest


class TaskCompleted(Conflict):
    detail = "The task is completed: only an open task can be claimed."


@dataclass(frozen=True, slots=True)
class NewClaim:
    seconds: int
    note: str | None = None


async def list_claims(transaction: ReadTransaction, user_id: str) -> list[ClaimRead]:
    """The claims that hold a task now, in the order of their numbers."""
    columns = (col(Task.id), col(Task.claim), col(Task.claimed_until), col(Task.claim_by))
    statement = (
        select(*columns).where(col(Task.user_id) == user_id, held_at(utc_now())).order_by(col(Task.claim))
    )
    return [_read(row) for row in await transaction.all(statement)]


def _read(row: Row[Any]) -> ClaimRead:
    claimant = claimant_of(row.claim_by)
    return ClaimRead(row.id, row.claim, claimant.by, claimant.since, row.claimed_until, claimant.note)


async def claim_task(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    new: NewClaim,
    *,
    expected: ExpectedVersions | None = None,
) -> ClaimTaken:
    """Claim a task that is not claimed.

    Raises:
        TaskNotFound: missing, in the trash, or of another user.
        PreconditionFailed: the task has none of the expected versions.
        TaskCompleted: it is completed.
        Claimed: a claim holds it, perhaps the caller's own.
    """
    stored = await locked(transaction, user_id, task_id, expected)
    if stored.completed:
        raise TaskCompleted
    if (holder := _holder(transaction.actor, stored)) is not None:
        raise Claimed(holder)
    (taken,) = await _claim(transaction, user_id, [task_id], new)
    return taken


async def claim_next(
    transaction: Transaction,
    user_id: str,
    count: int,
    new: NewClaim,
    query: TaskQuery,
    *,
    check: Callable[[int], None] | None = None,
    zone: ZoneOfRequest = NO_ZONE,
) -> list[ClaimTaken]:
    """Claim the first tasks of a list that are open and not claimed, up to `count`.

    If there is no such task, no number is taken. `check` gets the user's last number first, and raises to
    prevent the claim.
    """
    locked_user = await transaction.first(next_numbers(user_id, 0))
    if check is not None:
        check(locked_user[0] if locked_user else 0)
    if locked_user is None:
        return []
    name = await zone.name(transaction, user_id) if query.filter.needs_zone() else None
    now = utc_now()
    present = replace(query, filter=query.filter.model_copy(update={"tz": name, "now": now}))
    statement = (
        select(col(Task.id))
        .where(*conditions(transaction.dialect, user_id, present.filter), IS_OPEN, free_at(now))
        .order_by(*order_of(present))
        .limit(count)
    )
    ids = [row.id for row in await transaction.all(statement)]
    return await _claim(transaction, user_id, ids, new) if ids else []


async def renew_claim(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    claim: int,
    seconds: int,
    *,
    expected: ExpectedVersions | None = None,
) -> ClaimRenewed:
    """Let a claim end later or sooner, also one that has expired. The task keeps its version.

    Raises:
        TaskNotFound, PreconditionFailed: as `claim_task`.
        ClaimLost: the task was completed, released, or claimed again.
    """
    stored = await locked(transaction, user_id, task_id, expected)
    if stored.completed or stored.claim != claim:
        raise ClaimLost(stored.version, _holder(transaction.actor, stored))
    until = utc_now() + timedelta(seconds=seconds)
    await transaction.all(
        update(Task)
        .where(col(Task.user_id) == user_id, col(Task.id) == task_id)
        .values(claimed_until=until)
        .returning(col(Task.id))
    )
    return ClaimRenewed(claim, until)


async def release_claim(
    transaction: Transaction,
    user_id: str,
    task_id: UUID,
    claim: int | None = None,
    *,
    expected: ExpectedVersions | None = None,
) -> None:
    """End a claim. None: whatever claim the task has; without one it stays, and takes no number.

    Raises:
        TaskNotFound, PreconditionFailed: as `claim_task`.
        ClaimLost: the task was released, or claimed again.
    """
    stored = await locked(transaction, user_id, task_id, expected)
    if claim is not None and stored.claim != claim:
        raise ClaimLost(stored.version, _holder(transaction.actor, stored))
    if stored.claim is not None:
        await write_tasks(transaction, user_id, [{"id": task_id, **NO_CLAIM}], op="released")


def _holder(actor: Actor, task: Row[Any]) -> dict[str, object] | None:
    """The claim that holds a task now, as problems show it to the actor. `task`: not in the trash."""
    until: datetime | None = task.claimed_until
    if until is None or task.completed or until <= utc_now():
        return None
    claimant = claimant_of(task.claim_by)
    token = claimant.by.token
    yours = (None if token is None else token.id) == actor.token_id
    return held_members(ClaimHeld(claimant.by, claimant.since, until, claimant.note, yours))


async def _claim(
    transaction: Transaction, user_id: str, ids: Sequence[UUID], new: NewClaim
) -> list[ClaimTaken]:
    """Claim tasks: each takes the user's next number, in their order. The user's row is locked."""
    now = utc_now()
    until = now + timedelta(seconds=new.seconds)
    claimant = Claimant(ActorRead.of(user_id, transaction.actor), now, new.note)
    claim = {"claimed_until": until, "claim_by": claimant_to_json(claimant)}
    rows = [{"id": task_id, **claim} for task_id in ids]
    await write_tasks(transaction, user_id, rows, op="claimed", updated_at=now, numbered=["claim"])
    claimed = select(*TASK_COLUMNS).where(col(Task.user_id) == user_id, col(Task.id).in_(ids))
    tasks = map(TaskRead.of, await transaction.all(claimed.order_by(col(Task.version))))
    return [ClaimTaken(task.version, until, task) for task in tasks]
