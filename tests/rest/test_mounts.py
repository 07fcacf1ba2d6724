"""Tasks and their changes are mounted twice, as the same code: most tests ask it at one of the mounts."""

from typing import Any

import httpx2
import pytest
from fastapi import APIRouter

from harness.responses import create
from taskwell.app import create_app
from taskwell.core.settings import Settings
from taskwell.rest.dependencies import path_user
from taskwell.rest.routes import changes, claims, history, labels, lists, quick_add, router, tasks, webhooks

OWN, OF_PATH = "/api", "/api/{user_id}"
# What the second mount says of its own.
DIFFERENT = {"prefix", "dependencies", "generate_unique_id_function"}


def included() -> list[Any]:
    """What is included in the whole."""
    return [route for route in router.routes if hasattr(route, "original_router")]


def of(prefix: str, routes: APIRouter) -> Any:
    """How a router is included at a prefix: once."""
    (one,) = [
        one for one in included() if one.include_context.prefix == prefix and one.original_router is routes
    ]
    return one


class TestBothMounts:
    @pytest.mark.parametrize(
        ("path", "routes"),
        [
            ("/tasks", tasks.router),
            ("/lists", lists.router),
            ("/labels", labels.router),
            ("", claims.router),
            ("", quick_add.router),
            ("", history.router),
            ("/tasks", history.task_router),
            ("/lists", history.list_router),
            ("", changes.router),
            ("/webhooks", webhooks.router),
        ],
    )
    def test_are_the_same_router_with_the_same_options(self, path: str, routes: APIRouter) -> None:
        own, of_path = (of(f"{prefix}{path}", routes) for prefix in (OWN, OF_PATH))
        options, others = vars(own.include_context), vars(of_path.include_context)
        assert [dependency.dependency for dependency in others["dependencies"]] == [path_user]
        assert list(options["dependencies"]) == []
        for name in options.keys() - DIFFERENT:
            assert others[name] == options[name] or others[name] is options[name], name

    def test_nothing_else_is_at_the_second(self) -> None:
        prefixes = [one.include_context.prefix for one in included()]
        assert sorted(prefix.removeprefix(OF_PATH) for prefix in prefixes if prefix.startswith(OF_PATH)) == [
            "", "", "", "", "/labels", "/lists", "/lists", "/tasks", "/tasks", "/webhooks",
        ]  # fmt: skip

    def test_have_the_same_operations_in_the_document(self) -> None:
        paths = create_app(Settings(database_url="sqlite:///unused.db")).openapi()["paths"]
        of_path = {path: paths[path] for path in paths if path.startswith(OF_PATH)}
        own = {path.replace(OF_PATH, OWN, 1): operations for path, operations in of_path.items()}
        assert len(own) == 34
        for path, operations in own.items():
            assert paths[path].keys() == operations.keys(), path
            for method, operation in operations.items():
                user, *others = [
                    *(one for one in operation["parameters"] if one["name"] == "user_id"),
                    *(one for one in operation["parameters"] if one["name"] != "user_id"),
                ]
                assert (user["in"], user["required"]) == ("path", True)
                twin = operation | {
                    "parameters": others,
                    "operationId": operation["operationId"].removeprefix("user_"),
                }
                assert twin == paths[path][method], (method, path)

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
    def test_answer_every_method_alike(self, client: httpx2.Client, user: str, method: str) -> None:
        """But for `TRACE` and what has no route, where both are a 405 with the same methods."""
        own = f"/api/tasks/{create(client, '/api/tasks')['id']}"
        of_path = f"/api/{user}/tasks/{create(client, f'/api/{user}/tasks')['id']}"
        tails = ("", "/toggle", "/complete", "/restore", "/move", "/other")
        for first, second in ((own + tail, of_path + tail) for tail in tails):
            answers = [client.request(method, path, json={"title": "x"}) for path in (first, second)]
            told = [(answer.status_code, answer.headers.get("allow")) for answer in answers]
            assert told[0] == told[1], first
