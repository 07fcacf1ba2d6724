"""A token with a rate of its own: counted by itself, and with its user."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from harness.databases import migrated_database
from harness.issuer import Issuer, bearer
from harness.responses import create, problem
from harness.servers import LocalServer, local_server
from tests.security.conftest import As, settings_for

TOKENS = "/api/users/me/tokens"
SCOPES = ["tasks:read", "tasks:edit"]


@pytest.fixture(scope="module")
def limited(
    database_kind: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    """A server where each user may send eight requests."""
    with (
        migrated_database(database_kind, tmp_path_factory.mktemp("limited")) as url,
        local_server(settings_for(issuer, database_url=url, rate_limit="8/hour")) as server,
    ):
        yield server


class Clients:
    """Clients of one user."""

    def __init__(self, server: LocalServer, issuer: Issuer, user: str) -> None:
        self._server = server
        self._stack = ExitStack()
        self.user = self._client(issuer.token(user))

    def _client(self, secret: str) -> httpx2.Client:
        return self._stack.enter_context(httpx2.Client(base_url=self._server.url, headers=bearer(secret)))

    def program(self, rate: str | None) -> httpx2.Client:
        """One with a new token, which takes a request of the user."""
        made = self.user.post(TOKENS, json={"name": "agent", "scopes": SCOPES, "rate": rate})
        return self._client(made.raise_for_status().json()["token"])

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def clients(limited: LocalServer, issuer: Issuer, user: str) -> Iterator[Clients]:
    clients = Clients(limited, issuer, user)
    yield clients
    clients.close()


@pytest.fixture
def unlimited(guarded: LocalServer, issuer: Issuer, user: str) -> Iterator[Clients]:
    """Those of a server without a limit for users."""
    clients = Clients(guarded, issuer, user)
    yield clients
    clients.close()


def left(answer: httpx2.Response) -> dict[str, int]:
    """What remains, by the names in the header."""
    return {name: int(r) for name, r in re.findall(r'"(\w+)";r=(\d+)', answer.headers["ratelimit"])}


class TestCounts:
    def test_are_of_the_token_and_of_its_user(self, clients: Clients) -> None:
        program = clients.program("3/hour")
        answers = [program.get("/api/tasks") for _ in range(3)]
        assert [left(answer) for answer in answers] == [
            {"caller": 6, "token": 2}, {"caller": 5, "token": 1}, {"caller": 4, "token": 0},
        ]  # fmt: skip
        for answer in answers:
            policy = '"caller";q=8;w=3600, "token";q=3;w=3600'
            assert answer.headers.get_list("ratelimit-policy") == [policy]
        assert answers[0].headers["ratelimit"] == '"caller";r=6;t=3600, "token";r=2;t=3600'

    def test_of_a_token_that_is_used_up_take_nothing_from_its_user(self, clients: Clients) -> None:
        program = clients.program("2/hour")
        for _ in range(2):
            create(program, "/api/tasks")
        for _ in range(20):
            refused = program.post("/api/tasks", json={"title": "x"})
            problem(refused, 429, "rate_limited")
            assert left(refused) == {"token": 0}
            assert refused.headers["ratelimit"] == f'"token";r=0;t={refused.headers["retry-after"]}'
            assert 3_500 < int(refused.headers["retry-after"]) <= 3_600
            assert refused.headers["ratelimit-policy"] == '"caller";q=8;w=3600, "token";q=2;w=3600'
        answer = clients.user.get("/api/tasks")
        assert left(answer) == {"caller": 4}
        assert len(answer.json()) == 2

    def test_of_a_user_that_are_used_up_stop_the_token(self, clients: Clients) -> None:
        program = clients.program("7/hour")
        for _ in range(7):
            clients.user.get("/api/tasks")
        for _ in range(9):
            refused = program.get("/api/tasks")
            problem(refused, 429, "rate_limited")
            assert left(refused) == {"caller": 0}

    def test_of_two_tokens_are_their_own(self, clients: Clients) -> None:
        one, other = clients.program("2/hour"), clients.program("2/hour")
        for program in (one, other):
            assert [program.get("/api/tasks").status_code for _ in range(3)] == [200, 200, 429]

    def test_of_a_token_without_a_rate_are_its_users(self, clients: Clients) -> None:
        program = clients.program(None)
        assert left(program.get("/api/tasks")) == {"caller": 6}
        assert left(clients.user.get("/api/tasks")) == {"caller": 5}

    def test_of_a_token_need_no_limit_of_users(self, unlimited: Clients) -> None:
        program = unlimited.program("2/minute")
        first, _, third = (program.get("/api/tasks") for _ in range(3))
        assert first.headers["ratelimit-policy"] == '"token";q=2;w=60'
        assert first.headers["ratelimit"] == '"token";r=1;t=60'
        problem(third, 429, "rate_limited")
        assert "ratelimit" not in unlimited.user.get("/api/tasks").headers
        assert "ratelimit" not in unlimited.program(None).get("/api/tasks").headers

    def test_are_the_same_at_every_kind_of_request(self, unlimited: Clients, taken: list[bool]) -> None:
        """None is answered by what was noted of an earlier one."""
        program = unlimited.program("9/hour")
        taken.clear()
        answers = []
        for _ in range(3):
            answers.append(program.post("/api/tasks", json={"title": "Buy milk"}))
            path = f"/api/tasks/{answers[-1].json()['id']}"
            answers += [program.get(path), program.post(f"{path}/toggle")]
        assert [left(answer)["token"] for answer in answers] == list(range(8, -1, -1))
        problem(program.get(path), 429, "rate_limited")
        assert not any(taken)


class TestRates:
    @pytest.mark.parametrize("rate", ["1/second", "60/minute", "999999999/hour", "7/day"])
    def test_are_shown(self, as_user: As, user: str, rate: str) -> None:
        client = as_user(user)
        made = client.post(TOKENS, json={"name": "agent", "scopes": SCOPES, "rate": rate}).json()
        assert made["rate"] == rate
        assert [token["rate"] for token in client.get(TOKENS).json()] == [rate]
        assert f'"rate":"{rate}"' in client.get(f"/api/users/{user}/export").text

    def test_may_be_left_out(self, as_user: As, user: str) -> None:
        client = as_user(user)
        for more in ({}, {"rate": None}):
            made = client.post(TOKENS, json={"name": "agent", "scopes": SCOPES, **more})
            assert made.status_code == 201
            assert made.json()["rate"] is None

    @pytest.mark.parametrize(
        "rate",
        [
            "", "none", "60", "/minute", "0/minute", "-1/minute", "+1/minute", "01/minute", "1e3/minute",
            "60/week", "60/Minute", "60/minutes", "60 / minute", "60/minute\n", "60/minute/hour",
            "1000000000/minute", "٣/minute", "6_0/minute", 60, 1.5, True, ["60/minute"], {"amount": 60},
        ],
    )  # fmt: skip
    def test_of_no_known_form_are_refused(self, as_user: As, user: str, rate: Any) -> None:
        client = as_user(user)
        answer = client.post(TOKENS, json={"name": "agent", "scopes": SCOPES, "rate": rate})
        (found,) = problem(answer, 400, "validation_error")["errors"]
        assert found == {
            "pointer": "/rate",
            "code": "invalid_rate",
            "detail": "must be a number per second, minute, hour or day, such as 60/minute",
        }
        assert client.get(TOKENS).json() == []
