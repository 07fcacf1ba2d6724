"""The history: one record for each number, with the old and the new value of each field that changed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from harness.responses import create, problem, violation

Json = dict[str, Any]

LATER = {"version", "updated_at", "created_at", "id", "user_id"}
# What a record of a creation leaves out.
DEFAULTS: Json = {
    "completed": False, "status": "open", "labels": [], "extra": {}, "deleted": False,
    "recurrence_mode": "next", "recurrence_exclude": [], "reminders": [],
}  # fmt: skip


@pytest.fixture
def history(tasks: str) -> str:
    return tasks.removesuffix("/tasks") + "/history"


@pytest.fixture
def lists(tasks: str) -> str:
    return tasks.removesuffix("/tasks") + "/lists"


def read(client: httpx2.Client, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    return answer.json()


def everything(client: httpx2.Client, history: str) -> list[Json]:
    """All records, in their order."""
    return list(reversed(list(pages(client, f"{history}?limit=7"))))


def pages(client: httpx2.Client, path: str) -> Iterator[Json]:
    while True:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        yield from answer.json()
        if "next" not in answer.links:
            return
        path = answer.links["next"]["url"]


def replayed(records: list[Json]) -> dict[str, Json]:
    """What the records make of each object. Each old value is the new one of the record before."""
    objects: dict[str, Json] = {}
    for record in records:
        known = objects.setdefault(record["id"], dict(DEFAULTS))
        for name, (old, new) in record["changes"].items():
            if record["op"] != "created":
                assert known.get(name) == old, record
            known[name] = new
        known["version"] = record["version"]
    return objects


def shown(task: Json) -> Json:
    fields = {name: value for name, value in task.items() if name not in LATER and value is not None}
    fields["deleted"] = fields.pop("deleted_at", None) is not None
    return {**fields, "version": task["version"]}


def assert_whole(client: httpx2.Client, tasks: str, history: str) -> list[Json]:
    """Every task and list is what its records say, and nothing else has a record. Returns the records."""
    records = everything(client, history)
    versions = [record["version"] for record in records]
    assert versions == list(range(1, len(versions) + 1))
    made = replayed(records)
    lists = history.removesuffix("history") + "lists"
    stored = [
        one
        for path in (tasks, lists)
        for query in ("", "?deleted=true")
        for one in read(client, f"{path}{query}")
    ]
    assert {one["id"] for one in stored} == {record["id"] for record in records if record["kind"] != "label"}
    for one in stored:
        known = {name: value for name, value in made[one["id"]].items() if value is not None}
        expected = shown(one)
        assert {name: known.get(name) for name in expected} == expected
    return records


RICH: Json = {
    "title": "Plan",
    "description": "All of it",
    "due": "2026-11-20T09:00:00",
    "time_zone": "Europe/Berlin",
    "start": "2026-11-19",
    "priority": 2,
    "labels": ["home", "Büro"],
    "link": "https://example.com/",
    "extra": {"example.com/n": [1, {"a": "ü"}]},
}


class TestRecords:
    def test_a_creation_has_what_it_set(self, client: httpx2.Client, tasks: str, history: str) -> None:
        task = create(client, tasks, **RICH)
        (record,) = read(client, history)
        assert list(record) == [
            "version", "kind", "id", "op", "at", "by", "changes", "occurrence", "completed_at",
            "undoes",
        ]  # fmt: skip
        assert (record["version"], record["kind"], record["id"]) == (task["version"], "task", task["id"])
        assert (record["op"], record["at"], record["undoes"]) == ("created", task["created_at"], None)
        changed = {name: [None, task[name]] for name in (*RICH, "position", "due_at")}
        assert record["changes"] == changed

    def test_a_plain_creation_is_alike_on_every_way(
        self, client: httpx2.Client, tasks: str, history: str
    ) -> None:
        """Directly, coalesced, with a chosen id, with a key, and in a batch."""
        body = {"title": 'A "title" with ünïcode\n', "description": "x", "completed": True}
        create(client, tasks, **body)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: create(client, tasks, **body), range(16)))
        client.put(f"{tasks}/{uuid4()}", json=body, headers={"If-None-Match": "*"})
        client.post(tasks, json=body, headers={"Idempotency-Key": uuid4().hex})
        steps = [{"op": "create", "task": body} for _ in range(3)]
        client.post(f"{tasks}/batch", json={"operations": steps})
        records = assert_whole(client, tasks, history)
        assert len(records) == 22
        assert {(record["op"], tuple(record["changes"])) for record in records} == {
            ("created", ("title", "description", "completed", "completed_at", "status", "position"))
        }

    def test_every_write_of_a_task_has_one(self, client: httpx2.Client, tasks: str, history: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        client.patch(path, json={"title": "Changed"})
        client.post(f"{path}/toggle")
        client.post(f"{path}/toggle")
        client.post(f"{path}/toggle", json={"completed": True})
        client.patch(path, json={"status": "in_progress", "priority": 1})
        client.patch(path, json={"status": "cancelled"})
        client.post(f"{path}/toggle")
        client.patch(path, json={"due": "2026-11-20", "labels_add": ["a"], "extra": {"k": 1}})
        client.patch(path, json={"title": "Changed"})
        client.post(f"{path}/move", json={"after": None})
        client.delete(path)
        client.post(f"{path}/restore")
        ops = [record["op"] for record in assert_whole(client, tasks, history)]
        assert ops == [
            "created", "updated", "completed", "reopened", "completed", "reopened", "completed", "reopened",
            "updated", "updated", "updated", "deleted", "restored",
        ]  # fmt: skip

    def test_concurrent_toggles_form_a_chain(self, client: httpx2.Client, tasks: str, history: str) -> None:
        """Coalesced, alone and serialized ones of the same tasks, which wait for each other's locks."""
        made = [create(client, tasks) for _ in range(3)]

        def work(n: int) -> None:
            path = f"{tasks}/{made[n % 3]['id']}"
            if n % 4 == 0:
                client.patch(path, json={"title": f"Title {n}"})
            elif n % 4 == 1:
                client.post(f"{path}/toggle", json={"completed": n % 8 == 1})
            else:
                client.post(f"{path}/toggle")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(120)))
        assert len(assert_whole(client, tasks, history)) == 123

    def test_trees_lists_and_bulk_writes(
        self, client: httpx2.Client, tasks: str, history: str, lists: str
    ) -> None:
        home = client.post(lists, json={"name": "Home", "color": "#00ff00"}).json()
        work = client.post(lists, json={"name": "Work"}).json()
        top = create(client, tasks, list_id=home["id"], labels=["a"])
        part = create(client, tasks, parent_id=top["id"], labels=["A", "b"])
        create(client, tasks, parent_id=part["id"])
        client.patch(f"{tasks}/{top['id']}", json={"list_id": work["id"]})
        client.patch(f"{tasks}/{top['id']}", json={"completed": True, "subtasks": "complete"})
        client.post(f"{tasks}/{part['id']}/move", json={"parent_id": None, "after": None})
        client.patch(f"{lists}/{home['id']}", json={"name": "At home"})
        client.post(f"{lists}/{home['id']}/archive")
        client.post(f"{lists}/{home['id']}/move", json={"after": work["id"]})
        client.delete(f"{lists}/{work['id']}")
        client.post(f"{lists}/{work['id']}/restore")
        client.delete(f"{lists}/{work['id']}?tasks=keep")
        labels = tasks.removesuffix("tasks") + "labels"
        client.put(f"{labels}/b", json={"color": "#ff0000"})
        client.patch(f"{labels}/a", json={"name": "c"})
        client.delete(f"{labels}/b")
        client.delete(f"{tasks}?completed=true")
        records = assert_whole(client, tasks, history)
        kinds = {record["kind"] for record in records}
        assert kinds == {"task", "list", "label"}
        assert records[-1]["changes"] == {"deleted": [False, True]}

    def test_what_changes_nothing_has_none(self, client: httpx2.Client, tasks: str, history: str) -> None:
        task = create(client, tasks)
        path = f"{tasks}/{task['id']}"
        client.patch(path, json={})
        client.patch(path, json={"title": ""})
        client.post(f"{path}/toggle", headers={"If-Match": '"999"'})
        client.post(f"{path}/restore")
        key = {"Idempotency-Key": uuid4().hex}
        client.post(f"{path}/toggle", headers=key)
        client.post(f"{path}/toggle", headers=key)
        assert [record["op"] for record in everything(client, history)] == ["created", "completed"]

    def test_says_who(self, client: httpx2.Client, tasks: str, history: str) -> None:
        agent = {"Taskwell-Agent": "claude-code"}
        task = client.post(tasks, json={"title": "x"}, headers=agent).json()
        client.post(f"{tasks}/{task['id']}/toggle", headers=agent)
        client.post(f"{tasks}/{task['id']}/toggle")
        by = [record["by"] for record in everything(client, history)]
        assert [one["client"] for one in by] == ["claude-code", "claude-code", None]
        assert {(one["user"], one["token"], one["via"]) for one in by} == {(task["user_id"], None, "api")}
        assert len(read(client, f"{history}?client=claude-code")) == 2


class TestFilter:
    def test_by_kind_op_field_and_task(self, client: httpx2.Client, tasks: str, history: str) -> None:
        one, two = create(client, tasks), create(client, tasks)
        client.patch(f"{tasks}/{one['id']}", json={"title": "New"})
        client.post(f"{tasks}/{two['id']}/toggle")
        client.post(history.removesuffix("history") + "lists", json={"name": "Home"})
        for query, ops in (
            ({"kind": "list"}, ["created"]),
            ({"op": "completed,updated"}, ["completed", "updated"]),
            ({"field": "title"}, ["updated", "created", "created"]),
            ({"field": "completed"}, ["completed"]),
            ({"task": one["id"]}, ["updated", "created"]),
            ({"via": "cli"}, []),
            ({"after": "2020-01-01T00:00:00Z", "op": "updated"}, ["updated"]),
            ({"before": "2020-01-01T00:00:00Z"}, []),
            ({"since": two["version"]}, ["updated", "completed", "created"]),
        ):
            assert [record["op"] for record in read(client, history, **query)] == ops, query
        assert [record["op"] for record in read(client, f"{tasks}/{two['id']}/history")] == [
            "completed", "created",
        ]  # fmt: skip

    def test_pages_are_whole_in_both_directions(
        self, client: httpx2.Client, tasks: str, history: str
    ) -> None:
        versions = [create(client, tasks)["version"] for _ in range(10)]
        for size in (1, 3, 9, 10, 11):
            newest = [record["version"] for record in pages(client, f"{history}?limit={size}")]
            assert newest == versions[::-1]
            oldest = pages(client, f"{history}?limit={size}&since={versions[1]}")
            assert [record["version"] for record in oldest] == versions[2:]

    @pytest.mark.parametrize(
        "query",
        ["op=gone", "kind=user", "field=user_id", "via=x", "since=x", "since=-1", "task=x", "token=x",
         "after=x", "limit=0", "cursor=x", "token=me"],
    )  # fmt: skip
    def test_bad_ones_are_refused(self, client: httpx2.Client, history: str, query: str) -> None:
        answer = client.get(f"{history}?{query}")
        problem(answer, 400, "validation_error")
        found = violation(answer)
        assert found["parameter"] == query.partition("=")[0]
        assert found["code"] != "invalid"  # which would not say what to send

    def test_others_see_nothing(self, client: httpx2.Client, user: str) -> None:
        task = create(client, f"/api/{user}/tasks")
        other = f"/api/{user}-other"
        assert read(client, f"{other}/history") == []
        problem(client.get(f"{other}/tasks/{task['id']}/history"), 404, "not_found")

    def test_a_since_that_is_not_there_yet_is_gone(
        self, client: httpx2.Client, tasks: str, history: str
    ) -> None:
        version = create(client, tasks)["version"]
        assert client.get(history).headers["history-since"] == "0"
        assert read(client, f"{history}?since={version}") == []
        problem(client.get(f"{history}?since={version + 1}"), 410, "gone")
