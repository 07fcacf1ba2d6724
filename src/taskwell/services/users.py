"""The rules of users."""

from typing import Any

from sqlalchemy import delete, exists, not_, select, update
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.core.database import ReadTransaction, Transaction
from taskwell.core.errors import Conflict, NotFound
from taskwell.models import IdempotencyKey, User
from taskwell.schemas.user import UserCreate, UserRead

_COLUMNS = (col(User.id), col(User.email), col(User.created_at))


class UserNotFound(NotFound):
    detail = "There is no such user."


class UserTaken(Conflict):
    detail = "The id or the e-mail address is taken."


async def create_user(transaction: Transaction, new: UserCreate) -> UserRead:
    """Raises UserTaken: the id or the e-mail address belongs to a user already."""
    values: dict[str, Any] = {
        "id": new.id or str(uuid7()),
        "email": new.email,
        "created_at": utc_now(),
        "last_seq": 0,
        "purged_seq": 0,
    }
    statement = transaction.insert(User).values(**values).on_conflict_do_nothing().returning(*_COLUMNS)
    row = await transaction.first(statement)
    if row is None:
        raise UserTaken
    return UserRead(row.id, row.email, row.created_at)


async def find_user(transaction: ReadTransaction, user_id: str) -> UserRead | None:
    row = await transaction.first(select(*_COLUMNS).where(col(User.id) == user_id))
    return UserRead(row.id, row.email, row.created_at) if row else None


async def get_user(transaction: ReadTransaction, user_id: str) -> UserRead:
    """Raises UserNotFound."""
    user = await find_user(transaction, user_id)
    if user is None:
        raise UserNotFound
    return user


async def set_email(transaction: Transaction, user_id: str, email: str) -> None:
    """Keep the address that the sign-in vouches for. One that is another user's already is left theirs."""
    taken = exists().where(col(User.email) == email)
    statement = (
        update(User)
        .where(col(User.id) == user_id, col(User.email).is_distinct_from(email), not_(taken))
        .values(email=email)
    )
    await transaction.all(statement.returning(col(User.id)))


async def delete_user(transaction: Transaction, user_id: str) -> None:
    """Delete the user and everything of theirs, for ever.

    Raises:
        UserNotFound: there is no such user.
    """
    keys = delete(IdempotencyKey).where(col(IdempotencyKey.user_id) == user_id)
    await transaction.all(keys.returning(col(IdempotencyKey.key)))
    # The tasks go with their owner: ON DELETE CASCADE.
    statement = delete(User).where(col(User.id) == user_id).returning(col(User.id))
    if await transaction.first(statement) is None:
        raise UserNotFound
