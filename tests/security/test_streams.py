"""A stream of events ends when the credentials do: they are not looked at again while it goes on."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

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


def test_a_stream_ends_with_a_jwt_or_an_api_token(
    guarded: LocalServer, issuer: Issuer, as_user: As, user: str
) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=4)
    tokens = [
        issuer.token(user, exp=expires_at.timestamp()),
        new_token(as_user(user), expires_at=expires_at.isoformat())["token"],
    ]
    with ThreadPoolExecutor(len(tokens)) as threads:  # they wait beside each other
        for ended in threads.map(partial(end_of_a_stream, guarded), tokens):
            assert -CLOCKS_DIFFER_BY < ended - expires_at.timestamp() < 20


@pytest.mark.parametrize("expires_at", [float("inf"), 4_102_444_800.0])
def test_a_stream_ends_after_ten_minutes(expires_at: float) -> None:
    """Since a token may be revoked meanwhile."""
    assert Caller("alice", frozenset(), expires_at=expires_at).stream_seconds() == 600
    assert Caller("alice", frozenset(), any_user=True).stream_seconds() == float("inf")
