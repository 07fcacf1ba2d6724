"""Translates `DATABASE_URL`, as providers print it, into the drivers' arguments.

libpq's parameters (https://www.postgresql.org/docs/current/libpq-connect.html) are not asyncpg's: each is
mapped here or refused by name, never silently ignored.
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
# The `ssl` argument of asyncpg for modes that verify no certificate; None: a context that verifies nothing.
_UNVERIFIED: dict[str, str | bool | None] = {
    "disable": False,
    "allow": "prefer",
    "prefer": "prefer",
    "no-verify": None,
}
_POOLER_MARK = "-pooler."
# A pooler assigns sessions per transaction, so no statement may stay prepared in one.
_UNPREPARED = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
_CHOICES = {
    "channel_binding": "disable, prefer or require",
    "pgbouncer": "true or false",
    "sslnegotiation": "postgres or direct",
    "target_session_attrs": "any, read-write or primary: taskwell makes changes",
    "gssencmode": "disable or prefer",
    "client_encoding": "UTF8",
}
# JDBC's names of libpq's parameters.
_JDBC_NAMES = {
    "channelBinding": "channel_binding",
    "connectTimeout": "connect_timeout",
    "ApplicationName": "application_name",
}
# Parameters by which providers tell other clients of a pooler in transaction mode.
_POOLER_HINTS = {
    "prepared_statements": "false",
    "prepareThreshold": "0",
    "statement_cache_size": "0",
    "prepared_statement_cache_size": "0",
    "supa": "base-pooler.x",
}
# They tune the client's side of a connection and are ignored: taskwell bounds every wait itself, treats
# sslmode as uselibpqcompat asks, and always sends the server's name.
_IGNORED = (
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "uselibpqcompat", "sslsni", "fallback_application_name",
)  # fmt: skip
_OTHER_CLIENTS = {
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
    """The database's URL, parsed. `repr` and `str` never show the password."""

    url: URL
    connect_args: dict[str, Any] = field(default_factory=dict, repr=False)
    # auto: the first connection detects it.
    pooler: Pooler = "none"

    def __str__(self) -> str:
        backend = self.url.get_backend_name()
        return self.url.set(drivername=backend).render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def pooled(self) -> bool:
        """Whether connections are known to go through a pooler in transaction mode."""
        return self.pooler == "transaction"

    @property
    def path(self) -> Path:
        """The file of an SQLite database."""
        assert self.url.database is not None
        return Path(self.url.database)

    def direct(self) -> "DatabaseUrl":
        """The URL that bypasses the pooler, where the host's name contains it (Neon); else this URL."""
        host = self.url.host or ""
        if not self.pooled or _POOLER_MARK not in host:
            return self
        url = self.url.set(host=host.replace(_POOLER_MARK, ".", 1))
        arguments = {name: value for name, value in self.connect_args.items() if name not in _UNPREPARED}
        return replace(self, url=url, connect_args=arguments, pooler="none")

    def through_pooler(self) -> "DatabaseUrl":
        """The same URL, marked as going through a pooler."""
        return replace(self, connect_args=self.connect_args | _UNPREPARED, pooler="transaction")


def parse_database_url(text: str, *, pooler: Pooler = "auto") -> DatabaseUrl:
    """Parse a URL as pasted.

    Raises:
        BadDatabaseUrl: it is not a URL, names an unsupported database, or has an unsupported parameter.
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
        _JDBC_NAMES.get(name, name): value if isinstance(value, str) else value[-1]
        for name, value in url.query.items()
    }
    url = _from_parameters(url, parameters)
    # An @ that is not encoded ends the password too early: the rest would be read as host and database.
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
    hinted = _hints_at_pooler(parameters) or _POOLER_MARK in host
    if pooler == "auto":
        pooler = "transaction" if hinted else "none" if _is_neon(host) else "auto"
    arguments = _connect_args(host, parameters)
    url = URL.create("postgresql+asyncpg", url.username, url.password, host, url.port, url.database)
    if host.startswith("/"):
        arguments["host"] = host
        url = url.set(host="")
    found = DatabaseUrl(url, arguments, pooler)
    return found.through_pooler() if found.pooled else found


def _from_parameters(url: URL, parameters: dict[str, str]) -> URL:
    """Fill user, password, database and port from parameters, as libpq and JDBC allow."""
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


def _hints_at_pooler(parameters: dict[str, str]) -> bool:
    hints = [_one_of(parameters, "pgbouncer", "false", "true") == "true"]
    for name, value in _POOLER_HINTS.items():
        if name in parameters:
            hints.append(parameters.pop(name) == value)
    return any(hints)


def _is_neon(host: str) -> bool:
    """Neon's proxy serves every Neon host and gives each client its own session.

    Only the host's name distinguishes it from a pooler; a query cannot.
    """
    return host.endswith(".neon.tech")


def _connect_args(host: str, parameters: dict[str, str]) -> dict[str, Any]:
    for name in _IGNORED:
        parameters.pop(name, None)
    _one_of(parameters, "target_session_attrs", "any", "read-write", "primary", "prefer-standby")
    _one_of(parameters, "gssencmode", "prefer", "disable")
    _one_of(parameters, "client_encoding", "UTF8", "utf8", "UTF-8", "utf-8", "auto")
    arguments = _tls(host, parameters)
    if "connect_timeout" in parameters:
        arguments["timeout"] = _seconds(parameters.pop("connect_timeout"))
    passed_on = ("application_name", "options")
    if server_settings := {name: parameters.pop(name) for name in passed_on if name in parameters}:
        arguments["server_settings"] = server_settings
    for name, instead in _OTHER_CLIENTS.items():
        if name in parameters:
            raise BadDatabaseUrl(f"the parameter {name} belongs to another client; remove it ({instead})")
    if parameters:
        known = "sslmode, sslrootcert, sslnegotiation, channel_binding, connect_timeout, "
        raise BadDatabaseUrl(
            f"it has an unknown parameter: remove it; known are {known}application_name, options, host"
        )
    return arguments


def _tls(host: str, parameters: dict[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    channel_binding = _one_of(parameters, "channel_binding", "prefer", "disable", "require")
    flag = parameters.pop("ssl", None)
    mode = parameters.pop("sslmode", {"true": "require", "false": "disable"}.get(str(flag), flag))
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
    """The `ssl` argument of asyncpg.

    libpq's `require` encrypts without verifying the server. Providers print it although their
    certificates verify, so a public host is verified; a host in a private network mostly has a
    self-signed certificate. asyncpg has no SCRAM channel binding, so `channel_binding=require` verifies
    the certificate, which stops the same man in the middle.
    """
    if mode is None:
        mode = "verify-full" if root or channel_binding == "require" else None
    if mode is None:
        return None
    if mode not in _SSLMODES:
        raise BadDatabaseUrl(f"sslmode must be one of {', '.join(_SSLMODES)}")
    if mode in _UNVERIFIED:
        if root or channel_binding == "require":
            raise BadDatabaseUrl("sslrootcert and channel_binding=require need sslmode=require")
        unverified = _UNVERIFIED[mode]
        return _without_verification(_context(None)) if unverified is None else unverified
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
    """Whether the host is this machine or in a private network, judged by its name alone."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".internal", ".local", ".lan", ".localhost"))
