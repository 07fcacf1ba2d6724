"""The state of a request, and scopes that are copied on their way."""

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from harness.servers import serving
from taskwell.app import create_app
from taskwell.core.settings import Settings
from taskwell.http.connection import Connection
from taskwell.http.prefixes import Prefix
from taskwell.http.request_state import body_of, caller_of, known_state, request_state
from taskwell.http.root_path import detached


class TestScopes:
    def test_a_copy_shares_the_state(self) -> None:
        scope: Scope = {}
        request_state({**scope}).route = "/a"
        assert known_state(scope) is None
        state = request_state(scope)
        request_state({**scope}).route = "/b"
        assert state.route == "/b"

    def test_a_detached_copy_has_its_own(self) -> None:
        scope: Scope = {}
        state = request_state(scope)
        state.malformed, state.prefix = "validation_error", Prefix("/api")
        inner = request_state(detached(scope))
        inner.route = "/a"
        inner.add_check(lambda: True)
        assert (inner.malformed, inner.prefix) == ("validation_error", None)
        assert (state.route, state.checks) == (None, ())

    def test_nothing_is_shared_between_requests(self) -> None:
        request_state({}).add_check(lambda: False)
        assert request_state({}).checks == ()

    def test_what_no_layer_has_set_cannot_be_read_by_mistake(self) -> None:
        with pytest.raises(AssertionError):
            caller_of({})
        with pytest.raises(AssertionError):
            body_of({})

    def test_an_outcome_is_taken_once(self) -> None:
        state = request_state({})
        state.outcome = error = ValueError()
        assert state.take_outcome() is error
        assert state.outcome is None


@pytest.mark.parametrize("root_path", ["", "/tasks"])
def test_a_wrapper_that_copies_the_scope_sees_every_request(root_path: str, database_url: str) -> None:
    """It may add what the headers do not show, so the fast path must not learn from what is behind it."""
    app, asked = create_app(Settings(database_url=database_url, root_path=root_path)), []

    async def wrapper(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["type"])
        await app({**scope}, receive, send)

    with (
        serving(wrapper, http=Connection, ws="none", proxy_headers=False) as url,
        httpx2.Client(base_url=url) as client,
    ):
        task = client.post("/api/tasks", json={"title": "Buy milk"}).json()
        for _ in range(5):
            assert client.get(f"/api/tasks/{task['id']}").status_code == 200
    assert asked.count("http") == 6
