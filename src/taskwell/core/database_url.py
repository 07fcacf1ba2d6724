"""`DATABASE_URL` as providers print it, translated into what the drivers understand.

libpq's parameters (https://www.postgresql.org/docs/current/libpq-connect.html) are not asyncpg's: each is
mapped here or refused by name, never passed over in silence.
"""

import ipaddress
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL

from taskwell.core.pasted_url import BadDatabaseUrl, pasted_url

Pooler = Literal["auto", "transaction", "none"]

__all__ = ["BadDatabaseUrl", "DatabaseUrl", "Pooler", "is_private", "parse_database_url"]

_POSTGRESQL = {"postgres", "postgresql"}
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full", "no-verify")
# Without a certificate that verifies: what asyncpg takes as `ssl`; None: a context that verifies nothing.
_WEAK: dict[str, str | bool | None] = {
    "disable": False,
    "allow": "prefer",
    "prefer": "prefer",
    "no-verify": None,
}
_POOLER_MARK = "-pooler."
# A session changes hands between two statements, so none may be prepared in it.
_UNPREPARED = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
_CHOICES = {
    "channel_binding": "disable, prefer or require",
    "pgbouncer": "true or false",
    "sslnegotiation": "postgres or direct",
    "target_session_attrs": "any, read-write or primary: taskwell makes changes",
    "gssencmode": "disable or prefer",
    "client_encoding": "UTF8",
}
# What other clients call libpq's parameters (JDBC).
_OTHER_NAMES = {
    "channelBinding": "channel_binding",
    "connectTimeout": "connect_timeout",
    "ApplicationName": "application_name",
}
# How providers tell other clients that there is a pooler in transaction mode.
_TELLS_OF_A_POOLER = {
    "prepared_statements": "false",
    "prepareThreshold": "0",
    "statement_cache_size": "0",
    "prepared_statement_cache_size": "0",
    "supa": "base-pooler.x",
}
# They tune the client's side of a connection. taskwell bounds every wait by itself, so nothing is lost
# without them; uselibpqcompat says of sslmode what is so here anyway, and the server's name is always sent.
_WITHOUT_EFFECT = (
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "uselibpqcompat", "sslsni", "fallback_application_name",
)  # fmt: skip
_OF_OTHERS = {
    "connection_limit": "TASKWELL_DB_POOL_SIZE limits connections",
    "pool_timeout": "TASKWELL_DB_POOL_TIMEOUT_SECONDS is taskwell's",
    "schema": "options=-csearch_path%3DNAME names one",
    "currentSchema": "options=-csearch_path%3DNAME names one",
    "search_path": "options=-csearch_path%3DNAME names one",
    "statement_timeout": "options=-cstatement_timeout%3D10s sets it",
    "sslaccept": "sslmode=verify-full verifies the certificate",
    "sslcert": "certificates of clients are not supported",
    "sslkey": "certificates of clients are not supported",
    "sslidentity": "certificates of clients are not supported",
}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where the database is. `repr` and `str` never show the password."""

    url: URL
    connect_args: dict[str, Any] = field(default_factory=dict, repr=False)
    pooler: Pooler = "none"  # auto: whether there is one is to be found out

    def __str__(self) -> str:
        backend = self.url.get_backend_name()
        return self.url.set(drivername=backend).render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def pooled(self) -> bool:
        """Whether a pooler in transaction mode is known to be in between."""
        return self.pooler == "transaction"

    @property
    def path(self) -> Path:
        """The file of an SQLite database."""
        assert self.url.database is not None
        return Path(self.url.database)

    def direct(self) -> "DatabaseUrl":
        """The same database past its pooler, where the host's name says how to get there (Neon)."""
        host = self.url.host or ""
        if not self.pooled or _POOLER_MARK not in host:
            return self
        url = self.url.set(host=host.replace(_POOLER_MARK, ".", 1))
        arguments = {name: value for name, value in self.connect_args.items() if name not in _UNPREPARED}
        return replace(self, url=url, connect_args=arguments, pooler="none")

    def through_pooler(self) -> "DatabaseUrl":
        """The same, now that a pooler is known to be in between."""
        return replace(self, connect_args=self.connect_args | _UNPREPARED, pooler="transaction")


def parse_database_url(text: str, *, pooler: Pooler = "auto") -> DatabaseUrl:
    """Translate a URL as pasted.

    Raises:
        BadDatabaseUrl: it is no URL, of another database, or has a parameter that cannot be honoured.
    """
    url = pasted_url(text)
    backend = url.drivername.partition("+")[0]
    if backend == "sqlite":
        return _sqlite(url)
    if backend in _POSTGRESQL:
        return _postgresql(url, pooler)
    raise BadDatabaseUrl("it must begin with sqlite: or postgresql:")


def _sqlite(url: URL) -> DatabaseUrl:
    if url.host:
        raise BadDatabaseUrl("a file needs three slashes, or four for an absolute path: sqlite:///tasks.db")
    if url.database in {None, "", ":memory:"}:
        raise BadDatabaseUrl("SQLite needs a file, such as sqlite:///taskwell.db")
    if url.query:
        raise BadDatabaseUrl("an SQLite URL takes no parameters")
    return DatabaseUrl(url.set(drivername="sqlite"))


def _postgresql(url: URL, pooler: Pooler) -> DatabaseUrl:
    parameters = {
        _OTHER_NAMES.get(name, name): value if isinstance(value, str) else value[-1]
        for name, value in url.query.items()
    }
    url = _with_places(url, parameters)
    # An @ that is not encoded ends the password too early: what follows would pass for host and database.
    if any("@" in part for part in (url.host or "", url.database or "", *parameters)):
        raise BadDatabaseUrl("an @ in the user or the password must be percent-encoded: %40")
    if not url.database:
        raise BadDatabaseUrl("it names no database: postgresql://user:password@host/DATABASE")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise BadDatabaseUrl("the port must be 1 to 65535")
    # A host that begins with a slash is a directory of Unix sockets, which libpq takes as a parameter too.
    host = parameters.pop("host", url.host or "localhost")
    if "," in host:
        raise BadDatabaseUrl("it names several hosts: name the one that takes changes")
    told = _tells_of_a_pooler(parameters) or _POOLER_MARK in host
    if pooler == "auto":
        pooler = "transaction" if told else "none" if _is_neon(host) else "auto"
    arguments = _connect_args(host, parameters)
    url = URL.create("postgresql+asyncpg", url.username, url.password, host, url.port, url.database)
    if host.startswith("/"):
        arguments["host"] = host
        url = url.set(host="")
    found = DatabaseUrl(url, arguments, pooler)
    return found.through_pooler() if found.pooled else found


def _with_places(url: URL, parameters: dict[str, str]) -> URL:
    """What stands in its place in a URL can be a parameter instead (libpq, JDBC)."""
    if url.username is None and "user" in parameters:
        url = url.set(username=parameters.pop("user"))
    if url.password is None and "password" in parameters:
        url = url.set(password=parameters.pop("password"))
    if not url.database and "dbname" in parameters:
        url = url.set(database=parameters.pop("dbname"))
    if url.port is None and "port" in parameters:
        port = parameters.pop("port")
        if not port.isascii() or not port.isdecimal():
            raise BadDatabaseUrl("the port must be 1 to 65535")
        url = url.set(port=int(port))
    return url


def _tells_of_a_pooler(parameters: dict[str, str]) -> bool:
    told = [_one_of(parameters, "pgbouncer", "false", "true") == "true"]
    for name, value in _TELLS_OF_A_POOLER.items():
        if name in parameters:
            told.append(parameters.pop(name) == value)
    return any(told)


def _is_neon(host: str) -> bool:
    """Neon's own proxy stands before every host of it, and gives each client a session of its own.

    It cannot be told from a pooler by asking, but by the name.
    """
    return host.endswith(".neon.tech")


def _connect_args(host: str, parameters: dict[str, str]) -> dict[str, Any]:
    for name in _WITHOUT_EFFECT:
        parameters.pop(name, None)
    _one_of(parameters, "target_session_attrs", "any", "read-write", "primary", "prefer-standby")
    _one_of(parameters, "gssencmode", "prefer", "disable")
    _one_of(parameters, "client_encoding", "UTF8", "utf8", "UTF-8", "utf-8", "auto")
    arguments = _tls(host, parameters)
    if "connect_timeout" in parameters:
        arguments["timeout"] = _seconds(parameters.pop("connect_timeout"))
    told = ("application_name", "options")
    if server_settings := {name: parameters.pop(name) for name in told if name in parameters}:
        arguments["server_settings"] = server_settings
    for name, instead in _OF_OTHERS.items():
        if name in parameters:
            raise BadDatabaseUrl(f"the parameter {name} belongs to another client; remove it ({instead})")
    if parameters:
        known = "sslmode, sslrootcert, sslnegotiation, channel_binding, connect_timeout, "
        raise BadDatabaseUrl(
            f"it has a parameter that is not known; known are {known}application_name, options, host"
        )
    return arguments


def _tls(host: str, parameters: dict[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    channel_binding = _one_of(parameters, "channel_binding", "prefer", "disable", "require")
    ssl_of_others = parameters.pop("ssl", None)
    mode = parameters.pop(
        "sslmode", {"true": "require", "false": "disable"}.get(str(ssl_of_others), ssl_of_others)
    )
    context = _ssl(host, mode, parameters.pop("sslrootcert", None), channel_binding)
    if context is not None:
        arguments["ssl"] = context
    if _one_of(parameters, "sslnegotiation", "postgres", "direct") == "direct":
        if not isinstance(context, ssl.SSLContext):
            raise BadDatabaseUrl("sslnegotiation=direct needs sslmode=require")
        arguments["direct_tls"] = True
    return arguments


def _one_of(parameters: dict[str, str], name: str, default: str, *others: str) -> str:
    value = parameters.pop(name, default)
    if value not in {default, *others}:
        raise BadDatabaseUrl(f"{name} must be {_CHOICES[name]}")
    return value


def _seconds(text: str) -> float:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 600:
        raise BadDatabaseUrl("connect_timeout must be 1 to 600 seconds")
    return float(text)


def _ssl(
    host: str, mode: str | None, root: str | None, channel_binding: str
) -> ssl.SSLContext | str | bool | None:
    """What asyncpg takes as `ssl`.

    libpq's `require` encrypts without asking who answers. Providers print it all the same and have
    certificates that verify, so a public host is verified; one in a private network has mostly a
    certificate of its own making. asyncpg cannot bind SCRAM to the channel, so whoever requires that
    gets the certificate verified, which guards against the same man in the middle.
    """
    if mode is None:
        mode = "verify-full" if root or channel_binding == "require" else None
    if mode is None:
        return None
    if mode not in _SSLMODES:
        raise BadDatabaseUrl(f"sslmode must be one of {', '.join(_SSLMODES)}")
    if mode in _WEAK:
        if root or channel_binding == "require":
            raise BadDatabaseUrl("sslrootcert and channel_binding=require need sslmode=require")
        weak = _WEAK[mode]
        return _without_verification(_context(None)) if weak is None else weak
    verified = mode in {"verify-ca", "verify-full"} or root or channel_binding == "require"
    context = _context(root)
    if not verified and is_private(host):
        return _without_verification(context)
    if mode == "verify-ca":
        context.check_hostname = False
    return context


def _without_verification(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(root: str | None) -> ssl.SSLContext:
    if root in {None, "system"}:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=root)
    except (OSError, ssl.SSLError):
        raise BadDatabaseUrl("sslrootcert is not a readable file of certificates") from None


def is_private(host: str) -> bool:
    """Whether the host is this machine or in a network of one's own, judged by the name alone."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".internal", ".local", ".lan", ".localhost"))
