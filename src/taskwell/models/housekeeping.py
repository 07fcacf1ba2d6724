"""When the house was kept last: a server that is started for each request would not know."""

from datetime import datetime

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

# It says something of this database, and of no user: it is not in backups, and no move takes it along.
STAYS = "stays"


class Housekeeping(SQLModel, table=True):
    __tablename__ = "housekeeping"
    __table_args__ = {"info": {STAYS: True}}

    chore: str = Field(primary_key=True, sa_type=Text)
    done_at: datetime
