"""Users, who own tasks. Users sign up elsewhere; this table stores only what tasks need."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, LargeBinary, Text
from sqlmodel import Field, SQLModel

from taskwell.core.clock import utc_now
from taskwell.models.base import SEQUENCE_END, USER_ID_MAX_LENGTH

EPOCH = 2**32  # every epoch of a sequence begins at a multiple
UNKNOWN_USERS = b""  # in place of a digest: the row for erased users that have no row of their own
EMAIL_MAX_LENGTH = 254  # RFC 5321, as corrected by erratum 1690


class User(SQLModel, table=True):
    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"length(id) BETWEEN 1 AND {USER_ID_MAX_LENGTH}", name="id_length"),
        CheckConstraint(f"length(email) BETWEEN 3 AND {EMAIL_MAX_LENGTH}", name="email_length"),
        CheckConstraint(f"last_seq >= 0 AND last_seq < {SEQUENCE_END}", name="last_seq_range"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    email: str | None = Field(default=None, unique=True, sa_type=Text)
    # An IANA name, which says what "today" is; null: the server's setting.
    time_zone: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(default_factory=utc_now)
    # The sequence number of the user's latest write. Each write takes the next one, and the row's lock
    # makes them visible in order.
    last_seq: int = Field(default=0, sa_type=BigInteger)
    # The highest version of a purged task: a client with an older cursor has missed its deletion.
    purged_seq: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    # The sequence number behind which the history is whole.
    history_seq: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})


class ErasedUser(SQLModel, table=True):
    """Where the sequence of an erased user continues if they are created again. It stores nothing else.

    A restore may have lost users: one mark stands for all users that are not known.
    """

    __tablename__ = "erased_users"

    digest: bytes = Field(primary_key=True, sa_type=LargeBinary)
    next_seq: int = Field(sa_type=BigInteger)
