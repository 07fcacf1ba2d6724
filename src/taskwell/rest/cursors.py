"""Keyset cursors: a place in an ordered list, bound to the query that it came from.

A cursor is no secret and gives no rights: each page is read with the owner in its WHERE. The digest keeps a
cursor from being used with another list, and tells a damaged one.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence

from taskwell.core.errors import Invalid, Violation

_DIGEST_BYTES = 12
_MAX_LENGTH = 4_096  # the longest title, case-folded, in base64


def encode_cursor(position: Sequence[str], *, query: Sequence[str]) -> str:
    """`position`: the sort key of the last row of the page. `query`: what makes the list another one."""
    return _encode("\0".join(position).encode(), query)


def decode_cursor(cursor: str, *, query: Sequence[str]) -> list[str]:
    """The position.

    Raises:
        Invalid: the cursor is damaged, made up, or of another query.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        data = urlsafe_b64decode(padded.encode("ascii")) if len(cursor) <= _MAX_LENGTH else b""
        payload = data[_DIGEST_BYTES:]
        # Made anew rather than compared in parts: base64 reads more spellings than it writes.
        if hmac.compare_digest(_encode(payload, query), cursor):
            return payload.decode().split("\0")
    except (NotBase64, UnicodeError, ValueError):
        pass
    raise bad_cursor()


def bad_cursor() -> Invalid:
    detail = "is not a cursor of this list; begin again without it"
    return Invalid(Violation("query", "cursor", "invalid_cursor", detail))


def _encode(payload: bytes, query: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=b"taskwell cursor")
    for part in (payload, *(text.encode() for text in query)):
        digest.update(b"%d:" % len(part) + part)
    return urlsafe_b64encode(digest.digest() + payload).rstrip(b"=").decode()
