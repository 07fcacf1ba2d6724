"""Order keys: texts of `0-9A-Za-z`, compared by bytes, between any two of which there is room for another.

They are the keys of the `fractional-indexing` libraries, so that a client can compute one too.
"""

import re
from datetime import UTC, datetime, timedelta

from fractional_indexing import FIError, generate_key_between, generate_n_keys_between, validate_order_key

POSITION_PATTERN = r"^[0-9A-Za-z]{1,255}$"
_MAX_LENGTH = 255
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PLACES = 9
_RANGE = len(_DIGITS) ** _PLACES  # microseconds from 1970 to 2398
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
_FORM = re.compile(POSITION_PATTERN, re.ASCII)


def key_of(instant: datetime, nth: int = 0) -> str:
    """The position of a new task: behind all keys of earlier instants, so that nothing needs to be read.

    `nth`: the index in a batch, whose tasks have one instant.
    """
    return "i" + _in_base_62((instant - _EPOCH) // _MICROSECOND + nth)


def first_key_of(instant: datetime) -> str:
    """A position in front of all keys of earlier instants."""
    return "R" + _in_base_62(_RANGE - 1 - (instant - _EPOCH) // _MICROSECOND)


def _in_base_62(number: int) -> str:
    rest, first = divmod(number, 3844)
    rest, second = divmod(rest, 3844)
    rest, third = divmod(rest, 3844)
    lead, fourth = divmod(rest, 3844)
    return _DIGITS[lead] + _PAIRS[fourth] + _PAIRS[third] + _PAIRS[second] + _PAIRS[first]


def is_position(text: str) -> bool:
    """Whether it is an order key of the library."""
    if not _FORM.fullmatch(text):
        return False
    try:
        validate_order_key(text, _DIGITS)
    except (FIError, IndexError):
        return False
    return True


def key_between(before: str | None, after: str | None) -> str | None:
    """A key between two, or None if there is no room: they are equal, in disorder, or no keys.

    None instead of a key: the beginning or the end.
    """
    try:
        key: str = generate_key_between(before, after)
    except (FIError, IndexError):
        return None
    return key if len(key) <= _MAX_LENGTH else None


def spread(before: str | None, after: str | None, count: int) -> list[str]:
    """`count` keys between two, in order, of about the same length."""
    keys: list[str] = generate_n_keys_between(before, after, count)
    return keys
