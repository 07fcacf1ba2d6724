"""Those who ask at once are asked for together, and each gets an answer of their own."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from taskwell.database import coalescing
from taskwell.database.coalescing import Coalescer
from taskwell.database.principal import current_user

Seen = list[tuple[str, list[str]]]


class Source:
    """Answers a key with itself and the number of the call; lets its user decide when."""

    def __init__(self, *, max_size: int = 100, shared: bool = True) -> None:
        self.seen: Seen = []
        self.failures: dict[str, Exception] = {}
        self.failure: Exception | None = None
        self.gates: list[asyncio.Event] = []
        self.more = False
        self.coalescer: Coalescer[str, str] = Coalescer(
            self._answer, self._spawn, max_size=max_size, shared=shared, more_expected=lambda: self.more
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def enqueue(self, key: str, principal: str = "*", max_in_flight: int = 1) -> "asyncio.Future[str]":
        return asyncio.ensure_future(self.coalescer.enqueue(principal, key, max_in_flight=max_in_flight))

    async def _answer(self, keys: Sequence[str]) -> Sequence[str | Exception]:
        self.seen.append((current_user(), list(keys)))
        number = len(self.seen)
        if self.gates:
            await self.gates[number - 1].wait()
        if self.failure is not None:
            raise self.failure
        return [self.failures.get(key) or f"{key} {number}" for key in keys]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class TestCoalescer:
    def test_who_asks_alone_waits_for_nobody(self) -> None:
        async def work() -> None:
            source = Source()
            assert await source.enqueue("a") == "a 1"
            assert await source.enqueue("a") == "a 2"

        asyncio.run(work())

    def test_who_asks_at_once_is_asked_for_once(self) -> None:
        async def work() -> None:
            source = Source()
            answers = await asyncio.gather(*(source.enqueue(key) for key in "abc"))
            assert answers == ["a 1", "b 1", "c 1"]
            assert source.seen == [("*", ["a", "b", "c"])]

        asyncio.run(work())

    def test_who_comes_meanwhile_is_next_and_never_gets_what_was_begun_before(self) -> None:
        async def work() -> None:
            source = Source()
            source.gates = [asyncio.Event(), asyncio.Event()]
            first = source.enqueue("a")
            await settle()
            later = [source.enqueue(key) for key in "abab"]
            await settle()
            assert len(source.seen) == 1
            for gate in source.gates:
                gate.set()
            assert await asyncio.gather(first, *later) == ["a 1", "a 2", "b 2", "a 2", "b 2"]

        asyncio.run(work())

    def test_a_key_is_never_asked_for_twice_at_a_time(self) -> None:
        async def work() -> None:
            source = Source(max_size=1)
            source.gates = [asyncio.Event() for _ in range(4)]
            answers = [source.enqueue("a", max_in_flight=4)]
            await settle()
            answers += [source.enqueue(key, max_in_flight=4) for key in "aab"]
            await settle()
            assert [keys for _, keys in source.seen] == [["a"], ["b"]]
            for gate in source.gates:
                gate.set()
            assert await asyncio.gather(*answers) == ["a 1", "a 3", "a 3", "b 2"]

        asyncio.run(work())

    def test_what_is_not_shared_is_done_for_each_one_after_another(self) -> None:
        async def work() -> None:
            source = Source(shared=False)
            answers = await asyncio.gather(*(source.enqueue(key) for key in "aaba"))
            assert answers == ["a 1", "a 2", "b 1", "a 3"]
            assert [keys for _, keys in source.seen] == [["a", "b"], ["a"], ["a"]]

        asyncio.run(work())

    def test_different_users_are_kept_apart(self) -> None:
        async def work() -> None:
            source = Source()
            asked = [
                source.enqueue(key, principal)
                for key, principal in (("a", "ada"), ("a", "bob"), ("b", "ada"))
            ]
            assert await asyncio.gather(*asked) == ["a 1", "a 2", "b 1"]
            assert source.seen == [("ada", ["a", "b"]), ("bob", ["a"])]

        asyncio.run(work())

    def test_no_more_than_so_many_at_once_in_no_more_than_so_many_lanes(self) -> None:
        async def work() -> None:
            source = Source(max_size=2)
            source.gates = [asyncio.Event() for _ in range(3)]
            asked = [source.enqueue(key, max_in_flight=2) for key in "abcde"]
            await settle()
            assert [keys for _, keys in source.seen] == [["a", "b"], ["c", "d"]]
            for gate in source.gates:
                gate.set()
            await asyncio.gather(*asked)
            assert [keys for _, keys in source.seen][2:] == [["e"]]

        asyncio.run(work())

    def test_an_error_of_one_key_is_nobody_elses(self) -> None:
        async def work() -> None:
            source = Source()
            source.failures = {"b": KeyError("b")}
            answers = await asyncio.gather(*(source.enqueue(key) for key in "abc"), return_exceptions=True)
            assert [str(answer) for answer in answers] == ["a 1", "'b'", "c 1"]

        asyncio.run(work())

    def test_a_failure_is_everybodys_and_the_next_are_asked_for(self) -> None:
        async def work() -> None:
            source = Source()
            source.failure = ConnectionError()
            answers = await asyncio.gather(*(source.enqueue(key) for key in "ab"), return_exceptions=True)
            assert answers == [source.failure] * 2
            source.failure = None
            assert await source.enqueue("a") == "a 2"

        asyncio.run(work())

    def test_who_leaves_holds_nobody_up(self) -> None:
        async def work() -> None:
            source = Source()
            source.gates = [asyncio.Event(), asyncio.Event()]
            gone, here = source.enqueue("a"), source.enqueue("b")
            await settle()
            gone.cancel()
            later = source.enqueue("a")
            for gate in source.gates:
                gate.set()
            assert list(await asyncio.gather(here, later)) == ["b 1", "a 2"]
            with pytest.raises(asyncio.CancelledError):
                await gone

        asyncio.run(work())


class TestMoreToCome:
    """Under overload, where those who wait for a place come some at a time."""

    def test_who_is_sure_to_come_is_waited_for(self) -> None:
        async def work() -> None:
            source = Source()
            source.more = True
            asked = []
            for key in "aab":
                asked.append(source.enqueue(key))
                await asyncio.sleep(0)
            assert source.seen == []
            source.more = False
            assert await asyncio.gather(*asked) == ["a 1", "a 1", "b 1"]

        asyncio.run(work())

    def test_a_full_group_waits_for_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coalescing, "_GOOD_SIZE", 3)

        async def work() -> None:
            source = Source()
            source.more = True
            asked = [source.enqueue(key) for key in "aab"]
            assert await asyncio.gather(*asked) == ["a 1", "a 1", "b 1"]
            source.enqueue("a")
            await settle()
            assert len(source.seen) == 1

        asyncio.run(work())

    def test_who_wants_what_hardly_anybody_wants_does_not_wait_on_and_on(self) -> None:
        async def work() -> None:
            source = Source()
            source.more = True
            asked = source.enqueue("a")
            for _ in range(coalescing._MAX_LOOP_TURNS + 5):
                await asyncio.sleep(0)
            assert asked.done()

        asyncio.run(work())

    def test_from_one_group_to_the_next_others_have_a_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coalescing, "_GOOD_SIZE", 1)
        seen_at_each_turn = []

        async def work() -> None:
            source = Source(max_size=1)
            source.more = True
            asked = [source.enqueue(key) for key in "abc"]
            while not all(one.done() for one in asked):
                seen_at_each_turn.append(len(source.seen))
                await asyncio.sleep(0)

        asyncio.run(work())
        assert set(seen_at_each_turn) >= {1, 2}


class TestWhatComesLater:
    """An outcome that has to be waited for itself."""

    def test_is_passed_on(self) -> None:
        async def work() -> None:
            answer, later = asyncio.Future[str](), asyncio.Future[str]()
            coalescing.settle(answer, later)
            assert not answer.done()
            later.set_result("there")
            assert await answer == "there"

        asyncio.run(work())

    def test_an_error_is_passed_on(self) -> None:
        async def work() -> None:
            answer, later = asyncio.Future[str](), asyncio.Future[str]()
            coalescing.settle(answer, later)
            later.set_exception(LookupError("gone"))
            with pytest.raises(LookupError, match="gone"):
                await answer

        asyncio.run(work())
