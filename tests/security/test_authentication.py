"""Who gets in: tokens of trusted issuers, and nobody else."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness.databases import new_postgres_database, open_transaction
from harness.issuer import AUDIENCE, SECRET, Issuer, bearer, sign
from harness.responses import create, problem
from harness.servers import LocalServer, local_server
from harness.side_effects import execute, instant
from security.corpus import hostile_tokens
from tests.security.conftest import As, settings_for


class TestNobody:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/tasks"),
            ("POST", "/api/tasks"),
            ("GET", "/api/alice/tasks"),
            ("GET", "/api/tasks/nothing"),
            ("GET", "/api/users/me"),
            ("GET", "/api/nothing"),
            ("GET", "/api"),
            ("GET", "/api/"),
            ("PUT", "/api/alice/tasks"),
            ("GET", "/api/changes"),
            ("GET", "/api/events"),
        ],
    )
    def test_is_told_to_bring_a_token(self, anonymous: httpx2.Client, method: str, path: str) -> None:
        answer = anonymous.request(method, path)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == 'Bearer realm="taskwell"'

    def test_may_ask_which_methods_there_are(self, anonymous: httpx2.Client) -> None:
        assert anonymous.options("/api/tasks").status_code == 204

    @pytest.mark.parametrize(
        "path", ["/health", "/health/live", "/health/ready", "/openapi.json", "/docs", "/problems"]
    )
    def test_may_read_what_is_nobodys(self, anonymous: httpx2.Client, path: str) -> None:
        assert anonymous.get(path).status_code == 200

    def test_a_body_is_not_even_read(self, anonymous: httpx2.Client) -> None:
        answer = anonymous.post("/api/tasks", content=b"x" * 5_000_000)
        problem(answer, 401, "unauthorized")

    @pytest.mark.parametrize(
        "header",
        ["", "Bearer", "Basic YTpi", "Token x", "bearer:x", "Bearer \xe4", "x", "Bearer a b"],
    )
    def test_a_malformed_header_is_no_token(self, anonymous: httpx2.Client, header: str) -> None:
        answer = anonymous.get("/api/tasks", headers={b"Authorization": header.encode("latin-1")})
        problem(answer, 401, "unauthorized")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]

    def test_two_headers_are_none(self, anonymous: httpx2.Client, issuer: Issuer) -> None:
        headers = [("Authorization", f"Bearer {issuer.token('alice')}")] * 2
        problem(anonymous.get("/api/tasks", headers=headers), 401, "unauthorized")

    def test_a_cookie_and_a_parameter_are_not_read(self, anonymous: httpx2.Client, issuer: Issuer) -> None:
        token = issuer.token("alice")
        answer = anonymous.get(f"/api/tasks?access_token={token}", headers={"Cookie": f"token={token}"})
        problem(answer, 401, "unauthorized")


class TestGoodTokens:
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_of_every_algorithm(
        self, anonymous: httpx2.Client, issuer: Issuer, user: str, scheme: str
    ) -> None:
        for key in issuer.keys:
            headers = {"Authorization": f"{scheme} {issuer.token(user, key=key)}"}
            assert anonymous.get("/api/users/me", headers=headers).json()["id"] == user, key.kid

    def test_of_the_shared_secret(self, anonymous: httpx2.Client, issuer: Issuer, user: str) -> None:
        token = sign({"alg": "HS256", "typ": "JWT"}, issuer.claims(user), SECRET.encode(), "HS256")
        assert anonymous.get("/api/users/me", headers=bearer(token)).json()["id"] == user

    @pytest.mark.parametrize(
        ("length", "taken"),
        [(32, {"HS256"}), (47, {"HS256"}), (48, {"HS256", "HS384"}), (64, {"HS256", "HS384", "HS512"})],
    )
    def test_of_a_secret_that_is_as_long_as_the_digest(
        self, issuer: Issuer, tmp_path: Path, length: int, taken: set[str]
    ) -> None:
        secret = "s" * length
        settings = settings_for(issuer, database_url=f"sqlite:///{tmp_path}/test.db", jwt_secret=secret)
        with local_server(settings) as server:
            for name in ("HS256", "HS384", "HS512"):
                token = sign({"alg": name}, issuer.claims("alice"), secret.encode(), name)
                answer = httpx2.get(f"{server.url}/api/users/me", headers=bearer(token))
                if name in taken:
                    assert answer.json()["id"] == "alice"
                else:
                    problem(answer, 401, "unauthorized")

    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": [AUDIENCE, "https://other.example"]},
            {"iat": None},
            {"exp": 4_102_444_800.5},
            {"scope": "openid profile"},
            {"email": "no address"},
            {"email": 1},
            {"more": {"deeply": ["nested"]}},
        ],
    )
    def test_with_whatever_else_they_say(self, as_user: As, user: str, claims: dict[str, Any]) -> None:
        assert as_user(user, **claims).get("/api/users/me").json()["id"] == user

    @pytest.mark.parametrize(("name", "seconds"), [("exp", -20), ("nbf", 20), ("iat", 20)])
    def test_of_a_clock_that_differs_a_little(self, as_user: As, user: str, name: str, seconds: int) -> None:
        client = as_user(user, **{name: int(time.time()) + seconds})
        assert client.get("/api/users/me").json()["id"] == user

    def test_get_their_users_own_tasks_at_both_mounts(self, as_user: As, user: str) -> None:
        client = as_user(user)
        task = create(client, "/api/tasks")
        assert task["user_id"] == user
        assert client.get(f"/api/{user}/tasks").json() == client.get("/api/tasks").json() == [task]
        assert as_user(f"{user}-2").get("/api/tasks").json() == []

    @pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"])
    def test_of_every_type_that_means_one(self, anonymous: httpx2.Client, issuer: Issuer, typ: str) -> None:
        key = issuer.keys[0]
        token = sign(
            {"alg": "EdDSA", "kid": key.kid, "typ": typ}, issuer.claims("alice"), key.private, "EdDSA"
        )
        assert anonymous.get("/api/users/me", headers=bearer(token)).status_code == 200


class TestReservedWords:
    @pytest.mark.parametrize("word", ["v1", "search", "batch"])
    def test_in_a_path_are_named_as_such(self, as_user: As, user: str, word: str) -> None:
        answer = as_user(user).get(f"/api/{word}/tasks")
        (found,) = problem(answer, 400, "validation_error")["errors"]
        assert (found["parameter"], found["code"]) == ("user_id", "reserved")

    def test_do_not_shut_out_who_was_here_before(self, guarded: LocalServer, as_user: As) -> None:
        now = instant(guarded.settings, datetime.now(UTC))
        execute(guarded.settings, f"INSERT INTO users (id, created_at, last_seq) VALUES ('labels', {now}, 0)")
        client = as_user("labels")
        for _ in range(2):
            task = create(client, "/api/tasks")
            assert task["user_id"] == "labels"
            assert client.get(f"/api/labels/tasks/{task['id']}").json() == task
        problem(as_user("alice").get("/api/labels/tasks"), 400, "validation_error")
        assert client.delete("/api/users/labels").status_code == 204


class TestScopesOfTokens:
    def test_a_token_that_names_scopes_of_this_server_has_only_them(self, as_user: As, user: str) -> None:
        reader = as_user(user, scope="openid tasks:read")
        assert reader.get("/api/tasks").json() == []
        answer = reader.post("/api/tasks", json={"title": "x"})
        detail = problem(answer, 403, "forbidden")["detail"]
        assert detail == "This requires the scope tasks:edit: use a token that has it."
        assert 'error="insufficient_scope", scope="tasks:edit"' in answer.headers["www-authenticate"]

    def test_nobody_is_an_admin_by_a_claim(self, as_user: As, user: str) -> None:
        problem(as_user(user, scope="admin").post("/api/users", json={}), 403, "forbidden")


class TestEmail:
    def test_is_filled_in_by_the_first_write(self, as_user: As, user: str) -> None:
        client = as_user(user, email=f"{user}@Example.com")
        assert client.get("/api/users/me").json()["created_at"] is None
        create(client, "/api/tasks")
        assert client.get(f"/api/users/{user}").json()["email"] == f"{user}@example.com"

    def test_is_changed_by_a_later_token(self, as_user: As, user: str) -> None:
        create(as_user(user, email=f"{user}@one.example"), "/api/tasks")
        create(as_user(user, email=f"{user}@two.example"), "/api/tasks")
        assert as_user(user).get(f"/api/users/{user}").json()["email"] == f"{user}@two.example"

    def test_another_users_address_stays_theirs(self, as_user: As, user: str) -> None:
        create(as_user(user, email=f"{user}@example.com"), "/api/tasks")
        other = as_user(f"{user}-2", email=f"{user}@example.com")
        create(other, "/api/tasks")
        assert other.get(f"/api/users/{user}-2").json()["email"] is None

    def test_the_write_is_done_also_where_the_address_cannot_be_kept(self, issuer: Issuer) -> None:
        """Another session has it, and does not say whether it keeps it."""
        with (
            new_postgres_database() as url,
            local_server(settings_for(issuer, database_url=url)) as server,
        ):
            insert = (
                "INSERT INTO users (id, email, last_seq, purged_seq, created_at)"
                " VALUES ('bob', 'x@example.com', 0, 0, now())"
            )
            headers = bearer(issuer.token("ada", email="x@example.com"))
            with httpx2.Client(base_url=server.url, headers=headers, timeout=20) as client:
                with open_transaction(url, insert):
                    create(client, "/api/tasks")
                assert client.get("/api/users/me").json()["email"] is None

    def test_one_that_is_not_verified_is_not_kept(self, as_user: As, user: str) -> None:
        client = as_user(user, email=f"{user}@example.com", email_verified=False)
        create(client, "/api/tasks")
        assert client.get(f"/api/users/{user}").json()["email"] is None


@pytest.mark.plan("A12")
class TestHostileTokens:
    @pytest.mark.slow
    def test_none_gets_in_and_none_is_a_fault(self, anonymous: httpx2.Client, issuer: Issuer) -> None:
        tried, wrong = 0, []
        for name, token in hostile_tokens(issuer):
            tried += 1
            header = f"Bearer {token}".encode("utf-8", "surrogatepass")
            answer = anonymous.get("/api/users/me", headers={b"Authorization": header})
            if answer.status_code not in {400, 401, 431} or (len(token) > 20 and token in answer.text):
                wrong.append((name, answer.status_code, answer.text))
        assert wrong == []
        assert tried >= 600

    def test_a_megabyte_of_a_token_is_refused(self, guarded: LocalServer, issuer: Issuer) -> None:
        for size in (20_000, 1_000_000):
            try:
                answer = httpx2.get(f"{guarded.url}/api/tasks", headers=bearer("a" * size))
            except httpx2.TransportError:
                continue  # the server library hangs up
            assert answer.status_code in {400, 431}
        assert httpx2.get(f"{guarded.url}/api/users/me", headers=bearer(issuer.token("a"))).status_code == 200
