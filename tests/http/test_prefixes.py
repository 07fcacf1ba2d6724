"""A protocol at a path of its own: one line of the table, and all layers hold there."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from harness.issuer import Issuer, bearer, running_issuer
from harness.responses import problem
from harness.servers import LocalServer, local_server
from taskwell import app as application
from taskwell.auth.authorization import TASKS_WRITE, Access
from taskwell.core.errors import NotFound
from taskwell.http.authorization import authorize
from taskwell.http.prefixes import DAV_METHODS, REST_METHODS, Prefix, Prefixes
from taskwell.http.request_state import body_of, caller_of
from tests.security.conftest import settings_for

_MAX_BODY = 100
_ORIGIN = "https://app.example"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A protocol that tells its caller and the size of the body."""
    request = Request(scope, receive)
    authorize(request, Access(TASKS_WRITE))
    if scope["path"].endswith("/missing"):
        raise NotFound
    if scope["path"].endswith("/broken"):
        raise RuntimeError
    size = len(body_of(scope)) if scope["method"] in {"PROPFIND", "PUT"} else 0
    await PlainTextResponse(f"{caller_of(scope).user_id} {size}")(scope, receive, send)


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("<p>", media_type="text/html")(scope, receive, send)


LINES = (
    Prefix(
        "/dav",
        app=echo,
        methods=DAV_METHODS,
        route="/dav",
        authenticated=True,
        limited=True,
        max_body=_MAX_BODY,
        cacheable=False,
    ),
    Prefix("/page", app=page, methods=("GET", "HEAD"), cors=False),
)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer("ES256") as issuer:
        yield issuer


@pytest.fixture
def server(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setattr(application, "PREFIXES", (*application.PREFIXES, *LINES))
    settings = settings_for(
        issuer,
        database_url=f"sqlite:///{tmp_path}/tasks.db",
        rate_limit="12/hour",
        cors_origins=_ORIGIN,
        metrics="everybody",
    )
    with local_server(settings) as server:
        yield server


@pytest.fixture
def anonymous(server: LocalServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def alice(server: LocalServer, issuer: Issuer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, headers=bearer(issuer.token("alice"))) as client:
        yield client


class TestAuthentication:
    def test_is_needed(self, anonymous: httpx2.Client) -> None:
        assert problem(anonymous.request("PROPFIND", "/dav/tasks"), 401, "unauthorized")

    def test_names_the_caller(self, alice: httpx2.Client) -> None:
        assert alice.request("PROPFIND", "/dav/tasks", content=b"<propfind/>").text == "alice 11"

    def test_is_not_needed_on_a_public_line(self, anonymous: httpx2.Client) -> None:
        assert [anonymous.get(path).text for path in ("/page", "/page/", "/page/a")] == ["<p>"] * 3

    def test_ends_with_the_segment(self, anonymous: httpx2.Client) -> None:
        assert anonymous.get("/davx").status_code == 404

    def test_goes_by_scopes(self, server: LocalServer, issuer: Issuer) -> None:
        reader = bearer(issuer.token("alice", scope="tasks:read"))
        assert problem(httpx2.get(f"{server.url}/dav/tasks", headers=reader), 403, "forbidden")


class TestLimits:
    def test_a_caller_has_one_quota_for_all_protocols(self, alice: httpx2.Client) -> None:
        left = [alice.get(path).headers["RateLimit"] for path in ("/dav/a", "/api/tasks", "/dav/b")]
        assert [text.partition(";r=")[2].partition(";")[0] for text in left] == ["11", "10", "9"]

    def test_requests_beyond_it_are_refused(self, alice: httpx2.Client) -> None:
        statuses = [alice.get("/dav/tasks").status_code for _ in range(13)]
        assert statuses == [200] * 12 + [429]

    def test_failed_authentications_are_counted(self, server: LocalServer) -> None:
        """Of addresses of the Internet, as the proxy before the server tells them."""
        guess = {"X-Forwarded-For": "8.8.8.8", "Authorization": "Bearer no"}
        answers = [httpx2.get(f"{server.url}/dav/tasks", headers=guess).status_code for _ in range(13)]
        assert answers == [401] * 12 + [429]

    def test_its_own_limit_of_the_body_holds(self, alice: httpx2.Client) -> None:
        refused = problem(
            alice.request("PROPFIND", "/dav/tasks", content=b"x" * (_MAX_BODY + 1)), 413, "payload_too_large"
        )
        assert refused["detail"] == f"The body is larger than {_MAX_BODY} bytes."
        assert alice.put("/dav/tasks", content=b"x" * _MAX_BODY).text == f"alice {_MAX_BODY}"
        assert alice.post("/api/tasks", json={"title": "x" * _MAX_BODY}).status_code == 201


class TestBrowsers:
    def test_a_page_may_ask_for_its_methods(self, anonymous: httpx2.Client) -> None:
        asked = {"Origin": _ORIGIN, "Access-Control-Request-Method": "PROPFIND"}
        assert anonymous.options("/dav/tasks", headers=asked).status_code == 200

    def test_a_page_may_read_its_answers(self, alice: httpx2.Client) -> None:
        answer = alice.get("/dav/tasks", headers={"Origin": _ORIGIN})
        assert answer.headers["Access-Control-Allow-Origin"] == _ORIGIN

    def test_no_page_may_read_those_of_a_line_without_cors(self, anonymous: httpx2.Client) -> None:
        headers = anonymous.get("/page", headers={"Origin": _ORIGIN}).headers
        assert "Access-Control-Allow-Origin" not in headers
        assert "Vary" not in headers

    def test_no_cache_keeps_its_answers(self, alice: httpx2.Client) -> None:
        assert alice.get("/dav/tasks").headers["Cache-Control"] == "no-store"
        assert "Cache-Control" not in alice.get("/page").headers


class TestMethods:
    def test_options_tells_them(self, anonymous: httpx2.Client) -> None:
        allowed = anonymous.options("/dav/tasks").headers["Allow"].split(", ")
        assert allowed == sorted([*DAV_METHODS, "OPTIONS"])
        assert anonymous.options("/page").headers["Allow"] == "GET, HEAD, OPTIONS"

    def test_those_of_the_api_stay(self, anonymous: httpx2.Client) -> None:
        assert anonymous.options("/api/tasks").headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, POST"


class TestMetrics:
    def test_have_its_route_and_its_methods(self, alice: httpx2.Client) -> None:
        alice.request("PROPFIND", "/dav/tasks")
        alice.head("/dav/tasks")
        page = alice.get("/metrics").text
        for method in ("PROPFIND", "HEAD"):
            labels = f'{{method="{method}",route="/dav",status="200"}}'
            assert f"taskwell_http_request_duration_seconds_count{labels} 1.0" in page


class TestErrors:
    def test_are_problems(self, alice: httpx2.Client) -> None:
        assert problem(alice.get("/dav/missing"), 404, "not_found")["instance"] == "/dav/missing"

    def test_mistakes_are_problems(self, alice: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.CRITICAL, "taskwell"):
            assert problem(alice.get("/dav/broken"), 500, "internal_error")


class TestTable:
    def test_names_the_paths_of_the_application(self) -> None:
        """A root path that is one of them does not hide it."""
        table = Prefixes((*application.PREFIXES, *LINES))
        assert table.is_own("/dav/tasks")
        assert not table.is_own("/davx")

    def test_has_the_methods_of_all_its_lines_in_their_order(self) -> None:
        assert Prefixes(application.PREFIXES).methods == REST_METHODS
        assert Prefixes((*application.PREFIXES, *LINES)).methods[: len(REST_METHODS)] == REST_METHODS
