"""Which pages may call, and what a browser is told so that they can."""

from collections.abc import Iterator

import httpx2
import pytest

from harness.databases import migrated_database
from harness.responses import problem
from harness.servers import LocalServer, local_server
from taskwell.core.settings import Settings
from taskwell.http.admission import Admission

APP = "https://app.example.com"
NAMED = f"{APP},https://*.preview.example.com,http://[::1]:3000"


@pytest.fixture(scope="module")
def named(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with migrated_database(database_kind, tmp_path_factory.mktemp("named")) as url:
        settings = Settings(database_url=url, cors_origins=NAMED)  # type: ignore[arg-type]
        with local_server(settings) as server:
            yield server


def preflight(server: LocalServer, origin: str, headers: str | None = None, **others: str) -> httpx2.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH", **others}
    if headers is not None:
        asked["Access-Control-Request-Headers"] = headers
    return httpx2.options(f"{server.url}/api/tasks/x", headers=asked)


class TestNamedOrigins:
    @pytest.mark.parametrize(
        "origin",
        [APP, "https://a.preview.example.com", "https://a-b.preview.example.com", "http://[::1]:3000",
         "http://localhost:5173"],
    )  # fmt: skip
    def test_may_read_with_credentials(self, named: LocalServer, origin: str) -> None:
        for method, path in (("GET", "/api/tasks"), ("GET", "/nothing"), ("POST", "/api/tasks")):
            for _ in range(2):  # the second is answered on the spot, where that is done
                answer = httpx2.request(
                    method, f"{named.url}{path}", headers={"Origin": origin}, json={"title": "x"}
                )
                assert answer.headers["access-control-allow-origin"] == origin
                assert answer.headers["access-control-allow-credentials"] == "true"
                assert "Origin" in answer.headers["vary"]
                assert "ETag" in answer.headers["access-control-expose-headers"]
        allowed = preflight(named, origin, "content-type")
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == origin
        assert allowed.headers["access-control-allow-credentials"] == "true"

    @pytest.mark.parametrize(
        "origin",
        ["https://app.example.com.evil.example", "http://app.example.com", "https://app.example.com:8443",
         "https://preview.example.com", "https://a.b.preview.example.com", "https://.preview.example.com",
         "https://evil.example/.preview.example.com", "https://apreview.example.com", "null", "*",
         "https://*.preview.example.com", "HTTPS://APP.EXAMPLE.COM", "https://evil.example\\.preview.example.com"],
    )  # fmt: skip
    def test_are_no_others(self, named: LocalServer, origin: str) -> None:
        answer = httpx2.get(f"{named.url}/api/tasks", headers={"Origin": origin})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        problem(preflight(named, origin), 400, "validation_error")

    @pytest.mark.parametrize(
        "headers",
        ["traceparent", "sentry-trace,baggage", "Cache-Control, X-Requested-With", "range", "prefer,accept",
         "x-anything_else.1", "authorization,content-type,if-match,idempotency-key,last-event-id"],
    )  # fmt: skip
    def test_may_send_every_header(self, named: LocalServer, headers: str) -> None:
        answer = preflight(named, APP, headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-headers"] == headers
        assert answer.headers["access-control-max-age"] == "600"

    @pytest.mark.parametrize("headers", ["a b", "a,,b", "a:b", "ä", "a;b", "(a)"])
    def test_may_not_send_what_can_be_no_header(self, named: LocalServer, headers: str) -> None:
        asked = headers.encode("latin-1")
        answer = httpx2.options(
            f"{named.url}/api/tasks",
            headers={
                b"Origin": APP.encode(),
                b"Access-Control-Request-Method": b"PATCH",
                b"Access-Control-Request-Headers": asked,
            },
        )
        problem(answer, 400, "validation_error")

    def test_may_reach_a_private_network(self, named: LocalServer) -> None:
        answer = preflight(named, APP, **{"Access-Control-Request-Private-Network": "true"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-private-network"] == "true"

    def test_can_read_that_the_server_is_overloaded(
        self, named: LocalServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Admission, "is_full", lambda _self, _now: True)
        for origin, allowed in ((APP, APP), ("https://evil.example", None)):
            answer = httpx2.get(f"{named.url}/api/tasks", headers={"Origin": origin})
            problem(answer, 503, "overloaded")
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert answer.headers.get("access-control-allow-credentials") == (allowed and "true")
            assert answer.headers.get_list("vary") == ["Origin"]


class TestEveryOrigin:
    def test_may_call_without_credentials(self, database_url: str) -> None:
        with local_server(Settings(database_url=database_url, cors_origins=("*",))) as server:
            answer = httpx2.get(f"{server.url}/api/tasks", headers={"Origin": "https://any.example"})
            asked = preflight(server, "https://any.example", "x-own")
            near = preflight(
                server, "https://any.example", **{"Access-Control-Request-Private-Network": "true"}
            )
        for told in (answer, asked):
            assert told.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in told.headers
        assert asked.headers["access-control-allow-headers"] == "x-own"
        assert near.status_code == 400
        assert "access-control-allow-private-network" not in near.headers
