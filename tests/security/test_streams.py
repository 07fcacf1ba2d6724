"""A stream of events ends when the credentials do: they are not looked at again while it goes on."""

import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from security.issuer import Issuer, bearer
from taskwell.api.callers import Caller
from tests.security.conftest import As
from tests.security.test_tokens import new_token
from tests.servers import LocalServer


def seconds_of_a_stream(server: LocalServer, token: str) -> float:
    with (
        httpx2.Client(base_url=server.url, headers=bearer(token), timeout=30) as client,
        client.stream("GET", "/api/events") as answer,
    ):
        assert answer.status_code == 200
        begun = time.monotonic()
        answer.read()
        return time.monotonic() - begun


def test_a_stream_ends_with_a_jwt(guarded: LocalServer, issuer: Issuer, user: str) -> None:
    token = issuer.token(user, exp=time.time() + 3)
    assert 1 < seconds_of_a_stream(guarded, token) < 8


def test_a_stream_ends_with_an_api_token(guarded: LocalServer, as_user: As, user: str) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=3)
    token = new_token(as_user(user), expires_at=expires_at.isoformat())["token"]
    assert 1 < seconds_of_a_stream(guarded, token) < 8


@pytest.mark.parametrize("expires_at", [float("inf"), time.time() + 100_000])
def test_a_stream_ends_after_ten_minutes(expires_at: float) -> None:
    """Since a token may be revoked meanwhile."""
    assert Caller("alice", frozenset(), expires_at=expires_at).stream_seconds() == 600
    assert Caller("alice", frozenset(), anybody=True).stream_seconds() == float("inf")
