"""The operations on tasks, at both mounts and on both databases."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from harness.responses import JSON, create, problem, unknown_id, violation
from harness.servers import LocalServer
from harness.side_effects import at_once, execute, instant
from taskwell.schemas.task import TaskCreate

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
STRICT = {"Prefer": "handling=strict"}


@pytest.mark.plan("A1", "B1", "A7", "SC-001", "SC-003", "SC-007", "B4")
class TestCreateTask:
    @pytest.mark.parametrize("headers", [{}, STRICT, {"Idempotency-Key": "a key"}], ids=str)
    def test_may_begin_with_a_byte_order_mark(
        self, client: httpx2.Client, tasks: str, headers: dict[str, str]
    ) -> None:
        content = '\ufeff{"title": "Käse"}'.encode()
        for number in range(2):  # the second one of a known client takes the short way
            key = {name: f"{value} {number}" for name, value in headers.items() if name != "Prefer"}
            answer = client.post(tasks, content=content, headers=JSON | headers | key)
            assert (answer.status_code, answer.json()["title"]) == (201, "Käse")

    def test_answers_the_whole_task(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.post(tasks, json={"title": "Buy milk"})
        assert answer.status_code == 201
        task = answer.json()
        # The contract, in the order that clients see. All other tests take the fields from the schemas.
        assert list(task) == [
            "id", "user_id", "title", "description", "completed", "completed_at", "status", "list_id",
            "parent_id", "position", "start", "due", "time_zone", "due_at", "recurrence",
            "recurrence_mode", "recurrence_exclude", "priority", "labels", "reminders", "link", "extra",
            "created_at", "updated_at", "version",
        ]  # fmt: skip
        assert task["title"] == "Buy milk"
        assert task["description"] is None
        assert task["completed"] is False
        assert task["completed_at"] is None
        assert task["created_at"] == task["updated_at"]

    def test_the_owner_is_the_caller_or_the_user_in_the_path(self, client: httpx2.Client, user: str) -> None:
        assert create(client, "/api/tasks")["user_id"] == "default"
        assert create(client, f"/api/{user}/tasks")["user_id"] == user

    def test_the_id_is_a_uuid_of_version_7(self, client: httpx2.Client, tasks: str) -> None:
        assert UUID(create(client, tasks)["id"]).version == 7

    def test_times_are_utc_with_six_digits(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        assert INSTANT.fullmatch(task["created_at"])
        age = datetime.now(UTC) - datetime.fromisoformat(task["created_at"])
        assert timedelta(0) <= age < timedelta(seconds=30)

    def test_tells_where_the_task_is_and_its_version(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.post(tasks, json={"title": "Buy milk"})
        task = answer.json()
        assert answer.headers["location"] == f"{tasks}/{task['id']}"
        assert answer.headers["etag"] == f'"{task["version"]}"'
        assert client.get(answer.headers["location"]).json() == task

    def test_a_completed_task_has_its_time(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, completed=True)
        assert task["completed"] is True
        assert task["completed_at"] == task["created_at"]

    def test_white_space_around_the_title_is_removed(self, client: httpx2.Client, tasks: str) -> None:
        assert create(client, tasks, title="  \u00a0 Buy milk \n")["title"] == "Buy milk"

    def test_a_description_is_kept_to_the_letter(self, client: httpx2.Client, tasks: str) -> None:
        description = "  two\n\tlines\r\nand a 🥛 "
        assert create(client, tasks, description=description)["description"] == description

    def test_unknown_and_read_only_members_are_ignored(self, client: httpx2.Client, tasks: str) -> None:
        sent = {"id": unknown_id(), "user_id": "eve", "version": 99, "created_at": "never", "colour": "red"}
        task = create(client, tasks, **sent)
        assert task["version"] == 1
        assert all(task.get(name) != value for name, value in sent.items())

    def test_unknown_and_read_only_members_are_refused_when_strict(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        answer = client.post(tasks, json={"title": "Buy milk", "colour": "red"}, headers=STRICT)
        assert violation(answer) == {
            "pointer": "",
            "code": "unknown_member",
            "detail": f"has a member other than {', '.join(TaskCreate.model_fields)}",
        }
        assert client.get(tasks).json() == []

    def test_strict_handling_is_acknowledged(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.post(tasks, json={"title": "Buy milk"}, headers=STRICT)
        assert answer.status_code == 201
        assert answer.headers["preference-applied"] == "handling=strict"


@pytest.mark.plan("A6", "SC-010")
class TestValidation:
    @pytest.mark.parametrize("length", [1, 200])
    def test_a_title_has_1_to_200_code_points(self, client: httpx2.Client, tasks: str, length: int) -> None:
        title = "🥛" * length
        assert create(client, tasks, title=title)["title"] == title

    @pytest.mark.parametrize("length", [0, 2000])
    def test_a_description_has_0_to_2000_code_points(
        self, client: httpx2.Client, tasks: str, length: int
    ) -> None:
        description = "é" * length
        assert create(client, tasks, description=description)["description"] == description

    BROKEN: tuple[tuple[Any, str, str], ...] = (
        ({}, "/title", "required"),
        ({"title": None}, "/title", "invalid_type"),
        ({"title": 7}, "/title", "invalid_type"),
        ({"title": ""}, "/title", "too_short"),
        ({"title": " \t\n"}, "/title", "too_short"),
        ({"title": "\u200b"}, "/title", "blank"),
        ({"title": "x" * 201}, "/title", "too_long"),
        ({"title": "two\nlines"}, "/title", "invalid_text"),
        ({"title": "x", "description": "y" * 2001}, "/description", "too_long"),
        ({"title": "x", "description": "\x07"}, "/description", "invalid_text"),
        ({"title": "x", "description": 1}, "/description", "invalid_type"),
        ({"title": "x", "completed": "true"}, "/completed", "invalid_type"),
        ({"title": "x", "completed": 1}, "/completed", "invalid_type"),
        ({"title": "x", "completed": None}, "/completed", "invalid_type"),
        ([], "", "invalid_type"),
        ("x", "", "invalid_type"),
    )

    def test_what_breaks_a_rule_is_a_400_that_names_it(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for task, pointer, code in self.BROKEN:
            with subtests.test(task=task, pointer=pointer, code=code):
                found = violation(client.post(tasks, json=task))
                assert (found["pointer"], found["code"]) == (pointer, code)
                assert client.get(tasks).json() == []

    def test_every_violation_is_named(self, client: httpx2.Client, tasks: str) -> None:
        members = problem(client.post(tasks, json={"title": "", "completed": 3}), 400, "validation_error")
        assert [error["pointer"] for error in members["errors"]] == ["/title", "/completed"]
        assert members["detail"] == ("title: must have 1 to 200 characters; completed: must be true or false")

    @pytest.mark.parametrize("changes", [{"title": ""}, {"title": None}, {"completed": None}])
    def test_a_change_keeps_the_same_rules(
        self, client: httpx2.Client, tasks: str, changes: dict[str, Any]
    ) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        for method in ("PATCH", "PUT"):
            violation(client.request(method, path, json=changes))
        assert client.get(path).json() == task


@pytest.mark.plan("A1", "B1", "SC-003", "R2")
class TestListTasks:
    def test_a_user_nobody_has_seen_has_an_empty_list(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.get(tasks)
        assert answer.status_code == 200
        assert answer.json() == []

    def test_is_a_bare_array_newest_first(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks, title=f"Task {number}") for number in range(5)]
        assert client.get(tasks).json() == made[::-1]

    def test_deleted_tasks_are_not_in_it(self, client: httpx2.Client, tasks: str) -> None:
        kept, deleted = create(client, tasks), create(client, tasks)
        client.delete(f"{tasks}/{deleted['id']}")
        assert client.get(tasks).json() == [kept]

    def test_without_a_limit_it_is_whole(self, client: httpx2.Client, user: str) -> None:
        tasks = f"/api/{user}/tasks"
        made = [create(client, tasks, title=str(number))["id"] for number in range(30)]
        answer = client.get(tasks)
        assert [task["id"] for task in answer.json()] == made[::-1]
        assert "link" not in answer.headers

    def test_a_limit_makes_pages_linked_to_the_next(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks)["id"] for _ in range(7)]
        pages, path = [], f"{tasks}?limit=3"
        while path:
            answer = client.get(path)
            pages.append([task["id"] for task in answer.json()])
            path = answer.links.get("next", {}).get("url", "")
        assert [len(page) for page in pages] == [3, 3, 1]
        assert [task_id for page in pages for task_id in page] == made[::-1]

    def test_a_page_that_ends_the_list_has_no_link(self, client: httpx2.Client, tasks: str) -> None:
        for _ in range(3):
            create(client, tasks)
        assert "link" not in client.get(tasks, params={"limit": 3}).headers

    def test_tasks_made_or_deleted_meanwhile_disturb_no_page(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks)["id"] for _ in range(4)]
        answer = client.get(f"{tasks}?limit=2")
        create(client, tasks)
        client.delete(f"{tasks}/{made[3]}")
        following = client.get(answer.links["next"]["url"])
        assert [task["id"] for task in following.json()] == [made[1], made[0]]

    @pytest.mark.parametrize("limit", ["1000", "1001", "99999999999999999999999"])
    def test_more_than_1000_is_taken_as_that(self, client: httpx2.Client, tasks: str, limit: str) -> None:
        create(client, tasks)
        assert len(client.get(tasks, params={"limit": limit}).json()) == 1

    LIMITS = ("0", "-1", "ten", "1.5", "1_0", "+5", "٣", "00")

    def test_a_limit_is_a_whole_number_from_1(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for limit in self.LIMITS:
            with subtests.test(limit=limit):
                found = violation(client.get(tasks, params={"limit": limit}))
                assert found["parameter"] == "limit"

    def test_a_cursor_without_a_limit_gives_the_rest(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks)["id"] for _ in range(4)]
        following = client.get(f"{tasks}?limit=1").links["next"]["url"]
        cursor = httpx2.URL(following).params["cursor"]
        rest = client.get(tasks, params={"cursor": cursor}).json()
        assert [task["id"] for task in rest] == made[2::-1]

    def test_a_cursor_of_another_user_is_refused(self, client: httpx2.Client, user: str) -> None:
        for tasks in ("/api/tasks", f"/api/{user}/tasks"):
            create(client, tasks)
            create(client, tasks)
        following = httpx2.URL(client.get("/api/tasks?limit=1").links["next"]["url"])
        answer = client.get(f"/api/{user}/tasks", params=following.params)
        assert violation(answer)["code"] == "invalid_cursor"

    @pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "💥", "A" * 5000])
    def test_a_cursor_made_up_is_refused(self, client: httpx2.Client, tasks: str, cursor: str) -> None:
        answer = client.get(tasks, params={"cursor": cursor, "limit": "2"})
        assert violation(answer)["parameter"] == "cursor"

    def test_a_parameter_given_twice_is_refused(self, client: httpx2.Client, tasks: str) -> None:
        assert violation(client.get(f"{tasks}?limit=1&limit=2"))["code"] == "repeated"

    def test_unknown_parameters_are_ignored_unless_strict(self, client: httpx2.Client, tasks: str) -> None:
        assert client.get(f"{tasks}?page=2").status_code == 200
        assert violation(client.get(f"{tasks}?page=2", headers=STRICT))["code"] == "unknown_parameter"


@pytest.mark.plan("A1", "B1", "SC-001")
class TestGetTask:
    def test_answers_the_task_with_its_etag(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        answer = client.get(f"{tasks}/{task['id']}")
        assert answer.status_code == 200
        assert answer.json() == task
        assert answer.headers["etag"] == f'"{task["version"]}"'

    def test_an_id_may_be_written_in_capitals(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        assert client.get(f"{tasks}/{task['id'].upper()}").json() == task

    @pytest.mark.parametrize(
        "task_id", ["1", "x", "0" * 32, "{00000000-0000-7000-8000-000000000000}", "null", "toggle"]
    )
    def test_an_id_that_is_no_uuid_is_refused(self, client: httpx2.Client, tasks: str, task_id: str) -> None:
        assert violation(client.get(f"{tasks}/{task_id}"))["parameter"] == "task_id"


@pytest.mark.plan("A1", "B1", "A7")
class TestUpdateTask:
    @pytest.fixture(params=["PATCH", "PUT"])
    def method(self, request: pytest.FixtureRequest) -> str:
        method: str = request.param
        return method

    def test_changes_what_is_named_and_nothing_else(
        self, client: httpx2.Client, tasks: str, method: str
    ) -> None:
        task = create(client, tasks, description="Two bottles", completed=True)
        answer = client.request(method, f"{tasks}/{task['id']}", json={"title": "Buy bread"})
        assert answer.status_code == 200
        changed = answer.json()
        assert changed == task | {
            "title": "Buy bread",
            "updated_at": changed["updated_at"],
            "version": task["version"] + 1,
        }
        assert changed["updated_at"] > task["updated_at"]
        assert answer.headers["etag"] == f'"{changed["version"]}"'
        assert client.get(f"{tasks}/{task['id']}").json() == changed

    def test_null_clears_the_description(self, client: httpx2.Client, tasks: str, method: str) -> None:
        task = create(client, tasks, description="Two bottles")
        answer = client.request(method, f"{tasks}/{task['id']}", json={"description": None})
        assert answer.json()["description"] is None
        assert answer.json()["title"] == task["title"]

    def test_nothing_named_changes_nothing(self, client: httpx2.Client, tasks: str, method: str) -> None:
        task = create(client, tasks)
        answer = client.request(method, f"{tasks}/{task['id']}", json={})
        assert answer.status_code == 200
        assert answer.json() == task
        assert answer.headers["etag"] == f'"{task["version"]}"'

    def test_completion_has_its_time(self, client: httpx2.Client, tasks: str, method: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        done = client.request(method, path, json={"completed": True}).json()
        assert done["completed_at"] == done["updated_at"]
        still = client.request(method, path, json={"completed": True}).json()
        assert still["completed_at"] == done["completed_at"]
        open_again = client.request(method, path, json={"completed": False}).json()
        assert open_again["completed_at"] is None

    def test_a_client_may_send_back_what_it_got(self, client: httpx2.Client, tasks: str, method: str) -> None:
        task = create(client, tasks)
        answer = client.request(
            method, f"{tasks}/{task['id']}", json=task | {"title": "Buy bread", "version": 1_000}
        )
        assert answer.json()["title"] == "Buy bread"
        assert answer.json()["version"] == task["version"] + 1

    def test_merge_patch_is_accepted(self, client: httpx2.Client, tasks: str, method: str) -> None:
        task = create(client, tasks)
        answer = client.request(
            method,
            f"{tasks}/{task['id']}",
            content=b'{"title": "Buy bread"}',
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert answer.json()["title"] == "Buy bread"


@pytest.mark.plan("A1", "B1")
class TestToggleTask:
    @pytest.fixture(params=[("POST", "toggle"), ("PATCH", "complete")], ids=["toggle", "complete"])
    def way(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        way: tuple[str, str] = request.param
        return way

    def test_turns_the_task_over(self, client: httpx2.Client, tasks: str, way: tuple[str, str]) -> None:
        method, action = way
        task = create(client, tasks)
        done = client.request(method, f"{tasks}/{task['id']}/{action}")
        assert done.status_code == 200
        assert done.json()["completed"] is True
        assert done.json()["completed_at"] == done.json()["updated_at"]
        assert done.headers["etag"] == f'"{done.json()["version"]}"'
        undone = client.request(method, f"{tasks}/{task['id']}/{action}").json()
        assert undone["completed"] is False
        assert undone["completed_at"] is None

    @pytest.mark.parametrize("body", [b"", b"{}"])
    def test_a_content_type_with_nothing_behind_it_is_fine(
        self, client: httpx2.Client, tasks: str, way: tuple[str, str], body: bytes
    ) -> None:
        method, action = way
        path = f"{tasks}/{create(client, tasks)['id']}/{action}"
        answer = client.request(method, path, content=body, headers=JSON)
        assert answer.json()["completed"] is True

    def test_a_state_that_is_named_is_set(
        self, client: httpx2.Client, tasks: str, way: tuple[str, str]
    ) -> None:
        method, action = way
        path = f"{tasks}/{create(client, tasks)['id']}/{action}"
        first = client.request(method, path, json={"completed": True}).json()
        again = client.request(method, path, json={"completed": True}).json()
        assert first["completed"] is again["completed"] is True
        assert again["completed_at"] == first["completed_at"]

    def test_a_state_that_is_none_is_refused(
        self, client: httpx2.Client, tasks: str, way: tuple[str, str]
    ) -> None:
        method, action = way
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        for body in (b'{"completed": "yes"}', b"null", b"true", b"[]"):
            violation(client.request(method, f"{path}/{action}", content=body, headers=JSON))
        assert client.get(path).json() == task


@pytest.mark.plan("A1", "B1")
class TestDeleteTask:
    def test_answers_204_and_nothing(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        answer = client.delete(path)
        assert answer.status_code == 204
        assert answer.content == b""
        problem(client.get(path), 404, "not_found")

    def test_shows_the_deleted_task_when_asked_to(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        answer = client.delete(path, headers={"Prefer": "return=representation"})
        assert answer.status_code == 200
        assert answer.headers["preference-applied"] == "return=representation"
        deleted = answer.json()
        assert deleted == task | {
            "version": task["version"] + 1,
            "updated_at": deleted["deleted_at"],
            "deleted_at": deleted["deleted_at"],
        }
        assert answer.headers["etag"] == f'"{deleted["version"]}"'
        assert INSTANT.fullmatch(deleted["deleted_at"])


@pytest.mark.plan("B3", "B4")
class TestNotFound:
    @pytest.fixture(params=["GET", "PATCH", "PUT", "DELETE", "POST toggle", "PATCH complete"])
    def operation(self, request: pytest.FixtureRequest) -> tuple[str, str, Any]:
        method, _, action = request.param.partition(" ")
        body = {"title": "Mine now"} if method in {"PATCH", "PUT"} and not action else None
        return method, f"/{action}" if action else "", body

    def ask(self, client: httpx2.Client, task: str, operation: tuple[str, str, Any]) -> httpx2.Response:
        method, action, body = operation
        return client.request(method, task + action, json=body)

    def test_what_never_existed_is_a_404(
        self, client: httpx2.Client, tasks: str, operation: tuple[str, str, Any]
    ) -> None:
        create(client, tasks)
        problem(self.ask(client, f"{tasks}/{unknown_id()}", operation), 404, "not_found")

    def test_what_was_deleted_is_a_404(
        self, client: httpx2.Client, tasks: str, operation: tuple[str, str, Any]
    ) -> None:
        task = f"{tasks}/{create(client, tasks)['id']}"
        client.delete(task)
        problem(self.ask(client, task, operation), 404, "not_found")

    def test_what_is_somebody_elses_cannot_be_told_from_what_never_existed(
        self, client: httpx2.Client, tasks: str, operation: tuple[str, str, Any]
    ) -> None:
        task = create(client, tasks)
        create(client, "/api/eve/tasks")
        foreign = self.ask(client, f"/api/eve/tasks/{task['id']}", operation)
        missing = self.ask(client, f"/api/eve/tasks/{unknown_id()}", operation)
        told = [
            problem(answer, 404, "not_found") | {"instance": "", "request_id": ""}
            for answer in (foreign, missing)
        ]
        assert told[0] == told[1]
        assert foreign.headers.keys() == missing.headers.keys()
        assert client.get(f"{tasks}/{task['id']}").json() == task

    def test_a_failed_write_takes_no_number(
        self, client: httpx2.Client, tasks: str, operation: tuple[str, str, Any]
    ) -> None:
        before = create(client, tasks)["version"]
        self.ask(client, f"{tasks}/{unknown_id()}", operation)
        assert create(client, tasks)["version"] == before + 1


class TestSequence:
    def test_every_write_takes_the_users_next_number(self, client: httpx2.Client, tasks: str) -> None:
        first, second = create(client, tasks), create(client, tasks)
        path = f"{tasks}/{first['id']}"
        numbers = [
            first["version"],
            second["version"],
            client.patch(path, json={"title": "Buy bread"}).json()["version"],
            client.post(f"{path}/toggle").json()["version"],
            client.delete(path, headers={"Prefer": "return=representation"}).json()["version"],
            create(client, tasks)["version"],
        ]
        assert numbers == [1, 2, 3, 4, 5, 6]

    def test_each_user_has_their_own(self, client: httpx2.Client, user: str) -> None:
        create(client, "/api/tasks")
        assert create(client, f"/api/{user}/tasks")["version"] == 1


class TestPaths:
    def test_a_trailing_slash_makes_no_difference(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.post(f"{tasks}/", json={"title": "Buy milk"})
        assert answer.status_code == 201
        task = answer.json()
        assert answer.headers["location"] == f"{tasks}/{task['id']}"
        path = f"{tasks}/{task['id']}/"
        assert client.get(f"{tasks}/").json() == [task]
        assert client.get(path).json() == task
        assert client.patch(path, json={"title": "Buy bread"}).status_code == 200
        assert client.put(path, json={"title": "Buy bread"}).status_code == 200
        assert client.post(f"{path}toggle/").status_code == 200
        assert client.patch(f"{path}complete/").status_code == 200
        assert client.delete(path).status_code == 204

    def test_head_answers_as_get_without_the_body(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        for path in (tasks, f"{tasks}/{task['id']}", f"{tasks}/{unknown_id()}"):
            head, get = client.head(path), client.get(path)
            assert head.status_code == get.status_code
            assert head.content == b""
            for name in ("content-type", "content-length", "etag", "link"):
                assert head.headers.get(name) == get.headers.get(name)

    @pytest.mark.parametrize("user_id", ["tasks", "users", "changes", "events", "batch", "me"])
    def test_a_reserved_word_is_no_user(self, client: httpx2.Client, user_id: str) -> None:
        answer = client.post(f"/api/{user_id}/tasks", json={"title": "Buy milk"})
        assert violation(answer)["code"] == "reserved"

    RESERVED = (
        "changes", "events", "batch", "me", "lists", "labels", "history", "undo", "claims", "webhooks",
        "reminders", "filters", "imports", "export", "mcp", "dav", "app", "quick", "tokens", "search",
        "health", "members", "spaces", "v1", "v2", "v10", "v007", "V1",
    )  # fmt: skip

    def test_a_reserved_word_is_no_user_of_any_other_operation(
        self, client: httpx2.Client, subtests: pytest.Subtests
    ) -> None:
        create(client, "/api/alice/tasks")
        for user_id in self.RESERVED:
            with subtests.test(user_id=user_id):
                # Lists and labels have paths of their own there.
                for _ in range(
                    2 if user_id not in {"lists", "labels"} else 0
                ):  # by the short way too, once the client is known
                    for method, path, body in (
                        ("POST", "tasks", {"title": "Buy milk"}),
                        ("GET", "tasks", None),
                        ("GET", "tasks?limit=1", None),
                        ("GET", f"tasks/{unknown_id()}", None),
                        ("POST", f"tasks/{unknown_id()}/toggle", None),
                        ("DELETE", "tasks", None),
                        ("GET", "changes", None),
                    ):
                        found = violation(client.request(method, f"/api/{user_id}/{path}", json=body))
                        assert (found["parameter"], found["code"]) == ("user_id", "reserved")
                answer = client.post("/api/users", json={"id": user_id})
                assert violation(answer)["code"] == "reserved"

    def test_a_version_in_the_path_is_named(self, client: httpx2.Client) -> None:
        assert "/api/tasks" in violation(client.get("/api/v1/tasks"))["detail"]
        assert "/api/tasks" in violation(client.get("/api/V2/tasks/"))["detail"]

    @pytest.mark.parametrize("user_id", ["v", "v1a", "1v", "vv1", "v1.0", "Lists", "list", "searches"])
    def test_what_only_resembles_one_is_a_user(self, client: httpx2.Client, user_id: str) -> None:
        assert client.get(f"/api/{user_id}/tasks").status_code == 200

    @pytest.mark.parametrize("user_id", ["v1", "V12", "search"])
    def test_who_was_here_before_the_word_was_reserved_goes_on(
        self, client: httpx2.Client, server: LocalServer, user: str, user_id: str
    ) -> None:
        task = create(client, f"/api/{user}/tasks")
        now = instant(server.settings, datetime.now(UTC))
        execute(
            server.settings,
            f"INSERT INTO users (id, created_at, last_seq) VALUES ('{user_id}', {now}, 100)",
            f"UPDATE tasks SET user_id = '{user_id}' WHERE user_id = '{user}'",
        )
        try:
            for _ in range(2):
                assert client.get(f"/api/{user_id}/tasks?limit=5").json() == [task | {"user_id": user_id}]
            assert create(client, f"/api/{user_id}/tasks")["version"] > 100
            assert client.post(f"/api/{user_id}/tasks/{task['id']}/toggle").json()["completed"] is True
            assert client.get(f"/api/users/{user_id}").json()["id"] == user_id
            assert client.get(f"/api/users/{user_id}/export").status_code == 200
        finally:
            assert client.delete(f"/api/users/{user_id}").status_code == 204
        assert violation(client.get(f"/api/{user_id}/tasks"))["code"] == "reserved"
        assert violation(client.get(f"/api/users/{user_id}"))["parameter"] == "id"

    @pytest.mark.parametrize("user_id", ["a b", "ü", "x" * 256, "a,b", "a*b", "a%25"])
    def test_an_ill_formed_user_is_refused(self, client: httpx2.Client, user_id: str) -> None:
        path = f"/api/{user_id.replace(' ', '%20')}/tasks"
        assert violation(client.get(path))["parameter"] == "user_id"

    @pytest.mark.parametrize(
        "user_id",
        [
            "0",
            "x" * 255,
            "auth0|5f7c",
            "a.b_c~d@e:f-g",
            "Alice",
            "a+b@example.com",
            "q83vEjRW+g==",
            "=a=2Fb",
            "=me",
        ],
    )
    def test_a_well_formed_one_is_served(self, client: httpx2.Client, user_id: str) -> None:
        client.delete(f"/api/users/{user_id}")
        task = create(client, f"/api/{user_id}/tasks")
        assert task["user_id"] == user_id
        location = client.post(f"/api/{user_id}/tasks", json={"title": "x"}).headers["location"]
        assert client.get(location).json()["user_id"] == user_id

    def test_users_whose_ids_differ_in_case_are_two(self, client: httpx2.Client, user: str) -> None:
        create(client, f"/api/{user}/tasks")
        assert client.get(f"/api/{user.upper()}/tasks").json() == []


class TestClockSetBack:
    """The task's times are moved ahead, which is what a clock that is set back looks like."""

    def by_request(self, client: httpx2.Client, method: str, path: str, body: Any) -> dict[str, Any]:
        answer = client.request(method, path, json=body, headers={"Prefer": "return=representation"})
        assert answer.status_code == 200, answer.text
        changed: dict[str, Any] = answer.json()
        return changed

    def ahead(self, client: httpx2.Client, server: LocalServer, tasks: str, **new: Any) -> dict[str, Any]:
        task = create(client, tasks, **new)
        at = instant(server.settings, datetime.now(UTC) + timedelta(days=1))
        times = f"created_at = {at}, updated_at = {at}"
        execute(server.settings, f"UPDATE tasks SET {times} WHERE version = {task['version']} "
                f"AND user_id = '{task['user_id']}'")  # fmt: skip
        shown: dict[str, Any] = client.get(f"{tasks}/{task['id']}").json()
        assert shown["created_at"] > task["created_at"]
        return shown

    @pytest.mark.parametrize(
        ("method", "rest", "body"),
        [
            ("PATCH", "", {"title": "Buy bread"}),
            ("PUT", "", {"completed": True}),
            ("POST", "/toggle", None),
            ("POST", "/toggle", {"completed": True}),
            ("PATCH", "/complete", None),
            ("DELETE", "", None),
        ],
    )
    def test_no_time_of_a_change_is_before_the_last_one(
        self, client: httpx2.Client, server: LocalServer, tasks: str, method: str, rest: str, body: Any
    ) -> None:
        task = self.ahead(client, server, tasks)
        changed = self.by_request(client, method, f"{tasks}/{task['id']}{rest}", body)
        assert changed["updated_at"] == task["updated_at"]
        for name in {"completed_at", "deleted_at"} & changed.keys():
            assert changed[name] in {None, task["updated_at"]}

    def test_no_time_of_changes_answered_at_once_is_before_the_last_one(
        self, client: httpx2.Client, server: LocalServer, user: str
    ) -> None:
        tasks = f"/api/{user}/tasks"
        made = [self.ahead(client, server, tasks) for _ in range(6)]
        create(client, tasks)
        changed = at_once(6, lambda n: client.post(f"{tasks}/{made[n]['id']}/toggle").json())
        for task, after in zip(made, changed, strict=True):
            assert after["completed_at"] == after["updated_at"] == task["updated_at"]

    def test_no_time_of_a_batch_is_before_the_last_one(
        self, client: httpx2.Client, server: LocalServer, tasks: str
    ) -> None:
        task = self.ahead(client, server, tasks)
        changes: list[dict[str, Any]] = [
            {"op": "update", "task": {"title": "Buy bread", "completed": True}},
            {"op": "toggle"},
            {"op": "toggle", "task": {"completed": True}},
            {"op": "delete"},
            {"op": "restore"},
        ]
        operations = [change | {"id": task["id"]} for change in changes]
        answer = client.post(f"{tasks}/batch", json={"operations": operations})
        results = [result["task"] for result in answer.json()["results"]]
        assert {result["updated_at"] for result in results} == {task["updated_at"]}
        assert results[2]["completed_at"] == results[3]["deleted_at"] == task["updated_at"]

    def test_no_time_of_many_that_are_deleted_is_before_the_last_one(
        self, client: httpx2.Client, server: LocalServer, tasks: str
    ) -> None:
        task = self.ahead(client, server, tasks)
        assert client.delete(tasks).json() == {"deleted": 1}
        (deleted,) = client.get(f"{tasks}?deleted=true").json()
        assert deleted["deleted_at"] == deleted["updated_at"] == task["updated_at"]
        restored = client.post(f"{tasks}/{task['id']}/restore").json()
        assert restored["updated_at"] == task["updated_at"]
