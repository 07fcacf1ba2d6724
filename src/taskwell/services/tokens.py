"""API tokens: created, looked up by their digest, revoked.

A token is `tw_`, 256 random bits and a checksum, all in letters and digits: secret scanners recognize it, and
a mistyped one is refused without a query.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, or_, select, update
from sqlmodel import col
from uuid_utils.compat import uuid7

from taskwell.core.clock import utc_now
from taskwell.core.errors import Conflict, Invalid, NotFound, Unauthorized, Violation
from taskwell.core.rates import Rate
from taskwell.database.database import ReadTransaction, Transaction, inline
from taskwell.models import ApiToken
from taskwell.schemas.token import TokenCreate, TokenCreated, TokenRead
from taskwell.services.sequence import lock

PREFIX = "tw_"
USE_IS_NOTED_EVERY = timedelta(minutes=1)
_MAX_TOKENS = 100  # per user
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS, _CHECKSUM_DIGITS = 43, 6  # enough for 256 and for 32 bits
_FORM = re.compile(rf"tw_([0-9A-Za-z]{{{_RANDOM_DIGITS}}})([0-9A-Za-z]{{{_CHECKSUM_DIGITS}}})", re.ASCII)
_COLUMNS = (
    col(ApiToken.id),
    col(ApiToken.name),
    col(ApiToken.scopes),
    col(ApiToken.rate),
    col(ApiToken.created_at),
    col(ApiToken.expires_at),
    col(ApiToken.last_used_at),
)


class TokenNotFound(NotFound):
    detail = "There is no such token."


class TokenRefused(Unauthorized):
    def __init__(self) -> None:
        super().__init__("The token is not known, has expired or was revoked.")


class TooManyTokens(Conflict):
    detail = f"A user may have {_MAX_TOKENS} tokens: revoke an unused one first."


@dataclass(frozen=True, slots=True)
class Owner:
    """A token's owner and what it may do. `use_is_due`: its last use should be noted."""

    user_id: str
    token_id: UUID
    name: str
    scopes: frozenset[str]
    rate: Rate | None
    expires_at: datetime | None
    use_is_due: bool


def new_secret() -> str:
    random = _digits(secrets.randbits(256), _RANDOM_DIGITS)
    return f"{PREFIX}{random}{_checksum(random)}"


def is_well_formed(secret: str) -> bool:
    found = _FORM.fullmatch(secret)
    return found is not None and found[2] == _checksum(found[1])


def _checksum(random: str) -> str:
    return _digits(zlib.crc32(random.encode()), _CHECKSUM_DIGITS)


def _digits(number: int, count: int) -> str:
    digits = []
    for _ in range(count):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


async def create_token(
    transaction: Transaction, user_id: str, new: TokenCreate, *, create_user: bool
) -> TokenCreated:
    """Create a token. Only the return value contains its secret.

    Raises:
        Invalid: its expiry is in the past.
        UserNotFound: the user does not exist, and `create_user` is false.
        TooManyTokens: the user has the maximum number of tokens.
    """
    now = utc_now()
    if new.expires_at is not None and new.expires_at <= now:
        raise Invalid(Violation("body", "/expires_at", "in_the_past", "must be in the future"))
    # Concurrent creates are serialized, so that the maximum holds.
    await lock(transaction, user_id, create_user=create_user)
    owned = await transaction.first(
        select(func.count()).select_from(ApiToken).where(col(ApiToken.user_id) == user_id)
    )
    if owned is not None and owned[0] >= _MAX_TOKENS:
        raise TooManyTokens
    secret = new_secret()
    values = {
        "user_id": user_id,
        "id": uuid7(),
        "name": new.name,
        "digest": _digest(secret),
        "scopes": " ".join(dict.fromkeys(new.scopes)),
        "rate": new.rate,
        "created_at": now,
        "expires_at": new.expires_at,
    }
    rows = await transaction.all(transaction.insert(ApiToken).values(**values).returning(*_COLUMNS))
    return TokenCreated(**asdict(_read(rows[0])), token=secret)


async def keep_token(transaction: Transaction, user_id: str, token_id: UUID) -> None:
    """Keep a token from being revoked until the end. Raises TokenRefused: it was revoked before."""
    own = select(col(ApiToken.id)).where(col(ApiToken.user_id) == user_id, col(ApiToken.id) == token_id)
    if await transaction.first(own.with_for_update(read=True, key_share=True)) is None:
        raise TokenRefused


async def list_tokens(transaction: ReadTransaction, user_id: str) -> list[TokenRead]:
    """The user's tokens, newest first, including expired ones that were not revoked."""
    statement = select(*_COLUMNS).where(col(ApiToken.user_id) == user_id).order_by(col(ApiToken.id).desc())
    return [_read(row) for row in await transaction.all(statement)]


async def revoke_token(transaction: Transaction, user_id: str, token_id: UUID) -> None:
    """Revoke a token. No request can use it after the commit.

    Raises:
        TokenNotFound: missing, or another user's.
    """
    statement = delete(ApiToken).where(col(ApiToken.user_id) == user_id, col(ApiToken.id) == token_id)
    if await transaction.first(statement.returning(col(ApiToken.id))) is None:
        raise TokenNotFound


@inline
async def find_owner(transaction: ReadTransaction, secret: str) -> Owner | None:
    """The token's owner, or None if it is unknown or expired. The look-up by digest leaks no timing."""
    columns = (
        col(ApiToken.user_id),
        col(ApiToken.id),
        col(ApiToken.name),
        col(ApiToken.scopes),
        col(ApiToken.rate),
        col(ApiToken.expires_at),
        col(ApiToken.last_used_at),
    )
    row = await transaction.first(select(*columns).where(col(ApiToken.digest) == _digest(secret)))
    now = utc_now()
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    due = row.last_used_at is None or row.last_used_at <= now - USE_IS_NOTED_EVERY
    rate = None if row.rate is None else Rate.parse(row.rate)
    return Owner(row.user_id, row.id, row.name, frozenset(row.scopes.split()), rate, row.expires_at, due)


async def note_use(transaction: Transaction, user_id: str, token_id: UUID) -> None:
    now = utc_now()
    used = col(ApiToken.last_used_at)
    statement = (
        update(ApiToken)
        .where(
            col(ApiToken.user_id) == user_id,
            col(ApiToken.id) == token_id,
            or_(used.is_(None), used <= now - USE_IS_NOTED_EVERY),
        )
        .values(last_used_at=now)
    )
    await transaction.all(statement.returning(col(ApiToken.id)))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _read(row: Row[Any]) -> TokenRead:
    return TokenRead(
        row.id, row.name, row.scopes.split(), row.rate, row.created_at, row.expires_at, row.last_used_at
    )
