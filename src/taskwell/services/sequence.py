"""One sequence per user: every write of a user's tasks takes the next number of `users.last_seq`.

Taking the number locks the user's row before any task is touched. So the numbers become visible in their
order, and two writes of one user never wait for each other crosswise.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Executable, Row, literal, update
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.database import Transaction
from taskwell.models import User

Number = ColumnElement[int]
TakeNumber = ReturningInsert[tuple[int]] | ReturningUpdate[tuple[int]]


def next_number(user_id: str, *conditions: ColumnElement[bool]) -> TakeNumber:
    """Take a number of a user who exists, if the conditions hold."""
    return (
        update(User)
        .where(col(User.id) == user_id, *conditions)
        .values(last_seq=col(User.last_seq) + 1)
        .returning(col(User.last_seq))
    )


def first_or_next_number(transaction: Transaction, user_id: str) -> TakeNumber:
    """Take a number, of a user who may come into being by it."""
    return (
        transaction.insert(User)
        .values(id=user_id, created_at=utc_now(), last_seq=1)
        .on_conflict_do_update(index_elements=[col(User.id)], set_={"last_seq": col(User.last_seq) + 1})
        .returning(col(User.last_seq))
    )


async def write(
    transaction: Transaction, number: TakeNumber, statement: Callable[[Number], Executable]
) -> Sequence[Row[Any]]:
    """Take a number and run the statement that bears it: in one round trip where the database can.

    Returns what the statement returns; nothing, if no number was to be had.
    """
    if transaction.writes_in_ctes:
        taken = number.cte("taken")
        return await transaction.all(statement(taken.c.last_seq))
    row = await transaction.first(number)
    return await transaction.all(statement(literal(row[0], BigInteger))) if row else []
