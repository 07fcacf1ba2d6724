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
_MAX_LENGTH = 1_024


def encode_cursor(position: Sequence[str], *, query: Sequence[str]) -> str:
    """`position`: the sort key of the last row of the page. `query`: what makes the list another one."""
    payload = "\0".join(position).encode()
    return urlsafe_b64encode(_digest(payload, query) + payload).rstrip(b"=").decode()


def decode_cursor(cursor: str, *, query: Sequence[str]) -> list[str]:
    """The position.

    Raises:
        Invalid: the cursor is damaged, made up, or of another query.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        data = urlsafe_b64decode(padded.encode("ascii")) if len(cursor) <= _MAX_LENGTH else b""
        digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hmac.compare_digest(digest, _digest(payload, query)):
            return payload.decode().split("\0")
    except (NotBase64, UnicodeError, ValueError):
        pass
    raise bad_cursor()


def bad_cursor() -> Invalid:
    detail = "is not a cursor of this list; begin again without it"
    return Invalid(Violation("query", "cursor", "invalid_cursor", detail))


def _digest(payload: bytes, query: Sequence[str]) -> bytes:
    digest = hashlib.blake2b(payload, digest_size=_DIGEST_BYTES, person=b"taskwell cursor")
    for part in query:
        digest.update(b"\0" + part.encode())
    return digest.digest()
