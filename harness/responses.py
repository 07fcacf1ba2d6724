"""What answers have in common."""

from typing import Any
from uuid import uuid4

import httpx2

JSON = {"Content-Type": "application/json"}


def create(client: httpx2.Client, tasks: str, **task: Any) -> dict[str, Any]:
    """A task that exists."""
    answer = client.post(tasks, json={"title": "Buy milk", **task})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def problem(answer: httpx2.Response, status: int, token: str) -> dict[str, Any]:
    """The members of an error answer, whose shape is checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["link"] == f'</problems/{token}>; rel="describedby"'
    members: dict[str, Any] = answer.json()
    assert members["type"] == token
    assert members["status"] == status
    assert members["title"] == token.replace("_", " ").title()
    assert isinstance(members["detail"], str)
    assert members["instance"] == answer.request.url.raw_path.decode().partition("?")[0]
    assert members["request_id"] == answer.headers["x-request-id"]
    return members


def violation(answer: httpx2.Response) -> dict[str, str]:
    """The one thing wrong with an invalid request."""
    (only,) = problem(answer, 400, "validation_error")["errors"]
    violation: dict[str, str] = only
    return violation


def unknown_id() -> str:
    return str(uuid4())
