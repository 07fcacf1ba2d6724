"""Rate limits: of each caller's requests, and of failed authentications by address. Pure ASGI."""

import asyncio
import logging
import time
from typing import NamedTuple, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskwell.auth.authorization import Caller
from taskwell.core.bounded_cache import BoundedCache
from taskwell.core.errors import RateLimited
from taskwell.core.rates import Quota, Rate
from taskwell.database.startup import StartupError
from taskwell.http.prefixes import Prefixes
from taskwell.http.problems import response_of
from taskwell.http.request_state import request_state
from taskwell.http.security import network_of

logger = logging.getLogger("taskwell")


class Counter(Protocol):
    rate: Rate

    async def hit(self, key: str) -> Quota | None:
        """Count a request, unless it exceeds the rate. None: the counter is unavailable."""

    async def give_back(self, key: str) -> None:
        """Undo the last count."""


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

    async def give_back(self, key: str) -> None:
        self.uncount(key)

    def uncount(self, key: str) -> None:
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


class Redis:
    """Windows in Redis, for all processes. While it is unavailable requests are not limited, but served."""

    _MOST_CONNECTIONS = 16
    _PATIENCE_SECONDS = 0.5
    _PAUSE_SECONDS = 5.0
    _SILENCE_SECONDS = 60.0

    def __init__(self, url: str) -> None:
        try:
            # An extra, and slow to import.
            from limits.aio.storage import RedisStorage  # noqa: PLC0415
            from limits.errors import ConfigurationError, StorageError  # noqa: PLC0415
        except ImportError:
            raise StartupError(_NO_CLIENT) from None
        try:
            self._storage = RedisStorage(
                f"async+{url}", wrap_exceptions=True, implementation="redispy", key_prefix="taskwell"
            )
        except ConfigurationError:
            raise StartupError(_NO_CLIENT) from None
        except ValueError:  # its message may hold a part of the password
            raise StartupError("TASKWELL_RATE_LIMIT_STORAGE is not a URL of Redis.") from None
        self._room = asyncio.Semaphore(self._MOST_CONNECTIONS)
        self._failures = (StorageError, OSError, TimeoutError)
        self._pause_ends = self._silence_ends = 0.0

    async def add(self, key: str, rate: Rate, amount: int) -> Quota | None:
        """Add to the count of a key, unless that exceeds the rate. None: Redis is unavailable."""
        now = time.monotonic()
        if now < self._pause_ends:
            return None
        if self._pause_ends:  # one request tries whether Redis is back
            self._pause_ends = now + self._PAUSE_SECONDS
        try:
            async with asyncio.timeout(self._PATIENCE_SECONDS), self._room:
                quota = await self._add(f"{rate.amount}/{rate.seconds}/{key}", rate, amount)
        except self._failures as error:
            self._give_up(error)
            return None
        self._pause_ends = 0.0
        return quota

    async def _add(self, key: str, rate: Rate, amount: int) -> Quota:
        most, seconds = rate
        allowed = await self._storage.acquire_sliding_window_entry(key, most, seconds, amount)
        before, _, count, expires = await self._storage.get_sliding_window(key, seconds)
        return rate.quota(allowed, before, count, max(0.0, expires - seconds))

    def _give_up(self, error: Exception) -> None:
        now = time.monotonic()
        self._pause_ends = now + self._PAUSE_SECONDS
        if now >= self._silence_ends:
            self._silence_ends = now + self._SILENCE_SECONDS
            cause = getattr(error, "storage_error", error)
            logger.warning("requests cannot be counted, so no limit applies: %s", type(cause).__name__)


class SharedCounter:
    """Counts in Redis."""

    def __init__(self, rate: Rate, redis: Redis) -> None:
        self.rate = rate
        self.redis = redis

    async def hit(self, key: str) -> Quota | None:
        return await self.redis.add(key, self.rate, 1)

    async def give_back(self, key: str) -> None:
        await self.redis.add(key, self.rate, -1)


_NO_CLIENT = "TASKWELL_RATE_LIMIT_STORAGE needs the Redis client: pip install 'taskwell[redis]'"


class Limit(NamedTuple):
    """What a request is counted by. `name`: in the fields of the response."""

    name: bytes
    counter: Counter
    key: str

    def policy(self) -> bytes:
        return b'"%b";q=%d;w=%d' % (self.name, *self.counter.rate)

    def standing(self, quota: Quota) -> bytes:
        return b'"%b";r=%d;t=%d' % (self.name, quota.left, quota.seconds)


class RateLimit:
    """Refuses a caller's requests beyond the rate, so that one caller cannot use up the server.

    A token with a rate of its own is counted by itself, too. Only authenticated requests are counted: public
    ones cost next to nothing, and many users may share an address. Every counted response has the fields of
    draft-ietf-httpapi-ratelimit-headers-11. `rate`: of a caller, or "none".
    """

    _MOST_RATES = 1_000  # of tokens; their counts begin anew when there are more

    def __init__(self, app: ASGIApp, prefixes: Prefixes, rate: str, storage_url: str) -> None:
        self.app = app
        self.prefixes = prefixes
        self._redis = None if storage_url.startswith("memory:") else Redis(storage_url)
        self.counter = None if rate == "none" else self._new_counter(Rate.parse(rate))
        self._of_tokens: BoundedCache[Rate, LocalCounter | SharedCounter] = BoundedCache(self._MOST_RATES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = request_state(scope)
        caller = state.caller
        limited = caller is not None and self.prefixes.of(scope).limited
        limits = self._limits(caller) if caller is not None and limited else []
        quotas = await _count(limits) if limits else {}
        if not quotas:
            await self.app(scope, receive, send)
            return
        fields = (
            (b"ratelimit-policy", b", ".join(limit.policy() for limit in limits)),
            (b"ratelimit", b", ".join(limit.standing(quotas[limit]) for limit in limits if limit in quotas)),
        )
        if isinstance(self.counter, LocalCounter):
            state.limit = self
        else:
            state.cacheable = False

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *fields]
            await send(message)

        refusal = next((quota for quota in quotas.values() if not quota.allowed), None)
        app = response_of(scope, RateLimited(refusal.seconds)) if refusal else self.app
        await app(scope, receive, send_with_fields)

    def _limits(self, caller: Caller) -> list[Limit]:
        limits = []
        if self.counter is not None:
            limits.append(Limit(b"caller", self.counter, caller.user_id))
        if caller.rate is not None:
            # No id of a user has a slash: in Redis their keys stand beside each other.
            key = f"token/{caller.actor.token_id}"
            limits.append(Limit(b"token", self._counter_of_tokens(caller.rate), key))
        return limits

    def _counter_of_tokens(self, rate: Rate) -> LocalCounter | SharedCounter:
        counter = self._of_tokens.get(rate)
        if counter is None:
            counter = self._of_tokens[rate] = self._new_counter(rate)
        return counter

    def _new_counter(self, rate: Rate) -> LocalCounter | SharedCounter:
        return LocalCounter(rate) if self._redis is None else SharedCounter(rate, self._redis)

    def take(self, user_id: str) -> bytes | None:
        """Count a request of the fast path. Returns its RateLimit header; None: it exceeds the limit."""
        counter = self._local()
        quota = counter.count(user_id)
        return Limit(b"caller", counter, user_id).standing(quota) if quota.allowed else None

    def give_back(self, user_id: str) -> None:
        """Undo `take` for a request that takes the slow path after all."""
        self._local().uncount(user_id)

    def _local(self) -> LocalCounter:
        assert isinstance(self.counter, LocalCounter)
        return self.counter


async def _count(limits: list[Limit]) -> dict[Limit, Quota]:
    """Count a request by every limit that is available; by none if one is exceeded, which is returned alone.

    The last one, a token's own, is the first to be counted: a token beyond its rate takes nothing from the
    other tokens of its user.
    """
    quotas: dict[Limit, Quota] = {}
    for limit in reversed(limits):
        quota = await limit.counter.hit(limit.key)
        if quota is None:
            continue
        if not quota.allowed:
            for counted in quotas:
                await counted.counter.give_back(counted.key)
            return {limit: quota}
        quotas[limit] = quota
    return quotas


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
