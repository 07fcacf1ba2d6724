"""Epochs: after a restore or a loss of acknowledged writes, every sequence continues far above its old end.

ETags and cursors of the lost epoch then never match anything in the new one.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Mapped
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import ErasedUser, Task, User
from taskwell.models.base import SEQUENCE_END
from taskwell.models.user import EPOCH, UNKNOWN_USERS

_ZERO = datetime(2026, 1, 1, tzinfo=UTC)
_LENGTH = timedelta(minutes=15)  # 2^21 of them are 59 years


async def highest_number(transaction: ReadTransaction) -> int:
    """The highest sequence number of all users of this database; 0 if there is none."""
    return max(
        await _highest(transaction, col(User.last_seq)), await _highest(transaction, col(ErasedUser.next_seq))
    )


async def _highest(transaction: ReadTransaction, number: Mapped[int]) -> int:
    row = await transaction.first(select(func.coalesce(func.max(number), 0)))
    assert row is not None
    highest: int = row[0]
    return highest


async def begin_epoch(transaction: Transaction, above: int = 0) -> int:
    """Continue every sequence in the same new epoch, above `above` and all present sequence numbers.

    Returns the number of the epoch. New users begin in it too, since they may have existed in the lost epoch.
    All claims end.
    """
    epoch = _next_epoch(max(above, await highest_number(transaction)), utc_now())
    start = epoch * EPOCH
    numbers = {col(User.last_seq): start, col(User.purged_seq): start, col(User.history_seq): start}
    await transaction.execute(update(User).values(numbers))
    # The numbers of claims are of the lost epoch.
    no_claim = {col(Task.claim): None, col(Task.claimed_until): None, col(Task.claim_by): None}
    await transaction.execute(update(Task).where(col(Task.claim).is_not(None)).values(no_claim))
    mark = transaction.insert(ErasedUser).values(digest=UNKNOWN_USERS, next_seq=start)
    await transaction.execute(mark.on_conflict_do_update(index_elements=["digest"], set_={"next_seq": start}))
    return epoch


def _next_epoch(highest: int, now: datetime) -> int:
    """The next epoch, by the clock too: only time separates two databases restored from one backup."""
    by_clock = (now - _ZERO) // _LENGTH
    return max(highest // EPOCH + 1, by_clock if by_clock < SEQUENCE_END // EPOCH else 0)
