"""Cursors: a keyset position in an ordered list, bound to the query that it came from.

A cursor is no secret and grants no access: each page is read with the owner in its WHERE. Its digest detects
a cursor of another list, and a damaged one.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence

from taskwell.core.errors import Invalid, Violation

_DIGEST_BYTES = 12
_FORM = re.compile(rb"[A-Za-z0-9_-]+")
_MAX_LENGTH = 4_096  # the longest title, case-folded, in base64


def encode_cursor(position: Sequence[str], *, query: Sequence[str]) -> str:
    """Encode a position. `position`: the keyset of the page's last task. `query`: identifies the list."""
    return _encode("\0".join(position).encode(), query)


def decode_cursor(cursor: str, *, query: Sequence[str]) -> list[str]:
    """The position of a cursor.

    Raises:
        Invalid: the cursor is damaged, forged, or of another query.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        data = urlsafe_b64decode(padded.encode("ascii")) if len(cursor) <= _MAX_LENGTH else b""
        payload = data[_DIGEST_BYTES:]
        # Encoded again instead of comparing the digests: several base64 texts decode to the same bytes.
        if hmac.compare_digest(_encode(payload, query), cursor):
            return payload.decode().split("\0")
    except (NotBase64, UnicodeError, ValueError):
        pass
    raise bad_cursor()


def split_cursor(text: bytes) -> tuple[bytes, str | None]:
    """The query string before a cursor at its end, where a `Link` has it, and the cursor."""
    query, found, cursor = text.rpartition(b"&cursor=")
    if not found or b"cursor=" in query or not _FORM.fullmatch(cursor):
        return text, None
    return query, cursor.decode()


def bad_cursor() -> Invalid:
    detail = "is not a cursor of this list; start again without it"
    return Invalid(Violation("query", "cursor", "invalid_cursor", detail))


def _encode(payload: bytes, query: Sequence[str]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=b"taskwell cursor")
    for part in (payload, *(text.encode() for text in query)):
        digest.update(b"%d:" % len(part) + part)
    return urlsafe_b64encode(digest.digest() + payload).rstrip(b"=").decode()
