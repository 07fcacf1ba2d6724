"""Every error is a problem, the framework's own included."""

import re
from typing import Any

import httpx2
import pytest

from harness.responses import JSON, create, problem, violation
from harness.servers import LocalServer, local_server
from taskwell.core.settings import Settings
from taskwell.http.problems import PROBLEM_TYPES

ORIGIN = {"Origin": "http://localhost:3000"}


@pytest.mark.plan("A5", "SC-003")
class TestFrameworkErrors:
    def test_an_unknown_path_is_a_404(self, client: httpx2.Client) -> None:
        members = problem(client.get("/api/nothing/here/at/all"), 404, "not_found")
        assert members["detail"] == "There is nothing at this path."

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/api/tasks", "DELETE, GET, HEAD, OPTIONS, POST"),
            ("POST", "/api/alice/tasks/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
            ("GET", "/api/tasks/x/toggle", "OPTIONS, POST"),
            ("POST", "/api/tasks/x/complete", "OPTIONS, PATCH"),
            ("PATCH", "/api/alice/tasks/x/restore", "OPTIONS, POST"),
            ("POST", "/api/changes", "GET, HEAD, OPTIONS"),
            ("DELETE", "/api/alice/events", "GET, HEAD, OPTIONS"),
            ("PATCH", "/api/users", "OPTIONS, POST"),
            ("POST", "/", "GET, HEAD, OPTIONS"),
            ("TRACE", "/api/tasks", "DELETE, GET, HEAD, OPTIONS, POST"),
        ],
    )
    def test_a_method_that_is_not_known_is_a_405_with_those_that_are(
        self, client: httpx2.Client, method: str, path: str, allowed: str
    ) -> None:
        answer = client.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed

    @pytest.mark.parametrize(
        "body",
        [b"{", b"nonsense", b"{'title': 'x'}", b'{"title": NaN}', b'{"a": 1, "a": 2}', b"\xff", b" "],
    )
    def test_malformed_json_is_a_400(self, client: httpx2.Client, tasks: str, body: bytes) -> None:
        found = violation(client.post(tasks, content=body, headers=JSON))
        assert (found["pointer"], found["code"]) == ("", "malformed_json")

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
    def test_a_body_in_another_encoding_is_a_400(
        self, client: httpx2.Client, tasks: str, encoding: str
    ) -> None:
        content = '{"title": "é"}'.encode(encoding)
        assert violation(client.post(tasks, content=content, headers=JSON))["code"] == "malformed_json"

    def test_a_missing_body_is_a_400(self, client: httpx2.Client, tasks: str) -> None:
        assert violation(client.post(tasks))["detail"] == "is required"

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/vnd.api+json",
            "application/json; charset=latin1",
            "application/merge-patch+json",
            "",
        ],
    )
    def test_a_body_that_is_not_declared_as_json_is_a_415(
        self, client: httpx2.Client, tasks: str, content_type: str
    ) -> None:
        answer = client.post(tasks, content=b'{"title": "x"}', headers={"Content-Type": content_type})
        problem(answer, 415, "unsupported_media_type")
        assert answer.headers["accept-post"] == "application/json"

    @pytest.mark.parametrize(("method", "name"), [("PATCH", "accept-patch"), ("PUT", "accept")])
    def test_a_415_says_what_is_taken(
        self, client: httpx2.Client, tasks: str, method: str, name: str
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        answer = client.request(method, path, content=b"x", headers={"Content-Type": "text/plain"})
        problem(answer, 415, "unsupported_media_type")
        assert answer.headers[name] == "application/json, application/merge-patch+json"

    def test_a_compressed_body_is_a_415(self, client: httpx2.Client, tasks: str) -> None:
        headers = JSON | {"Content-Encoding": "gzip"}
        problem(client.post(tasks, content=b"\x1f\x8b", headers=headers), 415, "unsupported_media_type")

    @pytest.mark.direct
    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_body_that_is_too_large_is_a_413(
        self, client: httpx2.Client, tasks: str, server: LocalServer, chunked: bool
    ) -> None:
        size = server.settings.max_body_bytes + 1
        content = (b"x" * 1024 for _ in range(size // 1024 + 1)) if chunked else b"x" * size
        answer = client.post(tasks, content=content, headers=JSON)
        problem(answer, 413, "payload_too_large")
        assert answer.headers["connection"] == "close"

    def test_a_wrong_path_that_could_be_read_in_two_ways_is_a_400(self, client: httpx2.Client) -> None:
        for path in ("/api/tasks/%ff", "/api/a%2Fb/tasks", "/api/a%00/tasks", "/api/tasks?cursor=%ff"):
            assert violation(client.get(path))["code"] == "malformed"


class TestShape:
    def test_the_detail_is_a_plain_sentence(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.post(tasks, json={"title": "x" * 201})
        assert answer.json() == {
            "type": "validation_error",
            "title": "Validation Error",
            "status": 400,
            "detail": "title: must have 1 to 200 characters",
            "instance": tasks,
            "errors": [{"pointer": "/title", "code": "too_long", "detail": "must have 1 to 200 characters"}],
            "request_id": answer.headers["x-request-id"],
        }

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/api/{user}/tasks", {"title": "x", "recurrence_exclude": ["x"] * 1_000}),
            ("/api/{user}/tasks", {"title": "x", "labels": [1] * 1_000}),
            ("/api/webhooks", {"url": "https://hooks.invalid/", "events": ["x"] * 1_000}),
            ("/api/{user}/tasks/batch", {"operations": [{"op": "x"}] * 100}),
        ],
    )
    def test_is_short_however_much_is_wrong(
        self, client: httpx2.Client, user: str, path: str, body: dict[str, Any]
    ) -> None:
        answer = client.post(path.format(user=user), json=body)
        told = problem(answer, 400, "validation_error")
        assert len(answer.content) <= 4_096
        assert told["detail"].count("; ") == len(told["errors"]) - 1

    def test_the_instance_is_the_path_as_sent(self, client: httpx2.Client) -> None:
        assert client.get("/nothing/%C3%BC/?q=x").json()["instance"] == "/nothing/%C3%BC/"

    def test_a_harmless_request_id_is_kept(self, client: httpx2.Client) -> None:
        answer = client.get("/nothing", headers={"X-Request-Id": "Trace-17"})
        assert problem(answer, 404, "not_found")["request_id"] == "Trace-17"

    @pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "<script>", "a\tb"])
    def test_any_other_is_replaced(self, client: httpx2.Client, sent: str) -> None:
        answer = client.get("/nothing", headers={"X-Request-Id": sent})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])

    def test_every_answer_has_one(self, client: httpx2.Client, tasks: str) -> None:
        assert re.fullmatch("[0-9a-f]{32}", client.get(tasks).headers["x-request-id"])


class TestCors:
    @pytest.mark.parametrize(
        "path", ["/api/tasks", "/nothing", "/api/tasks/x", "/api/tasks?limit=0", "/api/a%00/tasks"]
    )
    def test_a_page_of_this_machine_may_read_every_answer(self, client: httpx2.Client, path: str) -> None:
        answer = client.get(path, headers=ORIGIN)
        assert answer.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        assert "Origin" in answer.headers["vary"]
        assert "ETag" in answer.headers["access-control-expose-headers"]

    def test_a_preflight_allows_what_the_api_knows(self, client: httpx2.Client) -> None:
        asked = {
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "content-type,if-match,idempotency-key",
        }
        answer = client.options("/api/tasks/x", headers=ORIGIN | asked)
        assert answer.status_code == 200
        assert "PATCH" in answer.headers["access-control-allow-methods"]

    @pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.evil.example", "null"])
    def test_other_pages_may_not(self, client: httpx2.Client, origin: str) -> None:
        answer = client.get("/api/tasks", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        answer = client.options("/api/tasks", headers=asked)
        problem(answer, 400, "validation_error")
        assert "access-control-allow-origin" not in answer.headers

    def test_origins_can_be_named(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, cors_origins=("https://app.example",))
        with local_server(settings) as server:
            answer = httpx2.get(f"{server.url}/nothing", headers={"Origin": "https://app.example"})
            assert answer.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.plan("A5")
class TestProblemPages:
    def test_each_type_is_explained_to_a_person_and_to_a_program(
        self, client: httpx2.Client, subtests: pytest.Subtests
    ) -> None:
        for token in PROBLEM_TYPES:
            with subtests.test(token=token):
                page = client.get(f"/problems/{token}", headers={"Accept": "text/html,*/*"})
                assert page.headers["content-type"] == "text/html; charset=utf-8"
                assert f"<code>{token}</code>" in page.text
                assert "default-src 'none'" in page.headers["content-security-policy"]
                members = client.get(f"/problems/{token}").json()
                assert members["type"] == token
                assert members["status"] == PROBLEM_TYPES[token].status

    def test_all_types_are_listed(self, client: httpx2.Client) -> None:
        assert [item["type"] for item in client.get("/problems").json()] == list(PROBLEM_TYPES)
        page = client.get("/problems", headers={"Accept": "text/html"}).text
        assert all(f'href="/problems/{token}"' in page for token in PROBLEM_TYPES)

    def test_an_unknown_type_is_a_404(self, client: httpx2.Client) -> None:
        problem(client.get("/problems/nonsense"), 404, "not_found")


class TestUnknownUsers:
    def test_a_server_that_knows_its_users_refuses_others(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, create_users=False)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            new = {"title": "Buy milk"}
            problem(client.post("/api/alice/tasks", json=new), 404, "not_found")
            assert client.get("/api/alice/tasks").json() == []
            client.post("/api/users", json={"id": "alice"})
            assert client.post("/api/alice/tasks", json=new).status_code == 201
