"""Subscriptions: what can be asked for, who sees which, and that secrets are shown once."""

from typing import Any

import httpx2
import pytest

from harness.issuer import bearer
from harness.responses import create, problem, unknown_id, violation
from harness.servers import LocalServer, local_server, wait_for
from harness.side_effects import execute, instant
from taskwell.core.clock import utc_now
from taskwell.core.settings import Settings
from taskwell.schemas.webhook import MAX_WEBHOOKS
from tests.security.conftest import As, as_user, guarded, issuer

__all__ = ["as_user", "guarded", "issuer"]  # fixtures

URL = "https://hooks.invalid/x"
NEW = {"url": URL, "events": ["task.completed", "task.*"], "description": "n8n"}


@pytest.fixture(params=["/api", "/api/{user}"])
def hooks(request: pytest.FixtureRequest, user: str, client: httpx2.Client) -> str:
    home: str = request.param.format(user=user)
    client.delete("/api/users/default")
    return f"{home}/webhooks"


def subscribe(client: httpx2.Client, hooks: str, **members: Any) -> dict[str, Any]:
    answer = client.post(hooks, json={**NEW, **members})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


class TestCreation:
    def test_shows_the_secret_this_once(self, client: httpx2.Client, hooks: str) -> None:
        create(client, hooks.replace("webhooks", "tasks"))
        answer = client.post(hooks, json=NEW)
        made = answer.json()
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        assert answer.headers["location"] == f"{hooks}/{made['id']}"
        secret = made.pop("secret")
        assert secret.startswith("whsec_")
        assert made == {
            "id": made["id"],
            "url": URL,
            "events": ["task.completed", "task.*"],
            "payload": "full",
            "description": "n8n",
            "active": True,
            "cursor": 1,
            "created_at": made["created_at"],
            "failing_since": None,
            "next_attempt_at": None,
            "disabled_reason": None,
            "gap": False,
            "token": None,
        }
        path = f"{hooks}/{made['id']}"
        shown = [client.get(path), client.get(hooks), client.patch(path, json={"description": None})]
        assert shown[0].json() == shown[1].json()[0] == made
        assert all(secret not in answer.text for answer in shown)

    @pytest.mark.parametrize(
        ("members", "pointer", "code"),
        [
            ({"url": "https://127.0.0.1/x"}, "/url", "not_allowed"),
            ({"url": "http://hooks.invalid/x"}, "/url", "not_allowed"),
            ({"url": "localhost:5678"}, "/url", "invalid_url"),
            ({"url": "ftp://example.com/"}, "/url", "invalid_url"),
            ({"url": "https://me:secret@example.com/"}, "/url", "invalid_url"),
            ({"url": "https://example.com/#part"}, "/url", "invalid_url"),
            ({"url": "https://example.com\\@127.0.0.1/"}, "/url", "invalid_url"),
            ({"url": "https://bücher.example/"}, "/url", "invalid_url"),
            ({"url": "https://example.com:99999/"}, "/url", "invalid_url"),
            ({"url": "https:///x"}, "/url", "invalid_url"),
            ({"url": "https://[::1/"}, "/url", "invalid_url"),
            ({"url": f"{URL}/{'a' * 2_048}"}, "/url", "too_long"),
            ({"url": "https://."}, "/url", "invalid_url"),
            ({"url": "https://-a/"}, "/url", "invalid_url"),
            ({"url": "https://a-.example.com/"}, "/url", "invalid_url"),
            ({"url": "https://a..example.com/"}, "/url", "invalid_url"),
            ({"url": "https://example.com../"}, "/url", "invalid_url"),
            ({"url": f"https://{'a' * 64}.example.com/"}, "/url", "invalid_url"),
            ({"url": f"https://{'a.' * 126}abc/"}, "/url", "invalid_url"),
            ({"url": "https://256.1.1.1/"}, "/url", "invalid_url"),
            ({"url": "https://[::1]x/"}, "/url", "invalid_url"),
            ({"url": "https://example.com:0/"}, "/url", "invalid_url"),
            ({"url": None}, "/url", "invalid_type"),
            ({"active": None}, "/active", "invalid_type"),
            ({"events": []}, "/events", "too_short"),
            ({"events": ["task"]}, "/events/0", "invalid_event"),
            ({"events": "*"}, "/events", "invalid_type"),
            ({"payload": "fat"}, "/payload", "invalid_payload"),
            ({"description": "a\nb"}, "/description", "invalid_text"),
            ({"since": 99}, "/since", "out_of_range"),
        ],
    )
    def test_refuses_what_breaks_a_rule(
        self, client: httpx2.Client, user: str, members: dict[str, Any], pointer: str, code: str
    ) -> None:
        answer = client.post(f"/api/{user}/webhooks", json={**NEW, **members})
        found = violation(answer)
        assert (found["pointer"], found["code"]) == (pointer, code)
        if code == "not_allowed":
            assert "TASKWELL_WEBHOOK_ALLOW" in found["detail"]
        assert client.get(f"/api/{user}/webhooks").json() == []

    def test_takes_every_host_that_can_be(self, client: httpx2.Client, user: str) -> None:
        hooks = f"/api/{user}/webhooks"
        for host in ("hooks.invalid.", f"{'a' * 63}.invalid", f"{'a.' * 123}invalid", "a_b.invalid:8443"):
            subscribe(client, hooks, url=f"https://{host}/x")

    def test_says_what_events_may_be(self, client: httpx2.Client, user: str) -> None:
        hooks = f"/api/{user}/webhooks"
        path = f"{hooks}/{subscribe(client, hooks)['id']}"
        none: dict[str, Any] = {"events": []}
        for answer in (client.post(hooks, json=NEW | none), client.patch(path, json=none)):
            found = violation(answer)
            assert (found["pointer"], found["code"]) == ("/events", "too_short")
            assert found["detail"] == (
                'must name a type of event or more, such as ["task.completed"]; ["*"] is all'
            )

    def test_may_be_inactive(self, client: httpx2.Client, user: str) -> None:
        hooks = f"/api/{user}/webhooks"
        made = subscribe(client, hooks, active=False)
        path = f"{hooks}/{made['id']}"
        assert made["active"] is client.get(path).json()["active"] is False
        assert client.patch(path, json={"active": True}).json()["active"] is True

    def test_has_a_limit(self, client: httpx2.Client, user: str) -> None:
        hooks = f"/api/{user}/webhooks"
        for _ in range(MAX_WEBHOOKS):
            subscribe(client, hooks)
        problem(client.post(hooks, json=NEW), 409, "conflict")

    def test_is_neither_stored_nor_a_dry_run(self, client: httpx2.Client, user: str) -> None:
        hooks = f"/api/{user}/webhooks"
        path = f"{hooks}/{subscribe(client, hooks)['id']}"
        bodies = {hooks: NEW, f"{path}/rotate": {}, f"{path}/ping": None, f"{path}/redeliver": {"since": 0}}
        for target, body in bodies.items():
            keyed = violation(client.post(target, json=body, headers={"Idempotency-Key": "k"}))
            assert (keyed["parameter"], keyed["code"]) == ("Idempotency-Key", "not_allowed")
            reason = "a secret" if target in {hooks, f"{path}/rotate"} else "sends a message anew"
            assert reason in keyed["detail"]
            dry = violation(client.post(f"{target}?dry_run=true", json=body))
            assert (dry["parameter"], dry["code"]) == ("dry_run", "not_allowed")
        assert len(client.get(hooks).json()) == 1


class TestChanges:
    def test_leave_absent_members_alone(self, client: httpx2.Client, user: str) -> None:
        hooks = f"/api/{user}/webhooks"
        made = subscribe(client, hooks)
        secret = made.pop("secret")
        path = f"{hooks}/{made['id']}"
        changed = client.patch(path, json={"events": ["*", "*"], "active": False, "url": f"{URL}/y"}).json()
        assert changed == made | {"events": ["*"], "active": False, "url": f"{URL}/y"}
        assert client.patch(path, json={}).json() == changed
        assert violation(client.patch(path, json={"url": "https://10.0.0.1/"}))["code"] == "not_allowed"
        assert violation(client.patch(path, json={"cursor": 7}))["code"] == "invalid_cursor"
        rotated = client.post(f"{path}/rotate").json()
        assert rotated.pop("secret") != secret
        assert rotated == changed

    def test_of_what_is_not_there(self, client: httpx2.Client, user: str) -> None:
        hooks = f"/api/{user}/webhooks"
        made = subscribe(client, hooks)
        for path in (f"{hooks}/{unknown_id()}", f"/api/other-{user}/webhooks/{made['id']}"):
            tried = [
                client.get(path), client.patch(path, json={"active": False}), client.delete(path),
                client.post(f"{path}/ping"), client.post(f"{path}/rotate"), client.get(f"{path}/deliveries"),
                client.post(f"{path}/redeliver", json={"since": 0}),
                client.post(f"{path}/redeliver", json={"version": 1}),
            ]  # fmt: skip
            for answer in tried:
                problem(answer, 404, "not_found")
        assert client.delete(f"{hooks}/{made['id']}").status_code == 204
        assert client.get(hooks).json() == []

    def test_redelivery_is_of_what_is_there(self, client: httpx2.Client, user: str) -> None:
        create(client, f"/api/{user}/tasks")
        hooks = f"/api/{user}/webhooks"
        path = f"{hooks}/{subscribe(client, hooks, payload='thin')['id']}/redeliver"
        assert "no such version" in problem(client.post(path, json={"version": 7}), 410, "gone")["detail"]
        assert violation(client.post(path, json={"since": 7}))["code"] == "out_of_range"
        for body in ({}, {"version": 1, "since": 1}):
            assert violation(client.post(path, json=body))["code"] == "invalid_redelivery"
        assert client.post(path, json={"since": 1}).json() == {"cursor": 0, "delivery": None}

    def test_a_ping_tells_what_came_of_it(self, client: httpx2.Client, user: str) -> None:
        hooks = f"/api/{user}/webhooks"
        path = f"{hooks}/{subscribe(client, hooks)['id']}"
        answer = client.post(f"{path}/ping").json()
        assert (answer["status"], answer["error"], answer["outcome"]) == (None, "dns", "ping")
        assert client.get(f"{path}/deliveries").json() == [answer]


class TestTokens:
    @pytest.fixture
    def program(self, guarded: LocalServer, as_user: As, user: str) -> httpx2.Client:
        new = {"name": "n8n", "scopes": ["webhooks"]}
        self.token = as_user(user).post("/api/users/me/tokens", json=new).raise_for_status().json()
        return httpx2.Client(base_url=guarded.url, headers=bearer(self.token["token"]))

    def test_see_what_they_made_which_ends_with_them(
        self, program: httpx2.Client, as_user: As, user: str
    ) -> None:
        with program:
            users = subscribe(as_user(user), "/api/webhooks")
            made = subscribe(program, "/api/webhooks")
            assert made["token"] == {"id": self.token["id"], "name": "n8n"}
            assert [one["id"] for one in program.get("/api/webhooks").json()] == [made["id"]]
            for tried in (
                program.patch(f"/api/webhooks/{users['id']}", json={"url": f"{URL}/stolen"}),
                program.post(f"/api/webhooks/{users['id']}/rotate"),
                program.delete(f"/api/webhooks/{users['id']}"),
            ):
                problem(tried, 404, "not_found")
            assert len(as_user(user).get("/api/webhooks").json()) == 2
            as_user(user).delete(f"/api/users/me/tokens/{self.token['id']}").raise_for_status()
        assert [one["id"] for one in as_user(user).get("/api/webhooks").json()] == [users["id"]]

    def test_that_have_expired_get_nothing(
        self, program: httpx2.Client, guarded: LocalServer, as_user: As, user: str
    ) -> None:
        with program:
            hook = subscribe(program, "/api/webhooks")
        then = instant(guarded.settings, utc_now())
        execute(guarded.settings, f"UPDATE api_tokens SET expires_at = {then} WHERE user_id = '{user}'")
        own = subscribe(as_user(user), "/api/webhooks")
        create(as_user(user), "/api/tasks")
        shown = as_user(user)
        wait_for(lambda: bool(shown.get(f"/api/webhooks/{own['id']}/deliveries").json()))
        assert shown.get(f"/api/webhooks/{hook['id']}/deliveries").json() == []


class TestCopies:
    def test_export_shows_them_without_secrets(self, client: httpx2.Client, user: str) -> None:
        made = subscribe(client, f"/api/{user}/webhooks")
        lines = client.get(f"/api/users/{user}/export").text
        assert made["id"] in lines
        assert made["secret"] not in lines


def test_a_server_that_sends_nothing_says_so(database_url: str) -> None:
    with (
        local_server(Settings(database_url=database_url, webhooks=False)) as server,
        httpx2.Client(base_url=server.url) as client,
    ):
        path = f"/api/webhooks/{subscribe(client, '/api/webhooks')['id']}"
        create(client, "/api/tasks")
        for tried in (client.post(f"{path}/ping"), client.post(f"{path}/redeliver", json={"version": 1})):
            problem(tried, 409, "conflict")
        assert client.get(f"{path}/deliveries").json() == []
