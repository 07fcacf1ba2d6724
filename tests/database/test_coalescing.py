"""The coalescer groups concurrent calls, and each call gets its own outcome."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from taskwell.core.principal import Principal, current_user
from taskwell.database import coalescing
from taskwell.database.coalescing import Coalescer

Seen = list[tuple[str, list[str]]]


class Source:
    """Returns each key with the number of its group; a test decides when a group ends."""

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
        return asyncio.ensure_future(
            self.coalescer.enqueue(Principal(principal), key, max_in_flight=max_in_flight)
        )

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
    def test_a_single_call_runs_at_once(self) -> None:
        async def work() -> None:
            source = Source()
            assert await source.enqueue("a") == "a 1"
            assert await source.enqueue("a") == "a 2"

        asyncio.run(work())

    def test_concurrent_calls_form_one_group(self) -> None:
        async def work() -> None:
            source = Source()
            answers = await asyncio.gather(*(source.enqueue(key) for key in "abc"))
            assert answers == ["a 1", "b 1", "c 1"]
            assert source.seen == [("*", ["a", "b", "c"])]

        asyncio.run(work())

    def test_calls_during_a_group_form_the_next_one_and_never_get_its_outcome(self) -> None:
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

    def test_a_key_is_in_one_running_group_at_most(self) -> None:
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

    def test_without_sharing_each_call_of_a_key_runs_by_itself(self) -> None:
        async def work() -> None:
            source = Source(shared=False)
            answers = await asyncio.gather(*(source.enqueue(key) for key in "aaba"))
            assert answers == ["a 1", "a 2", "b 1", "a 3"]
            assert [keys for _, keys in source.seen] == [["a", "b"], ["a"], ["a"]]

        asyncio.run(work())

    def test_a_group_has_one_principal(self) -> None:
        async def work() -> None:
            source = Source()
            asked = [
                source.enqueue(key, principal)
                for key, principal in (("a", "ada"), ("a", "bob"), ("b", "ada"))
            ]
            assert await asyncio.gather(*asked) == ["a 1", "a 2", "b 1"]
            assert source.seen == [("ada", ["a", "b"]), ("bob", ["a"])]

        asyncio.run(work())

    def test_the_size_and_the_number_of_groups_are_limited(self) -> None:
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

    def test_an_error_of_one_key_is_raised_for_that_key_alone(self) -> None:
        async def work() -> None:
            source = Source()
            source.failures = {"b": KeyError("b")}
            answers = await asyncio.gather(*(source.enqueue(key) for key in "abc"), return_exceptions=True)
            assert [str(answer) for answer in answers] == ["a 1", "'b'", "c 1"]

        asyncio.run(work())

    def test_a_failed_group_fails_all_its_calls_and_no_later_one(self) -> None:
        async def work() -> None:
            source = Source()
            source.failure = ConnectionError()
            answers = await asyncio.gather(*(source.enqueue(key) for key in "ab"), return_exceptions=True)
            assert answers == [source.failure] * 2
            source.failure = None
            assert await source.enqueue("a") == "a 2"

        asyncio.run(work())

    def test_a_cancelled_call_does_not_delay_others(self) -> None:
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


class TestMoreExpected:
    """Under overload, when admission control starts queued requests in each turn of the event loop."""

    def test_a_group_waits_for_expected_calls(self) -> None:
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

    def test_a_full_group_does_not_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
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

    def test_a_small_group_waits_a_limited_number_of_turns(self) -> None:
        async def work() -> None:
            source = Source()
            source.more = True
            asked = source.enqueue("a")
            for _ in range(coalescing._MAX_LOOP_TURNS + 5):
                await asyncio.sleep(0)
            assert asked.done()

        asyncio.run(work())

    def test_other_callbacks_run_between_two_groups(self, monkeypatch: pytest.MonkeyPatch) -> None:
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


class TestFutureOutcome:
    """The outcome of a key that takes longer than its group."""

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
