"""Users, in stub mode."""

import httpx2
import pytest

from harness.responses import create, problem, unknown_id, violation
from harness.servers import local_server
from taskwell.core.settings import Settings


@pytest.fixture
def email(user: str) -> str:
    return f"{user}@example.com"


@pytest.mark.plan("B2")
class TestCreateUser:
    def test_id_and_email_are_optional(self, client: httpx2.Client) -> None:
        answer = client.post("/api/users", json={})
        assert answer.status_code == 201
        made = answer.json()
        assert list(made) == ["id", "email", "time_zone", "created_at"]
        assert made["email"] is None
        assert answer.headers["location"] == f"/api/users/{made['id']}"
        assert client.get(answer.headers["location"]).json() == made

    def test_keeps_what_is_given(self, client: httpx2.Client, user: str, email: str) -> None:
        made = client.post("/api/users", json={"id": user, "email": email.title()}).json()
        assert (made["id"], made["email"]) == (user, email)

    def test_an_id_or_address_that_is_taken_is_a_conflict(
        self, client: httpx2.Client, user: str, email: str
    ) -> None:
        client.post("/api/users", json={"id": user, "email": email})
        for taken in ({"id": user}, {"email": email}, {"email": email.upper()}):
            problem(client.post("/api/users", json=taken), 409, "conflict")

    @pytest.mark.parametrize(
        ("sent", "pointer"),
        [
            ({"id": ""}, "/id"),
            ({"id": "me"}, "/id"),
            ({"id": "a/b"}, "/id"),
            ({"id": ".."}, "/id"),
            ({"id": 5}, "/id"),
            ({"id": "x" * 256}, "/id"),
            ({"email": "nobody"}, "/email"),
            ({"email": "a b@example.com"}, "/email"),
            ({"email": "a@b@c"}, "/email"),
            ({"email": "x" * 250 + "@a.de"}, "/email"),
        ],
    )
    def test_ill_formed_ones_are_refused(
        self, client: httpx2.Client, sent: dict[str, object], pointer: str
    ) -> None:
        assert violation(client.post("/api/users", json=sent))["pointer"] == pointer


class TestReadUser:
    def test_the_first_task_makes_the_user(self, client: httpx2.Client, user: str) -> None:
        problem(client.get(f"/api/users/{user}"), 404, "not_found")
        client.get(f"/api/{user}/tasks")
        problem(client.get(f"/api/users/{user}"), 404, "not_found")
        create(client, f"/api/{user}/tasks")
        assert client.get(f"/api/users/{user}").json()["email"] is None

    def test_a_user_made_beforehand_keeps_their_address(
        self, client: httpx2.Client, user: str, email: str
    ) -> None:
        made = client.post("/api/users", json={"id": user, "email": email}).json()
        create(client, f"/api/{user}/tasks")
        assert client.get(f"/api/users/{user}").json() == made

    def test_me_is_the_caller_also_before_the_first_task(self, client: httpx2.Client) -> None:
        assert client.get("/api/users/me").json() == {
            "id": "default",
            "email": None,
            "time_zone": None,
            "created_at": None,
        }
        create(client, "/api/tasks")
        assert client.get("/api/users/me").json() == client.get("/api/users/default").json()


class TestDeleteUser:
    def test_everything_of_theirs_goes_and_nothing_else(self, client: httpx2.Client, user: str) -> None:
        task = create(client, f"/api/{user}/tasks")
        other = create(client, "/api/tasks")
        assert client.delete(f"/api/users/{user}").status_code == 204
        problem(client.get(f"/api/users/{user}"), 404, "not_found")
        problem(client.get(f"/api/{user}/tasks/{task['id']}"), 404, "not_found")
        assert client.get(f"/api/{user}/tasks").json() == []
        assert client.get("/api/tasks").json() == [other]

    def test_who_is_unknown_is_a_404(self, client: httpx2.Client) -> None:
        problem(client.delete(f"/api/users/{unknown_id()}"), 404, "not_found")


class TestHealth:
    @pytest.mark.parametrize("path", ["/health", "/health/", "/health/ready", "/health/live"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_is_told_anew_each_time(self, client: httpx2.Client, method: str, path: str) -> None:
        answer = client.request(method, path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"

    def test_without_a_word_it_is_readiness(self, client: httpx2.Client) -> None:
        assert client.get("/health").json().keys() == client.get("/health/ready").json().keys()


ME = "/api/users/me"


class TestTimeZone:
    def test_is_null_until_it_is_set_and_null_clears_it(self, client: httpx2.Client) -> None:
        assert client.get(ME).json()["time_zone"] is None
        answer = client.patch(ME, json={"time_zone": "Europe/Berlin"})
        assert answer.status_code == 200
        assert client.get(ME).json() == answer.json()
        assert answer.json()["time_zone"] == "Europe/Berlin"
        assert client.get("/api/users/default").json() == answer.json()
        assert client.patch(ME, json={"time_zone": None}).json()["time_zone"] is None
        assert client.get(ME).json()["time_zone"] is None

    def test_the_first_change_makes_the_user(self, client: httpx2.Client) -> None:
        problem(client.get("/api/users/default"), 404, "not_found")
        made = client.patch(ME, json={"time_zone": "Asia/Calcutta"}).json()
        assert client.get("/api/users/default").json() == made
        assert made["created_at"] is not None
        assert create(client, "/api/tasks")["version"] == 1

    def test_takes_no_number(self, client: httpx2.Client) -> None:
        task = create(client, "/api/tasks", due="2031-06-01T09:00:00Z")
        etag = client.get("/api/tasks").headers["etag"]
        client.patch(ME, json={"time_zone": "Europe/Berlin"})
        assert client.get("/api/tasks").json() == [task]
        assert client.get("/api/tasks").headers["etag"] == etag

    def test_is_where_an_instant_lies(self, client: httpx2.Client) -> None:
        client.patch(ME, json={"time_zone": "Europe/Berlin"})
        task = create(client, "/api/tasks", due="2031-06-01T09:00:00Z")
        assert (task["due"], task["time_zone"]) == ("2031-06-01T11:00:00", "Europe/Berlin")

    def test_nothing_sent_changes_nothing(self, client: httpx2.Client) -> None:
        client.patch(ME, json={"time_zone": "Europe/Berlin"})
        for body in ({}, {"id": "bob", "email": "bob@example.com", "created_at": None}):
            answer = client.patch(ME, json=body)
            assert answer.json() == client.get(ME).json()
            assert (answer.json()["id"], answer.json()["time_zone"]) == ("default", "Europe/Berlin")

    def test_a_repeat_by_key_is_told_the_same(self, client: httpx2.Client) -> None:
        key = {"Idempotency-Key": unknown_id()}
        first = client.patch(ME, json={"time_zone": "Europe/Berlin"}, headers=key)
        client.patch(ME, json={"time_zone": None})
        again = client.patch(ME, json={"time_zone": "Europe/Berlin"}, headers=key)
        assert again.content == first.content
        assert client.get(ME).json()["time_zone"] is None

    def test_is_exported(self, client: httpx2.Client) -> None:
        client.patch(ME, json={"time_zone": "Europe/Berlin"})
        assert '"time_zone":"Europe/Berlin"' in client.get("/api/users/default/export").text

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ("europe/berlin", "unknown_time_zone"),
            ("W. Europe Standard Time", "unknown_time_zone"),
            ("GMT+1", "unknown_time_zone"),
            ("../../etc/passwd", "unknown_time_zone"),
            ("Factory", "unknown_time_zone"),
            ("", "unknown_time_zone"),
            ("x" * 100_000, "unknown_time_zone"),
            (1, "invalid_type"),
            (["UTC"], "invalid_type"),
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_is_a_name_of_the_tz_database(self, client: httpx2.Client, value: object, code: str) -> None:
        told = violation(client.patch(ME, json={"time_zone": value}))
        assert (told["pointer"], told["code"]) == ("/time_zone", code)
        problem(client.get("/api/users/default"), 404, "not_found")

    def test_where_the_first_write_makes_no_user(self, database_url: str) -> None:
        settings = Settings(database_url=database_url, create_users=False)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            problem(client.patch(ME, json={"time_zone": "UTC"}), 404, "not_found")
            client.post("/api/users", json={"id": "default"})
            assert client.patch(ME, json={"time_zone": "UTC"}).json()["time_zone"] == "UTC"
