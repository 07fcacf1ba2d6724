"""Trees of tasks: what completing, deleting and restoring one does to those below it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from harness.responses import create, problem, unknown_id, violation
from harness.servers import LocalServer
from harness.side_effects import execute, instant

Task = dict[str, Any]
COMPLETE = {"completed": True, "subtasks": "complete"}


@pytest.fixture
def tree(client: httpx2.Client, tasks: str) -> dict[str, Task]:
    """A tree of four tasks, and one alone. `b` has been completed, and has an open one below."""
    made = {"a": create(client, tasks, title="a")}
    made["b"] = create(client, tasks, title="b", parent_id=made["a"]["id"], completed=True)
    made["c"] = create(client, tasks, title="c", parent_id=made["b"]["id"], status="in_progress")
    made["d"] = create(client, tasks, title="d", parent_id=made["a"]["id"])
    made["e"] = create(client, tasks, title="e")
    return made


def all_tasks(client: httpx2.Client, tasks: str, query: str = "") -> dict[str, Task]:
    found: list[Task] = client.get(f"{tasks}{query}").json()
    return {task["title"]: task for task in found}


def send(client: httpx2.Client, tasks: str, task: Task, way: str, body: Any) -> httpx2.Response:
    """A change by one of the ways there are."""
    path = f"{tasks}/{task['id']}"
    match way:
        case "toggle":
            return client.post(f"{path}/toggle", json=body)
        case "complete":
            return client.patch(f"{path}/complete", json=body)
        case "update in batch" | "toggle in batch":
            step = {"op": way.split(maxsplit=1)[0], "id": task["id"], "task": body}
            return client.post(f"{tasks}/batch", json={"operations": [step]})
        case _:
            return client.request(way, path, json=body)


WRONG: tuple[Any, ...] = (None, True, "", "all", 1, [], {}, "\0x")
WAYS = ("PATCH", "PUT", "toggle", "complete", "update in batch", "toggle in batch")


class TestComplete:
    @pytest.mark.parametrize("way", WAYS)
    def test_completes_what_is_open_below_at_one_instant(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task], way: str
    ) -> None:
        answer = send(client, tasks, tree["a"], way, COMPLETE)
        assert answer.status_code == 200, answer.text
        after = all_tasks(client, tasks)
        told = answer.json()["results"][0]["task"] if "batch" in way else answer.json()
        assert told == after["a"]
        assert after["a"]["version"] == 6
        assert {after["c"]["version"], after["d"]["version"]} == {7, 8}
        done_at = after["a"]["completed_at"]
        for title in "acd":
            own = {"completed": True, "status": "completed", "completed_at": done_at, "updated_at": done_at}
            assert after[title] == tree[title] | own | {"version": after[title]["version"]}
        assert (after["b"], after["e"]) == (tree["b"], tree["e"])

    @pytest.mark.parametrize("status", ["completed", "cancelled"])
    def test_with_a_status_that_is_done(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task], status: str
    ) -> None:
        body = {"status": status, "subtasks": "complete"}
        answer = send(client, tasks, tree["a"], "PATCH", body)
        assert answer.json()["status"] == status
        after = all_tasks(client, tasks)
        assert [after[title]["status"] for title in "bcd"] == ["completed"] * 3

    def test_of_a_task_that_is_completed_already(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task]
    ) -> None:
        answer = send(client, tasks, tree["b"], "toggle", COMPLETE)
        assert answer.json()["completed_at"] == tree["b"]["completed_at"]
        after = all_tasks(client, tasks)
        assert after["c"]["completed"] is True
        assert (after["a"], after["d"]) == (tree["a"], tree["d"])

    def test_leaves_a_recurring_task_alone(
        self, client: httpx2.Client, server: LocalServer, tasks: str, tree: dict[str, Task]
    ) -> None:
        owner, version = tree["d"]["user_id"], tree["d"]["version"]
        where = f"WHERE user_id = '{owner}' AND version = {version}"
        rule = "recurrence = 'FREQ=DAILY', due = '2031-06-01'"
        execute(server.settings, f"UPDATE tasks SET {rule} {where}")
        send(client, tasks, tree["a"], "PATCH", COMPLETE)
        after = all_tasks(client, tasks)
        assert [after[title]["completed"] for title in "abcd"] == [True, True, True, False]
        assert after["d"]["version"] == version

    @pytest.mark.parametrize("way", WAYS)
    def test_without_it_they_stay(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task], way: str
    ) -> None:
        send(client, tasks, tree["a"], way, {"completed": True})
        after = all_tasks(client, tasks)
        assert [after[title] for title in "bcde"] == [tree[title] for title in "bcde"]

    def test_with_other_changes_and_a_move(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task]
    ) -> None:
        body = {**COMPLETE, "title": "x", "parent_id": None, "labels_add": ["home"]}
        answer = send(client, tasks, tree["b"], "PATCH", body)
        assert (answer.json()["title"], answer.json()["labels"]) == ("x", ["home"])
        after = all_tasks(client, tasks)
        assert (after["x"]["parent_id"], after["c"]["completed"]) == (None, True)
        assert after["d"] == tree["d"]

    def test_of_a_new_task_has_no_effect(self, client: httpx2.Client, tasks: str) -> None:
        body = {"title": "a", **COMPLETE}
        answer = client.put(f"{tasks}/{unknown_id()}", json=body, headers={"If-None-Match": "*"})
        assert (answer.status_code, answer.json()["completed"]) == (201, True)

    def test_is_guarded(self, client: httpx2.Client, tasks: str, tree: dict[str, Task]) -> None:
        for path, method in (("", "PATCH"), ("/toggle", "POST")):
            answer = client.request(
                method, f"{tasks}/{tree['a']['id']}{path}", json=COMPLETE, headers={"If-Match": '"99"'}
            )
            problem(answer, 412, "precondition_failed")
        assert all_tasks(client, tasks) == tree

    @pytest.mark.parametrize("way", WAYS)
    def test_anything_else_is_refused(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task], way: str, subtests: pytest.Subtests
    ) -> None:
        bodies: list[dict[str, Any]] = [
            {"subtasks": "complete"},
            {"subtasks": "complete", "completed": False},
            *({"subtasks": value, "completed": True} for value in WRONG),
        ]
        for body in bodies:
            with subtests.test(body=repr(body)):
                found = problem(send(client, tasks, tree["a"], way, body), 400, "validation_error")
                if body["subtasks"] != "\0x":  # no JSON of ours has it
                    (told,) = found["errors"]
                    assert told["code"] == "invalid_subtasks"
                    assert told["pointer"].endswith("/subtasks")
                assert all_tasks(client, tasks) == tree

    @pytest.mark.parametrize("status", ["open", "in_progress"])
    def test_a_status_that_is_not_done_is_refused(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task], status: str
    ) -> None:
        told = violation(send(client, tasks, tree["a"], "PATCH", {"status": status, "subtasks": "complete"}))
        assert told["code"] == "invalid_subtasks"
        told = violation(send(client, tasks, tree["a"], "PATCH", {"status": status, **COMPLETE}))
        assert told["code"] == "status_conflict"
        assert all_tasks(client, tasks) == tree


class TestNumbers:
    def test_of_one_level_are_in_the_order_of_its_changes(self, client: httpx2.Client, tasks: str) -> None:
        """Whatever their ids are, and on both databases."""
        top = create(client, tasks, title="top")["id"]
        parts = [create(client, tasks, title=f"{n}", parent_id=top)["id"] for n in range(4)]
        order = [parts[n] for n in (2, 0, 3, 1)]
        for part in order:
            client.patch(f"{tasks}/{part}", json={"priority": 1})
        client.delete(f"{tasks}/{top}")
        gone = client.get(f"{tasks}?deleted=true").json()
        gone.sort(key=lambda task: task["version"])
        assert [task["id"] for task in gone] == [top, *order]
        client.post(f"{tasks}/{top}/restore")
        back = sorted(client.get(tasks).json(), key=lambda task: task["version"])
        assert [task["id"] for task in back] == [top, *order]


class TestDeleteMany:
    @pytest.mark.parametrize(
        ("query", "gone"),
        [
            ("", "abcde"),
            ("?q=a", "abcd"),
            ("?q=b", "bc"),
            ("?q=d", "d"),
            ("?q=e", "e"),
            ("?completed=true", "bc"),
            ("?q=x", ""),
        ],
    )
    def test_takes_what_is_below_along(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task], query: str, gone: str
    ) -> None:
        assert client.delete(f"{tasks}{query}").json() == {"deleted": len(gone)}
        left = {title: task for title, task in tree.items() if title not in gone}
        assert all_tasks(client, tasks) == left
        trash = all_tasks(client, tasks, "?deleted=true")
        assert trash.keys() == set(gone)
        assert len({task["deleted_at"] for task in trash.values()}) <= 1
        numbers = [trash[title]["version"] for title in gone]
        assert numbers == list(range(6, 6 + len(gone)))
        assert create(client, tasks)["version"] == 6 + len(gone)

    def test_restoring_any_brings_its_tree_back(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task]
    ) -> None:
        client.delete(tasks)
        assert client.post(f"{tasks}/{tree['b']['id']}/restore").json()["parent_id"] is None
        assert all_tasks(client, tasks).keys() == set("bc")
        client.post(f"{tasks}/{tree['a']['id']}/restore")
        after = all_tasks(client, tasks)
        assert after.keys() == set("abcd")
        assert after["d"]["parent_id"] == tree["a"]["id"]

    def test_what_was_deleted_before_stays_in_the_trash(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task]
    ) -> None:
        client.delete(f"{tasks}/{tree['d']['id']}")
        assert client.delete(f"{tasks}?q=a").json() == {"deleted": 3}
        client.post(f"{tasks}/{tree['a']['id']}/restore")
        assert all_tasks(client, tasks).keys() == set("abce")
        assert all_tasks(client, tasks, "?deleted=true").keys() == {"d"}

    def test_has_one_instant_though_a_clock_was_ahead(
        self, client: httpx2.Client, server: LocalServer, tasks: str, tree: dict[str, Task]
    ) -> None:
        """No task's change is before its previous one, and a tree goes at one instant."""
        ahead = datetime.now(UTC) + timedelta(hours=1)
        owner, version = tree["c"]["user_id"], tree["c"]["version"]
        at = instant(server.settings, ahead)
        where = f"WHERE user_id = '{owner}' AND version = {version}"
        execute(server.settings, f"UPDATE tasks SET updated_at = {at} {where}")
        client.delete(f"{tasks}?q=a")
        client.post(f"{tasks}/{tree['a']['id']}/restore")
        assert all_tasks(client, tasks).keys() == set("abcde")

    def test_touches_nobody_elses(
        self, client: httpx2.Client, tasks: str, tree: dict[str, Task], user: str
    ) -> None:
        """Another user has a task below one with the same id, as copies of one export have."""
        other = f"/api/other-{user}/tasks"
        answer = client.put(f"{other}/{tree['a']['id']}", json={"title": "a"}, headers={"If-None-Match": "*"})
        assert answer.status_code == 201
        create(client, other, title="b", parent_id=tree["a"]["id"])
        client.delete(tasks)
        assert all_tasks(client, other).keys() == set("ab")
