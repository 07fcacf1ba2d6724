"""The types of a task's other values: what two requests make of one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskwell.schemas.values import distinct_labels, label_key, merged

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text("abc", max_size=2), json, max_size=3)


def has_nulls(value: Any) -> bool:
    """Whether a member of an object is null; an array may have nulls."""
    return isinstance(value, dict) and any(one is None or has_nulls(one) for one in value.values())


class TestMerged:
    @pytest.mark.parametrize(
        ("stored", "patch", "result"),
        [
            ({"a": "b"}, {"a": "c"}, {"a": "c"}),
            ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
            ({"a": "b"}, {"a": None}, {}),
            ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
            ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
            ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
            ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
            ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
            (["a", "b"], ["c", "d"], ["c", "d"]),
            ({"a": "b"}, ["c"], ["c"]),
            ({"a": "foo"}, None, None),
            ({"a": "foo"}, "bar", "bar"),
            ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
            ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
            ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ],
    )
    def test_the_cases_of_rfc_7396(self, stored: Any, patch: Any, result: Any) -> None:
        assert merged(stored, patch) == result

    @given(objects, objects)
    def test_twice_is_once(self, stored: Any, patch: Any) -> None:
        once = merged(stored, patch)
        assert merged(once, patch) == once

    @given(objects)
    def test_what_is_new_has_no_nulls(self, patch: Any) -> None:
        assert not has_nulls(merged({}, patch))

    @given(objects, objects)
    def test_the_stored_one_stays_as_it_was(self, stored: Any, patch: Any) -> None:
        before = repr(stored)
        merged(stored, patch)
        assert repr(stored) == before


class TestLabels:
    @pytest.mark.parametrize(
        ("one", "other"), [("home", "HOME"), ("Straße", "STRASSE"), ("É", "e\u0301"), ("ﬁ", "FI")]
    )
    def test_two_names_of_one_label(self, one: str, other: str) -> None:
        assert label_key(one) == label_key(other)
        assert distinct_labels([one, other, "else", other]) == [one, "else"]

    @pytest.mark.parametrize(("one", "other"), [("e", "é"), ("a b", "ab"), ("i", "\u0131")])
    def test_names_of_two_labels(self, one: str, other: str) -> None:
        assert distinct_labels([one, other]) == [one, other]
