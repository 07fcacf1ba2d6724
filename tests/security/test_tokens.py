"""API tokens: made by whoever has signed in, shown once, kept as a digest, gone at once when revoked."""

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness import side_effects, warm
from harness.issuer import bearer
from harness.responses import create, problem, unknown_id, violation
from harness.servers import LocalServer, wait_for
from taskwell.services.tokens import is_well_formed, new_secret
from tests.security.conftest import As

TOKENS = "/api/users/me/tokens"


def new_token(client: httpx2.Client, *scopes: str, **others: Any) -> dict[str, Any]:
    answer = client.post(TOKENS, json={"name": "backup", "scopes": scopes or ["tasks:read"], **others})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    token: dict[str, Any] = answer.json()
    return token


def with_token(server: LocalServer, token: str) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, headers=bearer(token))


class TestSecrets:
    def test_have_a_checksum_that_every_slip_breaks(self) -> None:
        for _ in range(100):
            secret = new_secret()
            assert is_well_formed(secret)
            assert len(secret) == 52
            for place in range(3, 52):
                slip = "a" if secret[place] != "a" else "b"
                assert not is_well_formed(secret[:place] + slip + secret[place + 1 :])

    def test_are_never_the_same(self) -> None:
        assert len({new_secret() for _ in range(10_000)}) == 10_000


class TestCreate:
    def test_acts_as_its_user(self, guarded: LocalServer, as_user: As, user: str) -> None:
        client = as_user(user)
        task = create(client, "/api/tasks")
        token = new_token(client, "tasks:read", "tasks:write")
        with with_token(guarded, token["token"]) as program:
            assert program.get("/api/tasks").json() == [task]
            assert program.get(f"/api/{user}/tasks").json() == [task]
            assert create(program, "/api/tasks")["user_id"] == user
            problem(program.get("/api/somebody-else/tasks"), 403, "forbidden")

    def test_is_shown_once(self, as_user: As, user: str) -> None:
        client = as_user(user)
        made = new_token(client, "tasks:write", "tasks:read", expires_at="2099-01-01T00:00:00+02:00")
        (listed,) = client.get(TOKENS).json()
        assert made.pop("token").startswith("tw_")
        assert listed == made
        assert listed["scopes"] == ["tasks:write", "tasks:read"]
        assert listed["expires_at"] == "2098-12-31T22:00:00.000000Z"
        assert listed["last_used_at"] is None

    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("2099-01-01t00:00:00.123456789z", "2099-01-01T00:00:00.123456Z"),
            ("2099-01-01 00:00:00-00:00", "2099-01-01T00:00:00.000000Z"),
            ("2098-12-31T23:59:60Z", "2099-01-01T00:00:00.000000Z"),
        ],
    )
    def test_an_end_in_any_form_of_rfc_3339(self, as_user: As, user: str, text: str, instant: str) -> None:
        assert new_token(as_user(user), expires_at=text)["expires_at"] == instant

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({}, "/name", "required"),
            ({"scopes": []}, "/scopes", "too_short"),
            ({"scopes": ["tasks"]}, "/scopes/0", "invalid_scope"),
            ({"scopes": ["account"]}, "/scopes/0", "invalid_scope"),
            ({"scopes": ["*"]}, "/scopes/0", "invalid_scope"),
            ({"scopes": "tasks:read"}, "/scopes", "invalid_type"),
            ({"name": "", "scopes": ["tasks:read"]}, "/name", "too_short"),
            ({"name": "a" * 101, "scopes": ["tasks:read"]}, "/name", "too_long"),
            ({"name": "a\nb", "scopes": ["tasks:read"]}, "/name", "invalid_text"),
            ({"name": "a", "scopes": ["tasks:read"], "expires_at": "soon"}, "/expires_at", "invalid_instant"),
            (
                {"name": "a", "scopes": ["tasks:read"], "expires_at": "2020-01-01T00:00:00Z"},
                "/expires_at",
                "in_the_past",
            ),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, as_user: As, user: str, body: dict[str, Any], pointer: str, code: str
    ) -> None:
        client = as_user(user)
        answer = client.post(TOKENS, json=body)
        found = problem(answer, 400, "validation_error")["errors"]
        assert (pointer, code) in {(error["pointer"], error["code"]) for error in found}
        assert client.get(TOKENS).json() == []

    def test_a_user_makes_no_admin(self, as_user: As, user: str) -> None:
        answer = as_user(user).post(TOKENS, json={"name": "x", "scopes": ["tasks:read", "admin"]})
        problem(answer, 403, "forbidden")

    def test_an_answer_with_a_token_is_not_kept(self, as_user: As, user: str) -> None:
        client = as_user(user)
        headers = {"Idempotency-Key": "once"}
        answer = client.post(TOKENS, json={"name": "x", "scopes": ["tasks:read"]}, headers=headers)
        assert violation(answer)["parameter"] == "Idempotency-Key"
        assert client.get(TOKENS).json() == []

    def test_there_is_an_end_to_them(self, as_user: As, user: str) -> None:
        client = as_user(user)
        for _ in range(100):
            new_token(client)
        problem(client.post(TOKENS, json={"name": "x", "scopes": ["tasks:read"]}), 409, "conflict")

    def test_the_database_holds_no_token(self, guarded: LocalServer, as_user: As, user: str) -> None:
        secret = new_token(as_user(user))["token"]
        found = side_effects.rows(guarded.settings, "SELECT * FROM api_tokens")
        assert found
        text = "".join(str(value) for row in found for value in row)
        assert secret not in text
        assert secret[3:46] not in text


ALLOWED = {
    "tasks:read": {"GET /api/tasks", "GET /api/users/me", "GET /api/changes"},
    "tasks:edit": {"POST /api/tasks", "POST /api/tasks/batch"},
    "tasks:write": {"POST /api/tasks", "DELETE /api/tasks", "POST /api/tasks/batch"},
    "admin": {"POST /api/users", "GET /api/users/nobody-1", "DELETE /api/users/nobody-1"},
}


@pytest.mark.slow
class TestScopes:
    @pytest.mark.parametrize("scope", ALLOWED)
    def test_are_all_that_a_token_may(self, guarded: LocalServer, as_user: As, user: str, scope: str) -> None:
        secret = (
            self.admin_token(guarded, user) if scope == "admin" else new_token(as_user(user), scope)["token"]
        )
        with with_token(guarded, secret) as program:
            for requests in ALLOWED.values():
                for request in requests:
                    method, path = request.split()
                    answer = program.request(method, path, json={} if method == "POST" else None)
                    if request in ALLOWED[scope]:
                        assert answer.status_code not in {401, 403}, request
                    else:
                        problem(answer, 403, "forbidden")

    def test_a_token_makes_no_token_and_ends_no_account(
        self, guarded: LocalServer, as_user: As, user: str
    ) -> None:
        client = as_user(user)
        secret = new_token(client, "tasks:read", "tasks:write")["token"]
        with with_token(guarded, secret) as program:
            problem(program.post(TOKENS, json={"name": "x", "scopes": ["tasks:read"]}), 403, "forbidden")
            problem(program.get(TOKENS), 403, "forbidden")
            problem(program.delete(f"/api/users/{user}"), 403, "forbidden")
            problem(program.get(f"/api/users/{user}/export"), 403, "forbidden")
        assert client.get(f"/api/users/{user}").status_code == 200

    def test_an_admin_minds_users_and_reads_no_tasks(
        self, guarded: LocalServer, as_user: As, user: str
    ) -> None:
        create(as_user(user), "/api/tasks")
        with with_token(guarded, self.admin_token(guarded, f"{user}-admin")) as admin:
            assert admin.get(f"/api/users/{user}").json()["id"] == user
            problem(admin.get(f"/api/{user}/tasks"), 403, "forbidden")
            assert f'"user_id":"{user}"' in admin.get(f"/api/users/{user}/export").text
            assert admin.post("/api/users", json={"id": f"{user}-2"}).status_code == 201
            assert admin.delete(f"/api/users/{user}").status_code == 204
            problem(admin.get(f"/api/users/{user}"), 404, "not_found")

    def admin_token(self, server: LocalServer, user: str) -> str:
        """As the operator makes it."""
        environment = {"DATABASE_URL": server.settings.database_url.get_secret_value()}
        command = ("tokens", "create", "ops", "--user", user, "--scope", "admin")
        done = warm.run(*command, environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class TestRevoke:
    def test_lets_nobody_in_from_its_answer_on(self, guarded: LocalServer, as_user: As, user: str) -> None:
        client = as_user(user)
        token = new_token(client)
        with with_token(guarded, token["token"]) as program:
            assert program.get("/api/tasks").status_code == 200
            assert client.delete(f"{TOKENS}/{token['id']}").status_code == 204
            problem(program.get("/api/tasks"), 401, "unauthorized")
        assert client.get(TOKENS).json() == []
        problem(client.delete(f"{TOKENS}/{token['id']}"), 404, "not_found")

    def test_another_users_token_is_not_there(self, guarded: LocalServer, as_user: As, user: str) -> None:
        token = new_token(as_user(user))
        other = as_user(f"{user}-2")
        answer = other.delete(f"{TOKENS}/{token['id']}")
        missing = other.delete(f"{TOKENS}/{unknown_id()}")
        assert problem(answer, 404, "not_found")["detail"] == problem(missing, 404, "not_found")["detail"]
        with with_token(guarded, token["token"]) as program:
            assert program.get("/api/tasks").status_code == 200

    def test_goes_with_its_user(self, guarded: LocalServer, as_user: As, user: str) -> None:
        client = as_user(user)
        token = new_token(client)["token"]
        assert client.delete(f"/api/users/{user}").status_code == 204
        with with_token(guarded, token) as program:
            problem(program.get("/api/tasks"), 401, "unauthorized")

    def test_one_that_has_expired_is_refused(self, guarded: LocalServer, as_user: As, user: str) -> None:
        soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        token = new_token(as_user(user), expires_at=soon)["token"]
        with with_token(guarded, token) as program:
            assert program.get("/api/tasks").status_code == 200
            wait_for(lambda: program.get("/api/tasks").status_code == 401)


class TestLastUse:
    def test_is_noted_once_a_minute(self, guarded: LocalServer, as_user: As, user: str) -> None:
        client = as_user(user)
        with with_token(guarded, new_token(client)["token"]) as program:
            program.get("/api/tasks")
            (first,) = client.get(TOKENS).json()
            assert first["last_used_at"] >= first["created_at"]
            for _ in range(5):
                program.get("/api/tasks")
            assert client.get(TOKENS).json() == [first]


class TestCommand:
    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"DATABASE_URL": f"sqlite:///{folder}/tasks.db"}
        return warm.run("tokens", *arguments, environment=environment)

    def test_makes_lists_and_revokes(self, tmp_path: Path) -> None:
        made = self.run(
            tmp_path, "create", "backup", "--user", "alice", "--scope", "tasks:read", "--days", "3"
        )
        assert is_well_formed(made.stdout.strip())
        assert "cannot be shown again" in made.stderr
        listed = self.run(tmp_path, "list", "--user", "alice").stdout
        assert "backup  tasks:read  until " in listed
        assert "never used" in listed
        token_id = listed.split()[0]
        assert self.run(tmp_path, "revoke", token_id, "--user", "bob").returncode == 1
        assert self.run(tmp_path, "revoke", token_id, "--user", "alice").returncode == 0
        assert self.run(tmp_path, "list", "--user", "alice").stdout == ""

    def test_speaks_json(self, tmp_path: Path) -> None:
        rights = ("--scope", "tasks:read", "--scope", "tasks:edit", "--rate", "60/minute")
        ends = ("--expires", "2099-01-01T00:00:00+02:00")
        made = self.run(tmp_path, "create", "agent", "--user", "alice", *rights, *ends, "--json")
        assert made.stderr == ""
        token = json.loads(made.stdout)
        assert is_well_formed(token.pop("token"))
        assert token == {
            "id": token["id"],
            "name": "agent",
            "scopes": ["tasks:read", "tasks:edit"],
            "rate": "60/minute",
            "created_at": token["created_at"],
            "expires_at": "2098-12-31T22:00:00.000000Z",
            "last_used_at": None,
        }
        self.run(tmp_path, "create", "other", "--user", "alice", "--json")
        listed = self.run(tmp_path, "list", "--user", "alice", "--json").stdout.splitlines()
        assert json.loads(listed[1]) == token
        assert json.loads(listed[0])["rate"] is None
        words = self.run(tmp_path, "list", "--user", "alice").stdout
        assert "agent  tasks:read tasks:edit  60/minute, until 2098-12-31T22:00:00+00:00, never" in words
        revoked = self.run(tmp_path, "revoke", token["id"], "--user", "alice", "--json")
        assert json.loads(revoked.stdout) == {"id": token["id"]}
        again = self.run(tmp_path, "revoke", token["id"], "--user", "alice", "--json")
        assert (again.returncode, again.stdout) == (1, "")

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (("--user", "a b"), "--user: must consist of letters"),
            (("--user", "a", "--scope", "everything"), "--scope: must be one of tasks:read, tasks:edit"),
            (("--user", "a", "--rate", "60/week"), "--rate: must be a number per second"),
            (("--user", "a", "--rate", "none"), "--rate: must be a number per second"),
            (("--user", "a", "--expires", "tomorrow"), "--expires: must be an instant"),
            (("--user", "a", "--expires", "2020-01-01T00:00:00Z"), "must be in the future"),
            (("--user", "a", "--expires", "2099-01-01T00:00:00Z", "--days", "3"), "--days or --expires"),
        ],
    )
    def test_says_what_is_wrong(self, tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
        done = self.run(tmp_path, "create", "backup", *arguments)
        assert done.returncode == 1
        assert word in done.stderr
        assert done.stdout == ""
