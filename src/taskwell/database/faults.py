"""What a driver's exception means. The whole knowledge of SQLSTATE and of SQLite's codes is here."""

import re
import sqlite3
import ssl
from enum import Enum, auto

from asyncpg.exceptions import InterfaceError, InternalClientError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from taskwell.core.database_url import DatabaseUrl
from taskwell.core.errors import Busy, Forbidden, StorageFull, TaskwellError, Unavailable


class Fault(Enum):
    CONFLICT = auto()  # serialization failure or deadlock: the whole transaction may run again
    LOST = auto()  # the connection broke: the same, unless COMMIT was on its way
    AWAY = auto()  # no connection could be made
    BUSY = auto()  # a lock, a slot in the pool or the time for a statement was not to be had
    READ_ONLY = auto()  # a standby, or a file that may not be written
    FULL = auto()
    BROKEN = auto()  # the file is damaged or no database
    CONFUSED = auto()  # a pooler has changed the session beneath a prepared statement: nothing was run
    REFUSED = auto()  # by row-level security: a statement of ours meant a row that is not the caller's


_OF_SQLSTATE = {
    "40001": Fault.CONFLICT,
    "40P01": Fault.CONFLICT,
    "57P01": Fault.LOST,
    "57P02": Fault.LOST,
    "57P03": Fault.AWAY,
    "53300": Fault.BUSY,
    "55P03": Fault.BUSY,
    "57014": Fault.BUSY,
    "25006": Fault.READ_ONLY,
    "53100": Fault.FULL,
    "26000": Fault.CONFUSED,  # a prepared statement that does not exist
    "42P05": Fault.CONFUSED,  # or that exists already
    "34000": Fault.CONFUSED,  # the same of a portal
    "22P03": Fault.CONFUSED,  # the values of one statement for another
}
# A protocol violation of the server's: the values of one statement for another. Of a pooler's: anything.
_WRONG_VALUES = re.compile("bind message|insufficient data left in message")
# The first two characters are SQLSTATE's class. Credentials may be changed while the server runs.
_VIOLATION = "08P01"
_OF_CLASS = {"08": Fault.LOST, "28": Fault.AWAY, "3D": Fault.AWAY}

_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Fault.AWAY,
    sqlite3.SQLITE_IOERR: Fault.AWAY,
    sqlite3.SQLITE_IOERR_WRITE: Fault.FULL,  # what is full is not the disk, but what this user may have of it
    sqlite3.SQLITE_CORRUPT: Fault.BROKEN,
    sqlite3.SQLITE_NOTADB: Fault.BROKEN,
}


class NotConnected(Exception):
    """A server, or a pooler before it, has answered and lets nobody in. It says why, in its own words."""

    def __init__(self, error: BaseException) -> None:
        self.words = _words_of(error)
        self.sqlstate = str(getattr(error, "sqlstate", None) or "")
        super().__init__(self.words)


def fault_of(error: BaseException) -> Fault | None:
    """The fault behind an exception, or None if it is none of the database's (a mistake of ours)."""
    if isinstance(error, PoolTimeout):
        return Fault.BUSY
    # SQLAlchemy wraps what the driver raises, but not while it connects.
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _OF_SQLITE.get(code) or _OF_SQLITE.get(code & 0xFF)  # the upper bits refine the primary code
    fault = _of_server(error, original)
    if fault is None and isinstance(error, DBAPIError):
        return Fault.LOST if error.connection_invalidated else None
    return Fault.AWAY if fault is None and isinstance(error, OSError | TimeoutError) else fault


def _of_server(error: BaseException, original: BaseException | None) -> Fault | None:
    sqlstate = getattr(original, "sqlstate", None)
    fault = _of_sqlstate(sqlstate) if isinstance(sqlstate, str) else None
    if isinstance(error, NotConnected):
        return Fault.AWAY if fault in {None, Fault.CONFUSED} or sqlstate == _VIOLATION else fault
    if sqlstate == _VIOLATION and _WRONG_VALUES.search(str(original)):
        return Fault.CONFUSED
    if type(original).__name__ == "InvalidCachedStatementError":  # a plan from before a migration
        return Fault.CONFLICT
    return Fault.REFUSED if fault is None and _is_refused(error) else fault


def never_sent(error: Exception) -> bool:
    """Whether the driver knew that the connection was lost before it sent the statement."""
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error.__cause__
    if isinstance(cause, InternalClientError):  # the server's farewell was heard, its hanging up not yet
        return str(cause).startswith(("cannot switch to state", "not connected"))
    return isinstance(cause, InterfaceError)


def _of_sqlstate(sqlstate: str) -> Fault | None:
    return _OF_SQLSTATE.get(sqlstate) or _OF_CLASS.get(sqlstate[:2])


def _is_refused(error: BaseException) -> bool:
    """A table without a GRANT has the same SQLSTATE, and only the words of the two differ."""
    driver_error = error.driver_exception if isinstance(error, DBAPIError) else error
    return getattr(driver_error, "server_source_function", None) == "ExecWithCheckOptions"


def error_of(fault: Fault) -> TaskwellError:
    """What a client is told when nothing more can be done. In every case nothing was changed."""
    match fault:
        case Fault.FULL:
            return StorageFull()
        case Fault.BUSY | Fault.CONFLICT:
            return Busy()
        case Fault.REFUSED:
            return Forbidden()
        case Fault.READ_ONLY | Fault.BROKEN | Fault.CONFUSED:
            detail, retry_after, reason = _UNAVAILABLE[fault]
            return Unavailable(detail, retry_after=retry_after, reason=reason)
        case _:
            return Unavailable()


_UNAVAILABLE = {  # what a client is told, after how many seconds to try again, and a word to count by
    Fault.READ_ONLY: (
        "The database takes no changes at the moment; nothing was changed. Try again.", 5, "read_only",
    ),
    Fault.BROKEN: ("The database is damaged; its operator has to restore it.", 60, "damaged"),
    Fault.CONFUSED: ("The way to the database has changed; nothing was changed. Try again.", 1, "pooler"),
}  # fmt: skip
_REMEDIES = {  # by what servers, poolers and providers say
    "unsupported startup parameter": "a pooler takes no `options`: say by ALTER ROLE … SET what they say",
    "no pg_hba.conf entry": "add sslmode=require, or let this machine in by pg_hba.conf",
    "not found|no such user|does not exist|authentication failed|no password": "check the user, the password "
    "and the database's name",
}
_LASTING = re.compile("|".join(_REMEDIES), re.IGNORECASE)
_MOST_WORDS = 300
_UNKNOWN_ISSUER = "that cannot be verified: name its issuer by sslrootcert=FILE"
_WRONG_CERTIFICATE = {  # by OpenSSL's numbers
    10: "that has expired: its operator has to renew it, or this machine's clock is wrong",
    62: "of another host: use the host's name that is in it",
    64: "of another host: use the host's name that is in it",
}
_SQLITE_REASONS = {
    Fault.AWAY: "{} cannot be opened: check that its folder exists and may be written",
    Fault.READ_ONLY: "{} may not be written: check the permissions of the file and its folder",
    Fault.FULL: "there is no room for {}: free some space on its disk",
    Fault.BROKEN: "{} is damaged or no SQLite database: restore it from a backup",
}


def lasting_reason(url: DatabaseUrl, error: BaseException) -> str | None:
    """What an operator has to change before the database can be used, or None if waiting may help.

    For operators alone: it shows where the database is and what it says, though never the password.
    """
    fault = fault_of(error)
    if url.is_sqlite:
        reason = _SQLITE_REASONS.get(fault) if fault else None
        if reason is not None:
            return reason.format(url.path)
    elif isinstance(error, ssl.SSLCertVerificationError):
        return f"{url} shows a certificate {_WRONG_CERTIFICATE.get(error.verify_code, _UNKNOWN_ISSUER)}"
    elif isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return (
            f"{url} does not speak TLS: take the host that does, or sslmode=disable in a network of your own"
        )
    elif isinstance(error, NotConnected) and _lasts(error):
        return refusal(url, error)
    if fault is None and isinstance(error, DBAPIError):
        return f"{url}: {_words_of(error)}"
    return None


def refusal(url: DatabaseUrl, error: NotConnected) -> str:
    """What a server or a pooler has said, and what may be done about it. For operators alone."""
    remedies = (remedy for words, remedy in _REMEDIES.items() if re.search(words, error.words, re.IGNORECASE))
    words = error.words
    if password := url.url.password:
        words = words.replace(password, "***")
    if (remedy := next(remedies, _of_class(error.sqlstate))) is None:
        return f"{url} refuses: {words}"
    return f"{url} refuses: {remedy} (it says: {words})"


def _of_class(sqlstate: str) -> str | None:
    return "check the user, the password and the database's name" if sqlstate[:2] in {"28", "3D"} else None


def _lasts(error: NotConnected) -> bool:
    """Whether somebody has to change something: credentials, a name, a parameter that is refused."""
    by_class = error.sqlstate[:2] in {"28", "3D", "22", "42"}
    return by_class or _LASTING.search(error.words) is not None


def reason_of(url: DatabaseUrl, error: BaseException) -> str | None:
    """Why a command cannot go on, for its operator, or None if the error is not the database's."""
    if (lasting := lasting_reason(url, error)) is not None:
        return lasting
    if isinstance(error, NotConnected):
        return refusal(url, error)
    if (fault := fault_of(error)) is None:
        return None
    said = f" The server says: {_words_of(error)}" if _is_answer(error) else ""
    return f"{url}: {error_of(fault)}{said}"


def _is_answer(error: BaseException) -> bool:
    """Whether the server has said it, not the driver. What is said of a fault holds nothing of a row."""
    driver_error = error.driver_exception if isinstance(error, DBAPIError) else error
    return isinstance(driver_error, PostgresError) and driver_error.severity is not None


def _words_of(error: BaseException) -> str:
    """What the server said, in one line, without its details, which may hold what is in a row."""
    driver_error = error.driver_exception if isinstance(error, DBAPIError) else error
    message = getattr(driver_error, "message", None) or str(driver_error).partition("\n")[0]
    words = " ".join(message.split())
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}…"
