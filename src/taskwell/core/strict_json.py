"""Strict JSON (RFC 8259): refuses whatever two parsers could read differently (I-JSON, RFC 7493)."""

import json
import math
import re
from codecs import BOM_UTF8
from typing import Any

MAX_DEPTH = 16
_MAX_INTEGER = 2**63


class MalformedJson(ValueError):
    """The message is a constant of this module and repeats nothing of the input."""


def loads(body: bytes) -> Any:
    """Parse UTF-8 JSON.

    Raises:
        MalformedJson: not JSON, or ambiguous: a duplicate member, NaN, a number beyond a double or a 64-bit
            integer, half of a surrogate pair, NUL, nesting deeper than `MAX_DEPTH`.
    """
    try:
        text = body.decode()
        value = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise MalformedJson("is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedJson(f"is not JSON ({where})") from None
    except RecursionError:
        raise MalformedJson(_TOO_DEEP) from None
    # Only an escape can encode what UTF-8 itself forbids, and only brackets make depth.
    if "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
        _check(value, MAX_DEPTH)
    return value


def loads_body(body: bytes) -> Any:
    """Like `loads`, but a byte order mark is allowed (RFC 8259, 8.1): PowerShell and .NET write one.

    Only for request bodies: tokens and key sets have none.
    """
    return loads(body.removeprefix(BOM_UTF8))


_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJson("names a member twice")
    return members


def _no_constant(_text: str) -> None:
    raise MalformedJson("has a number that JSON does not know")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedJson("has a number out of range")
    return number


def _integer(text: str) -> int:
    # The length first: Python refuses to parse 5,000 digits, with an error of its own.
    if len(text) > 20 or not -_MAX_INTEGER <= (number := int(text)) < _MAX_INTEGER:
        raise MalformedJson("has a number out of range")
    return number


# Line ends to some languages, though JSON allows them unescaped in a string: NEL, LINE SEPARATOR and
# PARAGRAPH SEPARATOR. All other line ends are control characters, which JSON always escapes.
_LINE_ENDS = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")


def in_one_line(record: bytes) -> bytes:
    """Escape every character that could end a line, for formats with one record per line."""
    return record if record.isascii() else _LINE_ENDS.sub(_escape, record)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer
)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        _check_string(value)
        return
    if not isinstance(value, dict | list):
        return
    if not depth:
        raise MalformedJson(_TOO_DEEP)
    if isinstance(value, dict):
        for name in value:
            _check_string(name)
        value = list(value.values())
    for item in value:
        _check(item, depth - 1)


def _check_string(text: str) -> None:
    if "\0" in text:
        raise MalformedJson("has a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise MalformedJson("has half of a surrogate pair") from None
