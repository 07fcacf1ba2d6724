"""Users with any `sub` that a sign-in may give them."""

from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest

from harness.issuer import Issuer, bearer
from harness.responses import create, problem
from harness.servers import LocalServer
from taskwell.schemas.types import user_id_of
from tests.security.conftest import As

# Each is made unique by what is put in place of {}.
CLAIMS = (
    "{}", "{}+b@example.com", "auth0|{}", "google-oauth2|{}", "q8/3+v{}==", "+{}", "={}", "/{}", "../{}",
    "CN={}, O=Example Ltd, C=DE", "https://login.example.com/users/{}?x=1#y", "{}%2F..%2Fx", "{}\\x", "{}'--",
    '{}"', "{};x,y", "<{}>", "älice {}", "😀{}", " {} ", "{}" + "x" * 223, "{}" + "/" * 223,
)  # fmt: skip


def owned(client: httpx2.Client, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return [task["user_id"] for task in answer.json()]


@pytest.mark.parametrize("form", CLAIMS)
class TestAnyClaim:
    def test_is_a_user_at_both_mounts(self, as_user: As, form: str) -> None:
        client = as_user(form.format(uuid4().hex))
        user_id = client.get("/api/users/me").json()["id"]
        task = create(client, "/api/tasks")
        assert task["user_id"] == user_id
        literal, encoded = f"/api/{user_id}/tasks", f"/api/{quote(user_id, safe='')}/tasks"
        for path in (literal, encoded):
            made = client.post(path, json={"title": "Buy milk"})
            assert made.status_code == 201, made.text
            assert made.headers["location"] == f"{path}/{made.json()['id']}"
            assert client.get(made.headers["location"]).json() == made.json()
            assert client.post(f"{made.headers['location']}/toggle").json()["completed"]
            page = client.get(path, params={"limit": 1})
            assert page.links["next"]["url"].startswith(f"{path}?")
            assert client.get(page.links["next"]["url"]).status_code == 200
        for path in ("/api/tasks", literal, encoded):
            for _ in range(2):  # the second time by the shortest way
                assert owned(client, path) == [user_id] * 3

    def test_has_an_account(self, as_user: As, guarded: LocalServer, form: str) -> None:
        client = as_user(form.format(uuid4().hex))
        create(client, "/api/tasks")
        user_id = client.get("/api/users/me").json()["id"]
        token = client.post("/api/users/me/tokens", json={"name": "a", "scopes": ["tasks:read"]}).json()
        with httpx2.Client(base_url=guarded.url, headers=bearer(token["token"])) as program:
            assert owned(program, f"/api/{user_id}/tasks") == [user_id]
        for path in (f"/api/users/{user_id}", f"/api/users/{quote(user_id, safe='')}"):
            assert client.get(path).json()["id"] == user_id
            assert client.get(f"{path}/export").status_code == 200
        assert client.get(f"/api/{user_id}/changes").status_code == 200
        assert client.delete(f"/api/users/{user_id}").status_code == 204

    def test_is_nobody_else(self, as_user: As, form: str) -> None:
        """Whose id looks like another's has the tasks of neither."""
        claim = form.format(uuid4().hex)
        user_id = user_id_of(claim)
        create(as_user(claim), "/api/tasks")
        for other in {user_id, f"={claim}", quote(claim), quote(claim, safe=""), claim.strip("/ =+.")} - {
            claim
        }:
            if len(other) > 255 or not other:
                continue
            assert owned(as_user(other), "/api/tasks") == []
            problem(as_user(other).get(f"/api/{user_id}/tasks"), 403, "forbidden")


@pytest.mark.parametrize("word", ["tasks", "users", "changes", "events", "batch", "me", ".", ".."])
def test_a_reserved_word_is_a_user_too(as_user: As, word: str) -> None:
    client = as_user(word)
    assert client.get("/api/users/me").json()["id"] == f"={word}"
    before = len(owned(client, f"/api/={word}/tasks"))
    create(client, "/api/tasks")
    assert owned(client, f"/api/={word}/tasks") == [f"={word}"] * (before + 1)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (1, "must be text"), (True, "must be text"), (["alice"], "must be text"), (None, "does not say"),
        ("", "must have 1 to 255 characters"), ("a" * 256, "must have 1 to 255 characters"),
        ("a\x1bb", "invisible characters"), ("alice\n", "invisible characters"),
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(
    anonymous: httpx2.Client, issuer: Issuer, claim: object, words: str
) -> None:
    answer = anonymous.get("/api/users/me", headers=bearer(issuer.token("alice", sub=claim)))
    assert words in problem(answer, 401, "unauthorized")["detail"]


def test_an_admin_makes_a_user_who_has_yet_to_sign_in(client: httpx2.Client) -> None:
    claim = f"CN={uuid4().hex}, O=Example"
    made = client.post("/api/users", json={"id": user_id_of(claim)})
    assert made.status_code == 201
    assert client.get(made.headers["location"]).json()["id"] == user_id_of(claim)
