"""A write that waits for another process's write of the same user is decided by what that one leaves behind.

On PostgreSQL a statement goes by the state at its beginning, also if it then waits for a lock.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from pydantic import SecretStr

from harness.databases import execute, migrated_database, open_transaction, waiting_sessions
from harness.responses import create, problem
from harness.servers import local_server, wait_for
from harness.side_effects import beside
from taskwell.core.settings import Settings
from taskwell.services import housekeeping

TASKS = "/api/ada/tasks"
USER = "SELECT FROM users WHERE id = 'ada' FOR UPDATE"
# An erasure waits for the locked tasks after it has the user's row, as it takes its time with many tasks.
TASKS_OF_USER = "SELECT FROM tasks WHERE user_id = 'ada' FOR UPDATE"
NEXT = "UPDATE users SET last_seq = last_seq + 1 WHERE id = 'ada';"

Send = Callable[[httpx2.Client], httpx2.Response]


@dataclass
class Two:
    """Two servers on one database, whose requests wait for each other there alone."""

    url: str
    client: httpx2.Client
    other: httpx2.Client
    threads: ThreadPoolExecutor

    def start(self, send: Callable[[], Any], *, waiting_then: int = 1) -> Future[Any]:
        """Send what then waits for a lock, as one of so many."""
        sent = self.threads.submit(send)
        wait_for(lambda: waiting_sessions(self.url) == waiting_then)
        return sent

    def after(self, statements: str, send: Send) -> httpx2.Response:
        """The answer to a write that has waited for another session's statements."""
        with open_transaction(self.url, USER) as run:
            sent = self.start(lambda: send(self.client))
            run(f"{statements} COMMIT")
            answer: httpx2.Response = sent.result()
        return answer

    @contextmanager
    def erasure(self) -> Iterator[None]:
        """The user is erased, which is under way within and done at the end."""
        with open_transaction(self.url, TASKS_OF_USER) as run:
            erased = self.start(lambda: self.client.delete("/api/users/ada"))
            yield
            run("COMMIT")
            assert erased.result().status_code == 204


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with (
        migrated_database("postgresql", tmp_path) as url,
        two_servers(Settings(database_url=url, webhook_allow=("127.0.0.0/8",))) as both,
    ):
        yield both


@contextmanager
def two_servers(settings: Settings) -> Iterator[Two]:
    with (
        local_server(settings) as one,
        local_server(settings) as another,
        httpx2.Client(base_url=one.url, timeout=30) as client,
        httpx2.Client(base_url=another.url, timeout=30) as other,
        ThreadPoolExecutor(4) as threads,
    ):
        yield Two(settings.database_url.get_secret_value(), client, other, threads)


def put(client: httpx2.Client, path: str, **headers: str) -> httpx2.Response:
    return client.put(path, json={"title": "New"}, headers={"If-None-Match": "*", **headers})


WRITES: dict[str, Send] = {
    "PUT": lambda client: put(client, f"{TASKS}/{uuid4()}"),
    "POST": lambda client: client.post(TASKS, json={"title": "New"}),
    "POST with a key": lambda client: client.post(
        TASKS, json={"title": "New"}, headers={"Idempotency-Key": str(uuid4())}
    ),
    "POST with a date": lambda client: client.post(TASKS, json={"title": "New", "due": "2027-01-01"}),
    "POST list": lambda client: client.post("/api/ada/lists", json={"name": "New"}),
    "PUT label": lambda client: client.put("/api/ada/labels/new", json={"color": "#000000"}),
    "batch": lambda client: client.post(
        f"{TASKS}/batch", json={"operations": [{"op": "create", "task": {"title": "New"}}]}
    ),
    "quick": lambda client: client.post(f"{TASKS}/quick", json={"text": "New"}),
    "POST user": lambda client: client.post("/api/users", json={"id": "ada"}),
}


class TestErasure:
    @pytest.mark.parametrize("name", WRITES)
    def test_who_writes_during_it_begins_in_a_new_epoch(self, two: Two, name: str) -> None:
        create(two.client, TASKS)
        cursor = two.client.get("/api/ada/changes").json()["next"]
        with two.erasure():
            sent = two.start(lambda: WRITES[name](two.other), waiting_then=2)
        assert sent.result().is_success
        problem(two.client.get("/api/ada/changes", params={"since": cursor}), 410, "gone")

    def test_leaves_no_stored_answer(self, two: Two) -> None:
        create(two.client, TASKS)
        with open_transaction(two.url, USER) as run:
            keyed = two.start(lambda: WRITES["POST with a key"](two.client))
            erased = two.start(lambda: two.other.delete("/api/users/ada"), waiting_then=2)
            run("COMMIT")
            assert (keyed.result().status_code, erased.result().status_code) == (201, 204)
        assert execute(two.url, "SELECT FROM idempotency_keys") == []


class TestDeletion:
    def test_a_toggle_beside_it_takes_no_number(self, two: Two) -> None:
        task = create(two.client, TASKS)
        delete = f"{NEXT} UPDATE tasks SET deleted_at = now(), version = version + 1;"
        answer = two.after(delete, lambda client: client.post(f"{TASKS}/{task['id']}/toggle"))
        problem(answer, 404, "not_found")
        assert create(two.client, TASKS)["version"] == task["version"] + 2

    def test_of_a_list_leaves_quick_add_its_name_as_a_word(self, two: Two) -> None:
        two.client.post("/api/ada/lists", json={"name": "Home"})
        answer = two.after(
            f"{NEXT} UPDATE lists SET deleted_at = now(), version = version + 1;",
            lambda client: client.post(f"{TASKS}/quick", json={"text": "Milk #Home"}),
        )
        assert answer.status_code == 201
        assert (answer.json()["task"]["title"], answer.json()["task"]["list_id"]) == ("Milk #Home", None)

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
    def test_for_good_makes_room_for_the_id(self, two: Two, headers: dict[str, str]) -> None:
        path = f"{TASKS}/{create(two.client, TASKS)['id']}"
        two.client.delete(path)
        answer = two.after(f"{NEXT} DELETE FROM tasks;", lambda client: put(client, path, **headers))
        assert answer.status_code == 201

    def test_of_a_webhook_beside_a_ping_is_a_404(self, two: Two) -> None:
        new = {"url": "http://127.0.0.1:9/", "events": ["*"]}
        hook = two.client.post("/api/ada/webhooks", json=new).json()
        with open_transaction(two.url, "DELETE FROM webhooks") as run:
            ping = two.start(lambda: two.client.post(f"/api/ada/webhooks/{hook['id']}/ping"))
            run("COMMIT")
        problem(ping.result(), 404, "not_found")


class TestRevocation:
    def test_of_a_token_beside_its_new_webhook_is_a_401(self, tmp_path: Path) -> None:
        secret = "x" * 32
        claims = {"sub": "ada", "exp": datetime.now(UTC) + timedelta(minutes=5), "aud": "taskwell"}
        owner = {"Authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}
        with (
            migrated_database("postgresql", tmp_path) as url,
            two_servers(Settings(database_url=url, auth="jwt", jwt_secret=SecretStr(secret))) as two,
        ):
            new = {"name": "n8n", "scopes": ["webhooks", "tasks:read"]}
            token = two.client.post("/api/users/me/tokens", json=new, headers=owner).raise_for_status().json()
            answer = two.after(
                "DELETE FROM api_tokens;",
                lambda client: client.post(
                    "/api/webhooks",
                    json={"url": "https://example.com/", "events": ["*"]},
                    headers={"Authorization": f"Bearer {token['token']}"},
                ),
            )
        problem(answer, 401, "unauthorized")


class TestHousekeeping:
    """It goes on with the other users, whatever became of one."""

    USERS = ("ada", "bob", "eve")
    OLD = "now() - interval '400 days'"

    def sweep(self, url: str) -> None:
        async def work() -> None:
            async with beside(Settings(database_url=url)) as database:
                await housekeeping.purge_expired(database, trash_days=30, history_days=90)

        asyncio.run(work())

    def fill(self, two: Two) -> None:
        for user in self.USERS:
            headers = {"Idempotency-Key": "k"}
            new = two.client.post(f"/api/{user}/tasks", json={"title": "Old"}, headers=headers).json()
            two.client.delete(f"/api/{user}/tasks/{new['id']}")
        execute(two.url, f"UPDATE idempotency_keys SET created_at = {self.OLD}")

    def test_a_restored_task_takes_no_number(self, two: Two) -> None:
        self.fill(two)
        execute(two.url, f"UPDATE tasks SET deleted_at = {self.OLD}")
        (first,) = execute(two.url, "SELECT user_id FROM tasks WHERE deleted_at < now() LIMIT 1")
        theirs = f"WHERE user_id = '{first['user_id']}'"
        with open_transaction(two.url, "SELECT FROM users FOR UPDATE") as run:
            swept = two.start(lambda: self.sweep(two.url))
            run(f"UPDATE tasks SET deleted_at = NULL {theirs}; COMMIT")
            swept.result()
        left = execute(two.url, "SELECT user_id FROM tasks")
        assert [row["user_id"] for row in left] == [first["user_id"]]
        numbers = dict(execute(two.url, "SELECT id, last_seq FROM users"))
        assert numbers == {user: 2 if user == first["user_id"] else 3 for user in self.USERS}

    def test_an_erased_user_ends_no_sweep(self, two: Two) -> None:
        self.fill(two)
        execute(two.url, f"UPDATE task_history SET at = {self.OLD}")
        with open_transaction(two.url, "SELECT FROM users FOR UPDATE") as run:
            swept = two.start(lambda: self.sweep(two.url))
            run("DELETE FROM users WHERE id <> 'eve'; COMMIT")
            swept.result()
        assert execute(two.url, "SELECT FROM task_history") == []
        assert execute(two.url, "SELECT FROM idempotency_keys") == []
