"""The OpenAPI document and the page that shows it."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from taskwell.app import create_app
from taskwell.core.settings import Settings
from taskwell.schemas.task_list import EXAMPLE_LIST_ID
from taskwell.schemas.types import EXAMPLE_ID

COMMITTED = Path(__file__).parents[2] / "openapi.json"
TASKS = ("/api/tasks", "/api/{user_id}/tasks")
LISTS = ("/api/lists", "/api/{user_id}/lists")
ONE = ("{task_id}", "{list_id}")
UPDATE_ME = ("patch", "/api/users/me")
WEBHOOKS = (
    "list_webhooks", "create_webhook", "get_webhook", "update_webhook", "delete_webhook", "ping_webhook",
    "rotate_webhook", "list_deliveries", "redeliver",
)  # fmt: skip
# Their answers have a secret, or what they do cannot be undone: no dry run, no Idempotency-Key.
UNKEYED = {"create_token", "create_webhook", "rotate_webhook", "ping_webhook", "redeliver"}


def is_unkeyed(operation: dict[str, Any]) -> bool:
    return operation["operationId"].removeprefix("user_") in UNKEYED


def is_creation(method: str, path: str) -> bool:
    return method == "post" and path.endswith("/webhooks")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(database_url="sqlite:///unused.db")).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def request_of_examples(
    client: httpx2.Client, method: str, path: str, operation: dict[str, Any]
) -> httpx2.Request:
    """Every parameter with an example, and the body's."""
    values: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.get("parameters", []):
        if "example" in parameter:
            value = parameter["example"]
            text = str(value).lower() if isinstance(value, bool) else str(value)
            values[parameter["in"]][parameter["name"]] = text
    content = operation.get("requestBody", {}).get("content", {})
    body = content["application/json"]["example"] if content else None
    url = path.format_map(values["path"])
    return client.build_request(method, url, params=values["query"], headers=values["header"], json=body)


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
            "is_live", "is_ready", "list_tokens", "create_token", "revoke_token",
            "create_user", "get_me", "update_me", "get_user", "delete_user", "export_user",
            "list_tasks", "create_task", "delete_tasks", "run_batch", "get_task", "update_task", "put_task",
            "delete_task", "restore_task", "move_task", "toggle_task", "complete_task",
            "skip_occurrence",
            "user_list_tasks", "user_create_task", "user_delete_tasks", "user_run_batch", "user_get_task",
            "user_update_task", "user_put_task", "user_delete_task", "user_restore_task", "user_move_task",
            "user_toggle_task", "user_complete_task", "user_skip_occurrence",
            "list_lists", "create_list", "get_list", "update_list", "put_list", "delete_list", "restore_list",
            "archive_list", "unarchive_list", "move_list",
            "user_list_lists", "user_create_list", "user_get_list", "user_update_list", "user_put_list",
            "user_delete_list", "user_restore_list", "user_archive_list", "user_unarchive_list",
            "user_move_list",
            "list_labels", "put_label_by_name", "update_label_by_name", "delete_label_by_name",
            "get_label", "put_label", "update_label", "delete_label",
            "user_list_labels", "user_put_label_by_name", "user_update_label_by_name",
            "user_delete_label_by_name", "user_get_label", "user_put_label", "user_update_label",
            "user_delete_label",
            "list_claims", "claim_next_tasks", "claim_task", "release_task", "renew_claim", "release_claim",
            "user_list_claims", "user_claim_next_tasks", "user_claim_task", "user_release_task",
            "user_renew_claim", "user_release_claim", "quick_add", "user_quick_add",
            "get_task_history", "list_completions", "user_get_task_history", "user_list_completions",
            "get_list_history", "user_get_list_history",
            "list_history", "undo", "user_list_history", "user_undo",
            "list_changes", "follow_changes", "user_list_changes", "user_follow_changes",
            *WEBHOOKS, *(f"user_{name}" for name in WEBHOOKS),
        ]  # fmt: skip

    def test_both_mounts_say_the_same(self, document: dict[str, Any]) -> None:
        paths = document["paths"]
        mounted = ("/api/tasks", "/api/lists", "/api/changes", "/api/events", "/api/webhooks")
        for path in [path for path in paths if path.startswith(mounted)]:
            twin = paths[path.replace("/api/", "/api/{user_id}/", 1)]
            assert twin.keys() == paths[path].keys()
            for method, operation in paths[path].items():
                assert twin[method]["responses"] == operation["responses"]
                assert twin[method].get("requestBody") == operation.get("requestBody")
                others = [item for item in twin[method]["parameters"] if item["name"] != "user_id"]
                assert others == operation["parameters"]

    def test_every_error_is_a_problem(self, document: dict[str, Any]) -> None:
        for _, _, operation in operations(document):
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    (media_type,) = answer["content"]
                    assert media_type == "application/problem+json"
                    assert answer["content"][media_type]["schema"] == {"$ref": "#/components/schemas/Problem"}

    def test_each_operation_lists_the_errors_it_can_give(  # noqa: C901, PLR0912 (a table, in the form of a program)
        self, document: dict[str, Any]
    ) -> None:
        for method, path, operation in operations(document):
            errors = {int(status) for status in operation["responses"] if int(status) >= 400}
            expected = {400, 500} if path == "/health/live" else {400, 500, 503}
            if path.startswith("/api/"):
                expected |= {401, 403, 429}
            if "requestBody" in operation:
                expected |= {413, 415}
            if method != "get":
                expected |= {404, 409, 507} if is_unkeyed(operation) else {409, 422, 507}
            creates = method == "post" and path.startswith(TASKS + LISTS) and not path.endswith("/claims")
            if any(one in path for one in ONE) or creates:
                expected |= {404}
            if path.endswith("/history"):
                expected |= {410}
            elif path.startswith(TASKS + LISTS) and not path.endswith("/completions"):
                expected |= {412}
            if method != "get" and (any(one in path for one in ONE) or path.endswith("/batch")):
                expected |= {428}
            if path.endswith(("/changes", "/events", "/redeliver")) or is_creation(method, path):
                expected |= {410}
            if "/labels" in path and (method != "get" or path.endswith("{name}")):
                expected |= {404}
            if (
                path.startswith("/api/users/{id}")
                or "{token_id}" in path
                or "{webhook_id}" in path
                or (method, path) == UPDATE_ME
            ):
                expected |= {404}
            assert errors == expected, (method, path)

    def test_every_operation_and_parameter_is_described(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            assert operation["summary"], (method, path)
            for parameter in operation.get("parameters", []):
                assert parameter["description"], (method, path, parameter["name"])
                assert "anyOf" not in parameter["schema"]

    def test_every_parameter_has_an_example(self, document: dict[str, Any]) -> None:
        """Postman makes one up where there is none, which may be no name of a time zone."""
        for method, path, operation in operations(document):
            for parameter in operation.get("parameters", []):
                has_one = "example" in parameter or parameter["name"] == "taskwell-agent"
                assert has_one, (method, path, parameter["name"])

    def test_every_input_has_an_example(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        for name in (
            "ClaimCreate",
            "ClaimNext",
            "ClaimRenew",
            "TaskCreate",
            "TaskUpdate",
            "TaskToggle",
            "Batch",
            "ListCreate",
            "ListUpdate",
            "ListMove",
            "UserCreate",
            "TokenCreate",
            "WebhookCreate",
            "WebhookUpdate",
            "WebhookRotate",
            "WebhookRedeliver",
        ):
            assert schemas[name]["examples"]

    def test_its_examples_can_be_sent_as_they_are(
        self, client: httpx2.Client, document: dict[str, Any]
    ) -> None:
        """All of them at once, as Postman does; what they name is there, or is a 404 or a 409.

        The number of a claim cannot be there: that is a 412.
        """
        client.delete("/api/users/alice")
        sent = 0
        for method, path, operation in operations(document):
            if path.endswith("/events"):
                continue
            for mount in ("/api/tasks", "/api/alice/tasks") if "{task_id}" in path else ():
                client.put(f"{mount}/{EXAMPLE_ID}", json={"title": "x"}, headers={"If-None-Match": "*"})
            for mount in ("/api/lists", "/api/alice/lists") if "{list_id}" in path else ():
                client.put(f"{mount}/{EXAMPLE_LIST_ID}", json={"name": "x"}, headers={"If-None-Match": "*"})
            answer = client.send(request_of_examples(client, method, path, operation))
            missing = {412} if "{claim}" in path else {404, 409}
            assert answer.is_success or answer.status_code in missing, (method, path, answer.text)
            sent += answer.is_success
        assert sent >= 50

    def test_every_field_of_an_answer_is_always_there(self, document: dict[str, Any]) -> None:
        names = (
            "TaskRead", "TaskDeleted", "TasksDeleted", "BatchResult", "BatchResults", "TaskGone",
            "ChangePage", "ListRead", "ListDeleted", "BatchListResult", "TypedTask", "TypedTaskGone",
            "TypedList", "TypedListGone", "TypedLabel", "TypedLabelGone", "UserRead", "TokenRead",
            "TokenCreated", "ClaimRead", "ClaimTaken", "ClaimsTaken", "ClaimRenewed", "ClaimHeld",
            "ActorRead", "ActorToken", "WebhookRead", "WebhookCreated", "DeliveryRead", "Redelivered",
            "TaskEvent", "TaskEventData", "ThinTaskEventData", "ListEvent", "ListEventData",
            "ThinListEventData", "PingEvent", "GapEvent",
        )  # fmt: skip
        for name in names:
            schema = document["components"]["schemas"][name]
            assert schema["required"] == list(schema["properties"])

    def test_what_a_task_or_list_answers_has_an_etag(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json", {})
                name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                shows_one = name in {"TaskRead", "TaskDeleted", "ListRead", "ListDeleted", "ClaimTaken"}
                expected = shows_one or status in {"304", "412"}
                if method == "get" and path.endswith(("/tasks", "/lists")):
                    expected |= status == "200"
                assert ("ETag" in answer.get("headers", {})) == expected, (method, path, status)

    def test_what_can_be_read_again_can_be_unchanged(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            expected = (
                method == "get"
                and path.startswith(TASKS + LISTS)
                and not path.endswith(("/history", "/completions"))
            )
            assert ("304" in operation["responses"]) == expected, (method, path)

    def test_each_operation_shows_its_headers(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            shown = {item["name"] for item in operation.get("parameters", []) if item["in"] == "header"}
            expected = {"prefer"} if not path.startswith("/health/") else set()
            if method != "get" and not is_unkeyed(operation):
                expected |= {"idempotency-key"}
            if method != "get":
                expected |= {"taskwell-agent"}
            conditional = path.startswith(TASKS + LISTS) and not path.endswith(("/history", "/completions"))
            if conditional:
                expected |= {"if-match"}
            puts = operation["operationId"].endswith(("put_task", "put_list"))
            if conditional and (method == "get" or puts):
                expected |= {"if-none-match"}
            if path.endswith("/events"):
                expected |= {"last-event-id"}
            assert shown == expected, (method, path)

    def test_a_repeated_write_says_so(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            for status, answer in operation["responses"].items():
                expected = method != "get" and status in {"200", "201", "204"}
                expected &= not is_unkeyed(operation)
                expected &= "dry_run=true" not in answer["description"]  # it takes no key
                assert ("Idempotent-Replayed" in answer.get("headers", {})) == expected, (
                    method,
                    path,
                    status,
                )

    def test_every_write_can_be_a_dry_run_and_no_read(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            shown = [item for item in operation.get("parameters", []) if item["name"] == "dry_run"]
            assert len(shown) == (method != "get"), (method, path)
            possible = any("const" not in item["schema"] for item in shown)
            assert possible == (method != "get" and not is_unkeyed(operation))
            for status, answer in operation["responses"].items():
                expected = possible and status in {"200", "201", "204"}
                assert ("Dry-Run" in answer.get("headers", {})) == expected, (method, path, status)

    def test_a_list_shows_how_it_can_be_asked_for(self, document: dict[str, Any]) -> None:
        (shown, deleted) = (
            {
                item["name"]
                for item in document["paths"]["/api/tasks"][method]["parameters"]
                if item["in"] == "query"
            }
            for method in ("get", "delete")
        )
        filters = {
            "completed", "status", "q", "created_after", "created_before", "updated_after", "updated_before",
            "completed_after", "completed_before", "due", "due_before", "due_after", "start_before",
            "start_after", "started", "list", "archived", "parent", "priority", "label", "label_any",
            "label_not", "labelled", "recurring", "claimed", "tz",
        }  # fmt: skip
        assert deleted == filters | {"dry_run"}
        assert shown == filters | {"deleted", "sort", "limit", "cursor", "fields"}

    def test_a_stream_is_one(self, document: dict[str, Any]) -> None:
        for path in ("/api/events", "/api/{user_id}/events"):
            assert list(document["paths"][path]["get"]["responses"]["200"]["content"]) == [
                "text/event-stream"
            ]

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
