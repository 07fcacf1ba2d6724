"""A stream of events ends when the credentials do: they are not looked at again while it goes on."""

import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from harness.issuer import Issuer, bearer
from harness.servers import LocalServer
from taskwell.auth.authorization import Caller
from tests.security.conftest import As
from tests.security.test_tokens import new_token

pytestmark = pytest.mark.slow

# The server waits by the monotonic clock, and credentials end by the wall clock, which is adjusted.
CLOCKS_DIFFER_BY = 0.05


def end_of_a_stream(server: LocalServer, token: str) -> float:
    with (
        httpx2.Client(base_url=server.url, headers=bearer(token), timeout=60) as client,
        client.stream("GET", "/api/events") as answer,
    ):
        assert answer.status_code == 200
        answer.read()
        return time.time()


def test_a_stream_ends_with_a_jwt(guarded: LocalServer, issuer: Issuer, user: str) -> None:
    expires_at = time.time() + 4
    token = issuer.token(user, exp=expires_at)
    assert -CLOCKS_DIFFER_BY < end_of_a_stream(guarded, token) - expires_at < 20


def test_a_stream_ends_with_an_api_token(guarded: LocalServer, as_user: As, user: str) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=4)
    token = new_token(as_user(user), expires_at=expires_at.isoformat())["token"]
    assert -CLOCKS_DIFFER_BY < end_of_a_stream(guarded, token) - expires_at.timestamp() < 20


@pytest.mark.parametrize("expires_at", [float("inf"), 4_102_444_800.0])
def test_a_stream_ends_after_ten_minutes(expires_at: float) -> None:
    """Since a token may be revoked meanwhile."""
    assert Caller("alice", frozenset(), expires_at=expires_at).stream_seconds() == 600
    assert Caller("alice", frozenset(), any_user=True).stream_seconds() == float("inf")
