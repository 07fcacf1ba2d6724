"""An agent goes wrong with a token of its own; its user sees what it did, and undoes it."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from harness.issuer import bearer
from harness.responses import problem
from harness.servers import LocalServer
from tests.security.conftest import As

Json = dict[str, Any]


def states(client: httpx2.Client) -> dict[str, Json]:
    later = {"version", "updated_at"}
    tasks = client.get("/api/tasks").json()
    return {task["id"]: {name: task[name] for name in task.keys() - later} for task in tasks}


class Agent:
    def __init__(self, owner: httpx2.Client, server: LocalServer, *scopes: str) -> None:
        body = {"name": "tidy", "scopes": ["tasks:read", *scopes], "rate": "600/minute"}
        made = owner.post("/api/users/me/tokens", json=body).raise_for_status().json()
        self.id = made["id"]
        self.client = httpx2.Client(base_url=server.url, headers=bearer(made["token"]))


@pytest.fixture
def owner(as_user: As, user: str) -> httpx2.Client:
    return as_user(user)


@pytest.fixture
def agent(owner: httpx2.Client, guarded: LocalServer) -> Iterator[Agent]:
    owner.post("/api/tasks", json={"title": "First"}).raise_for_status()
    agent = Agent(owner, guarded, "tasks:write")
    with agent.client:
        yield agent


def wreak_havoc(agent: Agent, tasks: list[Json]) -> None:
    """Edit 50 tasks and delete 10."""
    for task in tasks[:50]:
        change = {"title": "Tidied up", "priority": 9, "labels": [], "completed": True}
        agent.client.patch(f"/api/tasks/{task['id']}", json=change).raise_for_status()
    steps = [{"op": "delete", "id": task["id"]} for task in tasks[50:60]]
    agent.client.post("/api/tasks/batch", json={"operations": steps}).raise_for_status()


def test_all_is_as_it_was_but_for_what_the_owner_changed_since(owner: httpx2.Client, agent: Agent) -> None:
    steps = [
        {"op": "create", "task": {"title": f"Task {n}", "labels": ["home"], "due": "2026-11-20"}}
        for n in range(60)
    ]
    made = owner.post("/api/tasks/batch", json={"operations": steps}).json()["results"]
    tasks = [result["task"] for result in made]
    before, since = states(owner), tasks[-1]["version"]
    wreak_havoc(agent, tasks)
    owner.patch(f"/api/tasks/{tasks[0]['id']}", json={"title": "Mine"}).raise_for_status()

    told = owner.get("/api/history", params={"token": agent.id, "since": since, "limit": 1_000}).json()
    assert [record["op"] for record in told] == ["completed"] * 50 + ["deleted"] * 10
    assert {record["by"]["token"]["name"] for record in told} == {"tidy"}

    changed = states(owner)
    body = {"token": agent.id, "since": since}
    shown = owner.post("/api/undo?dry_run=true", json=body).raise_for_status().json()
    assert states(owner) == changed
    done = owner.post("/api/undo", json=body).raise_for_status().json()
    assert [one["undoes"] for one in done["undone"]] == [one["undoes"] for one in shown["undone"]]
    assert done["left"] == shown["left"]
    assert [(one["id"], one["fields"]) for one in done["left"]] == [(tasks[0]["id"], ["title"])]
    before[tasks[0]["id"]]["title"] = "Mine"
    assert states(owner) == before


def test_an_agent_without_the_scope_of_deletion_deletes_nothing(
    owner: httpx2.Client, guarded: LocalServer
) -> None:
    """And undoes nothing that its user did."""
    task = owner.post("/api/tasks", json={"title": "Mine"}).raise_for_status().json()
    agent = Agent(owner, guarded, "tasks:edit")
    with agent.client:
        problem(agent.client.delete(f"/api/tasks/{task['id']}"), 403, "forbidden")
        steps = [{"op": "delete", "id": task["id"]}]
        problem(agent.client.post("/api/tasks/batch", json={"operations": steps}), 403, "forbidden")
        undone = agent.client.post("/api/undo", json={"versions": [task["version"]]}).json()
        assert undone["undone"] == []
        assert [(one["version"], one["reason"]) for one in undone["left"]] == [(task["version"], "not_yours")]
    assert owner.get(f"/api/tasks/{task['id']}").json() == task
