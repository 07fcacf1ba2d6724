"""What a driver's exception means. The whole knowledge of SQLSTATE and of SQLite's codes is here."""

import sqlite3
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from taskwell.core.errors import StorageFull, TaskwellError, Unavailable


class Fault(Enum):
    CONFLICT = auto()  # serialization failure or deadlock: the whole transaction may run again
    LOST = auto()  # the connection broke: the same, unless COMMIT was on its way
    AWAY = auto()  # no connection could be made
    BUSY = auto()  # a lock, a slot in the pool or the time for a statement was not to be had
    READ_ONLY = auto()  # a standby, or a file that may not be written
    FULL = auto()
    BROKEN = auto()  # the file is damaged or no database


_OF_SQLSTATE = {
    "40001": Fault.CONFLICT,
    "40P01": Fault.CONFLICT,
    "57P01": Fault.LOST,
    "57P02": Fault.LOST,
    "57P03": Fault.AWAY,
    "53300": Fault.AWAY,
    "55P03": Fault.BUSY,
    "57014": Fault.BUSY,
    "25006": Fault.READ_ONLY,
    "53100": Fault.FULL,
}
# The first two characters are SQLSTATE's class. Credentials may be changed while the server runs.
_OF_CLASS = {"08": Fault.LOST, "28": Fault.AWAY, "3D": Fault.AWAY}

_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Fault.AWAY,
    sqlite3.SQLITE_IOERR: Fault.AWAY,
    sqlite3.SQLITE_CORRUPT: Fault.BROKEN,
    sqlite3.SQLITE_NOTADB: Fault.BROKEN,
}


def fault_of(error: BaseException) -> Fault | None:
    """The fault behind an exception, or None if it is none of the database's (a mistake of ours)."""
    if isinstance(error, PoolTimeout):
        return Fault.BUSY
    if isinstance(error, DBAPIError):
        return _fault_of_driver(error)
    # SQLAlchemy does not wrap what the driver raises while it connects.
    if isinstance(error, OSError | TimeoutError):
        return Fault.AWAY
    sqlstate = getattr(error, "sqlstate", None)
    return _of_sqlstate(sqlstate) if isinstance(sqlstate, str) else None


def _fault_of_driver(error: DBAPIError) -> Fault | None:
    original = error.orig
    code = getattr(original, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _OF_SQLITE.get(code & 0xFF)  # the upper bits refine the primary code
    sqlstate = getattr(original, "sqlstate", None)
    fault = _of_sqlstate(sqlstate) if isinstance(sqlstate, str) else None
    return fault or (Fault.LOST if error.connection_invalidated else None)


def _of_sqlstate(sqlstate: str) -> Fault | None:
    return _OF_SQLSTATE.get(sqlstate) or _OF_CLASS.get(sqlstate[:2])


def error_of(fault: Fault) -> TaskwellError:
    """What a client is told when nothing more can be done. In every case nothing was changed."""
    match fault:
        case Fault.FULL:
            return StorageFull()
        case Fault.BUSY | Fault.CONFLICT:
            return Unavailable("The database is busy; nothing was changed. Try again.")
        case Fault.READ_ONLY:
            return Unavailable(
                "The database takes no changes at the moment; nothing was changed. Try again.",
                retry_after=5,
            )
        case Fault.BROKEN:
            return Unavailable("The database is damaged; its operator has to restore it.", retry_after=60)
        case _:
            return Unavailable()
