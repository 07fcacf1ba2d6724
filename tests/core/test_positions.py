"""Order keys: those of the `fractional-indexing` libraries, and what the clock makes of them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from fractional_indexing import FIError, generate_key_between, generate_n_keys_between, validate_order_key
from hypothesis import given
from hypothesis import strategies as st

from taskwell.core.positions import first_key_of, is_position, key_between, key_of, spread

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2398, 1, 1, tzinfo=UTC)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
instants = st.datetimes(_EPOCH.replace(tzinfo=None), _LAST.replace(tzinfo=None), timezones=st.just(UTC))
# What comes of inserting at any place again and again.
places = st.lists(st.integers(0, 10**6), max_size=60)


def inserted(where: list[int]) -> list[str]:
    """The keys of a list into which something was put at these places, by the library."""
    keys: list[str] = []
    for place in where:
        at = place % (len(keys) + 1)
        before, after = (keys[at - 1] if at else None), (keys[at] if at < len(keys) else None)
        keys.insert(at, generate_key_between(before, after))
    return keys


class TestClock:
    @given(instants, instants)
    def test_later_is_behind(self, one: datetime, other: datetime) -> None:
        assert (key_of(one) < key_of(other)) == (one < other)
        assert (first_key_of(one) > first_key_of(other)) == (one < other)

    @given(instants)
    def test_it_makes_keys_of_the_library(self, instant: datetime) -> None:
        for key in (key_of(instant), first_key_of(instant)):
            validate_order_key(key, _DIGITS)
            assert is_position(key)
            assert len(key) == 10

    @given(instants, instants, places)
    def test_the_first_is_before_and_the_last_behind_all_that_is_moved(
        self, one: datetime, other: datetime, where: list[int]
    ) -> None:
        keys = inserted(where)
        assert first_key_of(one) < key_of(other)
        assert all(first_key_of(one) < key < key_of(other) for key in keys)

    @given(instants, st.integers(0, 1_000))
    def test_the_tasks_of_a_batch_are_a_microsecond_apart(self, instant: datetime, nth: int) -> None:
        assert key_of(instant, nth) == key_of(instant + timedelta(microseconds=nth))

    def test_one_by_hand(self) -> None:
        assert key_of(_EPOCH) == "i000000000"
        assert key_of(_EPOCH, 61) == "i00000000z"
        assert key_of(_EPOCH, 62) == "i000000010"
        assert first_key_of(_EPOCH) == "Rzzzzzzzzz"


class TestBetween:
    @given(places)
    def test_there_is_always_room(self, where: list[int]) -> None:
        keys: list[str] = []
        for place in where:
            at = place % (len(keys) + 1)
            before, after = (keys[at - 1] if at else None), (keys[at] if at < len(keys) else None)
            key = key_between(before, after)
            assert key is not None
            assert key == generate_key_between(before, after)
            assert is_position(key)
            keys.insert(at, key)
        assert keys == sorted(set(keys))

    @pytest.mark.parametrize(
        ("before", "after"), [("a0", "a0"), ("a1", "a0"), ("a0", "?"), ("", None), ("a00", None), (None, "a")]
    )
    def test_none_if_there_is_none(self, before: str | None, after: str | None) -> None:
        assert key_between(before, after) is None

    def test_none_if_it_would_be_too_long(self) -> None:
        longest = "a0" + "0" * 252 + "1"
        assert is_position(longest)
        assert key_between("a0", longest) is None

    @given(st.integers(0, 200), places)
    def test_many_at_once_are_in_order(self, count: int, where: list[int]) -> None:
        keys = inserted(where)
        for before, after in (
            (None, None),
            (keys[-1] if keys else None, None),
            *pairwise(keys),
        ):
            made = spread(before, after, count)
            assert made == generate_n_keys_between(before, after, count)
            assert len(made) == count
            whole = [*([before] if before else []), *made, *([after] if after else [])]
            assert whole == sorted(set(whole))
            assert all(map(is_position, made))


class TestValidity:
    @given(st.text(_DIGITS, min_size=1, max_size=40))
    def test_it_is_the_librarys(self, text: str) -> None:
        try:
            validate_order_key(text, _DIGITS)
            valid = True
        except (FIError, IndexError):
            valid = False
        assert is_position(text) == valid

    @given(st.text(max_size=12))
    def test_nothing_else_is_a_key(self, text: str) -> None:
        assert not is_position(text) or set(text) <= set(_DIGITS)

    @pytest.mark.parametrize(
        "text", ["", "a", "a0\n", "a00", "A" + "0" * 26, "a0-", "ä0", "٣0", "a" + "1" * 255]
    )
    def test_what_is_none(self, text: str) -> None:
        assert not is_position(text)
