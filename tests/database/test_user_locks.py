"""Writes of one user wait for each other inside the process, not on a connection."""

import asyncio

import pytest

from taskwell.core.errors import Busy
from taskwell.database.user_locks import KeyedLocks


class TestTurns:
    def test_one_at_a_time_in_the_order_of_their_coming(self) -> None:
        seen: list[int] = []

        async def take(locks: KeyedLocks, n: int) -> None:
            async with locks.lock("alice"):
                seen.append(n)
                await asyncio.sleep(0)
                assert seen[-1] == n

        async def work() -> None:
            locks = KeyedLocks()
            await asyncio.gather(*(take(locks, n) for n in range(20)))

        asyncio.run(work())
        assert seen == list(range(20))

    def test_another_name_does_not_wait(self) -> None:
        async def work() -> None:
            locks = KeyedLocks()
            async with locks.lock("alice"), locks.lock("bob", patience_seconds=0.01):
                pass

        asyncio.run(work())

    def test_who_waits_too_long_is_told_so_and_the_next_one_gets_the_turn(self) -> None:
        async def work() -> None:
            locks = KeyedLocks()
            async with locks.lock("alice"):
                with pytest.raises(Busy):
                    async with locks.lock("alice", patience_seconds=0.01):
                        pass
            async with locks.lock("alice", patience_seconds=0.01):
                pass

        asyncio.run(work())

    def test_nothing_is_kept_of_those_who_are_done(self) -> None:
        async def work() -> int:
            locks = KeyedLocks()
            for n in range(100):
                async with locks.lock(str(n)):
                    pass
            return len(locks._locks)

        assert asyncio.run(work()) == 0
