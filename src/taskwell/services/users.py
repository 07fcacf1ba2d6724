"""Users: created, listed, deleted."""

import hashlib
from typing import Any

from sqlalchemy import delete, exists, func, not_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.core.errors import Conflict, NotFound
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.models import ErasedUser, IdempotencyKey, Task, User
from taskwell.models.user import EPOCH, UNKNOWN_USERS
from taskwell.schemas.types import RESERVED_USER_IDS, is_reserved
from taskwell.schemas.user import UserCreate, UserRead, UserUpdate
from taskwell.services.reminder_rows import rewrite_reminders

Insert = postgresql.Insert | sqlite.Insert

_COLUMNS = (col(User.id), col(User.email), col(User.time_zone), col(User.created_at))


class UserNotFound(NotFound):
    detail = "There is no such user."


class UserTaken(Conflict):
    detail = "The id or the e-mail address is taken: choose another."


def new_user(transaction: Transaction, user_id: str) -> Insert:
    """The INSERT of a user, in every case.

    A user who was erased or lost before begins in a later epoch, so no earlier sequence number is valid.
    """
    digest = col(ErasedUser.digest)
    marks = or_(digest == _digest(user_id), digest == UNKNOWN_USERS)
    before = select(func.max(col(ErasedUser.next_seq))).where(marks)
    first = func.coalesce(before.scalar_subquery(), 0)
    return transaction.insert(User).values(id=user_id, created_at=utc_now(), last_seq=first, purged_seq=0)


def _digest(user_id: str) -> bytes:
    return hashlib.sha256(user_id.encode()).digest()


async def create_user(transaction: Transaction, new: UserCreate) -> UserRead:
    """Create a user. Raises UserTaken: another user has the id or the e-mail address."""
    user_id = new.id or str(uuid7())
    # In a statement of its own, which waits for an erasure: the INSERT then sees where the numbers go on.
    there = select(col(User.id)).where(col(User.id) == user_id).with_for_update()
    if await transaction.first(there) is not None:
        raise UserTaken
    statement = new_user(transaction, user_id).values(email=new.email)
    row = await transaction.first(statement.on_conflict_do_nothing().returning(*_COLUMNS))
    if row is None:
        raise UserTaken
    return UserRead.of(row)


async def find_user(transaction: ReadTransaction, user_id: str) -> UserRead | None:
    row = await transaction.first(select(*_COLUMNS).where(col(User.id) == user_id))
    return UserRead.of(row) if row else None


async def get_user(transaction: ReadTransaction, user_id: str) -> UserRead:
    """Return a user. Raises UserNotFound."""
    user = await find_user(transaction, user_id)
    if user is None:
        raise UserNotFound
    return user


async def update_user(
    transaction: Transaction, user_id: str, changes: UserUpdate, *, create_user: bool
) -> UserRead:
    """Change the members that the client sent. It changes no task, so it takes no sequence number.

    The reminders of their tasks follow the zone.

    Raises:
        UserNotFound: the user does not exist, and `create_user` is false.
    """
    sent = changes.model_dump()
    user = await _changed(transaction, user_id, sent)
    if user is None and create_user:
        new = new_user(transaction, user_id).values(**sent).on_conflict_do_nothing().returning(*_COLUMNS)
        row = await transaction.first(new)
        # Without a row another transaction has created the user.
        user = UserRead.of(row) if row else await _changed(transaction, user_id, sent)
    if user is None:
        raise UserNotFound
    if "time_zone" in sent:
        await rewrite_reminders(transaction, user_id)
    return user


async def _changed(transaction: Transaction, user_id: str, values: dict[str, Any]) -> UserRead | None:
    if not values:
        return await find_user(transaction, user_id)
    changed = update(User).where(col(User.id) == user_id).values(**values).returning(*_COLUMNS)
    row = await transaction.first(changed)
    return UserRead.of(row) if row else None


async def list_users(transaction: ReadTransaction, after: str, limit: int) -> list[UserRead]:
    """The next users in the order of their ids."""
    statement = select(*_COLUMNS).where(col(User.id) > after).order_by(col(User.id)).limit(limit)
    return [UserRead.of(row) for row in await transaction.all(statement)]


async def list_reserved_users(transaction: ReadTransaction) -> list[str]:
    """The ids of users older than the reservation of their ids, read from the index."""
    user_id = col(User.id)
    versions = or_(user_id.between("v0", "v" + "9" * 20), user_id.between("V0", "V" + "9" * 20))
    found = or_(user_id.in_(sorted(RESERVED_USER_IDS)), versions)
    rows = await transaction.all(select(user_id).where(found).order_by(user_id))
    return [row[0] for row in rows if is_reserved(row[0])]


async def count_tasks(transaction: ReadTransaction, user_id: str) -> tuple[int, int]:
    """Count the user's tasks: alive, and in the trash.

    Raises:
        UserNotFound: there is no such user.
    """
    await get_user(transaction, user_id)
    everything, in_trash = (
        func.count().label("everything"),
        func.count(col(Task.deleted_at)).label("in_trash"),
    )
    row = await transaction.first(select(everything, in_trash).where(col(Task.user_id) == user_id))
    assert row is not None
    return row.everything - row.in_trash, row.in_trash


async def set_email(transaction: Transaction, user_id: str, email: str) -> None:
    """Store the address that the sign-in verified, unless another user has it already.

    Raises:
        UserTaken: another user took it concurrently.
    """
    taken = exists().where(col(User.email) == email)
    statement = (
        update(User)
        .where(col(User.id) == user_id, col(User.email).is_distinct_from(email), not_(taken))
        .values(email=email)
    )
    try:
        await transaction.all(statement.returning(col(User.id)))
    except IntegrityError:
        raise UserTaken from None


async def delete_user(transaction: Transaction, user_id: str) -> None:
    """Delete the user and all their data permanently.

    Raises:
        UserNotFound: there is no such user.
    """
    # Their tasks, tokens and history are deleted by ON DELETE CASCADE.
    erased = delete(User).where(col(User.id) == user_id).returning(col(User.last_seq))
    row = await transaction.first(erased)
    if row is None:
        raise UserNotFound
    # After the user, whose writes have all ended by now: the answer of one may have been stored meanwhile.
    keys = delete(IdempotencyKey).where(col(IdempotencyKey.user_id) == user_id)
    await transaction.all(keys.returning(col(IdempotencyKey.key)))
    next_seq = (row.last_seq // EPOCH + 1) * EPOCH
    mark = transaction.insert(ErasedUser).values(digest=_digest(user_id), next_seq=next_seq)
    upsert = mark.on_conflict_do_update(index_elements=["digest"], set_={"next_seq": next_seq})
    await transaction.all(upsert.returning(col(ErasedUser.next_seq)))
