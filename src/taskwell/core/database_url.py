"""`DATABASE_URL` as providers print it, translated into what the drivers understand.

libpq's parameters (https://www.postgresql.org/docs/current/libpq-connect.html) are not asyncpg's: each is
mapped here or refused by name, never passed over in silence.
"""

import ipaddress
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

Pooler = Literal["auto", "transaction", "none"]

_POSTGRESQL = {"postgres", "postgresql"}
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_POOLER_MARK = "-pooler."
_CHOICES = {
    "channel_binding": "disable, prefer or require",
    "pgbouncer": "true or false",
    "sslnegotiation": "postgres or direct",
}


class BadDatabaseUrl(ValueError):
    """The URL cannot be used. The message names the part, never the password."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where the database is. `repr` and `str` never show the password."""

    url: URL
    connect_args: dict[str, Any] = field(default_factory=dict, repr=False)
    pooled: bool = False

    def __str__(self) -> str:
        backend = self.url.get_backend_name()
        return self.url.set(drivername=backend).render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

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
        return replace(self, url=self.url.set(host=host.replace(_POOLER_MARK, ".", 1)), pooled=False)


def parse_database_url(text: str, *, pooler: Pooler = "auto") -> DatabaseUrl:
    """Translate a URL as pasted.

    Raises:
        BadDatabaseUrl: it is no URL, of another database, or has a parameter that cannot be honoured.
    """
    try:
        url = make_url(text.strip())
        backend = url.drivername.partition("+")[0]
    except (ArgumentError, ValueError):
        raise BadDatabaseUrl("it is not a database URL; try sqlite:///taskwell.db") from None
    if "?" in text and not url.query:
        url = url.set(query={"": ""})  # what stands there is lost, so nobody may pass it over
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
    if not url.database:
        raise BadDatabaseUrl("it names no database: postgresql://user:password@host/DATABASE")
    if "@" in (url.host or ""):
        raise BadDatabaseUrl("an @ in the user or the password must be percent-encoded: %40")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise BadDatabaseUrl("the port must be 1 to 65535")
    parameters = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
    # A host that begins with a slash is a directory of Unix sockets, which libpq takes as a parameter too.
    host = parameters.pop("host", url.host or "localhost")
    told = _one_of(parameters, "pgbouncer", "false", "true") == "true"  # Supabase prints it, for Prisma
    pooled = pooler == "transaction" or (pooler == "auto" and (told or _POOLER_MARK in host))
    arguments = _connect_args(host, parameters)
    if pooled:
        # A server session changes hands between two statements, so none may be prepared in it.
        arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    url = URL.create("postgresql+asyncpg", url.username, url.password, host, url.port, url.database)
    if host.startswith("/"):
        arguments["host"] = host
        url = url.set(host="")
    return DatabaseUrl(url, arguments, pooled)


def _connect_args(host: str, parameters: dict[str, str]) -> dict[str, Any]:
    arguments = _tls(host, parameters)
    if "connect_timeout" in parameters:
        arguments["timeout"] = _seconds(parameters.pop("connect_timeout"))
    told = ("application_name", "options")
    if server_settings := {name: parameters.pop(name) for name in told if name in parameters}:
        arguments["server_settings"] = server_settings
    for name in ("connection_limit", "pool_timeout", "schema", "prepareThreshold"):
        if name in parameters:
            raise BadDatabaseUrl(f"the parameter {name} belongs to another client; remove it")
    if parameters:
        known = "sslmode, sslrootcert, sslnegotiation, channel_binding, connect_timeout, "
        raise BadDatabaseUrl(
            f"it has a parameter that is not known; known are {known}application_name, options, host"
        )
    return arguments


def _tls(host: str, parameters: dict[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    channel_binding = _one_of(parameters, "channel_binding", "prefer", "disable", "require")
    mode = parameters.pop("sslmode", parameters.pop("ssl", None))
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
    if mode in {"disable", "allow", "prefer"}:
        if root or channel_binding == "require":
            raise BadDatabaseUrl("sslrootcert and channel_binding=require need sslmode=require")
        return False if mode == "disable" else "prefer"
    verified = mode in {"verify-ca", "verify-full"} or root or channel_binding == "require"
    context = _context(root)
    if not verified and is_private(host):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif mode == "verify-ca":
        context.check_hostname = False
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
