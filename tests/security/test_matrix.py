"""Isolation: nobody learns anything of what is another's. And no route without its scope."""

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from harness.issuer import Issuer
from harness.servers import LocalServer
from security import matrix
from security.__main__ import measure
from taskwell.app import create_app
from taskwell.auth.authorization import TASKS_READ, access_of
from taskwell.core.settings import Settings
from taskwell.rest.routing import TaskwellRoute
from tests.conftest import DATABASES, EVERYTHING

pytestmark = pytest.mark.slow


@pytest.mark.plan("A12")
class TestMatrix:
    # The program below does the same on SQLite, as somebody whose credentials are good.
    @pytest.mark.parametrize("database_kind", DATABASES if EVERYTHING else DATABASES[-1:], indirect=True)
    def test_nobody_can_tell_what_is_anothers(self, guarded: LocalServer, issuer: Issuer) -> None:
        figures = matrix.measure(guarded.url, issuer)
        assert figures.broken == []
        assert figures.values["operations"] >= 30
        assert figures.values["requests"] >= 1_000


def test_the_program_prints_its_figures() -> None:
    # Bad credentials are refused before a database is asked: the test above tries them with every operation.
    figures = measure("sqlite", unknown_keys=50, rest=0, refuses=EVERYTHING)
    assert figures.broken == []
    assert figures.values["operations"] >= 30
    assert figures.values["requests"] >= 1_000
    assert figures.values["hostile tokens"] >= 300
    assert figures.values["tokens of unknown keys"] == 50


class TestScopes:
    def test_every_route_under_api_declares_one(self) -> None:
        app = create_app(Settings(auth="jwt", jwt_secret=SecretStr("a" * 32)))
        found = [
            route
            for route in iter_route_contexts(app.routes)
            if getattr(route, "path", "").startswith("/api")
        ]
        assert len(found) >= 34
        for route in found:
            assert isinstance(route.original_route, TaskwellRoute), route.path
            assert route.endpoint is not None
            access = access_of(route.endpoint)
            assert access.scope is not None, route.path
            assert (access.scope == TASKS_READ) <= (route.methods == {"GET"}), route.path

    def test_a_route_without_one_cannot_be_made(self) -> None:
        async def forgotten() -> None: ...

        with pytest.raises(TypeError, match="forgotten must say what it needs"):
            TaskwellRoute("/api/forgotten", forgotten)
