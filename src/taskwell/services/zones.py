"""The time zone that a request counts in: what "today" is, and where an instant lies."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import col

from taskwell.database.database import ReadTransaction
from taskwell.models import User


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
