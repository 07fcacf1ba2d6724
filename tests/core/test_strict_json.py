"""The JSON reader takes what every reader takes alike, and nothing else."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskwell.core.strict_json import MAX_DEPTH, MalformedJson, loads, loads_body

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    SCALARS,
    lambda values: (
        st.lists(values) | st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=32)), values)
    ),
    max_leaves=10,
)


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    return (opening * levels + closing * levels).encode()


def refused(body: bytes) -> str:
    with pytest.raises(MalformedJson) as error:
        loads(body)
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return str(error.value)


class TestWhatItTakes:
    @settings(deadline=None)
    @given(VALUES)
    def test_whatever_was_written_as_json(self, value: Any) -> None:
        assert loads(json.dumps(value).encode()) == value
        assert loads(json.dumps(value, ensure_ascii=False).encode()) == value

    @pytest.mark.parametrize(
        ("body", "value"),
        [
            (b' {"title" : "Buy milk"}\r\n\t', {"title": "Buy milk"}),
            (b'""', ""),
            (b"0", 0),
            (b"-0", 0),
            (b"9223372036854775807", 2**63 - 1),
            (b"-9223372036854775808", -(2**63)),
            (b"1e308", 1e308),
            (b"1e-400", 0.0),
            (rb'"\ud83d\udcdd"', "📝"),
            (rb'"\u00e9"', "é"),
            (rb'"\t\n\u0001"', "\t\n\x01"),
            (rb'"\\u0000"', r"\u0000"),
            (rb'"\\ud800"', r"\ud800"),
            (b'"' + b"[" * 100 + b'"', "[" * 100),
            (b"[" + b",".join([b"[]"] * 100) + b"]", [[]] * 100),
        ],
    )
    def test_a_text(self, body: bytes, value: object) -> None:
        assert loads(body) == value

    @pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
    def test_as_many_levels_as_are_allowed(self, brackets: tuple[str, str]) -> None:
        opening, closing = brackets
        loads((opening * MAX_DEPTH + "1" + closing * MAX_DEPTH).encode())


class TestBodies:
    def test_one_may_begin_with_a_byte_order_mark(self) -> None:
        assert loads_body(b'\xef\xbb\xbf{"title": "\xc3\xa9"}') == {"title": "\xe9"}
        assert loads_body(b"1") == 1

    @pytest.mark.parametrize("body", [b"\xef\xbb\xbf", b"\xef\xbb\xbf" * 2 + b"1", b"\xff\xfe1\0"])
    def test_one_may_begin_with_no_more_than_a_byte_order_mark(self, body: bytes) -> None:
        with pytest.raises(MalformedJson):
            loads_body(body)


class TestTraps:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"title": "a", "title": "b"}',
            b'{"title": "a", "title": "a"}',
            b'[{"task": {"title": 1, "title": 2}}]',
            rb'{"title": 1, "\u0074itle": 2}',
        ],
    )
    def test_a_member_named_twice(self, body: bytes) -> None:
        assert refused(body) == "names a member twice"

    @pytest.mark.parametrize("body", [b"NaN", b"Infinity", b"-Infinity", b'{"n": [NaN]}'])
    def test_a_number_that_json_does_not_know(self, body: bytes) -> None:
        assert refused(body) == "has a number that JSON does not know"

    @pytest.mark.parametrize(
        "body",
        [
            b"9223372036854775808",
            b"-9223372036854775809",
            b"1" * 5_000,
            b"-" + b"1" * 5_000,
            b"1e309",
            b"-1e309",
            b"[1" + b"0" * 400 + b".5]",
        ],
    )
    def test_a_number_out_of_range(self, body: bytes) -> None:
        assert refused(body) == "has a number out of range"

    @pytest.mark.parametrize(
        "body",
        [rb'"\ud800"', rb'"a\udfffb"', rb'{"\ud800": 1}', rb'["\udcdd\ud83d"]', rb'{"a": {"b": ["\uDBFF"]}}'],
    )
    def test_half_of_a_surrogate_pair(self, body: bytes) -> None:
        assert refused(body) == "has half of a surrogate pair"

    @pytest.mark.parametrize("body", [rb'"\u0000"', rb'{"a\u0000": 1}', rb'[["a", "b\u0000"]]'])
    def test_nul(self, body: bytes) -> None:
        assert refused(body) == "has a NUL character"

    @pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
    @pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 500, 100_000])
    def test_too_many_levels(self, brackets: tuple[str, str], levels: int) -> None:
        opening, closing = brackets
        body = (opening * levels + "1" + closing * levels).encode()
        assert refused(body) == f"is nested deeper than {MAX_DEPTH} levels"

    @pytest.mark.parametrize(
        "body",
        [
            b'"\xff"',
            b'"\xc0\x80"',  # NUL in two bytes
            b'"\xed\xa0\x80"',  # half of a surrogate pair
            b'"\xf4\x90\x80\x80"',  # beyond Unicode
            '{"title": "é"}'.encode("latin-1"),
            '{"title": "a"}'.encode("utf-16"),
        ],
    )
    def test_other_encodings(self, body: bytes) -> None:
        assert refused(body) == "is not UTF-8"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"{",
            b'{"a": 1,}',
            b"{'a': 1}",
            b"{a: 1}",
            b"[1] [2]",
            b"[1,]",
            b"01",
            b"+1",
            b".5",
            b"1.",
            b"0x10",
            b"True",
            b'"a\nb"',
            b'"a\0b"',
            rb'"\x41"',
            rb'"\u00g0"',
            b"// a comment\n1",
            b"\xc2\xa01",  # a no-break space is no white space here
            b"\xef\xbb\xbf1",  # a byte order mark, which only a body may have
            b"1\xef\xbb\xbf",
            "\u0661".encode(),  # a digit, but not one of JSON's
            '{"title": "a"}'.encode("utf-16-le"),
        ],
    )
    def test_what_is_no_json(self, body: bytes) -> None:
        assert refused(body).startswith("is not JSON (line ")

    def test_the_message_says_where(self) -> None:
        assert refused(b'{\n  "title": oops\n}') == "is not JSON (line 2, column 12)"

    def test_the_message_repeats_nothing(self) -> None:
        for body in (b'{"S3cr3t": 1, "S3cr3t": 2}', b'"S3cr3t', rb'"S3cr3t\u0000"', b'"S3cr3t\xff"'):
            assert "S3cr3t" not in refused(body)

    @settings(deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes_are_read_or_refused(self, body: bytes) -> None:
        with suppress(MalformedJson):
            loads(body)
