"""The time of the last housekeeping: a server started for each request would not know it."""

from datetime import datetime

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

# It describes this database, not its users: backups and moves leave it out.
STAYS = "stays"


class Housekeeping(SQLModel, table=True):
    __tablename__ = "housekeeping"
    __table_args__ = {"info": {STAYS: True}}

    chore: str = Field(primary_key=True, sa_type=Text)
    done_at: datetime
