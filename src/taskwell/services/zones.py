"""The time zone that a request counts in: what "today" is, and where an instant lies."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, text
from sqlmodel import col

from taskwell.database.coalescing import coalesced
from taskwell.database.database import ReadTransaction
from taskwell.database.prepared import PreparedStatement
from taskwell.models import User

_ZONE = PreparedStatement(select(col(User.time_zone)).where(col(User.id) == bindparam("user_id")))
# `(SELECT ...)` hides the array's length from the planner, so one plan serves any length.
_ZONES = PreparedStatement(
    text(
        "SELECT id, time_zone FROM users WHERE id = ANY (CAST((SELECT CAST(:user_ids AS text[])) AS text[]))"
    )
)


@dataclass(frozen=True, slots=True)
class ZoneOfRequest:
    """`asked`: the request's own zone. `default`: of users who have none."""

    asked: str | None = None
    default: str = "UTC"

    async def name(self, transaction: ReadTransaction, user_id: str) -> str:
        """The request's own, the user's, or the server's."""
        if self.asked is not None:
            return self.asked
        row = await transaction.first(select(col(User.time_zone)).where(col(User.id) == user_id))
        return (row[0] if row else None) or self.default


NO_ZONE = ZoneOfRequest()


async def zone_of_user(transaction: ReadTransaction, user_id: str) -> str:
    """The user's own zone; empty: there is none."""
    rows = await transaction.fetch_prepared(_ZONE, user_id=user_id)
    return (rows[0][0] if rows else None) or ""


@coalesced("zones_of_users", inline=True)
async def zones_of_users(transaction: ReadTransaction, user_ids: Sequence[str]) -> Sequence[str]:
    """As `zone_of_user`, for each of the users in the given order."""
    if not transaction.writes_in_ctes or len(user_ids) == 1:
        return [await zone_of_user(transaction, user_id) for user_id in user_ids]
    found = {row[0]: row[1] for row in await transaction.fetch_prepared(_ZONES, user_ids=list(user_ids))}
    return [found.get(user_id) or "" for user_id in user_ids]
