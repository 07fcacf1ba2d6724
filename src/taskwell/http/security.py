"""What keeps others out: names that are answered to, what browsers are told, how often one may ask.

Pure ASGI.
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Sequence
from functools import lru_cache, partial
from math import ceil
from typing import NamedTuple, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from taskwell.core.errors import Forbidden, Invalid, RateLimited, Violation
from taskwell.core.root_path import parse_root_path
from taskwell.core.settings import is_loopback, open_to_all
from taskwell.database.startup import StartupError
from taskwell.http.headers import Header, lines
from taskwell.http.problems import response_of
from taskwell.http.request_state import request_state
from taskwell.http.root_path import detached, enter, note_origin

logger = logging.getLogger("taskwell")

# RFC 6761, 6762 and 8375, and ICANN's word on .internal: the public DNS has no name below these.
_PRIVATE_ZONES = (".localhost", ".local", ".internal", ".home.arpa")


def _is_api(scope: Scope) -> bool:
    path: str = scope["path"] if scope["type"] == "http" else ""
    return path.startswith("/api/") or path == "/api"


def _host_name(scope: Scope) -> str | None:
    """Without its port; an IPv6 address without its brackets."""
    hosts = lines(scope).get(b"host")
    return _name_of(hosts[0]) if hosts else None


@lru_cache(1_000)
def _name_of(value: bytes) -> str:
    host = value.decode("latin-1").lower()
    return host[1:].partition("]")[0] if host[:1] == "[" else host.partition(":")[0]


@lru_cache(1_000)
def _is_private_name(name: str) -> bool:
    """Whether no public DNS can have it: an address, a name without a dot, or one in a private zone."""
    last = name.rpartition(".")[2]  # to a browser a host that ends in a number is an address
    return last == name or last.isdecimal() or name.endswith(_PRIVATE_ZONES)


_NOT_OUR_NAME = Violation(
    "header", "Host", "not_allowed", "is no name that this server answers to: see TASKWELL_ALLOWED_HOSTS"
)


_THIS_MACHINE = ("127.0.0.1", 1)


class ProxyHeaders:
    """Whom a proxy speaks for, by which scheme, and under which path: asked only where there is a word of it.

    The path may also be configured (`root_path`), or be where another application has mounted this one.
    """

    _PREFIX = b"x-forwarded-prefix"
    _WORDS = frozenset({b"x-forwarded-for", b"x-forwarded-proto", _PREFIX})

    def __init__(self, app: ASGIApp, proxies: str, root_path: str, origin: str) -> None:
        self.app = app
        self.forwarded = ProxyHeadersMiddleware(app, proxies)  # type: ignore[arg-type]
        self.root_path = root_path
        self.origin = origin

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return (WebSocketClose() if scope["type"] == "websocket" else self.app)(scope, receive, send)
        if self.origin:
            note_origin(scope, self.origin)
        said = not self._WORDS.isdisjoint(lines(scope))
        if not (said or self.root_path or scope.get("root_path")):
            return self.app(scope, receive, send)
        if scope.get("root_path"):
            scope = detached(scope)
        if scope.get("client") is None and _is_local(scope):
            scope["client"] = _THIS_MACHINE  # by a Unix socket
        prefix = self._prefix(scope) if said and not self.root_path else ""
        enter(scope, self.root_path, prefix)
        app: ASGIApp = self.forwarded if said else self.app  # type: ignore[assignment]
        return app(scope, receive, partial(_send_varying, send) if prefix else send)

    def _prefix(self, scope: Scope) -> str:
        """What a trusted proxy says. One that is not a plain path is not believed."""
        values = lines(scope).get(self._PREFIX, ())
        if len(values) != 1 or not self._is_trusted(scope):
            return ""
        try:
            return parse_root_path(values[0].decode("latin-1"))
        except ValueError:
            return ""

    def _is_trusted(self, scope: Scope) -> bool:
        # No client has port 0: a server with a layer like uvicorn's believes the proxy, and has put in the
        # address that it named.
        client = scope.get("client")
        return client is not None and (client[1] == 0 or client[0] in self.forwarded.trusted_hosts)


def _send_varying(send: Send, message: Message) -> Awaitable[None]:
    """A cache must not give the links of one prefix to another."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (b"vary", b"X-Forwarded-Prefix")]
    return send(message)


class TrustedHosts:
    """Answer to names of ours only: a foreign page can have its own name lead here, and then read everything.

    That is DNS rebinding; to the browser page and server are of one origin, so CORS is not asked. A bearer
    token stops it, since no browser sends one by itself: with tokens every name will do. Where nobody is
    asked for one (`stub`), those will do that no foreign page can have. A request without a host comes from
    no browser. Health checks and Prometheus come by whatever address they know, and learn nothing that
    is anybody's.
    """

    def __init__(self, app: ASGIApp, allowed: tuple[str, ...], *, stub: bool) -> None:
        self.app = app
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
        if name is None or scope["path"].startswith(("/health", "/metrics")):
            return True
        if self.private:
            return _is_private_name(name)
        return name in self.names or name.endswith(self.endings)


class LocalOnly:
    """Refuse whoever comes by an address that others can reach, since nobody is asked for credentials.

    For servers of which it cannot be known before a request where they listen.
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
    """Whether only this machine can have asked: by a loopback address, or by a Unix socket."""
    server = scope.get("server")
    if server is None:  # what Hypercorn says of a Unix socket
        return scope.get("client") is None
    host, port = server
    return port is None or is_loopback(host)


class SecurityHeaders:
    """Tell browsers on every answer what they must not do with it, unless the answer says otherwise itself.

    `Cache-Control`: what has an ETag may be kept by its reader's browser, which asks about it each time; with
    `no-store` it would never send the ETag and get a 304 (RFC 9111, 5.2.2.5). It knows an answer by its
    address alone, so the ETags of two users must differ. All else of the API is kept by nobody, nor is the
    health of the server.
    `Cross-Origin-Resource-Policy`: no page may embed an answer; what a page reads through CORS is not
    concerned. `Strict-Transport-Security` binds all ports of a host, so it is not for a name that is only
    known here.
    """

    _ALWAYS: tuple[Header, ...] = (
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    )
    _ALWAYS_NAMES = frozenset(name for name, _ in _ALWAYS)
    _OVER_HTTPS: Header = (b"strict-transport-security", b"max-age=31536000")
    _KEPT_BY_READER: Header = (b"cache-control", b"private, no-cache")
    _KEPT_BY_NOBODY: Header = (b"cache-control", b"no-store")

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

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
        if b"cache-control" not in present and (_is_api(scope) or scope["path"].startswith("/health")):
            completed.append(self._KEPT_BY_READER if b"etag" in present else self._KEPT_BY_NOBODY)
        if scope["scheme"] == "https" and not _is_private_name(_host_name(scope) or ""):
            completed.append(self._OVER_HTTPS)
        return completed


_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


class Quota(NamedTuple):
    """`left`: how many requests more are allowed. `seconds`: for how long that holds, at least."""

    allowed: bool
    left: int
    seconds: int


class Rate(NamedTuple):
    """So many in any stretch of so many seconds.

    Counted by stretch; those of the stretch before fade out evenly as the present one goes on.
    """

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        amount, _, unit = text.partition("/")
        return cls(int(amount), _UNITS[unit])

    def used(self, before: int, count: int, rest: float) -> float:
        """`rest`: in how many seconds the stretch ends that has this count."""
        return before * rest / self.seconds + count

    def quota(self, allowed: bool, before: int, count: int, rest: float) -> Quota:
        left = max(0, ceil(self.amount - self.used(before, count, rest))) if allowed else 0
        return Quota(allowed, left, self.seconds if left else self._wait(before, count, rest))

    def _wait(self, before: int, count: int, rest: float) -> int:
        """Whole seconds after which there is one more: it comes with the fading, or with the next stretch."""
        if count < self.amount and before:
            rest -= (self.amount - count) * self.seconds / before
        return max(0, int(rest)) + 1


class Counter(Protocol):
    async def hit(self, key: str) -> Quota | None:
        """Count a request, unless it is one too many; None: that cannot be told."""


class LocalCounter:
    """Counts in this process.

    A whole stretch is forgotten at once, so no sweep ever walks over all keys; and a stretch ends early when
    it holds very many keys, so memory is bounded whoever asks.
    """

    _MOST = 100_000

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._before: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._ends = time.monotonic() + rate.seconds

    async def hit(self, key: str) -> Quota:
        return self.count(key)

    def count(self, key: str) -> Quota:
        rest = self._rest()
        before, count = self._before.get(key, 0), self._counts.get(key, 0)
        allowed = self.rate.used(before, count, rest) < self.rate.amount
        if allowed:
            count += 1
            self._counts[key] = count
        return self.rate.quota(allowed, before, count, rest)

    def give_back(self, key: str) -> None:
        """A request that was counted last."""
        self._counts[key] = max(0, self._counts.get(key, 0) - 1)

    def look(self, key: str) -> Quota:
        """Where it stands, without counting."""
        rest = self._rest()
        return self.rate.quota(True, self._before.get(key, 0), self._counts.get(key, 0), rest)

    def _rest(self) -> float:
        now = time.monotonic()
        if now >= self._ends or len(self._counts) >= self._MOST:
            self._begin_window(now)
        return self._ends - now

    def _begin_window(self, now: float) -> None:
        late = max(0.0, now - self._ends)
        self._before = self._counts if late < self.rate.seconds else {}
        self._counts = {}
        self._ends = now + self.rate.seconds - late % self.rate.seconds


class SharedCounter:
    """Counts in Redis, for all processes. While it is away nobody is limited, rather than nobody served."""

    _MOST_CONNECTIONS = 16
    _PATIENCE_SECONDS = 0.5
    _PAUSE_SECONDS = 5.0
    _SILENCE_SECONDS = 60.0

    def __init__(self, rate: Rate, url: str) -> None:
        try:
            # An extra, and slow to import.
            from limits.aio.storage import RedisStorage  # noqa: PLC0415
            from limits.errors import ConfigurationError, StorageError  # noqa: PLC0415
        except ImportError:
            raise StartupError(_NO_CLIENT) from None
        try:
            self._redis = RedisStorage(
                f"async+{url}", wrap_exceptions=True, implementation="redispy", key_prefix="taskwell"
            )
        except ConfigurationError:
            raise StartupError(_NO_CLIENT) from None
        except ValueError:  # its words may hold a part of the password
            raise StartupError("TASKWELL_RATE_LIMIT_STORAGE is not a URL of Redis.") from None
        self.rate = rate
        self._room = asyncio.Semaphore(self._MOST_CONNECTIONS)
        self._failures = (StorageError, OSError, TimeoutError)
        self._pause_ends = self._silence_ends = 0.0

    async def hit(self, key: str) -> Quota | None:
        now = time.monotonic()
        if now < self._pause_ends:
            return None
        if self._pause_ends:  # one asks for all whether it is back
            self._pause_ends = now + self._PAUSE_SECONDS
        try:
            async with asyncio.timeout(self._PATIENCE_SECONDS), self._room:
                quota = await self._hit(f"{self.rate.amount}/{self.rate.seconds}/{key}")
        except self._failures as error:
            self._give_up(error)
            return None
        self._pause_ends = 0.0
        return quota

    async def _hit(self, key: str) -> Quota:
        amount, seconds = self.rate
        allowed = await self._redis.acquire_sliding_window_entry(key, amount, seconds)
        before, _, count, expires = await self._redis.get_sliding_window(key, seconds)
        return self.rate.quota(allowed, before, count, max(0.0, expires - seconds))

    def _give_up(self, error: Exception) -> None:
        now = time.monotonic()
        self._pause_ends = now + self._PAUSE_SECONDS
        if now >= self._silence_ends:
            self._silence_ends = now + self._SILENCE_SECONDS
            cause = getattr(error, "storage_error", error)
            logger.warning("requests cannot be counted, nobody is limited: %s", type(cause).__name__)


_NO_CLIENT = "TASKWELL_RATE_LIMIT_STORAGE needs the client of Redis: pip install 'taskwell[redis]'"


class RateLimit:
    """Refuse a caller's requests beyond the rate, so that one cannot take the server from the others.

    Only who has been authenticated is counted: what is public costs next to nothing, and many people may
    share an address. Every counted answer has the fields of draft-ietf-httpapi-ratelimit-headers-11.
    """

    def __init__(self, app: ASGIApp, rate: str, storage_url: str) -> None:
        self.app = app
        parsed = Rate.parse(rate)
        local = storage_url.startswith("memory:")
        self.counter: Counter = LocalCounter(parsed) if local else SharedCounter(parsed, storage_url)
        self._policy = (b"ratelimit-policy", b'"caller";q=%d;w=%d' % parsed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = request_state(scope)
        caller = state.caller
        quota = await self.counter.hit(caller.user_id) if caller is not None else None
        if quota is None:
            await self.app(scope, receive, send)
            return
        now = (b"ratelimit", self._told(quota))
        state.limit = self
        if not isinstance(self.counter, LocalCounter):
            state.cacheable = False

        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), self._policy, now]
            await send(message)

        app = self.app if quota.allowed else response_of(scope, RateLimited(quota.seconds))
        await app(scope, receive, send_with_standing)

    def take(self, user_id: str) -> bytes | None:
        """Count a request that does not come by here, and what its client is told; None: it has to come."""
        assert isinstance(self.counter, LocalCounter)
        quota = self.counter.count(user_id)
        return self._told(quota) if quota.allowed else None

    def give_back(self, user_id: str) -> None:
        """One that was taken comes by after all."""
        assert isinstance(self.counter, LocalCounter)
        self.counter.give_back(user_id)

    def _told(self, quota: Quota) -> bytes:
        return b'"caller";r=%d;t=%d' % quota[1:]


class AuthFailureLimit:
    """Refuse an address that was answered 401 as often as a caller may ask, before its next guess is read.

    Only addresses of the Internet are counted: behind one of a private network there is likelier a proxy
    that does not say whom it speaks for, and one guesser would lock out everybody.
    """

    def __init__(self, app: ASGIApp, rate: str) -> None:
        self.app = app
        self.counter = LocalCounter(Rate.parse(rate))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client") if _is_api(scope) else None
        network = _network(client[0]) if client else None
        if network is None:
            await self.app(scope, receive, send)
            return
        quota = self.counter.look(network)
        if not quota.left:
            await response_of(scope, RateLimited(quota.seconds))(scope, receive, send)
            return
        request_state(scope).add_check(lambda: self.counter.look(network).left > 0)

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                await self.counter.hit(network)
            await send(message)

        await self.app(scope, receive, watch)


def comes_from_near(scope: Scope) -> bool:
    """Whether it was asked directly from this machine or a private network, by no proxy for somebody else."""
    forwarded = any(name in {b"forwarded", b"x-forwarded-for"} for name, _ in scope["headers"])
    client = scope.get("client")
    near = _network(client[0]) is None if client else _is_local(scope)
    return near and not forwarded


@lru_cache(maxsize=4_096)
def _network(address: str) -> str | None:
    """What one guesser has: an IPv4 address, or the /64 of an IPv6 one. None: not of the Internet."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    if not ip.is_global:
        return None
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((int(ip), 64), strict=False))
