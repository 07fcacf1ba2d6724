"""Requests that may be repeated: however often they arrive, they happen once."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.responses import JSON, create, problem, unknown_id, violation
from harness.servers import LocalServer
from harness.side_effects import at_once, execute, instant, purge_expired

WRITES = ("create", "put", "put new", "patch", "toggle", "complete", "delete", "delete shown", "restore",
          "delete many", "batch")  # fmt: skip


def key(value: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": value or uuid4().hex}


def essence(answer: httpx2.Response) -> tuple[int, bytes, dict[str, str]]:
    """All of an answer that a repeat has to have in common with the first."""
    passing = {"date", "x-request-id", "idempotent-replayed", "x-served-by"}  # the last by a proxy
    headers = {name: value for name, value in answer.headers.items() if name not in passing}
    return answer.status_code, answer.content, headers


def is_replay(answer: httpx2.Response) -> bool:
    return answer.headers.get("idempotent-replayed") == "true"


def state(client: httpx2.Client, tasks: str) -> tuple[str, bytes, bytes]:
    """All that a write could change."""
    alive = client.get(tasks)
    return alive.headers["etag"], alive.content, client.get(f"{tasks}?deleted=true").content


class Write:
    """One of the writes, ready to be sent several times."""

    def __init__(self, client: httpx2.Client, tasks: str, name: str) -> None:
        self.client = client
        task = create(client, tasks, title="Old")
        path, new = f"{tasks}/{task['id']}", {"title": "New"}
        if name == "restore":
            client.delete(path)
        operations = [{"op": "toggle", "id": task["id"]}, {"op": "create", "task": new}]
        requests: dict[str, tuple[str, str, Any, dict[str, str]]] = {
            "create": ("POST", tasks, new, {}),
            "put": ("PUT", path, new, {}),
            "put new": ("PUT", f"{tasks}/{unknown_id()}", new, {"If-None-Match": "*"}),
            "patch": ("PATCH", path, new, {"If-Match": f'"{task["version"]}"'}),
            "toggle": ("POST", f"{path}/toggle", None, {}),
            "complete": ("PATCH", f"{path}/complete", None, {}),
            "delete": ("DELETE", path, None, {}),
            "delete shown": ("DELETE", path, None, {"Prefer": "return=representation"}),
            "restore": ("POST", f"{path}/restore", None, {}),
            "delete many": ("DELETE", f"{tasks}?q=old", None, {}),
            "batch": ("POST", f"{tasks}/batch", {"operations": operations}, {}),
        }
        self.method, self.path, self.body, self.headers = requests[name]

    def __call__(self, key: dict[str, str]) -> httpx2.Response:
        return self.client.request(self.method, self.path, json=self.body, headers=self.headers | key)


@pytest.fixture(params=WRITES)
def write(client: httpx2.Client, tasks: str, request: pytest.FixtureRequest) -> Write:
    return Write(client, tasks, request.param)


class TestRepeat:
    def test_gets_the_first_answer_and_has_no_effect(
        self, client: httpx2.Client, tasks: str, write: Write
    ) -> None:
        once = key()
        before = state(client, tasks)
        first = write(once)
        assert first.is_success, first.text
        assert not is_replay(first)
        after = state(client, tasks)
        assert after != before
        for _ in range(3):
            again = write(once)
            assert essence(again) == essence(first)
            assert is_replay(again)
        assert state(client, tasks) == after

    def test_the_answer_is_the_one_of_without_a_key(self, client: httpx2.Client, tasks: str) -> None:
        body = {"title": "Buy milk"}
        plain, keyed = client.post(tasks, json=body), client.post(tasks, json=body, headers=key())
        assert keyed.json().keys() == plain.json().keys()
        assert keyed.headers.keys() == plain.headers.keys()

    def test_the_answer_stays_what_it_was_when_the_task_changes(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        once = key()
        first = client.post(tasks, json={"title": "Buy milk"}, headers=once)
        client.patch(first.headers["location"], json={"title": "Buy bread"})
        client.delete(first.headers["location"])
        again = client.post(tasks, json={"title": "Buy milk"}, headers=once)
        assert essence(again) == essence(first)
        assert client.get(tasks).json() == []

    def test_another_key_is_another_request(self, client: httpx2.Client, tasks: str) -> None:
        answers = [client.post(tasks, json={"title": "Buy milk"}, headers=key()) for _ in range(2)]
        assert len(client.get(tasks).json()) == 2
        assert not any(is_replay(answer) for answer in answers)

    def test_a_trailing_slash_makes_no_difference(self, client: httpx2.Client, tasks: str) -> None:
        once = key()
        first = client.post(tasks, json={"title": "Buy milk"}, headers=once)
        again = client.post(f"{tasks}/", json={"title": "Buy milk"}, headers=once)
        assert is_replay(again)
        assert again.content == first.content

    def test_works_for_users(self, client: httpx2.Client, user: str) -> None:
        once = key()
        body = {"id": user, "email": f"{user}@example.com"}
        first = client.post("/api/users", json=body, headers=once)
        assert first.status_code == 201
        again = client.post("/api/users", json=body, headers=once)
        assert essence(again) == essence(first)
        assert is_replay(again)
        problem(client.post("/api/users", json=body, headers=key()), 409, "conflict")

    def test_works_for_the_deletion_of_a_user(self, client: httpx2.Client, user: str) -> None:
        once = key()
        create(client, f"/api/{user}/tasks")
        first = client.delete(f"/api/users/{user}", headers=once)
        assert first.status_code == 204
        create(client, f"/api/{user}/tasks")
        again = client.delete(f"/api/users/{user}", headers=once)
        assert essence(again) == essence(first)
        assert is_replay(again)
        assert len(client.get(f"/api/{user}/tasks").json()) == 1

    def test_works_on_an_answer_of_the_largest_size(self, client: httpx2.Client, tasks: str) -> None:
        once = key()
        operations = [
            {"op": "create", "task": {"title": f"{number} {uuid4()}", "description": uuid4().hex * 10}}
            for number in range(1_000)
        ]
        first = client.post(f"{tasks}/batch", json={"operations": operations}, headers=once, timeout=60)
        assert first.status_code == 200, first.text
        again = client.post(f"{tasks}/batch", json={"operations": operations}, headers=once, timeout=60)
        assert essence(again) == essence(first)
        assert is_replay(again)


class TestKey:
    @pytest.mark.parametrize(
        ("one", "other"),
        [("k-17", '"k-17"'), ("a b", '"a b"'), ('a"b', '"a\\"b"'), ("a\\b", '"a\\\\b"')],
    )
    def test_is_the_same_with_and_without_quotes(
        self, client: httpx2.Client, tasks: str, one: str, other: str
    ) -> None:
        first = client.post(tasks, json={"title": "Buy milk"}, headers=key(one))
        again = client.post(tasks, json={"title": "Buy milk"}, headers=key(other))
        assert is_replay(again)
        assert again.content == first.content

    @pytest.mark.parametrize(
        "value", ["x", "x" * 255, '"' + "x" * 255 + '"', "~ !#$%&'()*+,/:;<=>?@[]^_`{|}~"]
    )
    def test_is_any_text_of_1_to_255_characters(self, client: httpx2.Client, tasks: str, value: str) -> None:
        assert client.post(tasks, json={"title": "x"}, headers=key(value)).status_code == 201
        assert is_replay(client.post(tasks, json={"title": "x"}, headers=key(value)))

    def test_upper_and_lower_case_are_two(self, client: httpx2.Client, tasks: str) -> None:
        client.post(tasks, json={"title": "x"}, headers=key("abc"))
        assert not is_replay(client.post(tasks, json={"title": "x"}, headers=key("ABC")))

    def test_anything_else_is_refused(self, client: httpx2.Client, tasks: str, write: Write) -> None:
        before = state(client, tasks)
        for value in ("", '""', "x" * 256, "a\tb"):
            found = violation(write({"Idempotency-Key": value}))
            assert (found["parameter"], found["code"]) == ("Idempotency-Key", "malformed"), value
        assert state(client, tasks) == before

    def test_what_is_not_ascii_is_refused(self, client: httpx2.Client, tasks: str) -> None:
        headers = {b"Content-Type": b"application/json", b"Idempotency-Key": "é".encode()}
        answer = client.post(tasks, content=b'{"title": "x"}', headers=headers)
        assert violation(answer)["parameter"] == "Idempotency-Key"

    def test_two_of_them_are_refused(self, client: httpx2.Client, tasks: str) -> None:
        headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
        answer = client.post(tasks, json={"title": "x"}, headers=headers)
        assert violation(answer)["parameter"] == "Idempotency-Key"

    def test_is_ignored_by_what_only_reads(self, client: httpx2.Client, tasks: str) -> None:
        once = key()
        create(client, tasks)
        assert len(client.get(tasks, headers=once).json()) == 1
        create(client, tasks)
        answer = client.get(tasks, headers=once)
        assert len(answer.json()) == 2
        assert not is_replay(answer)

    def test_belongs_to_the_user(self, client: httpx2.Client, user: str) -> None:
        once = key()
        for tasks in ("/api/tasks", f"/api/{user}/tasks"):
            answer = client.post(tasks, json={"title": "Buy milk"}, headers=once)
            assert answer.status_code == 201
            assert not is_replay(answer)
            assert len(client.get(tasks).json()) == 1


class TestAnotherRequest:
    @pytest.fixture
    def used(self, client: httpx2.Client, tasks: str) -> dict[str, str]:
        """The key of a task's creation."""
        used = key()
        assert client.post(tasks, json={"title": "Buy milk"}, headers=used).status_code == 201
        return used

    OTHERS = (
        ("POST", "", {"title": "Buy bread"}),
        ("POST", "", {"title": "Buy milk", "completed": True}),
        ("POST", "", {"title": " Buy milk"}),
        ("POST", "?page=2", {"title": "Buy milk"}),
        ("POST", "/batch", {"operations": [{"op": "create", "task": {"title": "Buy milk"}}]}),
        ("DELETE", "", None),
        ("DELETE", "?completed=true", None),
        ("PATCH", "/{id}", {"title": "Buy milk"}),
        ("PUT", "/{id}", {"title": "Buy milk"}),
        ("DELETE", "/{id}", None),
        ("POST", "/{id}/toggle", None),
        ("PATCH", "/{id}/complete", None),
        ("POST", "/{id}/restore", None),
    )

    def test_with_the_same_key_is_a_422(
        self, client: httpx2.Client, tasks: str, used: dict[str, str], subtests: pytest.Subtests
    ) -> None:
        before = state(client, tasks)
        for method, path, body in self.OTHERS:
            with subtests.test(method=method, path=path, body=body):
                url = tasks + path.format(id=client.get(tasks).json()[0]["id"])
                answer = client.request(method, url, json=body, headers=used)
                problem(answer, 422, "idempotency_key_reused")
                assert state(client, tasks) == before
                assert is_replay(client.post(tasks, json={"title": "Buy milk"}, headers=used))

    def test_another_task_another_method_and_another_filter_are_others(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        one, other = (f"{tasks}/{create(client, tasks)['id']}" for _ in range(2))
        for method, first, second in (
            ("PATCH", one, other),
            ("POST", f"{one}/toggle", f"{other}/toggle"),
            ("DELETE", f"{tasks}?completed=true", f"{tasks}?completed=false"),
            ("DELETE", f"{tasks}?completed=true", tasks),
        ):
            once, body = key(), {"title": "x"} if method == "PATCH" else None
            assert client.request(method, first, json=body, headers=once).is_success
            answer = client.request(method, second, json=body, headers=once)
            problem(answer, 422, "idempotency_key_reused")
        once = key()
        client.patch(one, json={"title": "y"}, headers=once)
        problem(client.put(one, json={"title": "y"}, headers=once), 422, "idempotency_key_reused")

    def test_what_a_deletion_has_for_a_body_is_none_of_it(self, client: httpx2.Client, tasks: str) -> None:
        once, path = key(), f"{tasks}/{create(client, tasks)['id']}"
        for body in (b"", b"anything"):
            answer = client.request("DELETE", path, content=body, headers=once)
            assert answer.status_code == 204
        assert is_replay(answer)


class TestFailures:
    def test_a_404_is_kept(self, client: httpx2.Client, tasks: str) -> None:
        once, path = key(), f"{tasks}/{create(client, tasks)['id']}"
        client.delete(path)
        first = client.patch(path, json={"title": "x"}, headers=once)
        problem(first, 404, "not_found")
        client.post(f"{path}/restore")
        again = client.patch(path, json={"title": "x"}, headers=once)
        assert essence(again) == essence(first)
        assert is_replay(again)
        assert client.get(path).json()["title"] == "Buy milk"

    def test_a_412_is_kept_with_its_etag(self, client: httpx2.Client, tasks: str) -> None:
        once, path = key() | {"If-Match": '"999"'}, f"{tasks}/{create(client, tasks)['id']}"
        first = client.post(f"{path}/toggle", headers=once)
        problem(first, 412, "precondition_failed")
        client.patch(path, json={"title": "x"})
        again = client.post(f"{path}/toggle", headers=once)
        assert essence(again) == essence(first)
        assert again.headers["etag"] == first.headers["etag"]
        assert is_replay(again)

    @pytest.mark.parametrize("name", ["PATCH", "PUT", "DELETE", "toggle", "restore"])
    def test_a_412_is_not_the_answer_to_a_request_with_another_guard(
        self, client: httpx2.Client, tasks: str, name: str
    ) -> None:
        """A client reads the task again and tries once more, with the key that it had."""
        once, task = key(), create(client, tasks)
        path = f"{tasks}/{task['id']}" + (f"/{name}" if name.islower() else "")
        method = "POST" if name.islower() else name
        body = {"title": "New"} if name.startswith("P") else None

        def send(**guard: str) -> httpx2.Response:
            sent = once | {header.replace("_", "-"): value for header, value in guard.items()}
            return client.request(method, path, json=body, headers=sent)

        version = task["version"]
        stale = send(If_Match='"998"')
        problem(stale, 412, "precondition_failed")
        assert is_replay(send(If_Match='"998"'))
        other = send(If_Match='"999"')
        problem(other, 412, "precondition_failed")
        assert not is_replay(other)
        assert not is_replay(send(If_Match='"998"'))  # only the latest is kept
        done = send(If_Match=f'"{version}"')
        assert done.is_success
        assert not is_replay(done)
        before = state(client, tasks)
        # What is done is done, whatever a repeat would make it depend on.
        for guard in ({"If_Match": f'"{version}"'}, {"If_Match": '"998"'}, {"If_Match": "*"}, {}):
            again = send(**guard)
            assert essence(again) == essence(done)
            assert is_replay(again)
        assert state(client, tasks) == before

    def test_a_404_of_a_change_is_not_the_answer_to_a_creation(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        once, path = key(), f"{tasks}/{unknown_id()}"
        create(client, tasks)
        problem(client.put(path, json={"title": "x"}, headers=once), 404, "not_found")
        made = client.put(path, json={"title": "x"}, headers=once | {"If-None-Match": "*"})
        assert (made.status_code, is_replay(made)) == (201, False)
        again = client.put(path, json={"title": "x"}, headers=once | {"If-None-Match": "*"})
        assert essence(again) == essence(made)
        assert is_replay(again)

    @pytest.mark.parametrize("path", ["", "/batch"])
    def test_a_412_by_the_list_is_not_the_answer_to_another_guard(
        self, client: httpx2.Client, tasks: str, path: str
    ) -> None:
        once = key()
        create(client, tasks)
        body = {"operations": [{"op": "create", "task": {"title": "x"}}], "title": "x"}

        def send(guard: str) -> httpx2.Response:
            return client.post(f"{tasks}{path}", json=body, headers=once | {"If-Match": guard})

        stale = send('"0-000000000000"')
        problem(stale, 412, "precondition_failed")
        assert essence(send('"0-000000000000"')) == essence(stale)
        done = send(stale.headers["etag"])
        assert done.is_success
        assert len(client.get(tasks).json()) == 2
        assert essence(send(stale.headers["etag"])) == essence(done)
        assert len(client.get(tasks).json()) == 2

    def test_many_with_other_guards_have_one_effect(self, client: httpx2.Client, tasks: str) -> None:
        once, task = key(), create(client, tasks)
        path = f"{tasks}/{task['id']}/toggle"
        guards = [f'"{version}"' for version in (997, 998, 1, 999)] * 4

        def send(index: int) -> httpx2.Response:
            return client.post(path, headers=once | {"If-Match": guards[index]})

        answers = at_once(len(guards), send)
        assert {answer.status_code for answer in answers} <= {200, 409, 412}
        assert client.post(path, headers=once | {"If-Match": '"1"'}).status_code == 200
        assert client.get(f"{tasks}/{task['id']}").json()["version"] == 2

    def test_what_an_older_release_has_kept_is_found(
        self, client: httpx2.Client, server: LocalServer, tasks: str
    ) -> None:
        """It kept the digest of the request alone, whatever its conditions were."""
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        done, failed, guarded = key(), key(), key()
        first = client.patch(path, json={"title": "New"}, headers=done | {"If-Match": '"1"'})
        missing = client.patch(f"{tasks}/{unknown_id()}", json={"title": "New"}, headers=failed)
        stale = client.patch(path, json={"title": "Newer"}, headers=guarded | {"If-Match": '"1"'})
        assert [first.status_code, missing.status_code, stale.status_code] == [200, 404, 412]
        cut = "substr(fingerprint, 1, 32)"
        for once in (done, failed, guarded):
            where = f"WHERE key = '{once['Idempotency-Key']}'"
            execute(server.settings, f"UPDATE idempotency_keys SET fingerprint = {cut} {where}")
        again = client.patch(path, json={"title": "New"}, headers=done | {"If-Match": '"1"'})
        assert essence(again) == essence(first)
        again = client.patch(missing.request.url.path, json={"title": "New"}, headers=failed)
        assert (essence(again), is_replay(again)) == (essence(missing), True)
        # Under which conditions this one failed is not known: it is tried anew.
        again = client.patch(path, json={"title": "Newer"}, headers=guarded | {"If-Match": '"2"'})
        assert again.json()["title"] == "Newer"

    def test_a_409_is_kept(self, client: httpx2.Client, user: str) -> None:
        once = key()
        client.post("/api/users", json={"id": user})
        first = client.post("/api/users", json={"id": user}, headers=once)
        problem(first, 409, "conflict")
        client.delete(f"/api/users/{user}")
        again = client.post("/api/users", json={"id": user}, headers=once)
        assert essence(again) == essence(first)
        assert is_replay(again)

    def test_an_answer_that_is_too_large_to_keep_is_refused_with_its_effect(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        text = Random(1)
        letters = [chr(number) for number in range(0x4E00, 0x9FA5)]
        long = ["".join(text.choices(letters, k=2_000)) for _ in range(20)]
        ids = [create(client, tasks, description=words)["id"] for words in long]
        operations = [{"op": "toggle", "id": ids[n % 20]} for n in range(400)]
        before = state(client, tasks)
        answer = client.post(f"{tasks}/batch", json={"operations": operations}, headers=key(), timeout=60)
        assert violation(answer) == {
            "parameter": "Idempotency-Key",
            "code": "too_large",
            "detail": "the response is too large to store for an Idempotency-Key; split the request",
        }
        assert state(client, tasks) == before
        assert client.post(f"{tasks}/batch", json={"operations": operations[:20]}, headers=key()).is_success

    def test_a_batch_that_failed_is_kept_and_has_no_effect(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks)
        once, before = key(), state(client, tasks)
        body = {
            "operations": [{"op": "create", "task": {"title": "x"}}, {"op": "delete", "id": unknown_id()}]
        }
        first = client.post(f"{tasks}/batch", json=body, headers=once)
        assert problem(first, 404, "not_found")["index"] == 1
        again = client.post(f"{tasks}/batch", json=body, headers=once)
        assert essence(again) == essence(first)
        assert is_replay(again)
        assert state(client, tasks) == before

    @pytest.mark.parametrize(
        ("content", "headers", "status"),
        [
            (b'{"title": ""}', JSON, 400),
            (b"{", JSON, 400),
            (b'{"title": "x"}', {"Content-Type": "text/plain"}, 415),
            (b'{"title": "' + b"x" * 2**20 + b'"}', JSON, 413),
        ],
    )
    def test_a_mistake_in_the_request_is_not(
        self, client: httpx2.Client, tasks: str, content: bytes, headers: dict[str, str], status: int
    ) -> None:
        once = key()
        first = client.post(tasks, content=content, headers=headers | once)
        assert first.status_code == status
        mended = client.post(tasks, json={"title": "Buy milk"}, headers=once)
        assert mended.status_code == 201
        assert not is_replay(mended)


class TestAtOnce:
    def test_many_of_one_key_have_one_effect_and_one_answer(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks)
        once = key()
        answers = at_once(20, lambda _: client.post(tasks, json={"title": "Buy bread"}, headers=once))
        made = [answer for answer in answers if answer.status_code == 201]
        assert (
            len({(answer.content, answer.headers["etag"], answer.headers["location"]) for answer in made})
            == 1
        )
        assert sum(not is_replay(answer) for answer in made) == 1
        for answer in answers:
            if answer not in made:
                problem(answer, 409, "conflict")
                assert int(answer.headers["retry-after"]) >= 1
        assert [task["title"] for task in client.get(tasks).json()] == ["Buy bread", "Buy milk"]
        assert client.post(tasks, json={"title": "Buy bread"}, headers=once).content == made[0].content

    def test_the_first_write_of_a_user_too(self, client: httpx2.Client, tasks: str) -> None:
        once = key()
        answers = at_once(20, lambda _: client.post(tasks, json={"title": "Buy bread"}, headers=once))
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len(client.get(tasks).json()) == 1

    def test_many_of_different_requests_have_one_effect(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks)
        once = key()
        answers = at_once(12, lambda index: client.post(tasks, json={"title": f"By {index}"}, headers=once))
        assert {answer.status_code for answer in answers} <= {201, 409, 422}
        (made,) = [answer for answer in answers if answer.status_code == 201]
        assert len(client.get(tasks).json()) == 2
        assert client.get(made.headers["location"]).json() == made.json()


class TestExpiry:
    def age(self, server: LocalServer, once: dict[str, str], hours: float) -> None:
        at = instant(server.settings, datetime.now(UTC) - timedelta(hours=hours))
        where = f"WHERE key = '{once['Idempotency-Key']}'"
        execute(server.settings, f"UPDATE idempotency_keys SET created_at = {at} {where}")

    def test_a_key_is_kept_for_a_day(self, client: httpx2.Client, server: LocalServer, tasks: str) -> None:
        young, old = key(), key()
        for once in (young, old):
            client.post(tasks, json={"title": "Buy milk"}, headers=once)
        self.age(server, young, 23.9)
        self.age(server, old, 24.1)
        purge_expired(server.settings)
        assert is_replay(client.post(tasks, json={"title": "Buy milk"}, headers=young))
        again = client.post(tasks, json={"title": "Buy milk"}, headers=old)
        assert again.status_code == 201
        assert not is_replay(again)
        assert len(client.get(tasks).json()) == 3

    def test_the_keys_of_a_deleted_user_are_forgotten(self, client: httpx2.Client, user: str) -> None:
        once, tasks = key(), f"/api/{user}/tasks"
        client.post(tasks, json={"title": "Buy milk"}, headers=once)
        client.delete(f"/api/users/{user}")
        assert not is_replay(client.post(tasks, json={"title": "Buy milk"}, headers=once))
        assert len(client.get(tasks).json()) == 1
