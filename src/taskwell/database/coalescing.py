"""Those who ask while others are being answered are asked for together.

Under load a round trip, a transaction and a commit are shared by all who wait for one; and who asks alone
waits for nobody. A group waits only where it is known that more are to come, which is so under overload.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from taskwell.core.histogram import GROUPS, Histogram
from taskwell.database.principal import as_user

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., object])

# For so many keys at once an answer each, in their order: a value, an error that is of this key alone, or
# one of these that takes longer, for which nobody else is to wait.
RunGroup = Callable[[Sequence[K]], Awaitable[Sequence[V | Exception | asyncio.Future[V]]]]
Spawn = Callable[[Coroutine[object, object, None]], object]

_GOOD_SIZE = 64  # a larger group takes hardly less for each
_MAX_LOOP_TURNS = 16  # of the event loop, at most: of a rare kind there would never be enough

_since: ContextVar[float | None] = ContextVar("since", default=None)


class Coalescing(NamedTuple):
    """How a function is coalesced.

    `label`: of its group sizes in the metrics, where dashboards outlive a function's name. `inline`: it reads
    a few rows by their keys, which SQLite does in the event loop. `max_size`: of a group.
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
    """More are to come: none that are known of."""
    return False


def waiting_since() -> float:
    """Since when those wait on whose behalf something is done just now, on the monotonic clock."""
    since = _since.get()
    return time.monotonic() if since is None else since


class _Waiter(NamedTuple, Generic[V]):
    answer: asyncio.Future[V]
    since: float


class Coalescer(Generic[K, V]):
    """A queue in front of a function that answers many at once.

    No key is asked for twice at a time. With `shared`, all who wait for a key get its next answer, which is
    never one that was begun before they came; without it each gets an answer of their own, one after another.
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
        # On whose behalf, and what; in the order in which they came.
        self._waiting: dict[tuple[str, K], list[_Waiter[V]]] = {}
        self._waiting_count = 0
        self._busy: set[tuple[str, K]] = set()
        self._running = 0
        self._scheduled = False
        self.sizes = Histogram(GROUPS)

    def enqueue(self, principal: str, key: K, *, max_in_flight: int) -> asyncio.Future[V]:
        """`principal`: on whose behalf, so that only what is of the same is asked for at once.

        `max_in_flight`: how many groups may be under way at a time.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[V] = loop.create_future()
        self._waiting.setdefault((principal, key), []).append(_Waiter(answer, time.monotonic()))
        self._waiting_count += 1
        self._start(max_in_flight)
        return answer

    def _start(self, max_in_flight: int) -> None:
        """A task begins after all that this turn of the loop brings: as much as there are connections."""
        if not self._scheduled and self._running < max_in_flight:
            self._scheduled = True
            self._spawn(self._run(max_in_flight))

    async def _next_full_group(self) -> dict[tuple[str, K], list[_Waiter[V]]]:
        """The next group. Who is sure to come is waited for a little, if there are not enough yet."""
        for _ in range(_MAX_LOOP_TURNS):
            if not (self._waiting_count and self._more_expected()):
                break
            await asyncio.sleep(0)
            if self._waiting_count >= _GOOD_SIZE:
                break
        return self._next_group()

    def _next_group(self) -> dict[tuple[str, K], list[_Waiter[V]]]:
        """The keys of the first who waits and of those behind who may go along."""
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
            # The next turn of the loop may be long in coming, so the next group does not wait for it.
            while group := await self._next_full_group():
                if self._waiting:
                    self._start(max_in_flight)
                await self._run_one(group)
        finally:
            self._running -= 1

    async def _run_one(self, group: dict[tuple[str, K], list[_Waiter[V]]]) -> None:
        principal = next(iter(group))[0]
        _since.set(_oldest(group.values()))  # for this task and what it begins
        with as_user(principal):
            outcomes = await self._outcomes_of([key for _, key in group])
        self._busy.difference_update(group)
        for entry, outcome in zip(group.values(), outcomes, strict=True):
            for answer, _ in entry:
                settle(answer, outcome)

    async def _outcomes_of(self, keys: Sequence[K]) -> Sequence[V | Exception | asyncio.Future[V]]:
        try:
            return await self._run_group(keys)
        except Exception as error:  # noqa: BLE001 (it is raised for whoever asked)
            return [error] * len(keys)


def _oldest(group: Iterable[Sequence[_Waiter[V]]]) -> float:
    return min(entry[0].since for entry in group)


def settle(answer: asyncio.Future[V], outcome: V | Exception | asyncio.Future[V]) -> None:
    """Give an answer, if somebody still waits for it."""
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
