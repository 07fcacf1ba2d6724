"""Who has claimed a task: the token and the program, which another worker is told."""

from typing import Any

import httpx2

from harness.issuer import bearer
from harness.responses import create, problem
from tests.security.conftest import As

Json = dict[str, Any]
_SCOPES = ["tasks:read", "tasks:write"]


def token_of(client: httpx2.Client, name: str, scopes: list[str] = _SCOPES) -> Json:
    answer = client.post("/api/users/me/tokens", json={"name": name, "scopes": scopes})
    made: Json = answer.raise_for_status().json()
    return made


def holder(client: httpx2.Client, path: str, token: Json | None = None) -> Json:
    """The claim that a worker is told of."""
    headers = {} if token is None else bearer(token["token"])
    shown: Json = problem(client.post(path, headers=headers), 409, "claimed")["claim"]
    return shown


class TestClaimant:
    def test_is_a_token_and_the_name_of_a_program(self, as_user: As, user: str) -> None:
        person = as_user(user)
        first, second = (token_of(person, name) for name in ("laptop", "server"))
        path = f"/api/tasks/{create(person, '/api/tasks')['id']}/claim"
        claimed = person.post(
            path, headers={**bearer(first["token"]), "Taskwell-Agent": "claude-code"}, json={"note": "w3"}
        )
        assert claimed.status_code == 200
        by = {
            "user": user,
            "token": {"id": first["id"], "name": "laptop"},
            "client": "claude-code",
            "via": "api",
        }
        mine, theirs = holder(person, path, first), holder(person, path, second)
        assert (mine["by"], mine["note"], mine["yours"]) == (by, "w3", True)
        assert (theirs["by"], theirs["yours"]) == (by, False)
        assert holder(person, path)["yours"] is False
        (shown,) = person.get("/api/claims").json()
        assert shown["by"] == by

    def test_is_a_user_who_has_signed_in(self, as_user: As, user: str) -> None:
        person = as_user(user)
        token = token_of(person, "laptop")
        path = f"/api/tasks/{create(person, '/api/tasks')['id']}/claim"
        assert person.post(path).status_code == 200
        told = holder(person, path)
        assert (told["by"]["user"], told["by"]["token"], told["yours"]) == (user, None, True)
        assert holder(person, path, token)["yours"] is False

    def test_two_workers_with_one_token_are_two(self, as_user: As, user: str) -> None:
        """The number is what renews a claim, not the token."""
        person = as_user(user)
        token = bearer(token_of(person, "laptop")["token"])
        path = f"/api/tasks/{create(person, '/api/tasks')['id']}/claim"
        number = person.post(path, headers=token).json()["claim"]
        assert person.post(path, headers=token).status_code == 409
        assert person.patch(f"{path}/{number + 1}", headers=token, json={}).status_code == 412
        assert person.patch(f"{path}/{number}", headers=token, json={}).status_code == 200


class TestScopes:
    def test_reading_shows_claims_and_makes_none(self, as_user: As, user: str) -> None:
        person = as_user(user)
        reader = bearer(token_of(person, "reader", ["tasks:read"])["token"])
        path = f"/api/tasks/{create(person, '/api/tasks')['id']}/claim"
        assert person.get("/api/claims", headers=reader).json() == []
        for answer in (
            person.post(path, headers=reader),
            person.post("/api/tasks/claims", headers=reader),
            person.patch(f"{path}/1", headers=reader, json={}),
            person.delete(f"{path}/1", headers=reader),
            person.delete(path, headers=reader),
        ):
            problem(answer, 403, "forbidden")
