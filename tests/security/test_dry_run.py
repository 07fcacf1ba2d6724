"""A dry run with credentials: every check of the real call, and nothing is noted."""

from pathlib import Path

import httpx2

from harness.issuer import Issuer, bearer
from harness.responses import create, problem
from harness.servers import local_server
from tests.security.conftest import As, settings_for

DRY = "/api/tasks?dry_run=true"
NEW = {"title": "Buy milk"}


def test_it_needs_the_scope_of_the_write(as_user: As, user: str) -> None:
    problem(as_user(user, scope="tasks:read").post(DRY, json=NEW), 403, "forbidden")
    problem(as_user(user).post(f"/api/{user}-2/tasks?dry_run=true", json=NEW), 403, "forbidden")


def test_the_first_write_may_be_one_and_creates_no_user(as_user: As, user: str) -> None:
    client = as_user(user, email=f"{user}@example.com")
    assert client.post(DRY, json=NEW).headers["dry-run"] == "true"
    assert client.get("/api/users/me").json()["created_at"] is None


def test_a_changed_address_is_not_noted(as_user: As, user: str) -> None:
    create(as_user(user, email=f"{user}@one.example"), "/api/tasks")
    changed = as_user(user, email=f"{user}@two.example")
    changed.post(DRY, json=NEW).raise_for_status()
    assert changed.get(f"/api/users/{user}").json()["email"] == f"{user}@one.example"
    create(changed, "/api/tasks")
    assert changed.get(f"/api/users/{user}").json()["email"] == f"{user}@two.example"


def test_it_counts_for_the_rate_limit(issuer: Issuer, tmp_path: Path) -> None:
    settings = settings_for(issuer, database_url=f"sqlite:///{tmp_path}/test.db", rate_limit="3/hour")
    headers = bearer(issuer.token("alice"))
    with local_server(settings) as server, httpx2.Client(base_url=server.url, headers=headers) as client:
        for _ in range(3):
            client.post(DRY, json=NEW).raise_for_status()
        problem(client.post(DRY, json=NEW), 429, "rate_limited")
