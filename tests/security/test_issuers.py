"""The sign-ins that people have, run for real: their tokens are taken as they come."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from harness.issuer import bearer
from harness.issuers import FOLDER, PASSWORD, BetterAuth, OpenIDProvider, better_auth, email, oidc_provider
from harness.node import program
from harness.responses import create, problem
from harness.servers import LocalServer, local_server
from taskwell.core.settings import Settings

pytestmark = pytest.mark.slow

AUDIENCE = "https://taskwell.example"


@pytest.fixture(scope="module")
def sign_in() -> Iterator[BetterAuth]:
    with better_auth() as sign_in:
        yield sign_in


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIDProvider]:
    with oidc_provider() as provider:
        yield provider


def client_of(server: LocalServer, token: str) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, headers=bearer(token), timeout=30)


@pytest.mark.plan("A12")
class TestBetterAuth:
    @pytest.fixture
    def server(self, sign_in: BetterAuth, database_url: str) -> Iterator[LocalServer]:
        settings = {
            "database_url": database_url,
            "auth": "jwt",
            "jwt_issuer": sign_in.issuer,
            "jwt_jwks_url": sign_in.jwks_url,
            "jwt_audience": sign_in.audience,
        }
        with local_server(Settings(**settings)) as server:  # type: ignore[arg-type]
            yield server

    def test_who_signs_up_has_their_tasks(self, server: LocalServer, sign_in: BetterAuth, user: str) -> None:
        user_id, token = sign_in.sign_up(user)
        with client_of(server, token) as client:
            task = create(client, "/api/tasks")
            assert task["user_id"] == user_id
            assert client.get(f"/api/{user_id}/tasks").json() == [task]
            assert client.get("/api/users/me").json()["email"] == email(user)
            problem(client.get("/api/somebody-else/tasks"), 403, "forbidden")

    def test_a_key_that_is_rotated_shuts_nobody_out(
        self, server: LocalServer, sign_in: BetterAuth, user: str
    ) -> None:
        _, before = sign_in.sign_up(user)
        with client_of(server, before) as client:
            task = create(client, "/api/tasks")
        sign_in.rotate()
        after = sign_in.token(user)
        assert after.split(".")[0] != before.split(".")[0]
        for token in (after, before):
            with client_of(server, token) as client:
                assert client.get("/api/tasks").json() == [task]

    def test_what_a_frontend_does_works(self, server: LocalServer, sign_in: BetterAuth, user: str) -> None:
        user_id, _ = sign_in.sign_up(user)
        environment = {
            "BETTER_AUTH_URL": sign_in.issuer,
            "TASKWELL_URL": server.url,
            "EMAIL": email(user),
            "PASSWORD": PASSWORD,
        }
        command = [program("node"), str(FOLDER / "frontend.mjs")]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["user_id"] == user_id

    def test_an_issuer_that_is_away_shuts_nobody_out(
        self, server: LocalServer, sign_in: BetterAuth, user: str
    ) -> None:
        _, token = sign_in.sign_up(user)
        with client_of(server, token) as client:
            assert client.get("/api/tasks").status_code == 200
        _, other = sign_in.sign_up(f"{user}-2")
        sign_in.stop()
        try:
            with client_of(server, other) as client:
                assert client.get("/api/tasks").status_code == 200
        finally:
            sign_in.start()


@pytest.mark.plan("A12")
class TestOpenIDProvider:
    @pytest.fixture
    def server(self, provider: OpenIDProvider, tmp_path: Path) -> Iterator[LocalServer]:
        settings = {
            "database_url": f"sqlite:///{tmp_path}/test.db",
            "auth": "jwt",
            "jwt_issuer": provider.issuer,
            "jwt_audience": AUDIENCE,
        }
        with local_server(Settings(**settings)) as server:  # type: ignore[arg-type]
            yield server

    @pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"])
    def test_its_tokens_work_by_its_name_alone(
        self, server: LocalServer, provider: OpenIDProvider, user: str, algorithm: str
    ) -> None:
        with client_of(server, provider.token(algorithm, AUDIENCE, user)) as client:
            assert create(client, "/api/tasks")["user_id"] == user
        with client_of(server, provider.token(algorithm, AUDIENCE)) as machine:
            assert machine.get("/api/users/me").json()["id"] == algorithm

    def test_its_tokens_for_another_server_do_not_work(
        self, server: LocalServer, provider: OpenIDProvider
    ) -> None:
        with client_of(server, provider.token("RS256", "https://other.example")) as client:
            answer = client.get("/api/tasks")
        assert problem(answer, 401, "unauthorized")["detail"] == "The token is meant for another server."
