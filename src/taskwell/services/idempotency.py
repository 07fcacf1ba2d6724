"""Idempotency: stores responses for requests that are repeated.

A key is reserved in the transaction of its effect: both are committed or neither. The response is stored with
it.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlmodel import col

from taskwell.core.clock import utc_now
from taskwell.core.errors import Conflict, KeyReused
from taskwell.database.database import Transaction
from taskwell.models import IdempotencyKey

_DIGEST_BYTES = 32
_PURGED_AT_ONCE = 1_000


class StoredResponse(NamedTuple):
    """A stored response, and a digest of the conditions under which the request failed; empty on success."""

    answer: bytes
    conditions: bytes


class InProgress(Conflict):
    detail = "A request with this Idempotency-Key is still running. Try again later."
    retry_after = 1


async def reserve(
    transaction: Transaction, user_id: str, key: str, fingerprint: bytes
) -> StoredResponse | None:
    """Reserve the key for this request. Returns the stored response of a request that is repeated.

    Raises:
        InProgress: the same request is running.
        KeyReused: the key belongs to another request.
    """
    # SQLite has one writer at a time, so the same request cannot be running.
    if transaction.writes_in_ctes:
        lock = func.pg_try_advisory_xact_lock(func.hashtextextended(f"{user_id}\n{key}", 0))
        row = await transaction.first(select(lock))
        if row is None or not row[0]:
            raise InProgress
    values = {"user_id": user_id, "key": key, "fingerprint": fingerprint, "created_at": utc_now()}
    statement = (
        transaction.insert(IdempotencyKey)
        .values(**values)
        .on_conflict_do_nothing()
        .returning(col(IdempotencyKey.key))
    )
    if await transaction.first(statement) is not None:
        return None
    columns = (col(IdempotencyKey.fingerprint), col(IdempotencyKey.answer))
    found = await transaction.first(select(*columns).where(*_key(user_id, key)))
    if found is None or found.answer is None:
        raise InProgress
    request, conditions = bytes(found.fingerprint[:_DIGEST_BYTES]), bytes(found.fingerprint[_DIGEST_BYTES:])
    if request != fingerprint:
        raise KeyReused
    return StoredResponse(bytes(found.answer), conditions)


async def store(
    transaction: Transaction, user_id: str, key: str, fingerprint: bytes, stored: StoredResponse
) -> None:
    """Store the response with the key that this transaction reserved, replacing an earlier response.

    The digest of the conditions follows that of the request. The row is inserted again if it is gone:
    deleting a user deletes their keys, including this one.
    """
    outcome = {"fingerprint": fingerprint + stored.conditions, "answer": stored.answer}
    statement = (
        transaction.insert(IdempotencyKey)
        .values(user_id=user_id, key=key, created_at=utc_now(), **outcome)
        .on_conflict_do_update(
            index_elements=[col(IdempotencyKey.user_id), col(IdempotencyKey.key)], set_=outcome
        )
    )
    await transaction.first(statement.returning(col(IdempotencyKey.key)))


async def purge_expired(transaction: Transaction, created_before: datetime) -> int:
    """Delete some of the keys older than an instant. Returns how many; 0 at the end."""
    key = tuple_(col(IdempotencyKey.user_id), col(IdempotencyKey.key))
    old = (
        select(col(IdempotencyKey.user_id), col(IdempotencyKey.key))
        .where(col(IdempotencyKey.created_at) < created_before)
        .order_by(col(IdempotencyKey.created_at))
        .limit(_PURGED_AT_ONCE)
    )
    statement = delete(IdempotencyKey).where(key.in_(old)).returning(col(IdempotencyKey.key))
    return len(await transaction.all(statement))


def _key(user_id: str, key: str) -> tuple[ColumnElement[bool], ...]:
    return (col(IdempotencyKey.user_id) == user_id, col(IdempotencyKey.key) == key)
