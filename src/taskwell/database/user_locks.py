"""Keyed locks within the process: one lock for each name."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from taskwell.core.errors import Busy

_PATIENCE_SECONDS = 5.0


class KeyedLocks:
    """Locks by name, each acquired in the order of the calls."""

    def __init__(self) -> None:
        # A lock lives as long as a task holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def is_locked(self, name: str) -> bool:
        return name in self._locks

    @asynccontextmanager
    async def lock(self, name: str, *, patience_seconds: float = _PATIENCE_SECONDS) -> AsyncGenerator[None]:
        """Hold the name's lock. Raises Busy: it was not free in time."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        try:
            async with asyncio.timeout(patience_seconds):
                await lock.acquire()
        except TimeoutError:
            raise Busy from None
        try:
            yield
        finally:
            lock.release()
