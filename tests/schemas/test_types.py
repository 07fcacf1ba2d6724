"""The user that a claim of a token names."""

import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskwell.models.base import USER_ID_MAX_LENGTH
from taskwell.schemas.types import RESERVED_USER_IDS, is_user_id, user_id_of

# What OpenID Core allows in `sub`, mixed so that ids, escapes and digests are all likely.
ASCII = "".join(map(chr, range(0x20, 0x7F)))
CLAIMS = st.one_of(
    st.text(ASCII, min_size=1, max_size=255),
    st.text("=/ 2FDs:", min_size=1, max_size=12),
    st.text(string.hexdigits + "=/", min_size=60, max_size=90),
    st.sampled_from(sorted(RESERVED_USER_IDS)),
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]), min_size=1, max_size=255),
)


@pytest.mark.parametrize(
    ("claim", "user_id"),
    [
        ("alice", "alice"),
        ("auth0|5f7c8ec7c33c6c004bbafe82", "auth0|5f7c8ec7c33c6c004bbafe82"),
        ("a+b@example.com", "a+b@example.com"),
        ("q83vEjRW+g==", "q83vEjRW+g=="),
        ("a/b", "=a=2Fb"),
        ("CN=x, O=y", "=CN=3Dx=2C=20O=3Dy"),
        ("https://example.com/u?1", "=https:=2F=2Fexample.com=2Fu=3F1"),
        ("me", "=me"),
        ("..", "=.."),
        ("=me", "==3Dme"),
        (" ", "==20"),
        ("100%", "=100=25"),
        ("älice", "==C3=A4lice"),
        ("/" * 84, "=" + "=2F" * 84),
        ("/" * 85, f"==sha256:{hashlib.sha256(b'/' * 85).hexdigest()}"),
    ],
)
def test_a_claim_names_one_user(claim: str, user_id: str) -> None:
    assert user_id_of(claim) == user_id


@given(CLAIMS)
def test_what_it_names_is_an_id(claim: str) -> None:
    assert is_user_id(user_id_of(claim))


@given(CLAIMS)
def test_a_claim_that_is_an_id_is_that_users(claim: str) -> None:
    assert (user_id_of(claim) == claim) is (is_user_id(claim) and claim[0] != "=")


@given(CLAIMS, CLAIMS)
def test_different_claims_name_different_users(claim: str, other: str) -> None:
    assert (user_id_of(claim) == user_id_of(other)) is (claim == other)


@given(CLAIMS)
def test_an_id_can_be_read_back(claim: str) -> None:
    """This is why no two claims share one: only the digest cannot be read, and nothing else looks like it."""
    user_id = user_id_of(claim)
    if user_id.startswith("==sha256:"):
        assert user_id == f"==sha256:{hashlib.sha256(claim.encode()).hexdigest()}"
    elif user_id.startswith("="):
        first, *parts = user_id[1:].split("=")
        read = first.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in parts)
        assert read.decode() == claim
    else:
        assert user_id == claim


@pytest.mark.parametrize(
    "claim",
    ["", "a" * (USER_ID_MAX_LENGTH + 1), "a\0b", "a\n", "\x7f", "\x85", "\ud800", "\u202ealice", "a\u200b"],
)
def test_what_cannot_be_seen_names_nobody(claim: str) -> None:
    with pytest.raises(ValueError, match=r"characters$"):
        user_id_of(claim)
