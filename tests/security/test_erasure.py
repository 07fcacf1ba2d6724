"""Export and erasure of what is kept of a user."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from harness import side_effects
from harness.responses import create, problem
from harness.servers import LocalServer
from harness.side_effects import instant
from taskwell.models import metadata
from tests.security.conftest import As


def exported(client: httpx2.Client, user: str) -> list[dict[str, Any]]:
    answer = client.get(f"/api/users/{user}/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["cache-control"] == "no-store, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    return [json.loads(line) for line in answer.text.splitlines()]


def everything(server: LocalServer) -> str:
    """All rows of all tables, as text."""
    tables = (side_effects.rows(server.settings, f"SELECT * FROM {table}") for table in metadata.tables)
    return "\n".join(str(row) for found in tables for row in found)


def add_labels(server: LocalServer, owner: str, number: int) -> None:
    """The rows of two labels, one of them deleted, under the numbers after this one."""
    at = instant(server.settings, datetime(2026, 11, 29, tzinfo=UTC))
    rows = f"('home', 'home', {number + 1}, NULL), ('work', 'work', {number + 2}, {at})"
    side_effects.execute(
        server.settings,
        f"UPDATE users SET last_seq = {number + 2} WHERE id = '{owner}'",
        "INSERT INTO labels (user_id, color, key, name, version, deleted_at) "
        f"SELECT '{owner}', '#2e7d32', column1, column2, column3, column4 FROM (VALUES {rows}) AS given",
    )


class TestExport:
    def test_has_all_of_a_user_and_nothing_of_others(self, as_user: As, user: str) -> None:
        client = as_user(user, email=f"{user}@example.com")
        tasks = [create(client, "/api/tasks", title=f"Task {n}") for n in range(3)]
        deleted = client.delete(
            f"/api/tasks/{tasks[0]['id']}", headers={"Prefer": "return=representation"}
        ).json()
        client.post("/api/users/me/tokens", json={"name": "backup", "scopes": ["tasks:read"]})
        create(as_user(f"{user}-2"), "/api/tasks", title="Theirs")
        first, token, *lines = exported(client, user)
        lines, history = lines[:3], lines[3:]
        assert first["user"]["email"] == f"{user}@example.com"
        assert token["token"]["name"] == "backup"
        assert "token" not in token["token"]
        assert lines == [{"task": tasks[1]}, {"task": tasks[2]}, {"task": deleted}]
        ops = [line["history"]["op"] for line in history]
        assert ops == ["created", "created", "created", "deleted"]

    def test_has_lists_and_labels(self, guarded: LocalServer, as_user: As, user: str) -> None:
        client = as_user(user)
        made, gone = (client.post("/api/lists", json={"name": name}).json() for name in ("x", "y"))
        task = create(client, "/api/tasks", list_id=made["id"])
        shown = {"Prefer": "return=representation"}
        deleted = client.delete(f"/api/lists/{gone['id']}", headers=shown).json()
        add_labels(guarded, user, deleted["version"])
        client.post("/api/tasks", json={"title": "x"})
        lines = [line for line in exported(client, user)[1:] if "history" not in line]
        label = {"name": "home", "color": "#2e7d32", "position": None, "version": deleted["version"] + 1}
        lost = label | {
            "name": "work", "version": label["version"] + 1, "deleted_at": "2026-11-29T00:00:00.000000Z"
        }  # fmt: skip
        expected = [{"list": made}, {"task": task}, {"list": deleted}, {"label": label}, {"label": lost}]
        assert lines[:-1] == expected

    @pytest.mark.slow
    def test_of_many_tasks_is_whole(self, as_user: As, user: str) -> None:
        client = as_user(user)
        for count in (1_000, 1_000, 1):
            operations = [{"op": "create", "task": {"title": f"Task {n}"}} for n in range(count)]
            answer = client.post("/api/tasks/batch", json={"operations": operations}, timeout=60)
            assert answer.status_code == 200
        lines = [line for line in exported(client, user)[1:] if "history" not in line]
        listed = {task["id"]: task for task in client.get("/api/tasks").json()}
        assert {line["task"]["id"]: line["task"] for line in lines} == listed
        assert len(lines) == 2_001

    def test_somebody_elses_is_refused_alike_whether_they_exist(self, as_user: As, user: str) -> None:
        create(as_user(f"{user}-2"), "/api/tasks")
        client = as_user(user)
        for method, suffix in (("GET", "/export"), ("GET", ""), ("DELETE", "")):
            there, missing = (
                problem(client.request(method, f"/api/users/{user}-{n}{suffix}"), 403, "forbidden")
                for n in (2, 3)
            )
            assert there["detail"] == missing["detail"]

    def test_of_a_user_who_has_written_nothing_is_a_404(self, as_user: As, user: str) -> None:
        problem(as_user(user).get(f"/api/users/{user}/export"), 404, "not_found")


@pytest.mark.plan("A12")
class TestErasure:
    def test_leaves_nothing_that_tells_of_them(self, guarded: LocalServer, as_user: As, user: str) -> None:
        client = as_user(user, email=f"{user}@example.com")
        create(client, "/api/tasks", title=f"Title of {user}", description=f"Description of {user}")
        client.post("/api/users/me/tokens", json={"name": f"Token of {user}", "scopes": ["tasks:read"]})
        made = client.post("/api/lists", json={"name": "Theirs"})
        add_labels(guarded, user, made.json()["version"])
        headers = {"Idempotency-Key": f"Key of {user}"}
        client.post("/api/tasks", json={"title": f"Kept of {user}"}, headers=headers)
        assert user in everything(guarded)
        assert client.delete(f"/api/users/{user}").status_code == 204
        assert user not in everything(guarded)

    def test_whoever_comes_again_begins_in_another_time_line(self, as_user: As, user: str) -> None:
        client = as_user(user)
        for _ in range(3):
            create(client, "/api/tasks")
        etag = client.get("/api/tasks").headers["etag"]
        cursor = client.get("/api/changes").json()["next"]
        for epoch in (1, 2):
            assert client.delete(f"/api/users/{user}").status_code == 204
            assert client.get("/api/tasks").json() == []
            for n in range(1, 4):
                assert create(client, "/api/tasks")["version"] == epoch * 2**32 + n
            assert client.get("/api/tasks", headers={"If-None-Match": etag}).status_code == 200
            problem(client.get("/api/changes", params={"since": cursor}), 410, "gone")
            new = client.get("/api/changes").json()
            assert len(new["changes"]) == 3
            assert client.get("/api/changes", params={"since": new["next"]}).json()["changes"] == []

    def test_the_address_is_free_for_others(self, as_user: As, user: str) -> None:
        client = as_user(user, email=f"{user}@example.com")
        create(client, "/api/tasks")
        client.delete(f"/api/users/{user}")
        other = as_user(f"{user}-2", email=f"{user}@example.com")
        create(other, "/api/tasks")
        assert other.get(f"/api/users/{user}-2").json()["email"] == f"{user}@example.com"
        create(client, "/api/tasks")
        assert client.get(f"/api/users/{user}").json()["email"] is None
