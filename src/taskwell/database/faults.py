"""Classifies the drivers' exceptions. SQLSTATEs and SQLite's codes are known only here."""

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
    CONFLICT = auto()  # serialization failure or deadlock: the transaction can be retried
    LOST = auto()  # the connection broke: the same, unless COMMIT had been sent
    UNREACHABLE = auto()  # no connection could be made
    BUSY = auto()  # a timeout: of a lock, of the pool or of a statement
    READ_ONLY = auto()  # a standby, or a file that is not writable
    FULL = auto()
    BROKEN = auto()  # the file is damaged, or not a database
    CONFUSED = auto()  # a pooler switched the session beneath a prepared statement: nothing ran
    REFUSED = auto()  # row-level security: a statement of taskwell's addressed another user's row


_OF_SQLSTATE = {
    "40001": Fault.CONFLICT,
    "40P01": Fault.CONFLICT,
    "57P01": Fault.LOST,
    "57P02": Fault.LOST,
    "57P03": Fault.UNREACHABLE,
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
# From a server, a protocol violation is one statement's values for another; from a pooler, anything.
_WRONG_VALUES = re.compile("bind message|insufficient data left in message")
# By SQLSTATE's class, its first two characters. Credentials may change while the server runs.
_VIOLATION = "08P01"
_OF_CLASS = {"08": Fault.LOST, "28": Fault.UNREACHABLE, "3D": Fault.UNREACHABLE}

_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: Fault.UNREACHABLE,
    sqlite3.SQLITE_IOERR: Fault.UNREACHABLE,
    sqlite3.SQLITE_IOERR_WRITE: Fault.FULL,  # the user's disk quota is exhausted, not the disk
    sqlite3.SQLITE_CORRUPT: Fault.BROKEN,
    sqlite3.SQLITE_NOTADB: Fault.BROKEN,
}


class NotConnected(Exception):
    """A server or a pooler refused the connection. `words` is its own message."""

    def __init__(self, error: BaseException) -> None:
        self.words = _words_of(error)
        self.sqlstate = str(getattr(error, "sqlstate", None) or "")
        super().__init__(self.words)


def fault_of(error: BaseException) -> Fault | None:
    """The fault behind an exception, or None if the database did not cause it (a bug of taskwell's)."""
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
    return Fault.UNREACHABLE if fault is None and isinstance(error, OSError | TimeoutError) else fault


def _of_server(error: BaseException, original: BaseException | None) -> Fault | None:
    sqlstate = getattr(original, "sqlstate", None)
    fault = _of_sqlstate(sqlstate) if isinstance(sqlstate, str) else None
    if isinstance(error, NotConnected):
        return Fault.UNREACHABLE if fault in {None, Fault.CONFUSED} or sqlstate == _VIOLATION else fault
    if sqlstate == _VIOLATION and _WRONG_VALUES.search(str(original)):
        return Fault.CONFUSED
    if type(original).__name__ == "InvalidCachedStatementError":  # a plan from before a migration
        return Fault.CONFLICT
    return Fault.REFUSED if fault is None and _is_refused(error) else fault


def never_sent(error: Exception) -> bool:
    """Whether the driver noticed the lost connection before it sent the statement."""
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error.__cause__
    if isinstance(cause, InternalClientError):  # the server's error was read, its disconnect not yet
        return str(cause).startswith(("cannot switch to state", "not connected"))
    return isinstance(cause, InterfaceError)


def _of_sqlstate(sqlstate: str) -> Fault | None:
    return _OF_SQLSTATE.get(sqlstate) or _OF_CLASS.get(sqlstate[:2])


def _is_refused(error: BaseException) -> bool:
    """Whether row-level security refused a row. A missing GRANT has the same SQLSTATE."""
    driver_error = error.driver_exception if isinstance(error, DBAPIError) else error
    return getattr(driver_error, "server_source_function", None) == "ExecWithCheckOptions"


def error_of(fault: Fault) -> TaskwellError:
    """The error for clients once retries have failed. In every case nothing was changed."""
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


# The detail for clients, the seconds until a retry, and the label in the metrics.
_UNAVAILABLE = {
    Fault.READ_ONLY: (
        "The database is read-only; nothing was changed. Try again later.", 5, "read_only",
    ),
    Fault.BROKEN: ("The database is damaged; the operator must restore a backup.", 60, "damaged"),
    Fault.CONFUSED: ("The database connection was reset; nothing was changed. Try again.", 1, "pooler"),
}  # fmt: skip
# By the messages of servers, poolers and providers.
_REMEDIES = {
    "unsupported startup parameter": "a pooler refuses `options`: set them with ALTER ROLE … SET",
    "no pg_hba.conf entry": "add sslmode=require, or allow this machine in pg_hba.conf",
    "not found|no such user|does not exist|authentication failed|no password": "check the user, the password "
    "and the database's name",
}
_LASTING = re.compile("|".join(_REMEDIES), re.IGNORECASE)
_MAX_WORDS = 300
_UNKNOWN_ISSUER = "that cannot be verified: set sslrootcert=FILE to its issuer's certificate"
# By OpenSSL's error codes.
_WRONG_CERTIFICATE = {
    10: "that has expired: renew it, or set this machine's clock",
    62: "of another host: use the host name in the certificate",
    64: "of another host: use the host name in the certificate",
}
_SQLITE_REASONS = {
    Fault.UNREACHABLE: "{} cannot be opened: check that its folder exists and is writable",
    Fault.READ_ONLY: "{} is not writable: check the permissions of the file and its folder",
    Fault.FULL: "the disk of {} is full: free space on it",
    Fault.BROKEN: "{} is damaged or not an SQLite database: restore it from a backup",
}


def lasting_reason(url: DatabaseUrl, error: BaseException) -> str | None:
    """What an operator must fix before the database can be used, or None if waiting may help.

    For operators only: it shows the database's address and message, but never the password.
    """
    fault = fault_of(error)
    if url.is_sqlite:
        reason = _SQLITE_REASONS.get(fault) if fault else None
        if reason is not None:
            return reason.format(url.path)
    elif isinstance(error, ssl.SSLCertVerificationError):
        return f"{url} has a certificate {_WRONG_CERTIFICATE.get(error.verify_code, _UNKNOWN_ISSUER)}"
    elif isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return f"{url} does not support TLS: use a host that does, or sslmode=disable in a private network"
    elif isinstance(error, NotConnected) and _lasts(error):
        return refusal(url, error)
    if fault is None and isinstance(error, DBAPIError):
        return f"{url}: {_words_of(error)}"
    return None


def refusal(url: DatabaseUrl, error: NotConnected) -> str:
    """The message of a server or a pooler that refuses, with a remedy. For operators only."""
    remedies = (remedy for words, remedy in _REMEDIES.items() if re.search(words, error.words, re.IGNORECASE))
    words = error.words
    if password := url.url.password:
        words = words.replace(password, "***")
    if (remedy := next(remedies, _of_class(error.sqlstate))) is None:
        return f"{url} refuses the connection: {words}"
    return f"{url} refuses the connection: {remedy} (its message: {words})"


def _of_class(sqlstate: str) -> str | None:
    return "check the user, the password and the database's name" if sqlstate[:2] in {"28", "3D"} else None


def _lasts(error: NotConnected) -> bool:
    """Whether an operator must fix it: credentials, a name, a refused parameter."""
    by_class = error.sqlstate[:2] in {"28", "3D", "22", "42"}
    return by_class or _LASTING.search(error.words) is not None


def reason_of(url: DatabaseUrl, error: BaseException) -> str | None:
    """Why a command cannot continue, for operators, or None if the error is not the database's."""
    if (lasting := lasting_reason(url, error)) is not None:
        return lasting
    if isinstance(error, NotConnected):
        return refusal(url, error)
    if (fault := fault_of(error)) is None:
        return None
    message = f" The server's message: {_words_of(error)}" if _from_server(error) else ""
    return f"{url}: {error_of(fault)}{message}"


def _from_server(error: BaseException) -> bool:
    """Whether the message is the server's, not the driver's. Messages of faults contain no row's values."""
    driver_error = error.driver_exception if isinstance(error, DBAPIError) else error
    return isinstance(driver_error, PostgresError) and driver_error.severity is not None


def _words_of(error: BaseException) -> str:
    """The server's message on one line, without its details, which may contain a row's values."""
    driver_error = error.driver_exception if isinstance(error, DBAPIError) else error
    message = getattr(driver_error, "message", None) or str(driver_error).partition("\n")[0]
    words = " ".join(message.split())
    return words if len(words) <= _MAX_WORDS else f"{words[:_MAX_WORDS]}…"
