"""Which scope each operation requires, in one place, and that no token gets further than its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from harness.issuer import Issuer, bearer
from harness.responses import create, problem, unknown_id
from harness.servers import LocalServer
from security.matrix import Operation, operations
from taskwell.app import create_app
from taskwell.core.settings import Settings
from tests.security.conftest import As

# By the names of the operations; those of the second mount are the same with `user_` before them.
SCOPES = {
    "tasks:read": {
        "follow_changes", "get_label", "get_list", "get_list_history", "get_me", "get_task",
        "get_task_history", "get_user", "list_changes", "list_claims", "list_completions", "list_history",
        "list_labels", "list_lists", "list_tasks",
    },
    "tasks:edit": {
        "archive_list", "claim_next_tasks", "claim_task", "complete_task", "create_list", "create_task",
        "move_list", "move_task", "put_label",
        "put_label_by_name", "put_list", "put_task", "quick_add",
        "release_claim", "renew_claim", "restore_list",
        "restore_task", "run_batch", "skip_occurrence", "toggle_task", "unarchive_list", "undo",
        "update_label",
        "update_label_by_name", "update_list", "update_task",
    },
    "tasks:write": {
        "delete_label", "delete_label_by_name", "delete_list", "delete_task", "delete_tasks", "release_task",
    },
    "webhooks": {
        "create_webhook", "delete_webhook", "get_webhook", "list_deliveries", "list_webhooks", "ping_webhook",
        "redeliver", "rotate_webhook", "update_webhook",
    },
    "account": {"create_token", "delete_user", "export_user", "list_tokens", "revoke_token", "update_me"},
    "admin": {"create_user"},
}  # fmt: skip
# What a token with one scope may do.
INCLUDED = {
    "tasks:read": {"tasks:read"},
    "tasks:edit": {"tasks:edit"},
    "tasks:write": {"tasks:edit", "tasks:write"},
    "webhooks": {"webhooks"},
}
TOKENS = "/api/users/me/tokens"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(auth="jwt", jwt_secret=SecretStr("a" * 32))).openapi()


def required(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    """The scope of each operation that needs credentials, by its method and path."""
    return {
        (method.upper(), path): operation["security"][0]["bearer"][0]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["security"]
    }


def test_every_operation_requires_the_scope_of_the_table(document: dict[str, Any]) -> None:
    found: dict[str, set[str]] = {}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for security in operation["security"][:1]:
                assert path.startswith("/api/")
                name = operation["operationId"].removeprefix("user_")
                found.setdefault(security["bearer"][0], set()).add(name)
    assert found == SCOPES


Program = Callable[[str], httpx2.Client]


@pytest.fixture(params=["API token", "JWT"])
def program(
    request: pytest.FixtureRequest, guarded: LocalServer, issuer: Issuer, as_user: As, user: str
) -> Iterator[Program]:
    """A client whose credentials have one scope."""
    with ExitStack() as stack:

        def with_scope(scope: str) -> httpx2.Client:
            if request.param == "JWT":
                secret = issuer.token(user, scope=scope)
            else:
                made = as_user(user).post(TOKENS, json={"name": "agent", "scopes": [scope]})
                secret = made.raise_for_status().json()["token"]
            return stack.enter_context(httpx2.Client(base_url=guarded.url, headers=bearer(secret)))

        yield with_scope


def everything(client: httpx2.Client) -> list[Any]:
    return [client.get(f"/api/{path}").raise_for_status().json() for path in ("tasks", "lists", "labels")]


class TestRoutes:
    @pytest.mark.parametrize("scope", INCLUDED)
    def test_are_closed_to_who_lacks_their_scope_and_open_to_who_has_it(
        self, program: Program, as_user: As, user: str, document: dict[str, Any], scope: str
    ) -> None:
        create(as_user(user), "/api/tasks", labels=["home"])
        client, scopes = program(scope), required(document)

        def ask(operation: Operation) -> httpx2.Response:
            path = operation.path.replace("{user_id}", user).replace("{id}", user).replace("{name}", "home")
            path = path.replace("{claim}", "7")
            for hole in ("{task_id}", "{list_id}", "{token_id}", "{webhook_id}"):
                path = path.replace(hole, unknown_id())
            return client.request(operation.method, path, json=operation.body)

        asked = [(one, scopes[one.method, one.path]) for one in operations(document)]
        before = everything(as_user(user))
        for operation, needed in asked:
            if needed in INCLUDED[scope]:
                continue
            answer = ask(operation)
            detail = problem(answer, 403, "forbidden")["detail"]
            if needed != "account":
                assert detail == f"This requires the scope {needed}: use a token that has it."
                assert f'scope="{needed}"' in answer.headers["www-authenticate"]
        assert everything(as_user(user)) == before
        for operation, needed in asked:
            if needed in INCLUDED[scope]:
                assert ask(operation).status_code not in {401, 403}, str(operation)


class TestBatches:
    """An operation in a batch requires what its own route requires."""

    def steps(self, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """One of each kind and word that the document has."""
        more = {"id": unknown_id(), "task": {"title": "Buy milk"}, "list": {"name": "Home"}, "after": None}
        for name, schema in document["components"]["schemas"].items():
            if name.endswith("Operation"):
                yield {part: schema["properties"][part]["const"] for part in ("kind", "op")} | more

    def test_that_delete_require_the_scope_of_deletion(
        self, program: Program, as_user: As, user: str, document: dict[str, Any]
    ) -> None:
        client = program("tasks:edit")
        new = {"op": "create", "task": {"title": "Buy milk"}}
        missing = {"op": "update", "id": unknown_id(), "task": {}}
        refused, tried = set(), 0
        for step in self.steps(document):
            for path in ("/api/tasks/batch", f"/api/{user}/tasks/batch"):
                answer = client.post(path, json={"operations": [new, step, missing]})
                tried += 1
                if answer.status_code == 404:
                    continue
                assert problem(answer, 403, "forbidden")["index"] == 1
                assert 'scope="tasks:write"' in answer.headers["www-authenticate"]
                refused.add((step["kind"], step["op"]))
        assert tried >= 26
        assert refused == {("task", "delete"), ("list", "delete")}
        assert everything(as_user(user)) == [[], [], []]

    def test_delete_with_the_scope_of_deletion(self, program: Program, as_user: As, user: str) -> None:
        task = create(as_user(user), "/api/tasks")
        body = {"operations": [{"op": "delete", "id": task["id"]}]}
        assert program("tasks:write").post("/api/tasks/batch", json=body).status_code == 200
        assert as_user(user).get("/api/tasks").json() == []

    def test_of_who_may_delete_are_not_replayed_to_who_may_not(
        self, program: Program, as_user: As, user: str
    ) -> None:
        task = create(as_user(user), "/api/tasks")
        body = {"operations": [{"op": "delete", "id": task["id"]}]}
        key = {"Idempotency-Key": "one"}
        assert as_user(user).post("/api/tasks/batch", json=body, headers=key).status_code == 200
        problem(program("tasks:edit").post("/api/tasks/batch", json=body, headers=key), 403, "forbidden")


class TestFastPath:
    def test_lets_in_who_may_edit(self, as_user: As, user: str, taken: list[bool]) -> None:
        client = as_user(user, scope="tasks:edit")
        for _ in range(2):
            task = create(client, "/api/tasks")
            assert client.post(f"/api/tasks/{task['id']}/toggle").status_code == 200
            problem(client.get(f"/api/tasks/{task['id']}"), 403, "forbidden")
            problem(client.delete(f"/api/tasks/{task['id']}"), 403, "forbidden")
        assert taken == [False, False, False, False, True, True, False, False]

    def test_lets_in_who_may_write(self, as_user: As, user: str, taken: list[bool]) -> None:
        client = as_user(user, scope="tasks:write")
        for _ in range(2):
            create(client, "/api/tasks")
        assert taken == [False, True]
