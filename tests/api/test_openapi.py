"""The OpenAPI document and the page that shows it."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from taskwell.core.config import Settings
from taskwell.main import create_app

COMMITTED = Path(__file__).parents[2] / "openapi.json"
METHODS_WITH_BODY = {"post", "put", "patch"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(database_url="sqlite:///unused.db")).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.plan("A10")
class TestDocument:
    def test_the_committed_one_is_the_codes(self, document: dict[str, Any]) -> None:
        assert json.loads(COMMITTED.read_text()) == document, "run `make openapi`"

    def test_it_is_served(self, client: httpx2.Client, document: dict[str, Any]) -> None:
        assert client.get("/openapi.json").json() == document
        assert document["openapi"].startswith("3.1.")

    def test_operation_ids_are_short_unique_and_stable(self, document: dict[str, Any]) -> None:
        ids = [operation["operationId"] for _, _, operation in operations(document)]
        assert ids == [
            "is_live", "is_ready", "create_user", "get_me", "get_user", "delete_user",
            "list_tasks", "create_task", "get_task", "update_task", "put_task", "delete_task",
            "toggle_task", "complete_task",
            "user_list_tasks", "user_create_task", "user_get_task", "user_update_task", "user_put_task",
            "user_delete_task", "user_toggle_task", "user_complete_task",
        ]  # fmt: skip

    def test_both_mounts_say_the_same(self, document: dict[str, Any]) -> None:
        paths = document["paths"]
        for path in [path for path in paths if path.startswith("/api/tasks")]:
            twin = paths[path.replace("/api/", "/api/{user_id}/", 1)]
            for method, operation in paths[path].items():
                assert twin[method]["responses"] == operation["responses"]
                assert twin[method].get("requestBody") == operation.get("requestBody")

    def test_every_error_is_a_problem(self, document: dict[str, Any]) -> None:
        for _, _, operation in operations(document):
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    (media_type,) = answer["content"]
                    assert media_type == "application/problem+json"
                    assert answer["content"][media_type]["schema"] == {"$ref": "#/components/schemas/Problem"}

    def test_each_operation_lists_the_errors_it_can_give(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            errors = {int(status) for status in operation["responses"] if int(status) >= 400}
            expected = {400, 500} if path == "/health/live" else {400, 500, 503}
            if method in METHODS_WITH_BODY:
                expected |= {413, 415}
            if method != "get":
                expected |= {507}
            if "{task_id}" in path or (path.endswith("/tasks") and method == "post"):
                expected |= {404}
            if path == "/api/users/{user_id}":
                expected |= {404}
            if (method, path) == ("post", "/api/users"):
                expected |= {409}
            assert errors == expected, (method, path)

    def test_every_operation_and_parameter_is_described(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            assert operation["summary"], (method, path)
            for parameter in operation.get("parameters", []):
                assert parameter["description"], (method, path, parameter["name"])
                assert "anyOf" not in parameter["schema"]

    def test_every_input_has_an_example(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        for name in ("TaskCreate", "TaskUpdate", "TaskToggle", "UserCreate"):
            assert schemas[name]["examples"]

    def test_every_field_of_an_answer_is_always_there(self, document: dict[str, Any]) -> None:
        for name in ("TaskRead", "TaskDeleted", "UserRead"):
            schema = document["components"]["schemas"][name]
            assert schema["required"] == list(schema["properties"])

    def test_a_single_task_has_an_etag(self, document: dict[str, Any]) -> None:
        for _, _, operation in operations(document):
            for answer in operation["responses"].values():
                content = answer.get("content", {}).get("application/json", {})
                name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                assert ("ETag" in answer.get("headers", {})) == (name in {"TaskRead", "TaskDeleted"})

    def test_nothing_refers_to_what_is_not_there(self, document: dict[str, Any]) -> None:
        for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
            assert name in document["components"]["schemas"]


@pytest.mark.plan("A10")
class TestDocsPage:
    def test_the_root_leads_there(self, client: httpx2.Client) -> None:
        answer = client.get("/")
        assert answer.is_redirect
        assert answer.headers["location"] == "/docs"

    def test_everything_it_loads_is_served_here(self, client: httpx2.Client) -> None:
        page = client.get("/docs").text
        for link in re.findall(r'(?:src|href|data-openapi)="([^"]+)"', page):
            assert link.startswith("/")
            assert client.get(link).status_code == 200, link

    def test_its_policy_lets_nothing_else_in(self, client: httpx2.Client) -> None:
        answer = client.get("/docs")
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert not re.search(r"<script>|<style|\son\w+=|style=", answer.text)

    def test_an_asset_that_is_not_there_is_a_problem(self, client: httpx2.Client) -> None:
        answer = client.get("/assets/nothing.js")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
