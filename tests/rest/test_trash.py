"""The trash: what was deleted can be restored, until it is purged."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from harness.responses import create, problem, unknown_id, violation
from harness.servers import LocalServer
from harness.side_effects import execute, instant, purge_expired

Task = dict[str, Any]


def delete(client: httpx2.Client, path: str) -> Task:
    answer = client.delete(path, headers={"Prefer": "return=representation"})
    assert answer.status_code == 200, answer.text
    deleted: Task = answer.json()
    return deleted


def trash(client: httpx2.Client, tasks: str, **query: str) -> list[Task]:
    answer = client.get(tasks, params={"deleted": "true", **query})
    assert answer.status_code == 200, answer.text
    found: list[Task] = answer.json()
    return found


def grow_old(server: LocalServer, task: Task, days: float) -> None:
    """As if the task had been deleted so many days ago."""
    at = instant(server.settings, datetime.now(UTC) - timedelta(days=days))
    where = f"WHERE user_id = '{task['user_id']}' AND version = {task['version']}"
    execute(server.settings, f"UPDATE tasks SET deleted_at = {at} {where}")


class TestList:
    def test_has_what_was_deleted_and_when(self, client: httpx2.Client, tasks: str) -> None:
        kept, gone = create(client, tasks), create(client, tasks)
        deleted = delete(client, f"{tasks}/{gone['id']}")
        assert trash(client, tasks) == [deleted]
        assert list(deleted) == [*gone, "deleted_at"]
        assert client.get(tasks).json() == client.get(f"{tasks}?deleted=false").json() == [kept]

    def test_is_empty_for_a_user_nobody_has_seen(self, client: httpx2.Client, tasks: str) -> None:
        assert trash(client, tasks) == []

    def test_is_filtered_sorted_and_paged_as_any_list(self, client: httpx2.Client, tasks: str) -> None:
        made = [
            create(client, tasks, title=f"{9 - number}", completed=number % 2 == 0) for number in range(6)
        ]
        gone = [delete(client, f"{tasks}/{task['id']}") for task in made]
        assert trash(client, tasks) == gone[::-1]
        assert trash(client, tasks, sort="title") == gone[::-1]
        assert trash(client, tasks, sort="-title") == gone
        assert trash(client, tasks, completed="true") == gone[4::-2]
        assert trash(client, tasks, q="7") == [gone[2]]
        assert trash(client, tasks, updated_after=gone[3]["updated_at"]) == gone[:3:-1]
        answer = client.get(f"{tasks}?deleted=true&limit=4")
        assert answer.json() == gone[:1:-1]
        assert client.get(answer.links["next"]["url"]).json() == gone[1::-1]

    def test_shows_nothing_of_others(self, client: httpx2.Client, user: str) -> None:
        delete(client, f"/api/tasks/{create(client, '/api/tasks')['id']}")
        assert trash(client, f"/api/{user}/tasks") == []


class TestRestore:
    def test_brings_the_task_back_as_it_was(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, description="Two bottles", completed=True)
        path = f"{tasks}/{task['id']}"
        client.delete(path)
        answer = client.post(f"{path}/restore")
        assert answer.status_code == 200
        restored = answer.json()
        assert restored == task | {"version": task["version"] + 2, "updated_at": restored["updated_at"]}
        assert answer.headers["etag"] == f'"{restored["version"]}"'
        assert client.get(path).json() == restored
        assert client.get(tasks).json() == [restored]
        assert trash(client, tasks) == []

    def test_leaves_a_task_that_lives_as_it_is(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        answer = client.post(f"{tasks}/{task['id']}/restore")
        assert (answer.status_code, answer.json()) == (200, task)
        assert answer.headers["etag"] == f'"{task["version"]}"'
        assert create(client, tasks)["version"] == task["version"] + 1

    def test_may_come_after_each_deletion(self, client: httpx2.Client, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        for _ in range(3):
            client.delete(path)
            problem(client.get(path), 404, "not_found")
            assert client.post(f"{path}/restore").status_code == 200

    def test_of_what_never_existed_is_a_404(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks)
        problem(client.post(f"{tasks}/{unknown_id()}/restore"), 404, "not_found")

    def test_of_what_is_somebody_elses_is_a_404(self, client: httpx2.Client, user: str) -> None:
        create(client, f"/api/{user}/tasks")
        deleted = delete(client, f"/api/tasks/{create(client, '/api/tasks')['id']}")
        problem(client.post(f"/api/{user}/tasks/{deleted['id']}/restore"), 404, "not_found")
        assert trash(client, "/api/tasks") == [deleted]


class TestDeleteMany:
    @pytest.fixture
    def made(self, client: httpx2.Client, tasks: str) -> list[Task]:
        """Open and done in turn; the first was changed last."""
        made = [
            create(client, tasks, title=f"Task {number}", completed=number % 2 == 1) for number in range(4)
        ]
        made[0] = client.patch(f"{tasks}/{made[0]['id']}", json={"description": "Milk"}).json()
        return made

    @pytest.mark.parametrize(
        ("query", "deleted"),
        [
            ({}, [0, 1, 2, 3]),
            ({"completed": "true"}, [1, 3]),
            ({"completed": "false"}, [0, 2]),
            ({"status": "completed"}, [1, 3]),
            ({"status": "pending"}, [0, 2]),
            ({"status": "all"}, [0, 1, 2, 3]),
            ({"q": "MILK"}, [0]),
            ({"q": "task 3"}, [3]),
            ({"q": "%"}, []),
            ({"created_after": "{created_at}"}, [2, 3]),
            ({"created_before": "{created_at}"}, [0]),
            ({"updated_after": "{updated_at}"}, [0, 2, 3]),
            ({"updated_before": "{updated_at}"}, []),
            ({"completed": "true", "created_after": "{created_at}"}, [3]),
        ],
    )
    def test_deletes_what_the_filters_name(
        self,
        client: httpx2.Client,
        tasks: str,
        made: list[Task],
        query: dict[str, str],
        deleted: list[int],
    ) -> None:
        filters = {name: value.format(**made[1]) for name, value in query.items()}
        answer = client.delete(tasks, params=filters)
        assert (answer.status_code, answer.json()) == (200, {"deleted": len(deleted)})
        assert answer.headers["content-type"] == "application/json"
        gone = {task["id"] for task in trash(client, tasks)}
        assert gone == {made[number]["id"] for number in deleted}
        alive = {task["id"] for task in client.get(tasks).json()}
        assert alive == {task["id"] for task in made} - gone

    def test_each_takes_its_own_number_in_the_order_of_their_changes(
        self, client: httpx2.Client, tasks: str, made: list[Task]
    ) -> None:
        client.delete(tasks)
        gone = sorted(trash(client, tasks), key=lambda task: int(task["version"]))
        last = made[0]["version"]
        assert [task["id"] for task in gone] == [made[number]["id"] for number in (1, 2, 3, 0)]
        assert [task["version"] for task in gone] == [last + 1, last + 2, last + 3, last + 4]
        assert len({task["deleted_at"] for task in gone}) == 1
        assert create(client, tasks)["version"] == last + 5

    def test_what_is_in_the_trash_already_is_not_counted(
        self, client: httpx2.Client, tasks: str, made: list[Task]
    ) -> None:
        client.delete(f"{tasks}/{made[1]['id']}")
        before = trash(client, tasks)
        assert client.delete(tasks, params={"completed": "true"}).json() == {"deleted": 1}
        assert client.delete(tasks, params={"completed": "true"}).json() == {"deleted": 0}
        assert before[0] in trash(client, tasks)

    def test_can_be_undone_task_by_task(self, client: httpx2.Client, tasks: str, made: list[Task]) -> None:
        client.delete(tasks)
        for task in made:
            client.post(f"{tasks}/{task['id']}/restore")
        assert [task["id"] for task in client.get(tasks).json()] == [task["id"] for task in made[::-1]]

    def test_of_a_user_nobody_has_seen_is_none(self, client: httpx2.Client, user: str) -> None:
        assert client.delete(f"/api/{user}/tasks").json() == {"deleted": 0}
        problem(client.get(f"/api/users/{user}"), 404, "not_found")

    def test_touches_nobody_elses(self, client: httpx2.Client, user: str) -> None:
        other = create(client, f"/api/{user}/tasks")
        create(client, "/api/tasks")
        client.delete("/api/tasks")
        assert client.get(f"/api/{user}/tasks").json() == [other]

    UNKNOWN = (
        "complete=true", "Completed=true", "compleated=true", "completed=true&x=", "deleted=true",
        "deleted=false", "limit=1", "sort=title", "cursor=x", "id=1", "=",
    )  # fmt: skip

    def test_a_parameter_that_is_not_known_is_refused(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        create(client, tasks, completed=True)
        for query in self.UNKNOWN:
            with subtests.test(query=query):
                assert violation(client.delete(f"{tasks}?{query}"))["code"] == "unknown_parameter"
                assert trash(client, tasks) == []

    NOT_UNDERSTOOD = (
        "completed=", "completed=2", "status=closed", "status=pending&completed=true",
        "created_before=yesterday", "completed=true&completed=false", "q=" + "x" * 201, "q=", "q=%20",
        "q=&completed=true",
    )  # fmt: skip

    def test_a_filter_that_is_not_understood_is_refused(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        create(client, tasks, completed=True)
        for query in self.NOT_UNDERSTOOD:
            with subtests.test(query=query):
                violation(client.delete(f"{tasks}?{query}"))
                assert trash(client, tasks) == []


class TestPurge:
    def test_what_has_been_in_the_trash_for_30_days_is_gone_for_ever(
        self, client: httpx2.Client, server: LocalServer, tasks: str
    ) -> None:
        alive, young, old = (create(client, tasks, title=title) for title in ("alive", "young", "old"))
        young, old = (delete(client, f"{tasks}/{task['id']}") for task in (young, old))
        grow_old(server, young, 29.9)
        grow_old(server, old, 30.1)
        purge_expired(server.settings)
        assert [task["title"] for task in trash(client, tasks)] == ["young"]
        assert client.get(tasks).json() == [alive]
        problem(client.post(f"{tasks}/{old['id']}/restore"), 404, "not_found")
        assert client.post(f"{tasks}/{young['id']}/restore").status_code == 200

    def test_its_id_is_free_again(self, client: httpx2.Client, server: LocalServer, tasks: str) -> None:
        path = f"{tasks}/{create(client, tasks)['id']}"
        old = delete(client, path)
        grow_old(server, old, 31)
        purge_expired(server.settings)
        answer = client.put(path, json={"title": "x"}, headers={"If-None-Match": "*"})
        assert answer.status_code == 201
        assert answer.json()["version"] > old["version"]

    def test_changes_the_tag_of_the_trash(
        self, client: httpx2.Client, server: LocalServer, tasks: str
    ) -> None:
        old = delete(client, f"{tasks}/{create(client, tasks)['id']}")
        grow_old(server, old, 31)
        etag = client.get(f"{tasks}?deleted=true").headers["etag"]
        purge_expired(server.settings)
        answer = client.get(f"{tasks}?deleted=true", headers={"If-None-Match": etag})
        assert (answer.status_code, answer.json()) == (200, [])

    def test_takes_more_than_it_can_at_once(
        self, client: httpx2.Client, server: LocalServer, user: str
    ) -> None:
        tasks = f"/api/{user}/tasks"
        new = {"op": "create", "task": {"title": "x"}}
        for count in (1_000, 5):
            client.post(f"{tasks}/batch", json={"operations": [new] * count}, timeout=60)
        client.delete(tasks)
        at = instant(server.settings, datetime.now(UTC) - timedelta(days=31))
        execute(server.settings, f"UPDATE tasks SET deleted_at = {at} WHERE user_id = '{user}'")
        kept = delete(client, f"{tasks}/{create(client, tasks)['id']}")
        purge_expired(server.settings)
        assert trash(client, tasks) == [kept]
