"""Rate limits: of each caller's requests, and of failed authentications by address. Pure ASGI."""

import asyncio
import logging
import time
from math import ceil
from typing import NamedTuple, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskwell.core.errors import RateLimited
from taskwell.database.startup import StartupError
from taskwell.http.prefixes import Prefixes
from taskwell.http.problems import response_of
from taskwell.http.request_state import request_state
from taskwell.http.security import network_of

logger = logging.getLogger("taskwell")

_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


class Quota(NamedTuple):
    """`left`: the requests that remain. `seconds`: the minimum time until there are more."""

    allowed: bool
    left: int
    seconds: int


class Rate(NamedTuple):
    """`amount` requests in any `seconds`, as a sliding window of two counters.

    Requests are counted by fixed windows. Those of the previous window weigh less as the current one goes on.
    """

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        amount, _, unit = text.partition("/")
        return cls(int(amount), _UNITS[unit])

    def used(self, before: int, count: int, rest: float) -> float:
        """The weighted count. `rest`: the seconds until the current window ends."""
        return before * rest / self.seconds + count

    def quota(self, allowed: bool, before: int, count: int, rest: float) -> Quota:
        left = max(0, ceil(self.amount - self.used(before, count, rest))) if allowed else 0
        return Quota(allowed, left, self.seconds if left else self._wait(before, count, rest))

    def _wait(self, before: int, count: int, rest: float) -> int:
        """Whole seconds until one more is allowed: by the falling weight, or in the next window."""
        if count < self.amount and before:
            rest -= (self.amount - count) * self.seconds / before
        return max(0, int(rest)) + 1


class Counter(Protocol):
    async def hit(self, key: str) -> Quota | None:
        """Count a request, unless it exceeds the rate. None: the counter is unavailable."""


class LocalCounter:
    """Counts in this process.

    A whole window is dropped at once, so nothing has to iterate over all keys. A window ends early when it
    holds very many keys, so memory is bounded.
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
        """Undo the last count."""
        self._counts[key] = max(0, self._counts.get(key, 0) - 1)

    def peek(self, key: str) -> Quota:
        """The quota, without counting."""
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
    """Counts in Redis, for all processes. While Redis is unavailable requests are not limited, but served."""

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
        except ValueError:  # its message may hold a part of the password
            raise StartupError("TASKWELL_RATE_LIMIT_STORAGE is not a URL of Redis.") from None
        self.rate = rate
        self._room = asyncio.Semaphore(self._MOST_CONNECTIONS)
        self._failures = (StorageError, OSError, TimeoutError)
        self._pause_ends = self._silence_ends = 0.0

    async def hit(self, key: str) -> Quota | None:
        now = time.monotonic()
        if now < self._pause_ends:
            return None
        if self._pause_ends:  # one request tries whether Redis is back
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
            logger.warning("requests cannot be counted, so no limit applies: %s", type(cause).__name__)


_NO_CLIENT = "TASKWELL_RATE_LIMIT_STORAGE needs the Redis client: pip install 'taskwell[redis]'"


class RateLimit:
    """Refuses a caller's requests beyond the rate, so that one caller cannot use up the server.

    Only authenticated requests are counted: public ones cost next to nothing, and many users may share an
    address. Every counted response has the fields of draft-ietf-httpapi-ratelimit-headers-11.
    """

    def __init__(self, app: ASGIApp, prefixes: Prefixes, rate: str, storage_url: str) -> None:
        self.app = app
        self.prefixes = prefixes
        parsed = Rate.parse(rate)
        local = storage_url.startswith("memory:")
        self.counter: Counter = LocalCounter(parsed) if local else SharedCounter(parsed, storage_url)
        self._policy = (b"ratelimit-policy", b'"caller";q=%d;w=%d' % parsed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = request_state(scope)
        caller = state.caller
        limited = caller is not None and self.prefixes.of(scope).limited
        quota = await self.counter.hit(caller.user_id) if caller is not None and limited else None
        if quota is None:
            await self.app(scope, receive, send)
            return
        now = (b"ratelimit", self._ratelimit(quota))
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
        """Count a request of the fast path. Returns its RateLimit header; None: it exceeds the limit."""
        assert isinstance(self.counter, LocalCounter)
        quota = self.counter.count(user_id)
        return self._ratelimit(quota) if quota.allowed else None

    def give_back(self, user_id: str) -> None:
        """Undo `take` for a request that takes the slow path after all."""
        assert isinstance(self.counter, LocalCounter)
        self.counter.give_back(user_id)

    def _ratelimit(self, quota: Quota) -> bytes:
        return b'"caller";r=%d;t=%d' % quota[1:]


class AuthFailureLimit:
    """Refuses an address after as many 401 as the rate allows, before its next credentials are read.

    Only addresses of the Internet are counted: a private one is more likely a proxy that does not name its
    clients, and one attacker would lock out all of them.
    """

    def __init__(self, app: ASGIApp, prefixes: Prefixes, rate: str) -> None:
        self.app = app
        self.prefixes = prefixes
        self.counter = LocalCounter(Rate.parse(rate))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limited = scope["type"] == "http" and self.prefixes.of(scope).limited
        client = scope.get("client") if limited else None
        network = network_of(client[0]) if client else None
        if network is None:
            await self.app(scope, receive, send)
            return
        quota = self.counter.peek(network)
        if not quota.left:
            await response_of(scope, RateLimited(quota.seconds))(scope, receive, send)
            return
        request_state(scope).add_check(lambda: self.counter.peek(network).left > 0)

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                await self.counter.hit(network)
            await send(message)

        await self.app(scope, receive, watch)
