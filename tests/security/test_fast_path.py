"""Simple requests of clients that have signed in: who was let in once is looked at each time all the same."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from harness.issuer import Issuer, bearer
from harness.responses import create, problem
from harness.servers import LocalServer, local_server
from taskwell.core.rates import Rate
from taskwell.http.rate_limit import LocalCounter
from tests.security.conftest import As, settings_for

NEW = {"title": "Buy milk"}
TASKS = "/api/tasks"


class TestTokens:
    def test_get_their_users_own_and_nobody_elses(self, as_user: As, user: str, taken: list[bool]) -> None:
        one, other = as_user(user), as_user(f"{user}-2")
        for client in (one, other):
            for _ in range(2):
                create(client, TASKS)
        mine = one.get(TASKS).json()[0]
        path = f"/tasks/{mine['id']}"
        for client in (one, other):
            own = create(client, TASKS)["id"]
            client.get(f"{TASKS}/{own}")
            client.post(f"{TASKS}/{own}/toggle")
        taken.clear()
        assert one.get(f"/api{path}").json()["id"] == mine["id"]
        assert one.get(f"/api/{user}{path}").json()["id"] == mine["id"]
        assert taken == [True, True]
        for method, rest in (("GET", ""), ("POST", "/toggle")):
            problem(other.request(method, f"/api{path}{rest}"), 404, "not_found")
            problem(other.request(method, f"/api/{user}{path}{rest}"), 403, "forbidden")
        problem(other.post(f"/api/{user}/tasks", json=NEW), 403, "forbidden")

    def test_get_pages_of_their_users_own_and_nobody_elses(
        self, as_user: As, user: str, taken: list[bool]
    ) -> None:
        page = f"{TASKS}?limit=5&new={user}"
        one, other = as_user(user), as_user(f"{user}-2")
        for client, title in ((one, "one"), (other, "other")):
            create(client, TASKS, title=title)
            for _ in range(2):
                client.get(page)
        taken.clear()
        for client, title in ((one, "one"), (other, "other")):
            answer = client.get(page)
            assert [task["title"] for task in answer.json()] == [title]
        assert taken == [True, True]
        assert one.get(page).headers["etag"] != other.get(page).headers["etag"]
        problem(other.get(f"/api/{user}/tasks?limit=5&new={user}"), 403, "forbidden")
        assert one.get(f"/api/{user}/tasks?limit=5&new={user}").json()[0]["title"] == "one"

    def test_of_two_users_on_one_connection_are_told_apart(
        self, guarded: LocalServer, issuer: Issuer, user: str, taken: list[bool]
    ) -> None:
        names = (user, f"{user}-2")
        headers = [bearer(issuer.token(name)) for name in names]
        with httpx2.Client(base_url=guarded.url, limits=httpx2.Limits(max_connections=1)) as client:
            for _ in range(3):
                for name, header in zip(names, headers, strict=True):
                    assert client.post(TASKS, json=NEW, headers=header).json()["user_id"] == name
            assert client.post(TASKS, json=NEW).status_code == 401
        assert taken == [False, False, True, True, True, True, False]

    def test_are_not_believed_beyond_their_end(
        self, guarded: LocalServer, as_user: As, user: str, taken: list[bool], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = as_user(user, exp=int(time.time()) + 30)
        for _ in range(2):
            create(client, TASKS)
        assert taken == [False, True]
        monkeypatch.setattr(guarded.app.state.verifier, "_now", lambda: time.time() + 120)
        problem(client.post(TASKS, json=NEW), 401, "unauthorized")
        assert taken[-1] is False

    def test_that_may_only_read_do_not_write(self, as_user: As, user: str, taken: list[bool]) -> None:
        path = f"{TASKS}/{create(as_user(user), TASKS)['id']}"
        client = as_user(user, scope="tasks:read")
        for _ in range(2):
            assert client.get(path).status_code == 200
            problem(client.post(f"{path}/toggle"), 403, "forbidden")
            problem(client.post(TASKS, json=NEW), 403, "forbidden")
        assert taken.count(True) == 1

    def test_a_new_address_is_noted(self, as_user: As, user: str) -> None:
        first, second = (as_user(user, email=f"{name}@{user}.example") for name in ("a", "b"))
        for client in (first, first, second, second, first, first):
            create(client, TASKS)
        assert first.get("/api/users/me").json()["email"] == f"a@{user}.example"

    def test_one_that_is_revoked_is_refused_at_once(
        self, guarded: LocalServer, as_user: As, user: str, taken: list[bool]
    ) -> None:
        owner = as_user(user)
        made = owner.post(
            "/api/users/me/tokens", json={"name": "x", "scopes": ["tasks:read", "tasks:write"]}
        ).json()
        with httpx2.Client(base_url=guarded.url, headers=bearer(made["token"])) as program:
            for _ in range(3):
                create(program, TASKS)
            assert owner.delete(f"/api/users/me/tokens/{made['id']}").status_code == 204
            problem(program.post(TASKS, json=NEW), 401, "unauthorized")
        assert not any(taken)


class TestLimits:
    @pytest.fixture
    def limited(self, issuer: Issuer, tmp_path: Path) -> Iterator[LocalServer]:
        url = f"sqlite:///{tmp_path}/test.db"
        with local_server(settings_for(issuer, database_url=url, rate_limit="12/hour")) as server:
            yield server

    def test_every_request_counts_once(self, limited: LocalServer, issuer: Issuer, taken: list[bool]) -> None:
        headers = bearer(issuer.token("alice"))
        with httpx2.Client(base_url=limited.url, headers=headers) as client:
            path = f"{TASKS}/{create(client, TASKS)['id']}"
            answers = [client.get(path) for _ in range(6)]
            missing = [client.get(path[:-4] + "0000") for _ in range(3)]
            answers += [*missing, client.get(path), client.get(path)]
            left = [
                int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0]) for answer in answers
            ]
            assert left == list(range(10, -1, -1))
            assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"caller";q=12;w=3600'}
            assert [answer.status_code for answer in missing] == [404] * 3
            problem(client.get(path), 429, "rate_limited")
        assert taken[2:11] == [True] * 9
        assert taken[-1] is False

    def test_an_address_of_guessers_is_not_let_in(
        self, limited: LocalServer, issuer: Issuer, taken: list[bool]
    ) -> None:
        headers = {**bearer(issuer.token("alice")), "X-Forwarded-For": "8.8.8.8"}
        with httpx2.Client(base_url=limited.url, headers=headers) as client:
            for _ in range(2):
                create(client, TASKS)
            assert taken == [False, True]
            with httpx2.Client(base_url=limited.url, headers={"X-Forwarded-For": "8.8.8.8"}) as guesser:
                for _ in range(12):
                    guesser.get(TASKS, headers=bearer("x.y.z"))
            problem(client.post(TASKS, json=NEW), 429, "rate_limited")
        assert taken[-1] is False

    def test_what_was_given_back_was_not_counted(self) -> None:
        counter = LocalCounter(Rate.parse("2/hour"))
        counter.uncount("a")
        for _ in range(3):
            assert counter.count("a").allowed
            counter.uncount("a")
        assert [counter.count("a").allowed for _ in range(3)] == [True, True, False]
