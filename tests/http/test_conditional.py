"""Conditional requests: nobody overwrites what they have not seen, and nobody fetches what they have."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest

from harness.responses import create, problem, unknown_id, violation
from harness.servers import local_server
from harness.side_effects import at_once
from taskwell.core.settings import Settings

Task = dict[str, Any]
NEW = {"If-None-Match": "*"}
DATE = "Sat, 28 Nov 2026 10:00:00 GMT"
# Where 17 is the version of the task.
STALE = (
    '"999"', '"999", "1000"', 'W/"999"', 'W/"999", "1000"', '""', '"x"', '"017"', '"17-abc"', '"17.0"',
    '"-17"', '"+17"', '"9007199254740993"', '"99999999999999999999"', '"17-5c0a6cc4d6c4"',
    # What is appended is no content coding, or not in the way that proxies do it.
    '"17gzip"', '"17---gzip"', '"17!gzip"', '"17-gzipped"', '"17-zip"', '"17-"', '"17--"',
    '"17-gzip-"', '"17-gzip-x"', '"17-x-gzip-x"', '"17;gzip;v=1"', '"17/gzip"', '"gzip"', '"-gzip"',
    '"gzip-17"', '"17-5c0a6cc4d6c4-gzip"', '"999-gzip"', 'W/"999-gzip"', '"017-gzip"', '"17-1-gzip"',
)  # fmt: skip
# What a proxy that compresses makes of the tag {}; each alone, and weak besides.
CODINGS = (
    "gzip", "GZIP", "Gzip", "x-gzip", "gunzip", "br", "BR", "zstd", "deflate", "compress", "bzip2",
    "identity",
)  # fmt: skip
SEPARATORS = ("-", "--", ";", ":", "+", ".", "_")
CHANGED = (
    "{}",
    *(f"{{}}{separator}gzip" for separator in SEPARATORS),
    *(f"{{}}-{coding}" for coding in CODINGS),
    "{}--br", "{};br", "{};zstd", "{}:zstd", "{}-gzip-gzip", "{}-br--gzip", "{}-gzip;gunzip",
)  # fmt: skip


def changed_forms(etag: str) -> list[str]:
    """What may have become of an ETag on its way to the client, and lists with it."""
    tags = [f'"{form.format(etag.strip(chr(34)))}"' for form in CHANGED]
    weak = [f"W/{tag}" for tag in tags]
    lists = ['"999", {}', '{} , W/"999-gzip"', 'W/"x",{},"y-br"', "{},{}"]
    return [
        *tags,
        *weak,
        *(form.replace("{}", tag) for form in lists for tag in (tags[1], weak[0], weak[-1])),
    ]


MALFORMED = (
    "", "17", '"17', '17"', "'17'", '"1" "2"', '"1",', ',"1"', '"1",,"2"', "*, *", '*, "1"', 'w/"1"',
    'W/ "1"',
    '"a b"', '" 1"', "W/*", '"1";x', '"' + "1" * 9_000 + '"',
)  # fmt: skip
OPERATIONS = ("PATCH", "PUT", "DELETE", "POST toggle", "PATCH complete", "POST restore")


class Write:
    """One of the writes of a task, as a client sends it with some headers."""

    def __init__(self, client: httpx2.Client, name: str) -> None:
        self.client = client
        self.method, _, self.action = name.partition(" ")

    def __call__(self, path: str, **headers: str) -> httpx2.Response:
        body = {"title": "Changed"} if self.method in {"PATCH", "PUT"} and not self.action else None
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{path}/{self.action}" if self.action else path
        return self.client.request(self.method, url, json=body, headers=sent)

    def target(self, tasks: str) -> Task:
        """A task that the write is for: one in the trash, if it is to be restored."""
        task = create(self.client, tasks)
        if self.action != "restore":
            return task
        return delete(self.client, f"{tasks}/{task['id']}")


def delete(client: httpx2.Client, path: str) -> Task:
    answer = client.delete(path, headers={"Prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    deleted: Task = answer.json()
    return deleted


def everything(client: httpx2.Client, tasks: str) -> tuple[bytes, bytes]:
    return client.get(tasks).content, client.get(f"{tasks}?deleted=true").content


@pytest.fixture(params=OPERATIONS)
def write(client: httpx2.Client, request: pytest.FixtureRequest) -> Write:
    return Write(client, request.param)


class TestIfMatch:
    def test_the_right_version_is_changed(self, write: Write, tasks: str) -> None:
        task = write.target(tasks)
        answer = write(f"{tasks}/{task['id']}", If_Match=f'"{task["version"]}"')
        assert answer.status_code == (204 if write.method == "DELETE" else 200)
        if answer.status_code == 200:
            assert answer.headers["etag"] == f'"{task["version"] + 1}"'

    def test_one_of_several_versions_that_matches_is_enough(self, write: Write, tasks: str) -> None:
        for form in ('"999", {}', '{} , W/"7"', '"", "x-1",{}', "{},{}", "*"):
            task = write.target(tasks)
            answer = write(f"{tasks}/{task['id']}", If_Match=form.replace("{}", f'"{task["version"]}"'))
            assert answer.is_success, form

    def test_the_header_may_come_in_parts(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        headers = [("If-Match", '"999"'), ("If-Match", f'"{task["version"]}"')]
        answer = client.patch(f"{tasks}/{task['id']}", json={"title": "x"}, headers=headers)
        assert answer.status_code == 200

    def test_a_tag_that_a_proxy_has_changed_matches(self, write: Write, tasks: str) -> None:
        for form in changed_forms('"17"'):
            task = write.target(tasks)
            answer = write(f"{tasks}/{task['id']}", If_Match=form.replace("17", str(task["version"])))
            assert answer.is_success, form
            if answer.status_code == 200:
                assert answer.headers["etag"] == f'"{task["version"] + 1}"'

    def test_another_version_is_not_and_the_answer_says_which_it_is(self, write: Write, tasks: str) -> None:
        task = write.target(tasks)
        before = everything(write.client, tasks)
        for form in STALE:
            answer = write(f"{tasks}/{task['id']}", If_Match=form.replace("17", str(task["version"])))
            problem(answer, 412, "precondition_failed")
            assert answer.headers["etag"] == f'"{task["version"]}"'
        assert everything(write.client, tasks) == before
        assert create(write.client, tasks)["version"] == task["version"] + 1

    def test_what_was_right_before_is_stale_after_any_change(
        self, client: httpx2.Client, write: Write, tasks: str
    ) -> None:
        task = write.target(tasks)
        path = f"{tasks}/{task['id']}"
        if write.action == "restore":
            client.post(f"{path}/restore")
            task = delete(client, path) | {"version": task["version"]}
        else:
            client.post(f"{path}/toggle")
        answer = write(path, If_Match=f'"{task["version"]}"')
        problem(answer, 412, "precondition_failed")
        now = f'"{task["version"] + (2 if write.action == "restore" else 1)}"'
        assert answer.headers["etag"] == now
        assert write(path, If_Match=now).is_success

    def test_a_malformed_header_is_refused(self, write: Write, tasks: str) -> None:
        task = write.target(tasks)
        before = everything(write.client, tasks)
        for header in MALFORMED:
            found = violation(write(f"{tasks}/{task['id']}", If_Match=header))
            assert found == malformed("If-Match"), header
        assert everything(write.client, tasks) == before

    def test_what_is_not_there_is_a_404(self, write: Write, tasks: str) -> None:
        create(write.client, tasks)
        for header in ("*", '"1"', 'W/"1"'):
            problem(write(f"{tasks}/{unknown_id()}", If_Match=header), 404, "not_found")

    def test_what_is_somebody_elses_is_a_404(self, write: Write, user: str) -> None:
        task = write.target("/api/tasks")
        create(write.client, f"/api/{user}/tasks")
        answer = write(f"/api/{user}/tasks/{task['id']}", If_Match=f'"{task["version"]}"')
        problem(answer, 404, "not_found")
        assert "etag" not in answer.headers

    def test_what_is_in_the_trash_is_a_404_unless_it_is_to_be_restored(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        version = delete(client, path)["version"]
        for name in OPERATIONS[:-1]:
            problem(Write(client, name)(path, If_Match=f'"{version}"'), 404, "not_found")

    @pytest.mark.parametrize("method", ["PATCH", "PUT"])
    def test_guards_a_change_of_nothing_too(self, client: httpx2.Client, tasks: str, method: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        answer = client.request(method, path, json={}, headers={"If-Match": '"999"'})
        problem(answer, 412, "precondition_failed")
        right = client.request(method, path, json={}, headers={"If-Match": f'"{task["version"]}"'})
        assert right.json() == task

    def test_guards_the_restoring_of_a_task_that_lives(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        restore, path = Write(client, "POST restore"), f"{tasks}/{task['id']}"
        problem(restore(path, If_Match='"999"'), 412, "precondition_failed")
        assert restore(path, If_Match=f'"{task["version"]}"').json() == task

    def test_of_many_at_once_exactly_one_succeeds(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        path, guard = f"{tasks}/{task['id']}", {"If-Match": f'"{task["version"]}"'}

        def change(index: int) -> httpx2.Response:
            return client.patch(path, json={"title": f"By {index}"}, headers=guard)

        answers = at_once(30, change)
        (won,) = [answer for answer in answers if answer.status_code == 200]
        for lost in answers:
            if lost is not won:
                problem(lost, 412, "precondition_failed")
                assert lost.headers["etag"] == won.headers["etag"]
        assert client.get(path).json() == won.json()
        assert won.json()["version"] == task["version"] + 1


class TestRequiredIfMatch:
    @pytest.fixture
    def strict(self, database_url: str) -> Iterator[httpx2.Client]:
        settings = Settings(database_url=database_url, require_if_match=True)
        with local_server(settings) as server, httpx2.Client(base_url=server.url) as client:
            yield client

    @pytest.mark.parametrize("tasks", ["/api/tasks", "/api/alice/tasks"])
    def test_a_write_of_a_task_without_it_is_a_428(self, strict: httpx2.Client, tasks: str) -> None:
        task = create(strict, tasks)
        path = f"{tasks}/{task['id']}"
        for name in OPERATIONS:
            problem(Write(strict, name)(path), 428, "precondition_required")
        assert strict.get(path).json() == task
        in_turn = ("PATCH", "PUT", "POST toggle", "PATCH complete", "DELETE", "POST restore")
        for version, name in enumerate(in_turn, task["version"]):
            assert Write(strict, name)(path, If_Match=f'"{version}"').is_success, name
        assert Write(strict, "PATCH")(path, If_Match="*").is_success

    @pytest.mark.parametrize("op", ["update", "toggle", "delete", "restore"])
    def test_a_batch_with_a_write_without_a_version_is_a_428(self, strict: httpx2.Client, op: str) -> None:
        task = create(strict, "/api/tasks")
        operation = {"op": op, "id": task["id"], "task": {"completed": True}}
        operations = [{"op": "create", "task": {"title": "x"}}, operation]
        answer = strict.post("/api/tasks/batch", json={"operations": operations})
        assert problem(answer, 428, "precondition_required")["index"] == 1
        assert strict.get("/api/tasks").json() == [task]
        operation["version"] = task["version"] + 1
        operations = [{"op": "update", "id": task["id"], "version": task["version"], "task": {"title": "y"}}]
        answer = strict.post("/api/tasks/batch", json={"operations": [*operations, operation]})
        assert answer.status_code == 200

    def test_what_is_new_needs_none(self, strict: httpx2.Client) -> None:
        assert strict.post("/api/tasks", json={"title": "x"}).status_code == 201
        answer = strict.put(f"/api/tasks/{unknown_id()}", json={"title": "x"}, headers=NEW)
        assert answer.status_code == 201


class TestIfMatchOfRead:
    """RFC 9110 (13.1.1) has it evaluated by any method; reading something else is a 412."""

    def test_of_a_task_is_evaluated(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        for method in ("GET", "HEAD"):
            for form in (*changed_forms('"1"'), "*"):
                answer = client.request(method, path, headers={"If-Match": form})
                assert (answer.status_code, answer.headers["etag"]) == (200, '"1"'), form
            for form in STALE:
                answer = client.request(method, path, headers={"If-Match": form.replace("17", "1")})
                assert (answer.status_code, answer.headers["etag"]) == (412, '"1"'), form
        problem(client.get(path, headers={"If-Match": '"2"'}), 412, "precondition_failed")
        problem(client.get(f"{tasks}/{unknown_id()}", headers={"If-Match": '"1"'}), 404, "not_found")

    def test_of_a_list_is_evaluated(self, client: httpx2.Client, tasks: str) -> None:
        for number in range(3):
            create(client, tasks, completed=number == 0)
        following = client.get(f"{tasks}?limit=1").links["next"]["url"]
        for path in (tasks, f"{tasks}?completed=true", f"{tasks}?limit=2&sort=title", following):
            etag = client.get(path).headers["etag"]
            for form in (etag, f"W/{etag}", f'{etag[:-1]}-gzip"', f'"x", {etag}', "*"):
                assert client.get(path, headers={"If-Match": form}).status_code == 200, form
            others = (
                '"3"',
                '"3-000000000000"',
                etag.replace('"3', '"2'),
                '"x"',
                "W/" + etag.replace('"3', '"4'),
            )
            for form in others:
                answer = client.get(path, headers={"If-Match": form})
                detail = problem(answer, 412, "precondition_failed")["detail"]
                assert (answer.headers["etag"], detail.startswith("The list ")) == (etag, True), form
                assert client.head(path, headers={"If-Match": form}).status_code == 412

    def test_comes_before_if_none_match(self, client: httpx2.Client, tasks: str) -> None:
        for path in (f"{tasks}/{create(client, tasks)['id']}", tasks):
            etag = client.get(path).headers["etag"]
            for guard, status in ((etag, 304), ('"999"', 412), ("*", 304)):
                answer = client.get(path, headers={"If-Match": guard, "If-None-Match": etag})
                assert answer.status_code == status

    def test_a_malformed_header_is_refused(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for header in MALFORMED:
            with subtests.test(header=header):
                for path in (f"{tasks}/{create(client, tasks)['id']}", tasks):
                    assert violation(client.get(path, headers={"If-Match": header})) == malformed("If-Match")


class ListWrite(NamedTuple):
    """A write that is guarded by a list, and the list."""

    method: str
    path: str
    body: Any
    guarded_by: str

    def send(self, client: httpx2.Client, tasks: str, guard: str, **more: str) -> httpx2.Response:
        headers = {"If-Match": guard, **{name.replace("_", "-"): value for name, value in more.items()}}
        return client.request(self.method, f"{tasks}{self.path}", json=self.body, headers=headers)

    def etag(self, client: httpx2.Client, tasks: str) -> str:
        return str(client.get(f"{tasks}{self.guarded_by}").headers["etag"])


LIST_WRITES = {
    "create": ListWrite("POST", "", {"title": "New"}, ""),
    "batch": ListWrite("POST", "/batch", {"operations": [{"op": "create", "task": {"title": "New"}}]}, ""),
    "delete all": ListWrite("DELETE", "", None, ""),
    "delete completed": ListWrite("DELETE", "?completed=true", None, "?completed=true"),
    "delete in words": ListWrite("DELETE", "?status=done", None, "?status=completed"),
    "delete found": ListWrite("DELETE", "?q=milk&completed=false", None, "?completed=false&q=milk"),
}


@pytest.mark.parametrize("name", LIST_WRITES)
class TestIfMatchOfList:
    def test_the_list_as_it_is_lets_it_happen(self, client: httpx2.Client, tasks: str, name: str) -> None:
        write = LIST_WRITES[name]
        for form in ("{}", "W/{}", '"999-000000000000", {}', "*", "{}-gzip", "{};br"):
            create(client, tasks, completed=name != "delete found")
            etag = write.etag(client, tasks)
            guard = form.replace("{}", etag) if "-gzip" not in form and ";" not in form else None
            guard = guard or f'"{form.format(etag.strip(chr(34)))}"'
            before = everything(client, tasks)
            assert write.send(client, tasks, guard).is_success, form
            assert everything(client, tasks) != before

    def test_any_change_since_keeps_it_from_happening(
        self, client: httpx2.Client, tasks: str, name: str
    ) -> None:
        write = LIST_WRITES[name]
        create(client, tasks, completed=True)
        etag = write.etag(client, tasks)
        create(client, tasks, title="Milk that nobody has seen", completed=name != "delete found")
        now, before = write.etag(client, tasks), everything(client, tasks)
        others = (etag, f"W/{etag}", f'{etag[:-1]}-gzip"', '"2"', '"x"', '"2-000000000000"', f'"x", {etag}')
        for form in others:
            for more in ({}, {"Idempotency_Key": f"{form}{name}"}):
                answer = write.send(client, tasks, form, **more)
                detail = problem(answer, 412, "precondition_failed")["detail"]
                assert (answer.headers["etag"], detail.startswith("The list ")) == (now, True)
        assert everything(client, tasks) == before
        assert write.send(client, tasks, now).is_success

    def test_a_list_of_somebody_else_is_another(self, client: httpx2.Client, user: str, name: str) -> None:
        write, theirs = LIST_WRITES[name], f"/api/{user}/tasks"
        create(client, "/api/tasks", completed=True)
        create(client, theirs, completed=True)
        etag = write.etag(client, theirs)
        problem(write.send(client, "/api/tasks", etag), 412, "precondition_failed")
        assert write.send(client, "/api/tasks", write.etag(client, "/api/default/tasks")).is_success

    def test_a_user_nobody_has_seen_has_an_empty_list(
        self, client: httpx2.Client, tasks: str, name: str
    ) -> None:
        """Which they have after they were erased, too, when numbers go on elsewhere."""
        write = LIST_WRITES[name]
        for _ in range(2):
            etag = write.etag(client, tasks)
            problem(write.send(client, tasks, '"1-000000000000"'), 412, "precondition_failed")
            assert write.etag(client, tasks) == etag
            assert write.send(client, tasks, etag).is_success
            owner = create(client, tasks)["user_id"]
            client.delete(f"/api/users/{owner}")

    def test_a_malformed_header_is_refused(
        self, client: httpx2.Client, user: str, name: str, subtests: pytest.Subtests
    ) -> None:
        for header in MALFORMED:
            with subtests.test(header=header):
                answer = LIST_WRITES[name].send(client, f"/api/{user}/tasks", header)
                assert violation(answer) == malformed("If-Match")

    def test_of_many_at_once_at_most_one_happens(self, client: httpx2.Client, tasks: str, name: str) -> None:
        write = LIST_WRITES[name]
        for seen in (False, True):  # a user's first write, too
            if seen:
                create(client, tasks, completed=name != "delete found")
            etag = write.etag(client, tasks)
            answers = at_once(12, lambda _, etag=etag: write.send(client, tasks, etag))  # type: ignore[misc]
            done = [answer for answer in answers if answer.is_success]
            refused = [answer for answer in answers if answer.status_code == 412]
            assert len(done) + len(refused) == 12
            if seen or write.method == "POST":  # to delete nothing changes nothing
                assert len(done) == 1


# What has no ETag. A user or token that is not there would be a 404 without the condition.
WITHOUT_ETAG = (
    ("POST", "/api/users", {"email": "nobody@example.com"}),
    ("GET", "/api/users/me", None),
    ("GET", "/api/users/{user}", None),
    ("DELETE", "/api/users/{user}", None),
    ("GET", "/api/users/{user}/export", None),
    ("GET", "/api/users/me/tokens", None),
    ("POST", "/api/users/me/tokens", {"name": "x", "scopes": ["tasks:read"]}),
    ("DELETE", "/api/users/me/tokens/01a1fe04-9424-75e1-89a6-e90dc13ea379", None),
    ("GET", "/api/changes", None),
    ("GET", "/api/{user}/changes", None),
    ("GET", "/api/events", None),
    ("GET", "/api/{user}/events", None),
    ("GET", "/health/live", None),
    ("GET", "/health/ready", None),
)


class TestConditionsThatAreNotEvaluated:
    """They are refused: whoever sends a condition relies on it."""

    def test_where_nothing_has_an_etag(
        self, client: httpx2.Client, user: str, subtests: pytest.Subtests
    ) -> None:
        create(client, f"/api/{user}/tasks")
        for method, path, body in WITHOUT_ETAG:
            with subtests.test(method=method, path=path, body=body):
                refused = [("If-Match", '"1"'), ("If-Match", "*"), ("If-Match", ""), ("If-None-Match", "*")]
                if method != "GET":
                    refused += [("If-None-Match", '"1"'), ("If-Unmodified-Since", DATE)]
                for name, value in refused:
                    answer = client.request(method, path.format(user=user), json=body, headers={name: value})
                    found = violation(answer)
                    assert (found["parameter"], found["code"]) == (name, "not_allowed"), value
                assert len(client.get(f"/api/{user}/tasks").json()) == 1

    @pytest.mark.parametrize(
        "path", ["/api/changes", "/api/users/me", "/api/users/me/tokens", "/health/live"]
    )
    def test_what_has_no_etag_matches_none_of_somebody_elses(self, client: httpx2.Client, path: str) -> None:
        """A cache may give one to it, and ask by that."""
        for value in ('"1"', 'W/"x"', '"5-gzip", "6"'):
            assert client.get(path, headers={"If-None-Match": value}).status_code == 200

    def test_if_none_match_of_a_write_to_a_list(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        create(client, tasks, completed=True)
        for name, write in LIST_WRITES.items():
            for value in ["*", '"1"', 'W/"x"']:
                with subtests.test(name=name, value=value):
                    before = everything(client, tasks)
                    answer = client.request(
                        write.method,
                        f"{tasks}{write.path}",
                        json=write.body,
                        headers={"If-None-Match": value},
                    )
                    found = violation(answer)
                    assert (found["parameter"], found["code"]) == ("If-None-Match", "not_allowed")
                    assert everything(client, tasks) == before

    def test_several_lines_of_if_none_match_are_not_any(self, client: httpx2.Client, tasks: str) -> None:
        headers = [("If-None-Match", "*"), ("If-None-Match", '"1"')]
        answer = client.put(f"{tasks}/{unknown_id()}", json={"title": "x"}, headers=headers)
        assert violation(answer)["parameter"] == "If-None-Match"

    def test_a_date_guards_no_change(self, client: httpx2.Client, tasks: str) -> None:
        """It could not: nothing here says when it was changed in whole seconds."""
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        before = everything(client, tasks)
        for write in LIST_WRITES.values():
            answer = client.request(
                write.method, f"{tasks}{write.path}", json=write.body, headers={"If-Unmodified-Since": DATE}
            )
            assert violation(answer)["parameter"] == "If-Unmodified-Since"
        for name in OPERATIONS:
            answer = Write(client, name)(path, If_Unmodified_Since=DATE)
            found = violation(answer)
            assert (found["parameter"], found["code"]) == ("If-Unmodified-Since", "not_allowed")
        assert everything(client, tasks) == before
        # With If-Match it has to be ignored (RFC 9110, 13.1.4).
        answer = client.patch(
            path, json={"title": "x"}, headers={"If-Match": '"1"', "If-Unmodified-Since": DATE}
        )
        assert answer.status_code == 200

    def test_dates_and_ranges_make_no_difference_to_reading(self, client: httpx2.Client, tasks: str) -> None:
        """There is no Last-Modified, and ranges are optional."""
        names = {
            "If-Modified-Since": DATE,
            "If-Unmodified-Since": DATE,
            "Range": "bytes=0-1",
            "If-Range": '"999"',
        }
        for path in (f"{tasks}/{create(client, tasks)['id']}", tasks):
            plain = client.get(path)
            answer = client.get(path, headers=names)
            assert (answer.status_code, answer.content) == (200, plain.content)


class TestIfNoneMatchOfTask:
    FORMS = ("{}", "W/{}", '"999", {}', "*", '"x",W/{} , "y"')

    def test_what_the_client_has_is_not_sent_again(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        etag = client.get(path).headers["etag"]
        for form in self.FORMS:
            with subtests.test(form=form):
                for method in ("GET", "HEAD"):
                    answer = client.request(method, path, headers={"If-None-Match": form.replace("{}", etag)})
                    assert answer.status_code == 304
                    assert answer.content == b""
                    assert answer.headers["etag"] == etag
                    assert "content-type" not in answer.headers
                    assert "content-length" not in answer.headers

    def test_a_tag_that_a_proxy_has_changed_matches(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        etag = client.get(path).headers["etag"]
        assert etag == '"1"'
        for form in changed_forms(etag):
            answer = client.get(path, headers={"If-None-Match": form})
            assert (answer.status_code, answer.headers["etag"]) == (304, etag), form

    def test_what_has_changed_is_sent_again(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        etag = client.get(path).headers["etag"]
        changed = client.post(f"{path}/toggle").json()
        answer = client.get(path, headers={"If-None-Match": etag})
        assert (answer.status_code, answer.json()) == (200, changed)

    OTHERS = (
        '"999"', 'W/"999"', '""', '"1-abc"', "", '"' + "1" * 8_190 + '"', '"1gzip"', '"1-gzip-x"',
        '"-gzip"', '"01-gzip"', '"1-000000000000-gzip"', '"1' + "-gzip" * 1_600 + 'x"',
    )  # fmt: skip

    def test_another_tag_does_not_match(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        for header in self.OTHERS:
            with subtests.test(header=header):
                for url in (path, tasks):
                    assert client.get(url, headers={"If-None-Match": header}).status_code == 200

    def test_a_malformed_header_is_refused(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        task = create(client, tasks)
        for header in ["1", '"1', '"1" "2"', '*, "1"', '"' + "1" * 8_191 + '"']:
            with subtests.test(header=header):
                for path in (f"{tasks}/{task['id']}", tasks):
                    found = violation(client.get(path, headers={"If-None-Match": header}))
                    assert found == malformed("If-None-Match")

    def test_what_is_not_there_is_a_404(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.get(f"{tasks}/{unknown_id()}", headers={"If-None-Match": "*"})
        problem(answer, 404, "not_found")


class TestIfNoneMatchOfList:
    QUERIES = (
        "", "?limit=1", "?limit=2", "?completed=true", "?completed=false", "?q=milk", "?q=bread",
        "?deleted=true",
        "?sort=title", "?sort=-title", "?sort=title,completed", "?created_after=2026-01-01T00:00:00Z",
        "?created_before=2026-01-01T00:00:00Z", "?updated_after=2026-01-01T00:00:00Z",
        "?updated_before=2026-01-01T00:00:00Z", "?completed=true&q=milk", "?q=milk&limit=1",
    )  # fmt: skip

    @pytest.mark.slow
    def test_an_unchanged_list_is_not_sent_again(self, client: httpx2.Client, tasks: str) -> None:
        for number in range(3):
            create(client, tasks, completed=number == 0)
        following = client.get(f"{tasks}?limit=1").links["next"]["url"]
        for path in (*(tasks + query for query in self.QUERIES), following):
            whole = client.get(path)
            for tag in (*changed_forms(whole.headers["etag"]), "*"):
                answer = client.get(path, headers={"If-None-Match": tag})
                assert (answer.status_code, answer.content) == (304, b"")
                assert answer.headers["etag"] == whole.headers["etag"]
                assert "content-type" not in answer.headers

    def test_an_empty_list_has_a_tag_too(self, client: httpx2.Client, tasks: str) -> None:
        etag = client.get(tasks).headers["etag"]
        assert client.get(tasks, headers={"If-None-Match": etag}).status_code == 304
        create(client, tasks)
        assert client.get(tasks, headers={"If-None-Match": etag}).status_code == 200

    def test_different_lists_have_different_tags(self, client: httpx2.Client, tasks: str) -> None:
        for _ in range(3):
            create(client, tasks)
        following = client.get(f"{tasks}?limit=1").links["next"]["url"]
        paths = [*(tasks + query for query in self.QUERIES), following]
        tags = {client.get(path).headers["etag"] for path in paths}
        assert len(tags) == len(paths)
        assert not tags & {f'"{version}"' for version in range(1, 4)}

    def test_a_tag_changes_with_every_write(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        operations = [{"op": "create", "task": {"title": "x"}}, {"op": "toggle", "id": task["id"]}]
        writes: list[tuple[str, str, Any]] = [
            ("POST", tasks, {"title": "x"}),
            ("PATCH", path, {"title": "y"}),
            ("PUT", path, {"title": "z"}),
            ("POST", f"{path}/toggle", None),
            ("PATCH", f"{path}/complete", None),
            ("DELETE", path, None),
            ("POST", f"{path}/restore", None),
            ("POST", f"{tasks}/batch", {"operations": operations}),
            ("DELETE", f"{tasks}?completed=true", None),
        ]
        watched = [tasks, f"{tasks}?completed=true&limit=1"]
        tags = [client.get(query).headers["etag"] for query in watched]
        for method, target, body in writes:
            assert client.request(method, target, json=body).is_success, (method, target)
            for index, query in enumerate(watched):
                answer = client.get(query, headers={"If-None-Match": tags[index]})
                assert answer.status_code == 200, (method, target)
                assert answer.headers["etag"] != tags[index]
                tags[index] = answer.headers["etag"]

    def test_a_write_that_does_nothing_changes_no_tag(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        etag = client.get(tasks).headers["etag"]
        client.patch(path, json={})
        client.patch(path, json={"title": "x"}, headers={"If-Match": '"999"'})
        client.post(f"{path}/restore")
        client.delete(f"{tasks}?completed=true")
        client.get(tasks)
        assert client.get(tasks).headers["etag"] == etag

    def test_the_write_of_another_user_changes_no_tag(
        self, client: httpx2.Client, tasks: str, user: str
    ) -> None:
        create(client, tasks)
        etag = client.get(tasks).headers["etag"]
        create(client, f"/api/other-{user}/tasks")
        assert client.get(tasks, headers={"If-None-Match": etag}).status_code == 304


class TestPutNew:
    def test_creates_the_task_with_the_clients_id(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{unknown_id()}"
        sent = {"title": " Buy milk ", "description": "Two bottles", "completed": True}
        answer = client.put(path, json=sent, headers=NEW)
        assert answer.status_code == 201
        task = answer.json()
        assert f"{tasks}/{task['id']}" == path
        assert (task["title"], task["description"], task["completed"]) == ("Buy milk", "Two bottles", True)
        assert task["completed_at"] == task["created_at"]
        assert answer.headers["location"] == path
        assert answer.headers["etag"] == f'"{task["version"]}"'
        assert client.get(path).json() == task
        assert client.get(tasks).json() == [task]

    def test_needs_no_more_than_a_title(self, client: httpx2.Client, tasks: str) -> None:
        task = client.put(f"{tasks}/{unknown_id()}", json={"title": "x"}, headers=NEW).json()
        assert (task["description"], task["completed"], task["completed_at"]) == (None, False, None)

    def test_takes_what_a_client_keeps_locally(self, client: httpx2.Client, tasks: str) -> None:
        kept = create(client, tasks, description="Two bottles")
        task = client.put(f"{tasks}/{unknown_id()}", json=kept, headers=NEW).json()
        assert task["title"] == kept["title"]
        assert task["id"] != kept["id"]

    @pytest.mark.parametrize("body", [{}, {"description": "x"}, {"title": ""}, {"title": None}])
    def test_without_a_title_it_is_refused(
        self, client: httpx2.Client, tasks: str, body: dict[str, Any]
    ) -> None:
        path = f"{tasks}/{unknown_id()}"
        told = violation(client.put(path, json=body, headers=NEW))
        assert told["pointer"] == "/title"
        assert ("title" in body) or (told["code"], told["detail"]) == ("required", "is required")
        problem(client.get(path), 404, "not_found")

    def test_what_exists_stays_as_it_is(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        answer = client.put(path, json={"title": "Another"}, headers=NEW)
        told = problem(answer, 412, "precondition_failed")
        assert told["detail"] == "There is a task with this id already, perhaps in the trash."
        assert answer.headers["etag"] == f'"{task["version"]}"'
        assert client.get(path).json() == task
        assert create(client, tasks)["version"] == task["version"] + 1

    def test_what_is_in_the_trash_stays_as_it_is(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        deleted = delete(client, path)
        answer = client.put(path, json={"title": "Another"}, headers=NEW)
        problem(answer, 412, "precondition_failed")
        assert answer.headers["etag"] == f'"{deleted["version"]}"'
        assert client.get(f"{tasks}?deleted=true").json() == [deleted]

    def test_the_id_of_somebody_elses_task_is_free(self, client: httpx2.Client, user: str) -> None:
        task = create(client, "/api/tasks")
        answer = client.put(f"/api/{user}/tasks/{task['id']}", json={"title": "Mine"}, headers=NEW)
        assert answer.status_code == 201
        assert answer.json()["user_id"] == user
        assert client.get(f"/api/tasks/{task['id']}").json() == task

    def test_without_the_header_nothing_is_created(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks)
        problem(client.put(f"{tasks}/{unknown_id()}", json={"title": "x"}), 404, "not_found")

    def test_an_empty_list_of_tags_matches_nothing(self, client: httpx2.Client, tasks: str) -> None:
        for name in OPERATIONS:
            path = f"{tasks}/{create(client, tasks)['id']}"
            assert Write(client, name)(path, If_None_Match="").is_success, name

    @pytest.mark.parametrize("header", ['"1"', '*, "1"', "W/*"])
    def test_knows_no_other_condition(self, client: httpx2.Client, tasks: str, header: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        for name in OPERATIONS:
            found = violation(Write(client, name)(path, If_None_Match=header))
            assert (found["parameter"], found["code"]) == ("If-None-Match", "not_allowed"), name

    def test_contradicts_if_match(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{unknown_id()}"
        answer = client.put(path, json={"title": "x"}, headers={**NEW, "If-Match": '"1"'})
        assert violation(answer) == {
            "parameter": "If-Match",
            "code": "contradiction",
            "detail": "contradicts If-None-Match",
        }
        problem(client.get(path), 404, "not_found")

    def test_of_many_at_once_exactly_one_creates(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{unknown_id()}"
        answers = at_once(12, lambda index: client.put(path, json={"title": f"By {index}"}, headers=NEW))
        assert sorted(answer.status_code for answer in answers) == [201] + [412] * 11
        (won,) = [answer for answer in answers if answer.status_code == 201]
        assert client.get(tasks).json() == [won.json()]


def malformed(header: str) -> dict[str, str]:
    detail = 'must be * or a list of entity tags, such as "17"'
    return {"parameter": header, "code": "malformed", "detail": detail}
