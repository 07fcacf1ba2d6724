"""Request coalescing: combines concurrent calls of one function into groups.

Calls that arrive while a group runs form the next group, and share its round trip, transaction and commit. A
single call runs at once. A group waits for more calls only if they are known to come, as under overload.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from taskwell.core.histogram import GROUPS, Histogram
from taskwell.core.principal import Principal, as_principal

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., object])

# Returns an outcome for each key, in their order: a value, an error of this key alone, or a future if the key
# takes longer than its group.
RunGroup = Callable[[Sequence[K]], Awaitable[Sequence[V | Exception | asyncio.Future[V]]]]
Spawn = Callable[[Coroutine[object, object, None]], object]

_GOOD_SIZE = 64  # a larger group costs hardly less per key
# The turns of the event loop that a group waits for more calls. A rare function would never get enough.
_MAX_LOOP_TURNS = 16

_since: ContextVar[float | None] = ContextVar("since", default=None)


class Coalescing(NamedTuple):
    """How a function is coalesced.

    `label`: of its group sizes in the metrics; dashboards must not depend on a function's name. `inline`: it
    reads a few rows by their keys, which SQLite does in the event loop. `max_size`: of a group.
    """

    label: str
    inline: bool = False
    max_size: int = 100


def coalesced(label: str, *, inline: bool = False, max_size: int = 100) -> Callable[[F], F]:
    """Declare how a function is coalesced: `@coalesced("get_tasks", inline=True)`."""

    def declare(function: F) -> F:
        function.coalescing = Coalescing(label, inline, max_size)  # type: ignore[attr-defined]
        return function

    return declare


def coalescing_of(function: Any) -> Coalescing:
    declared: Coalescing | None = getattr(function, "coalescing", None)
    return declared or Coalescing(function.__name__)


def never() -> bool:
    """The `more_expected` of a server that does not know which calls will come."""
    return False


def waiting_since() -> float:
    """When the oldest call of the running group was enqueued (monotonic clock); outside a group, now."""
    since = _since.get()
    return time.monotonic() if since is None else since


class _Waiter(NamedTuple, Generic[V]):
    answer: asyncio.Future[V]
    since: float


class Coalescer(Generic[K, V]):
    """A queue in front of a function that takes many keys at once.

    A key is in one running group at most. With `shared`, all calls that wait for a key get the result of its
    next run, which starts after they were enqueued. Without it each call is run by itself, one after another.
    """

    def __init__(
        self,
        run_group: RunGroup[K, V],
        spawn: Spawn,
        *,
        max_size: int,
        shared: bool,
        more_expected: Callable[[], bool] = never,
    ) -> None:
        self._run_group = run_group
        self._spawn = spawn
        self.max_size = max_size
        self._shared = shared
        self._more_expected = more_expected
        # By principal and key, in the order of arrival.
        self._waiting: dict[tuple[Principal, K], list[_Waiter[V]]] = {}
        self._waiting_count = 0
        self._busy: set[tuple[Principal, K]] = set()
        self._running = 0
        self._scheduled = False
        self.sizes = Histogram(GROUPS)

    def enqueue(self, principal: Principal, key: K, *, max_in_flight: int) -> asyncio.Future[V]:
        """Queue a key, and start a group if fewer than `max_in_flight` are running.

        `principal`: of the transaction; a group has one.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V] = loop.create_future()
        self._waiting.setdefault((principal, key), []).append(_Waiter(answer, time.monotonic()))
        self._waiting_count += 1
        self._start(max_in_flight)
        return answer

    def _start(self, max_in_flight: int) -> None:
        """Schedule a group. Its task starts after this turn of the event loop, so it gets all calls of it."""
        if not self._scheduled and self._running < max_in_flight:
            self._scheduled = True
            self._spawn(self._run(max_in_flight))

    async def _next_full_group(self) -> dict[tuple[Principal, K], list[_Waiter[V]]]:
        """The next group. If it is small and more calls are expected, it waits some turns of the loop."""
        for _ in range(_MAX_LOOP_TURNS):
            if not (self._waiting_count and self._more_expected()):
                break
            await asyncio.sleep(0)
            if self._waiting_count >= _GOOD_SIZE:
                break
        return self._next_group()

    def _next_group(self) -> dict[tuple[Principal, K], list[_Waiter[V]]]:
        """The first waiting key, and those behind it with the same principal that are not running."""
        free = [entry for entry in self._waiting if entry not in self._busy]
        same = (entry for entry in free if entry[0] == free[0][0])
        group = {}
        for entry in list(islice(same, self.max_size)):
            answers = self._waiting[entry]
            if self._shared or len(answers) == 1:
                group[entry] = self._waiting.pop(entry)
            else:
                group[entry] = [answers.pop(0)]
        self._waiting_count -= sum(map(len, group.values()))
        self._busy.update(group)
        if group:
            self.sizes.add(len(group))
        return group

    async def _run(self, max_in_flight: int) -> None:
        self._scheduled = False
        self._running += 1
        try:
            # Under load a turn of the loop is long, so the next group starts in this one.
            while group := await self._next_full_group():
                if self._waiting:
                    self._start(max_in_flight)
                await self._run_one(group)
        finally:
            self._running -= 1

    async def _run_one(self, group: dict[tuple[Principal, K], list[_Waiter[V]]]) -> None:
        principal = next(iter(group))[0]
        _since.set(_oldest(group.values()))  # for this task and those that it starts
        with as_principal(principal):
            outcomes = await self._outcomes_of([key for _, key in group])
        self._busy.difference_update(group)
        for entry, outcome in zip(group.values(), outcomes, strict=True):
            for answer, _ in entry:
                settle(answer, outcome)

    async def _outcomes_of(self, keys: Sequence[K]) -> Sequence[V | Exception | asyncio.Future[V]]:
        try:
            return await self._run_group(keys)
        except Exception as error:  # noqa: BLE001 (each caller gets it)
            return [error] * len(keys)


def _oldest(group: Iterable[Sequence[_Waiter[V]]]) -> float:
    return min(entry[0].since for entry in group)


def settle(answer: asyncio.Future[V], outcome: V | Exception | asyncio.Future[V]) -> None:
    """Set the outcome of a call, unless the caller has cancelled it."""
    if answer.done():
        return
    if isinstance(outcome, asyncio.Future):
        outcome.add_done_callback(partial(_pass_on, answer))
    elif isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _pass_on(answer: asyncio.Future[V], later: asyncio.Future[V]) -> None:
    error = later.exception()
    settle(answer, error if isinstance(error, Exception) else later.result())
