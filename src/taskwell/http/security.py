"""Trusted hosts, proxy headers, security headers and the restriction to local clients. Pure ASGI."""

import ipaddress
import logging
from collections.abc import Awaitable, Sequence
from functools import lru_cache, partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from taskwell.core.errors import Forbidden, Invalid, Violation
from taskwell.core.root_path import parse_root_path
from taskwell.core.settings import is_loopback, open_to_all
from taskwell.http.headers import Header, lines
from taskwell.http.prefixes import Prefixes
from taskwell.http.problems import response_of
from taskwell.http.root_path import detached, enter, note_origin

logger = logging.getLogger("taskwell")

# RFC 6761, 6762 and 8375, and ICANN's resolution on .internal: the public DNS has no name below these.
_PRIVATE_ZONES = (".localhost", ".local", ".internal", ".home.arpa")


def _host_name(scope: Scope) -> str | None:
    """The host without its port; an IPv6 address without its brackets."""
    hosts = lines(scope).get(b"host")
    return _name_of(hosts[0]) if hosts else None


@lru_cache(1_000)
def _name_of(value: bytes) -> str:
    host = value.decode("latin-1").lower()
    return host[1:].partition("]")[0] if host[:1] == "[" else host.partition(":")[0]


@lru_cache(1_000)
def _is_private_name(name: str) -> bool:
    """Whether the public DNS cannot have it: an address, a name without a dot, or one in a private zone."""
    last = name.rpartition(".")[2]  # browsers take a host that ends in a number for an address
    return last == name or last.isdecimal() or name.endswith(_PRIVATE_ZONES)


_NOT_OUR_NAME = Violation(
    "header", "Host", "not_allowed", "is no name that this server answers to: see TASKWELL_ALLOWED_HOSTS"
)


_THIS_MACHINE = ("127.0.0.1", 1)


class ProxyHeaders:
    """Takes client address, scheme and root path from the headers of a trusted proxy, where there are any.

    The root path may also be configured, or be where another application has mounted this one.
    """

    _PREFIX = b"x-forwarded-prefix"
    _WORDS = frozenset({b"x-forwarded-for", b"x-forwarded-proto", _PREFIX})

    def __init__(self, app: ASGIApp, prefixes: Prefixes, proxies: str, root_path: str, origin: str) -> None:
        self.app = app
        self.prefixes = prefixes
        self.forwarded = ProxyHeadersMiddleware(app, proxies)  # type: ignore[arg-type]
        self.root_path = root_path
        self.origin = origin

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return (WebSocketClose() if scope["type"] == "websocket" else self.app)(scope, receive, send)
        if self.origin:
            note_origin(scope, self.origin)
        is_forwarded = not self._WORDS.isdisjoint(lines(scope))
        if not (is_forwarded or self.root_path or scope.get("root_path")):
            return self.app(scope, receive, send)
        if scope.get("root_path"):
            scope = detached(scope)
        if scope.get("client") is None and _is_local(scope):
            scope["client"] = _THIS_MACHINE  # by a Unix socket
        prefix = self._prefix(scope) if is_forwarded and not self.root_path else ""
        enter(scope, self.root_path, self.prefixes, prefix)
        app: ASGIApp = self.forwarded if is_forwarded else self.app  # type: ignore[assignment]
        return app(scope, receive, partial(_send_varying, send) if prefix else send)

    def _prefix(self, scope: Scope) -> str:
        """The prefix that a trusted proxy sends. A value that is not a plain path is ignored."""
        values = lines(scope).get(self._PREFIX, ())
        if len(values) != 1 or not self._is_trusted(scope):
            return ""
        try:
            return parse_root_path(values[0].decode("latin-1"))
        except ValueError:
            return ""

    def _is_trusted(self, scope: Scope) -> bool:
        # No client has port 0: a server with middleware like uvicorn's trusts the proxy, and has set the
        # address that the proxy named.
        client = scope.get("client")
        return client is not None and (client[1] == 0 or client[0] in self.forwarded.trusted_hosts)


def _send_varying(send: Send, message: Message) -> Awaitable[None]:
    """Have caches store the responses of each prefix apart, since their links differ."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (b"vary", b"X-Forwarded-Prefix")]
    return send(message)


class TrustedHosts:
    """Refuses foreign host names, against DNS rebinding: a page points its own name here and reads responses.

    To the browser page and server are of one origin, so CORS does not apply. A bearer token prevents it,
    since no browser sends one by itself: with tokens every name is allowed. Without them (`stub`), only names
    that no foreign page can have. A request without a host does not come from a browser. Prefixes with
    `any_host` have no private data, and monitoring may use any address.
    """

    def __init__(self, app: ASGIApp, prefixes: Prefixes, allowed: tuple[str, ...], *, stub: bool) -> None:
        self.app = app
        self.prefixes = prefixes
        names = {name.lower().strip("[]") for name in allowed}
        self.all = "*" in names or not (names or stub)
        self.private = not names
        self.names = frozenset(names)
        self.endings = tuple(name[1:] for name in names if name.startswith("*."))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self.all or scope["type"] != "http" or self._may_pass(scope):
            return self.app(scope, receive, send)
        return response_of(scope, Invalid(_NOT_OUR_NAME))(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        name = _host_name(scope)
        if name is None or self.prefixes.of(scope).any_host:
            return True
        if self.private:
            return _is_private_name(name)
        return name in self.names or name.endswith(self.endings)


class LocalOnly:
    """Refuses requests to an address that other machines can reach, where no credentials are needed.

    For ASGI servers whose listening address is not known before the first request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._told = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or _is_local(scope):
            return self.app(scope, receive, send)
        error = Forbidden(open_to_all("at this address"))
        if not self._told:
            self._told = True
            logger.error("requests are refused: %s", error.detail)
        return response_of(scope, error)(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    """Whether only this machine can have connected: to a loopback address or a Unix socket."""
    server = scope.get("server")
    if server is None:  # Hypercorn's scope of a Unix socket
        return scope.get("client") is None
    host, port = server
    return port is None or is_loopback(host)


class SecurityHeaders:
    """Adds security headers to every response that has not set them itself.

    `Cache-Control`: a browser may store a response with an ETag and revalidate it each time; with `no-store`
    it would never send the ETag and get a 304 (RFC 9111, 5.2.2.5). It stores by URL alone, so the ETags of
    two users must differ. All other responses of prefixes that are not `cacheable` are `no-store`.
    `Cross-Origin-Resource-Policy`: no page may embed a response; reading through CORS stays possible.
    `Strict-Transport-Security` applies to all ports of a host, so it is not sent for a private name.
    """

    _ALWAYS: tuple[Header, ...] = (
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    )
    _ALWAYS_NAMES = frozenset(name for name, _ in _ALWAYS)
    _OVER_HTTPS: Header = (b"strict-transport-security", b"max-age=31536000")
    _REVALIDATE: Header = (b"cache-control", b"private, no-cache")
    _NO_STORE: Header = (b"cache-control", b"no-store")

    def __init__(self, app: ASGIApp, prefixes: Prefixes) -> None:
        self.app = app
        self.prefixes = prefixes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = self._completed(message.get("headers", ()), scope)
            return send(message)

        return self.app(scope, receive, send_with_headers)

    def _completed(self, headers: Sequence[Header], scope: Scope) -> list[Header]:
        present = dict(headers)
        if self._ALWAYS_NAMES.isdisjoint(present):
            completed = [*headers, *self._ALWAYS]
        else:
            completed = [*headers, *(header for header in self._ALWAYS if header[0] not in present)]
        if b"cache-control" not in present and not self.prefixes.of(scope).cacheable:
            completed.append(self._REVALIDATE if b"etag" in present else self._NO_STORE)
        if scope["scheme"] == "https" and not _is_private_name(_host_name(scope) or ""):
            completed.append(self._OVER_HTTPS)
        return completed


def comes_from_near(scope: Scope) -> bool:
    """Whether a request comes directly from this machine or a private network, without a proxy."""
    forwarded = any(name in {b"forwarded", b"x-forwarded-for"} for name, _ in scope["headers"])
    client = scope.get("client")
    near = network_of(client[0]) is None if client else _is_local(scope)
    return near and not forwarded


@lru_cache(maxsize=4_096)
def network_of(address: str) -> str | None:
    """The network of one Internet client: an IPv4 address, or the /64 of an IPv6 one. None: a private one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    if not ip.is_global:
        return None
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((int(ip), 64), strict=False))
