"""The program that a request names: `Taskwell-Agent`, or the name in a JWT, which comes first."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from harness.databases import migrated_database
from harness.issuer import Issuer, bearer
from harness.responses import violation
from harness.servers import LocalServer, local_server
from taskwell import app as application
from taskwell.core.principal import current_actor
from taskwell.core.settings import Settings
from taskwell.http.prefixes import Prefix
from tests.security.conftest import settings_for

AGENT = "Taskwell-Agent"
REFUSED = {
    "parameter": AGENT,
    "code": "malformed",
    "detail": "must be one name of 1 to 100 printable ASCII characters",
}


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """A protocol that tells who acts."""
    actor = current_actor()
    await JSONResponse([actor.via, actor.client, actor.token_name])(scope, receive, send)


@pytest.fixture
def url(database_kind: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a database, for a server that has the protocol above."""
    line = Prefix("/who", app=who, methods=("GET",), authenticated=True, cacheable=False)
    monkeypatch.setattr(application, "PREFIXES", (*application.PREFIXES, line))
    with migrated_database(database_kind, tmp_path) as url:
        yield url


@pytest.fixture
def stub(url: str) -> Iterator[httpx2.Client]:
    with (
        local_server(Settings(database_url=url)) as server,
        httpx2.Client(base_url=server.url) as client,
    ):
        yield client


@pytest.fixture
def strict(url: str, issuer: Issuer) -> Iterator[LocalServer]:
    with local_server(settings_for(issuer, database_url=url)) as server:
        yield server


class TestWithoutCredentials:
    def test_nobody_is_named(self, stub: httpx2.Client) -> None:
        assert stub.get("/who").json() == ["api", None, None]

    @pytest.mark.parametrize("name", ["x", "claude-code", "My agent/1.2 (test)", "!", "~" * 100])
    def test_the_header_names_a_program(self, stub: httpx2.Client, name: str) -> None:
        assert stub.get("/who", headers={AGENT: name}).json() == ["api", name, None]
        assert stub.get("/who").json() == ["api", None, None]

    @pytest.mark.parametrize("name", ["", "~" * 101, "caf\u00e9", "\u00a0x", "a\tb"])
    def test_a_name_that_cannot_be_stored_is_refused(self, stub: httpx2.Client, name: str) -> None:
        headers = [(AGENT.encode(), name.encode("latin-1"))]
        for answer in (
            stub.get("/who", headers=headers),
            stub.post("/api/tasks", json={"title": "x"}, headers=headers),
        ):
            assert violation(answer) == REFUSED
        assert stub.get("/api/tasks").json() == []

    def test_two_names_are_refused(self, stub: httpx2.Client) -> None:
        assert violation(stub.get("/who", headers=[(AGENT, "one"), (AGENT, "one")])) == REFUSED

    def test_paths_for_everybody_do_not_read_it(self, stub: httpx2.Client) -> None:
        assert stub.get("/health/live", headers={AGENT: ""}).status_code == 200


class TestWithCredentials:
    @pytest.mark.parametrize(
        ("claims", "client"),
        [
            ({}, "agent"),
            ({"azp": "proved"}, "proved"),
            ({"client_id": "proved"}, "proved"),
            ({"azp": "proved", "client_id": "other"}, "proved"),
            ({"azp": "caf\u00e9"}, "agent"),
            ({"azp": ["proved"]}, "agent"),
        ],
    )
    def test_the_name_in_a_jwt_comes_first(
        self, strict: LocalServer, issuer: Issuer, claims: dict[str, Any], client: str
    ) -> None:
        headers = bearer(issuer.token("alice", **claims)) | {AGENT: "agent"}
        assert httpx2.get(f"{strict.url}/who", headers=headers).json() == ["api", client, None]

    def test_an_api_token_is_named_beside_it(self, strict: LocalServer, issuer: Issuer) -> None:
        new = {"name": "claude-laptop", "scopes": ["tasks:edit"]}
        owner = bearer(issuer.token("alice", azp="the browser"))
        made = httpx2.post(f"{strict.url}/api/users/me/tokens", json=new, headers=owner).json()
        program = bearer(made["token"])
        for more, client in (({}, None), ({AGENT: "claude-code"}, "claude-code")):
            answer = httpx2.get(f"{strict.url}/who", headers=program | more)
            assert answer.json() == ["api", client, "claude-laptop"]

    def test_a_name_that_cannot_be_stored_is_refused(self, strict: LocalServer, issuer: Issuer) -> None:
        headers = bearer(issuer.token("alice", azp="proved")) | {AGENT: "a" * 101}
        assert violation(httpx2.get(f"{strict.url}/api/tasks", headers=headers)) == REFUSED


class TestFastPath:
    def test_a_request_that_names_another_program_is_another_clients(
        self, strict: LocalServer, issuer: Issuer, taken: list[bool]
    ) -> None:
        signed_in = bearer(issuer.token("alice"))
        with httpx2.Client(base_url=strict.url, headers=signed_in) as client:
            for _ in range(2):
                for headers in ({}, {AGENT: "one"}, {AGENT: "other"}):
                    answer = client.post("/api/tasks", json={"title": "x"}, headers=headers)
                    assert answer.status_code == 201
            assert violation(client.post("/api/tasks", json={"title": "x"}, headers={AGENT: ""})) == REFUSED
        assert taken == [False] * 3 + [True] * 3 + [False]


class TestPages:
    def test_may_send_it(self, stub: httpx2.Client) -> None:
        asked = {
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,taskwell-agent",
        }
        answer = stub.options("/api/tasks", headers=asked)
        assert answer.status_code == 200
        assert "taskwell-agent" in answer.headers["access-control-allow-headers"]


def test_the_document_has_its_form(strict: LocalServer) -> None:
    document = httpx2.get(f"{strict.url}/openapi.json").json()
    (shown,) = (
        parameter
        for parameter in document["paths"]["/api/tasks"]["post"]["parameters"]
        if parameter["name"] == AGENT.lower()
    )
    assert json.dumps(shown["schema"]).isascii()
    assert shown["schema"]["pattern"] == "^[!-~]([ -~]{0,98}[!-~])?$"
    assert shown["required"] is False
