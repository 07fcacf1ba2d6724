"""One sequence per user: every write of a user's tasks takes the next sequence number, `users.last_seq`.

Taking the number locks the user's row before any task is touched. So sequence numbers become visible in
order, and two writes of one user never deadlock.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Insert,
    Row,
    bindparam,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlmodel import col

from taskwell.database.coalescing import coalesced
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.database.prepared import PreparedStatement
from taskwell.models import User
from taskwell.services.users import UserNotFound, new_user

SequenceNumber = ColumnElement[int]

_LAST_NUMBER = PreparedStatement(select(col(User.last_seq)).where(col(User.id) == bindparam("user_id")))
# `(SELECT ...)` hides the array's length from the planner, so one plan serves any length.
_LAST_NUMBERS = PreparedStatement(
    text("SELECT id, last_seq FROM users WHERE id = ANY (CAST((SELECT CAST(:user_ids AS text[])) AS text[]))")
)


async def last_number(transaction: ReadTransaction, user_id: str) -> int:
    """The sequence number of the user's latest write; 0 for a user who has not written yet."""
    rows = await transaction.fetch_prepared(_LAST_NUMBER, user_id=user_id)
    return rows[0][0] if rows else 0


@coalesced("last_numbers", inline=True)
async def last_numbers(transaction: ReadTransaction, user_ids: Sequence[str]) -> Sequence[int]:
    """Like `last_number`, for each of the users in the given order."""
    if not transaction.writes_in_ctes:
        return [await last_number(transaction, user_id) for user_id in user_ids]
    found = {
        row[0]: row[1] for row in await transaction.fetch_prepared(_LAST_NUMBERS, user_ids=list(user_ids))
    }
    return [found.get(user_id, 0) for user_id in user_ids]


async def lock(transaction: Transaction, user_id: str, *, create_user: bool) -> int:
    """Lock the user's tasks against other writes until the end. Returns their latest sequence number.

    A user who has not written yet is created if `create_user`: there is no other row to lock. The statement
    that does so comes after one that has waited for the row: if that was the user's erasure, it sees where
    the numbers go on.

    Raises:
        UserNotFound: the user does not exist, and `create_user` is false.
    """
    row = await transaction.first(next_numbers(user_id, 0))
    if row is None and create_user:
        new = new_user(transaction, user_id).on_conflict_do_nothing().returning(col(User.id))
        if await transaction.first(new) is not None:
            return 0
        row = await transaction.first(next_numbers(user_id, 0))  # another transaction created the user
    if row is None:
        raise UserNotFound
    number: int = row[0]
    return number


def next_numbers(user_id: str, count: int) -> ReturningUpdate[tuple[int]]:
    """Take `count` sequence numbers of an existing user; returns the last. Taking 0 locks the row."""
    return (
        update(User)
        .where(col(User.id) == user_id)
        .values(last_seq=col(User.last_seq) + count)
        .returning(col(User.last_seq))
    )


async def take_number(transaction: Transaction, user_id: str) -> int:
    """Take the next sequence number of an existing user."""
    return await take_numbers(transaction, user_id, 1, create_user=False)


async def take_numbers(transaction: Transaction, user_id: str, count: int, *, create_user: bool) -> int:
    """Take `count` sequence numbers; returns the last.

    Raises:
        UserNotFound: the user does not exist, and `create_user` is false.
    """
    row = await transaction.first(next_numbers(user_id, count))
    if row is None:
        await lock(transaction, user_id, create_user=create_user)
        row = await transaction.first(next_numbers(user_id, count))
    assert row is not None
    number: int = row[0]
    return number


async def write(
    transaction: Transaction,
    user_id: str,
    statement: Callable[[SequenceNumber], Executable],
    *,
    record: Callable[[SequenceNumber], Insert] | None = None,
) -> Sequence[Row[Any]]:
    """Take a sequence number and run the statement that uses it: in one round trip where the database can.

    `record`: a statement without rows that uses the number too. Returns the rows of the other; none if the
    user does not exist.
    """
    number = next_numbers(user_id, 1)
    if transaction.writes_in_ctes:
        taken = number.cte("taken").c.last_seq
        written: Any = statement(taken)
        return await transaction.all(written if record is None else written.add_cte(record(taken).cte()))
    row = await transaction.first(number)
    if row is None:
        return []
    taken = literal(row[0], BigInteger)
    if record is not None:
        await transaction.execute(record(taken))
    return await transaction.all(statement(taken))
