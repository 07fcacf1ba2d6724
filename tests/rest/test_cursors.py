"""Cursors: a client gets back exactly what it was given, or is told to begin again."""

import string
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskwell.core.errors import Invalid
from taskwell.rest.cursors import decode_cursor, encode_cursor

QUERY = ("tasks", "alice")
POSITION = ["2026-11-21T10:00:00.123456+00:00", "019a0000000070008000000000000000"]
CURSOR = encode_cursor(POSITION, query=QUERY)

PARTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1)


def refused(cursor: str, query: tuple[str, ...] = QUERY) -> Invalid:
    with pytest.raises(Invalid) as error:
        decode_cursor(cursor, query=query)
    return error.value


class TestRoundTrip:
    @settings(deadline=None)
    @given(PARTS, PARTS)
    def test_every_place_comes_back(self, position: list[str], query: list[str]) -> None:
        cursor = encode_cursor(position, query=query)
        assert set(cursor) <= set(string.ascii_letters + string.digits + "-_")
        if len(cursor) <= 1_024:
            assert decode_cursor(cursor, query=query) == position

    def test_the_same_place_has_the_same_cursor(self) -> None:
        assert encode_cursor(POSITION, query=QUERY) == CURSOR


class TestAnotherQuery:
    @pytest.mark.parametrize(
        "query",
        [
            ("tasks", "bob"),
            ("changes", "alice"),
            ("tasks",),
            ("tasks", "alice", ""),
            ("tasksalice",),
            ("taskalice", "s"),
            (),
        ],
    )
    def test_a_cursor_of_another_list_is_refused(self, query: tuple[str, ...]) -> None:
        refused(CURSOR, query)

    def test_what_is_place_and_what_is_query_cannot_be_exchanged(self) -> None:
        digest = encode_cursor(["a"], query=("b", "c"))[:16]
        place = encode_cursor(["a", "b"], query=("c",))[16:]
        refused(digest + place, ("c",))


class TestDamage:
    def test_another_letter_anywhere(self, subtests: pytest.Subtests) -> None:
        for place in range(len(CURSOR)):
            with subtests.test(place=place):
                for letter in set(string.ascii_letters + string.digits + "-_+/= \n!é") - {CURSOR[place]}:
                    refused(CURSOR[:place] + letter + CURSOR[place + 1 :])

    def test_a_part_of_it(self, subtests: pytest.Subtests) -> None:
        for length in range(len(CURSOR)):
            with subtests.test(length=length):
                refused(CURSOR[:length])
                refused(CURSOR[-length:] if length else "")

    @pytest.mark.parametrize("more", ["A", "=", "==", "!!!!", "\n", " ", CURSOR, "A" * 2_000])
    def test_more_than_it(self, more: str) -> None:
        refused(CURSOR + more)
        refused(more + CURSOR)

    def test_a_digest_of_nothing(self) -> None:
        refused(urlsafe_b64encode(b"\0" * 12 + b"2026").decode().rstrip("="))

    @settings(deadline=None)
    @given(st.text())
    def test_any_text_is_refused_and_nothing_else_happens(self, cursor: str) -> None:
        refused(cursor)

    @settings(deadline=None)
    @given(st.binary(max_size=600))
    def test_any_bytes_are_refused_and_nothing_else_happens(self, data: bytes) -> None:
        refused(urlsafe_b64encode(data).decode())

    @settings(deadline=None)
    @given(st.text(st.characters(exclude_categories=[])))
    def test_halves_of_surrogate_pairs_too(self, cursor: str) -> None:
        refused(cursor)

    def test_the_client_is_told_which_parameter_and_what_to_do(self) -> None:
        error = refused("S3cr3t")
        (violation,) = error.violations
        assert (violation.source, violation.name, violation.code) == ("query", "cursor", "invalid_cursor")
        assert error.detail == "cursor: is not a cursor of this list; start again without it"
